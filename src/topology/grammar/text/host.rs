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

/// The fingerprint of a host's key.
pub static HOST_KEY: TextRule = TextRule {
    what: "a key's fingerprint",
    rule: "Write it as `ssh-keygen -l` does: SHA256: and 43 letters, digits, + and /",
    check: host_key,
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

/// Accepts what 32 bytes are in base64 without its padding; the last of 43 signs holds 4 bits.
fn host_key(text: &str) -> Result<(), String> {
    let Some(digest) = text.strip_prefix("SHA256:") else { return Err("does not begin with SHA256:".into()) };
    let plain = |character: char| character.is_ascii_alphanumeric() || "+/".contains(character);
    match digest.chars().find(|character| !plain(*character)) {
        Some('=') => Err("ends with =, which ssh-keygen leaves out".into()),
        Some(wrong) => Err(format!("{} may not stand in it", show(wrong))),
        None if digest.len() != 43 => Err(format!("{} signs long after SHA256:, 43 are needed", digest.len())),
        None if !digest.ends_with(|last| "AEIMQUYcgkosw048".contains(last)) => Err("no digest ends like this".into()),
        None => Ok(()),
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
