//! What a checker asks and expects, and the programs that keepalived runs.

use super::{LONGEST, bounded, keepalived_word, not_replaced, show};
use crate::document::grammar::TextRule;

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

fn page(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("does not begin with a slash".into());
    }
    keepalived_word(text)
}

pub(super) fn web_host(text: &str) -> Result<(), String> {
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
