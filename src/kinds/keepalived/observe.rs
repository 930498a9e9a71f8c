//! Reads a live `keepalived.conf` so that no password in it is ever shown, and equal files are equal values.
//!
//! The text is kept byte for byte. On a line of lvsctl's own only what stands in the quotes after `auth_pass` is a secret;
//! on any other line that speaks of `auth_pass`, however it is written, all that follows is. The same holds for what is
//! assigned to a parameter (`$NAME=value`) that such a line uses, or whose name speaks of a password.

use std::collections::BTreeSet;

use crate::topology::{SecretText, TextPiece};

/// The keyword before a password.
const KEYWORD: &str = "auth_pass";

/// What the name of a parameter (`$NAME=value`) holds if its value is not to be shown.
const TELLING: [&str; 4] = ["pass", "secret", "auth", "key"];

/// Returns the text with its passwords as secrets.
pub fn masked(text: &str) -> SecretText {
    let mut result = SecretText::default();
    let lower = text.to_ascii_lowercase();
    if joined(&lower).matches(KEYWORD).count() > lower.matches(KEYWORD).count() {
        // The keyword itself is broken over lines: nobody can tell where its value stands.
        push_secret(&mut result, text);
        return result;
    }
    let parameters = parameters(&lower);
    let mut goes_on = false;
    for line in text.split_inclusive('\n') {
        let shown = if goes_on { 0 } else { secret_start(line, &parameters).unwrap_or(line.len()) };
        let (before, secret) = line.split_at(shown);
        let end = secret.trim_end().len();
        goes_on = end > 0 && secret.trim_end().ends_with('\\');
        let (secret, after) = secret.split_at(end);
        result.push_str(before);
        match own(before, secret) {
            Some(password) => {
                result.push_str("\"");
                result.push(TextPiece::Secret(Some(password.to_owned())));
                result.push_str("\"");
            }
            None => push_secret(&mut result, secret),
        }
        result.push_str(after);
    }
    result
}

fn push_secret(text: &mut SecretText, secret: &str) {
    if !secret.is_empty() {
        text.push(TextPiece::Secret(Some(secret.to_owned())));
    }
}

/// Returns the password of a line as lvsctl writes it: the keyword alone, and one pair of quotes.
fn own<'a>(before: &str, secret: &'a str) -> Option<&'a str> {
    let inside = secret.strip_prefix('"')?.strip_suffix('"')?;
    (before.trim() == KEYWORD && !inside.is_empty() && !inside.contains('"')).then_some(inside)
}

/// Returns a text as keepalived joins the lines that end in a backslash.
fn joined(text: &str) -> String {
    let mut lines = text.replace("\r\n", "\n");
    if lines.contains("\\\n") {
        lines = lines.split("\\\n").map(str::trim_start).collect();
    }
    lines
}

/// Returns the names of the parameters that lines about a password use.
fn parameters(lower: &str) -> BTreeSet<&str> {
    let lines = lower.lines().filter(|line| line.contains(KEYWORD));
    let used = lines.flat_map(|line| line.split('$').skip(1)).map(|rest| name(rest.trim_start_matches('{')));
    used.filter(|name| !name.is_empty()).collect()
}

fn name(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    text.split_at(end.unwrap_or(text.len())).0
}

/// Returns where in a line a secret starts, if it holds one.
fn secret_start(line: &str, parameters: &BTreeSet<&str>) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let after_keyword = lower.find(KEYWORD).map(|at| at + KEYWORD.len());
    let after_name = || {
        let assigned = lower.trim_start().strip_prefix('$')?;
        let name = name(assigned);
        let telling = parameters.contains(name) || TELLING.iter().any(|word| name.contains(word));
        let value = assigned.get(name.len()..)?;
        let is_assignment = value.trim_start().starts_with('=');
        (telling && is_assignment).then_some(lower.len() - value.len() + value.find('=')? + 1)
    };
    let start = after_keyword.or_else(after_name)?;
    let value = line.get(start..)?;
    Some(line.len() - value.trim_start_matches([' ', '\t']).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_however_they_are_written() {
        let shown = |text: &str| masked(text).masked();
        assert_eq!(shown("  auth_pass cbrt\n}\n"), "  auth_pass (sensitive)\n}\n");
        assert_eq!(shown("    auth_pass \"a b#c\"\n"), "    auth_pass \"(sensitive)\"\n", "a line of lvsctl's own");
        assert_eq!(shown("\tauth_pass\t \"a b#c\" # why\n"), "\tauth_pass\t (sensitive)\n");
        assert_eq!(shown("auth_pass x\r\n"), "auth_pass (sensitive)\r\n");
        for line in [
            "authentication { auth_type PASS auth_pass hush }",
            "auth_pass a auth_pass hush",
            "AUTH_PASS hush",
            "\"auth_pass\" hush",
            "auth_pass \"a b\"hush\"",
            "auth_pass \"\" hush",
            "auth_passhush",
            "!auth_pass=hush",
            "#\u{a0}auth_pass\u{a0}hush",
            "auth_pass \"hush\nx",
            "auth_pass \\\n  hush",
            "auth_pass \\\r\n  hush",
            "auth_\\\n  pass hush",
            "$X=hush\nauth_pass $X",
            "$X = hush\nauth_pass ${X}",
            "$VRRP_PASS=hush",
            "$A=auth_type PASS auth_pass hush",
        ] {
            assert!(!shown(line).contains("hush"), "{line:?} is shown as {:?}", shown(line));
        }
        assert_eq!(shown("auth_pass\nauth_type PASS\n"), "auth_pass\nauth_type PASS\n");
    }

    #[test]
    fn nothing_is_lost() {
        for text in [
            "",
            "a\r\nauth_pass \"b\"\n",
            "auth_pass",
            "auth_pass a auth_pass b",
            "auth_\\\npass x\r\n",
            "auth_pass \\\n b\n",
            "$pass = \"x y\" z",
        ] {
            assert_eq!(masked(text).expose().as_deref(), Some(text));
        }
    }
}
