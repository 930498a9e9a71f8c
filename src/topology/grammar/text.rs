//! What strings may hold.
//!
//! Much of what is written here ends in `keepalived.conf`, in the input of iptables-restore or in a path. What means
//! something to one of these is refused where it is read, so that no string can say more than the operator meant.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::document::grammar::TextRule;
use crate::topology::{MacAddress, SysctlKey};

/// The longest text that becomes part of a line of `keepalived.conf`.
const LONGEST: usize = 255;

/// A name of a host, failover, pool or service.
pub static NAME: TextRule = TextRule {
    what: "a name",
    rule: "Use up to 63 letters, digits, dots, dashes and underscores, the first a letter, a digit or an underscore",
    check: name,
};

/// An interface's name, as `dev_valid_name` in the kernel's `net/core/dev.c` has it, without iptables' wildcard.
pub static INTERFACE: TextRule = TextRule {
    what: "an interface's name",
    rule: "Use the kernel's name for it: up to 15 letters, digits, dots, dashes and underscores",
    check: interface,
};

/// A multicast group.
pub static GROUP: TextRule = TextRule {
    what: "a multicast group",
    rule: "Use a multicast address, such as \"224.0.0.81\" or \"ff02::81\"",
    check: group,
};

/// The label of an address.
pub static LABEL: TextRule = TextRule {
    what: "an address label",
    rule: "Use the interface's name, a colon and a suffix, 15 characters at most, such as \"eth0:1\"",
    check: label,
};

/// A hardware address.
pub static MAC: TextRule = TextRule {
    what: "a hardware address",
    rule: "Use six hexadecimal octets with colons, such as \"52:54:00:06:b2:98\"",
    check: mac,
};

/// A host's address with its prefix.
pub static HOST_ADDRESS: TextRule = TextRule {
    what: "an address with its prefix",
    rule: "Write it with the length of its network's prefix, such as \"10.4.1.181/24\"",
    check: host_address,
};

/// A VIP.
pub static VIP_ADDRESS: TextRule = TextRule {
    what: "an address",
    rule: "Write a single address, such as \"10.4.1.190\"; its prefix is 32, or 128 under IPv6, unless one is written",
    check: vip_address,
};

/// A server of a service.
pub static SERVER: TextRule = TextRule {
    what: "a real server's name or address",
    rule: "Use the name or an address of a declared real server",
    check: server,
};

/// A port or a range.
pub static PORTS: TextRule =
    TextRule { what: "a port or a range of ports", rule: "Write 80, or \"8000-8010\" for a range", check: ports };

/// A file or folder.
pub static PATH: TextRule = TextRule { what: "a path", rule: "Use up to 4000 printable characters", check: path };

/// What OpenSSH takes as a destination.
pub static SSH_HOST: TextRule = TextRule {
    what: "a host's name or address",
    rule: "Use what `ssh` would be given, without user and port; it may not begin with a dash",
    check: ssh_host,
};

/// A user's name.
pub static USER: TextRule =
    TextRule { what: "a user's name", rule: "Use letters, digits, dots, dashes and underscores", check: name };

/// A kernel parameter.
pub static SYSCTL: TextRule = TextRule {
    what: "a kernel parameter",
    rule: "Write it as sysctl(8) does, such as \"net.ipv4.vs.expire_nodest_conn\"",
    check: sysctl,
};

/// The value of a kernel parameter.
pub static SYSCTL_VALUE: TextRule = TextRule {
    what: "a parameter's value",
    rule: "Write a number, or a string of printable characters without line breaks",
    check: sysctl_value,
};

/// The path of a web page.
pub static PAGE: TextRule = TextRule {
    what: "a page's path",
    rule: "Begin it with a slash; characters that mean something to keepalived (space, ! # \" ' { } \\ $) are written as %XX",
    check: page,
};

/// The `Host` header of a check.
pub static WEB_HOST: TextRule = TextRule {
    what: "a web host's name",
    rule: "Use letters, digits, dots and dashes, with a colon and a port if need be",
    check: web_host,
};

