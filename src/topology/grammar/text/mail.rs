//! Mail addresses and servers.

use super::{check::web_host, keepalived_word, show};
use crate::document::grammar::TextRule;

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
