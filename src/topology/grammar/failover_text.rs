//! What the strings of a failover's options may hold.

use std::net::IpAddr;

use ipnet::IpNet;

use super::text::{bounded, keepalived_word, show, unicast};
use crate::document::grammar::TextRule;

/// The longest line of keepalived's own language: it reads 1024 bytes at a time, the indentation included.
const LONGEST_RAW: usize = 512;

/// What lvsctl writes itself, with the node to use; keepalived would take the last one, or complain.
const WRITTEN: [(&str, &str); 28] = [
    ("advert_int", "advert-interval"),
    ("auth_pass", "auth-pass"),
    ("auth_type", "auth-pass"),
    ("authentication", "auth-pass"),
    ("garp_master_delay", "garp"),
    ("garp_master_refresh", "garp"),
    ("garp_master_repeat", "garp"),
    ("include", "include"),
    ("interface", "interface"),
    ("mcast_src_ip", "source-address"),
    ("native_ipv6", "vip"),
    ("nopreempt", "preempt"),
    ("preempt_delay", "preempt"),
    ("priority", "director"),
    ("smtp_alert", "email"),
    ("state", "director"),
    ("track_interface", "track"),
    ("track_script", "track"),
    ("unicast_peer", "unicast"),
    ("unicast_src_ip", "source-address"),
    ("use_vmac", "virtual-mac"),
    ("use_vmac_addr", "virtual-mac"),
    ("version", "version"),
    ("virtual_ipaddress", "vip"),
    ("virtual_ipaddress_excluded", "exclude-from-advert"),
    ("virtual_router_id", "virtual-router-id"),
    ("virtual_routes", "route"),
    ("vmac_xmit_base", "virtual-mac"),
];

/// A single address of an interface.
pub static ADDRESS: TextRule = TextRule {
    what: "an address",
    rule: "Write a single address without a prefix, such as \"10.4.1.181\"",
    check: address,
};

/// A program with arguments.
pub static COMMAND: TextRule = TextRule {
    what: "a program with its arguments",
    rule: "Begin it with the program's full path; no shell reads it, and ! # \" ' { } \\ $ may not stand in it",
    check: command,
};

/// A destination of a route.
pub static NETWORK: TextRule = TextRule {
    what: "a network",
    rule: "Write the network with its prefix, such as \"172.16.0.0/12\"; everything is \"0.0.0.0/0\" or \"::/0\"",
    check: network,
};

/// A line of `keepalived.conf`.
pub static RAW: TextRule = TextRule {
    what: "a line of keepalived.conf",
    rule: "Write one keyword with its values and, in matching braces, what belongs to it; no comment, quote, backslash, $ or ~",
    check: raw,
};

fn address(text: &str) -> Result<(), String> {
    unicast(text.parse::<IpAddr>().map_err(|_| "not a single address")?)
}

fn command(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("does not begin with a slash".into());
    }
    text.split(' ').try_for_each(|word| match word {
        "" => Err("has a space too many".into()),
        word => keepalived_word(word),
    })?;
    bounded(text, LONGEST_RAW)
}

fn network(text: &str) -> Result<(), String> {
    let network: IpNet = text.parse().map_err(|_| "not a network with a prefix")?;
    match network.addr() == network.network() {
        true => Ok(()),
        false => Err(format!("the network is {}", network.trunc())),
    }
}

/// Tells whether a line can be copied into a block of `keepalived.conf` and stays in it.
pub fn is_raw_line(text: &str) -> bool {
    raw(text).is_ok()
}

fn raw(text: &str) -> Result<(), String> {
    let plain =
        |character: char| (character.is_ascii_graphic() || character == ' ') && !"!#\"'\\$~@".contains(character);
    if let Some(wrong) = text.chars().find(|character| !plain(*character)) {
        return Err(format!("{} may not stand in it", show(wrong)));
    }
    let mut depth = 0_usize;
    for character in text.chars() {
        depth = match character {
            '{' => depth + 1,
            '}' => depth.checked_sub(1).ok_or("closes a brace that it has not opened")?,
            _ => depth,
        };
    }
    if depth > 0 {
        return Err("opens a brace and does not close it".into());
    }
    let mut words = text.split([' ', '{', '}']).filter(|word| !word.is_empty());
    if text.trim_start().starts_with('{') || words.clone().next().is_none() {
        return Err("begins with no keyword".into());
    }
    match words.find_map(|word| WRITTEN.iter().find(|(written, _)| *written == word)) {
        Some((word, node)) => Err(format!("`{word}` is written by lvsctl, see `{node}`")),
        None => bounded(text, LONGEST_RAW),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_leave_its_block() {
        for good in ["track_bfd { b1 }", "dont_track_primary", "track_process { a { weight 5 } b }"] {
            assert_eq!(raw(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            "{",
            "{ }",
            "a {",
            "a }",
            "} a {",
            "a } { b",
            "a # }",
            "a ! b",
            "a \"b\"",
            "a\nb",
            "a\\",
            "$X",
            "@lb a",
            "a ~SEQ(1)",
            "é",
            "include /etc/shadow",
            "a { auth_pass x }",
            "priority 255",
            "native_ipv6",
            "authentication{auth_pass x}",
        ] {
            assert!(raw(bad).is_err(), "{bad:?}");
        }
        assert!(raw(&"a".repeat(513)).is_err());
    }

    #[test]
    fn a_network_has_no_host_part() {
        assert_eq!(network("172.16.0.0/12"), Ok(()));
        assert_eq!(network("::/0"), Ok(()));
        assert_eq!(network("172.16.0.1/12"), Err("the network is 172.16.0.0/12".into()));
        assert!(network("172.16.0.0").is_err());
    }
}