/// The MD5 digest of a page.
pub static DIGEST: TextRule = TextRule {
    what: "an MD5 digest",
    rule: "Use 32 hexadecimal digits; `genhash -s SERVER -p PORT -u PATH` prints them",
    check: digest,
};

/// A regular expression.
pub static REGEX: TextRule = TextRule {
    what: "a regular expression",
    rule: "Use printable characters but double quotes and backslashes; write [.] for a dot and [0-9] for a digit",
    check: regex,
};

/// What a datagram carries.
pub static PAYLOAD: TextRule = TextRule {
    what: "a datagram's content",
    rule: "Write up to 64 bytes as pairs of hexadecimal digits, such as \"deadbeef\"",
    check: payload,
};

/// A name of the DNS.
pub static DNS_NAME: TextRule = TextRule {
    what: "a name of the DNS",
    rule: "Use labels of up to 63 letters, digits, dashes and underscores with dots between them, or \".\"",
    check: dns_name,
};

/// A program with its arguments.
pub static COMMAND: TextRule = TextRule {
    what: "a program with its arguments",
    rule: "Begin with the program's absolute path; arguments follow after spaces, and a shell reads none of it",
    check: command,
};

/// A mail address.
pub static MAIL_ADDRESS: TextRule =
    TextRule { what: "a mail address", rule: "Write it like \"ops@example.org\"", check: mail_address };

/// Mail addresses.
pub static MAIL_ADDRESSES: TextRule = TextRule {
    what: "mail addresses",
    rule: "Write one, or several with commas: \"ops@example.org, net@example.org\"",
    check: mail_addresses,
};

/// A mail server.
pub static MAIL_SERVER: TextRule = TextRule {
    what: "a mail server",
    rule: "Write its name or address, with a colon and a port if it is not 25: \"mail.example.org:587\"",
    check: mail_server,
};

/// A password of VRRP version 2.
pub static PASSWORD: TextRule = TextRule {
    what: "a VRRP password",
    rule: "Use 1 to 8 printable characters, none of which is a space, a quote or one of ! # { } \\ $ ~ @; keepalived would cut a longer one",
    check: password,
};

fn name(text: &str) -> Result<(), String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if text.is_empty() {
        return Err("this is empty".into());
    }
    if let Some(wrong) = text.chars().find(|character| !plain(*character)) {
        return Err(format!("{} may not stand in it", show(wrong)));
    }
    if text.starts_with(['-', '.']) {
        return Err("begins with a dash or a dot".into());
    }
    bounded(text, 63)
}

fn interface(text: &str) -> Result<(), String> {
    name(text).and_then(|()| bounded(text, 15))
}

fn group(text: &str) -> Result<(), String> {
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_multicast() => Ok(()),
        Ok(_) => Err("not a multicast address".into()),
        Err(_) => Err("not an address".into()),
    }
}

fn label(text: &str) -> Result<(), String> {
    let (device, suffix) = text.split_once(':').ok_or("has no colon")?;
    name(device).and_then(|()| name(suffix)).and_then(|()| bounded(text, 15))
}

fn mac(text: &str) -> Result<(), String> {
    let address: MacAddress = text.parse().map_err(|_| "not a hardware address")?;
    let [first, ..] = address.0;
    if first & 1 == 1 { Err("this is a group's address, not an interface's".into()) } else { Ok(()) }
}

fn host_address(text: &str) -> Result<(), String> {
    let network: IpNet = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) if text.parse::<IpAddr>().is_ok() => return Err("the prefix is missing".into()),
        Err(_) => return Err("not an address with a prefix".into()),
    };
    unicast(network.addr())?;
    let is_network = network.addr() == network.network() && network.prefix_len() + 1 < network.max_prefix_len();
    if is_network { Err("this names a network, not a host in it".into()) } else { Ok(()) }
}

fn vip_address(text: &str) -> Result<(), String> {
    match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(address), _) => unicast(address),
        (_, Ok(network)) => unicast(network.addr()),
        _ => Err("not an address".into()),
    }
}

