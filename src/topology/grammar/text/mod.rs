//! What strings may hold.
//!
//! Much of what is written here ends in `keepalived.conf`, in the input of iptables-restore or in a path. What means
//! something to one of these is refused where it is read, so that no string can say more than the operator meant.

mod check;
mod host;
mod mail;
mod network;

use crate::document::grammar::TextRule;

pub use check::{COMMAND, DIGEST, DNS_NAME, PAGE, PAYLOAD, REGEX, WEB_HOST};
pub use host::{HOST_KEY, NAME, PATH, SSH_HOST, SYSCTL, SYSCTL_VALUE, USER};
pub use mail::{MAIL_ADDRESS, MAIL_ADDRESSES, MAIL_SERVER};
pub(super) use network::unicast;
pub use network::{GROUP, HOST_ADDRESS, INTERFACE, LABEL, MAC, PORTS, SERVER, VIP_ADDRESS, is_host_address, is_vip};

/// The longest text that becomes part of a line of `keepalived.conf`.
const LONGEST: usize = 255;

/// A secret that is never written in the topology itself.
pub static REFERENCE: TextRule = TextRule {
    what: "a reference to a secret",
    rule: "Write (env)\"NAME\" for a variable, or (file)\"PATH\" for a file",
    check: |_| Err("a password has no place in a topology".into()),
};

/// A password of VRRP version 2.
pub static PASSWORD: TextRule = TextRule {
    what: "a VRRP password",
    rule: "Use 1 to 8 printable characters, none of which is a space, a quote or one of ! # { } \\ $ ~ @; keepalived would cut a longer one",
    check: password,
};

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
