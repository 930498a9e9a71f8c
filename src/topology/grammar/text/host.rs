//! What names a host, who is logged in to it, and its files and parameters.

use super::{LONGEST, bounded, printable, show};
use crate::document::grammar::TextRule;
use crate::topology::SysctlKey;

/// A name of a host, failover, pool or service.
pub static NAME: TextRule = TextRule {
    what: "a name",
    rule: "Use up to 63 letters, digits, dots, dashes and underscores, the first a letter, a digit or an underscore",
    check: name,
};

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

pub(super) fn name(text: &str) -> Result<(), String> {
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