/// Refuses what no interface may hold.
pub(super) fn unicast(address: IpAddr) -> Result<(), String> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    match address {
        _ if address.is_unspecified() => Err("this address stands for any".into()),
        _ if address.is_loopback() => Err("this address never leaves a host".into()),
        _ if address.is_multicast() || broadcast => Err("this address belongs to many".into()),
        _ if mapped => Err("write this address in its IPv4 form".into()),
        _ => Ok(()),
    }
}

fn server(text: &str) -> Result<(), String> {
    if text.parse::<IpAddr>().is_ok() { Ok(()) } else { name(text) }
}

fn ports(text: &str) -> Result<(), String> {
    match crate::topology::decode::port_range(text) {
        Some(range) if range.first > range.last => Err("ends before it begins".into()),
        Some(range) if range.first == 0 && range.last != 0 => Err("port 0 cannot begin a range".into()),
        Some(_) => Ok(()),
        None => Err("not a port from 0 to 65535, and no range".into()),
    }
}

fn path(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("this is empty".into());
    }
    printable(text).and_then(|()| bounded(text, 4000))
}

fn ssh_host(text: &str) -> Result<(), String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-:%".contains(character);
    match text.chars().find(|character| !plain(*character)) {
        Some(wrong) => Err(format!("{} may not stand in it", show(wrong))),
        None if text.is_empty() => Err("this is empty".into()),
        None if text.starts_with('-') => Err("begins with a dash".into()),
        None => bounded(text, LONGEST),
    }
}

fn sysctl(text: &str) -> Result<(), String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-/:".contains(character);
    if let Some(wrong) = text.chars().find(|character| !plain(*character)) {
        return Err(format!("{} may not stand in it", show(wrong)));
    }
    if text.starts_with('-') {
        // sysctl.d(5) would ignore what becomes of it.
        return Err("begins with a dash".into());
    }
    let key = SysctlKey::from_dotted(text);
    let mut parts = key.path().split('/');
    if key.path().split('/').count() < 2 || parts.any(|part| part.is_empty() || part == "." || part == "..") {
        return Err("not a parameter's full name".into());
    }
    bounded(text, LONGEST)
}

fn sysctl_value(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("this is empty".into());
    }
    printable(text).and_then(|()| bounded(text, LONGEST))
}

fn page(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("does not begin with a slash".into());
    }
    keepalived_word(text)
}

fn web_host(text: &str) -> Result<(), String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-:[]".contains(character);
    match text.chars().find(|character| !plain(*character)) {
        Some(wrong) => Err(format!("{} may not stand in it", show(wrong))),
        None if text.is_empty() => Err("this is empty".into()),
        None => bounded(text, LONGEST),
    }
}

fn digest(text: &str) -> Result<(), String> {
    match text.chars().find(|character| !character.is_ascii_hexdigit()) {
        Some(wrong) => Err(format!("{} may not stand in it", show(wrong))),
        None if text.len() != 32 => Err(format!("{} digits long", text.len())),
        None => Ok(()),
    }
}

fn regex(text: &str) -> Result<(), String> {
    let plain = |character: char| character == ' ' || (!character.is_control() && !character.is_whitespace());
    match text.chars().find(|character| !plain(*character) || matches!(character, '"' | '\\')) {
        Some(wrong) => Err(format!("{} may not stand in it", show(wrong))),
        None if text.is_empty() => Err("this is empty".into()),
        None if text.trim() != text => Err("begins or ends with a space".into()),
        None => not_replaced(text).and_then(|()| bounded(text, LONGEST)),
    }
}

fn payload(text: &str) -> Result<(), String> {
    match text.chars().find(|character| !character.is_ascii_hexdigit()) {
        Some(wrong) => Err(format!("{} may not stand in it", show(wrong))),
        None if text.is_empty() => Err("this is empty".into()),
        None if text.len() % 2 == 1 => Err("half a byte is missing".into()),
        None => bounded(text, 128),
    }
}

fn dns_name(text: &str) -> Result<(), String> {
    if text == "." {
        return Ok(());
    }
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        match label.chars().find(|character| !plain(*character)) {
            Some(wrong) => return Err(format!("{} may not stand in it", show(wrong))),
            None if label.is_empty() => return Err("a label is empty".into()),
            None => bounded(label, 63)?,
        }
    }
    bounded(text, 253)
}

fn command(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("does not begin with a slash".into());
    }
    text.split(' ').try_for_each(|word| {
        if word.is_empty() { Err("two spaces follow each other".into()) } else { keepalived_word(word) }
    })?;
    bounded(text, LONGEST)
}

fn mail_address(text: &str) -> Result<(), String> {
    keepalived_word(text)?;
    if let Some(wrong) = text.chars().find(|character| "<>,;:()[]".contains(*character)) {
        return Err(format!("{} may not stand in it", show(wrong)));
    }
    match text.split_once('@') {
        Some((user, domain)) if !user.is_empty() && !domain.is_empty() && !domain.contains('@') => Ok(()),
        _ => Err("not of the form user@domain".into()),
    }
}

fn mail_addresses(text: &str) -> Result<(), String> {
    text.split(',').try_for_each(|address| mail_address(address.trim()))
}

fn mail_server(text: &str) -> Result<(), String> {
    match crate::topology::decode::mail_server(text) {
        Some((host, Some(0))) => Err(format!("port 0 of {host} cannot be reached")),
        Some((host, _)) => web_host(host),
        None => Err("not a server with a port".into()),
    }
}

fn password(text: &str) -> Result<(), String> {
    if text.len() > 8 {
        return Err("longer than 8 bytes".into());
    }
    if text.chars().any(|character| character == '~' || character == '@') {
        return Err("holds a character that means something to keepalived".into());
    }
    // The message of a wrong character would show a part of the secret.
    keepalived_word(text).map_err(|_| "empty, or holds a character that means something to keepalived".into())
}

/// Tells whether a password can be given to keepalived as it is.
pub fn is_password(text: &str) -> bool {
    password(text).is_ok()
}

/// Tells whether a text is a VIP that an interface can hold.
pub fn is_vip(text: &str) -> bool {
    vip_address(text).is_ok()
}

/// Tells whether a text is a host's address that an interface can hold.
pub fn is_host_address(text: &str) -> bool {
    host_address(text).is_ok()
}

/// Refuses what ends a word in `keepalived.conf`, or means something within one (keepalived.conf(5); `~SEQ` and `~LST`
/// are expanded anywhere, a leading `@` makes a line conditional).
pub(super) fn keepalived_word(text: &str) -> Result<(), String> {
    let plain = |character: char| character.is_ascii_graphic() && !"!#\"'{}\\$".contains(character);
    if let Some(wrong) = text.chars().find(|character| !plain(*character)) {
        return Err(format!("{} may not stand in it", show(wrong)));
    }
    match text {
        "" => Err("this is empty".into()),
        _ if text.starts_with('@') => Err("begins with @".into()),
        _ => not_replaced(text).and_then(|()| bounded(text, LONGEST)),
    }
}

/// Refuses what keepalived replaces by something else wherever it stands.
fn not_replaced(text: &str) -> Result<(), String> {
    match ["~SEQ", "~LST", "$_", "${"].into_iter().find(|sequence| text.contains(sequence)) {
        Some(sequence) => Err(format!("{sequence} means something to keepalived")),
        None => Ok(()),
    }
}

fn printable(text: &str) -> Result<(), String> {
    match text.chars().find(|character| character.is_control()) {
        Some(wrong) => Err(format!("{} may not stand in it", show(wrong))),
        None => Ok(()),
    }
}

pub(super) fn bounded(text: &str, most: usize) -> Result<(), String> {
    if text.len() > most { Err(format!("{} bytes long, {most} is the most", text.len())) } else { Ok(()) }
}

/// Names a character without printing one that a terminal would act on.
pub(super) fn show(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\n' | '\r' => "a line break".to_owned(),
        '\t' => "a tab".to_owned(),
        plain if plain.is_ascii_graphic() => format!("the character {plain}"),
        other => format!("the character U+{:04X}", u32::from(other)),
    }
}
