//! Reads a live `keepalived.conf` so that no password in it is ever shown, and equal files are equal values.
//!
//! The text is kept byte for byte; only what follows `auth_pass`, and what is assigned to a parameter whose name speaks of a
//! password, becomes a secret piece.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::topology::{SecretText, TextPiece};

/// What the name of a parameter (`$NAME=value`) holds if its value is not to be shown.
const TELLING: [&str; 4] = ["pass", "secret", "auth", "key"];

/// Returns the text with its passwords as secrets.
pub fn masked(text: &str) -> SecretText {
    let mut result = SecretText::default();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(start) = secret_start(rest) {
            let (before, from) = rest.split_at(start);
            let (open, from) = match from.strip_prefix('"') {
                Some(inside) => ("\"", inside),
                None => ("", from),
            };
            let end = match open {
                "" => from.find(char::is_whitespace),
                _ => from.find(['"', '\n', '\r']),
            };
            let (secret, after) = from.split_at(end.unwrap_or(from.len()));
            result.push_str(before);
            result.push_str(open);
            result.push(TextPiece::Secret(Some(secret.to_owned())));
            rest = after;
        }
        result.push_str(rest);
    }
    result
}

/// Returns the addresses that a configuration has keepalived hold, with their interfaces where it names them.
pub fn addresses(text: &SecretText) -> BTreeSet<(String, IpAddr)> {
    let shown = text.masked();
    let mut found = BTreeSet::new();
    for block in shown.split("virtual_ipaddress").skip(1) {
        let inside = block.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        for line in inside.map_or("", |(inside, _)| inside).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let written = words.first().and_then(|word| word.split('/').next()?.parse().ok());
            let device = words.iter().skip_while(|word| **word != "dev").nth(1);
            found.extend(written.zip(device).map(|(address, device)| ((*device).to_owned(), address)));
        }
    }
    found
}

/// Returns where in a line a secret starts.
fn secret_start(line: &str) -> Option<usize> {
    let value_from = |from: usize| {
        let value = line.get(from..)?;
        let skipped = value.len() - value.trim_start_matches([' ', '\t', '=']).len();
        let start = from + skipped;
        let filled = line.get(start..)?.chars().next().is_some_and(|character| !character.is_whitespace());
        (skipped > 0 && filled).then_some(start)
    };
    let keyword = "auth_pass";
    let after_keyword = line.match_indices(keyword).find_map(|(at, _)| value_from(at + keyword.len()));
    after_keyword.or_else(|| {
        let name = line.trim_start().strip_prefix('$')?;
        let length = name.find(|character: char| !character.is_ascii_alphanumeric() && character != '_')?;
        let telling = name.get(..length)?.to_ascii_lowercase();
        TELLING.iter().any(|word| telling.contains(word)).then_some(())?;
        value_from(line.len() - name.len() + length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_however_they_are_written() {
        let shown = |text: &str| masked(text).masked();
        assert_eq!(shown("  auth_pass cbrt\n}\n"), "  auth_pass (sensitive)\n}\n");
        assert_eq!(shown("\tauth_pass\t \"a b#c\" # why\n"), "\tauth_pass\t \"(sensitive)\" # why\n");
        assert_eq!(shown("auth_pass x\r\n"), "auth_pass (sensitive)\r\n");
        assert_eq!(
            shown("authentication { auth_type PASS auth_pass x }"),
            "authentication { auth_type PASS auth_pass (sensitive) }"
        );
        assert_eq!(
            shown("# auth_pass old\nauth_pass \"open\nx"),
            "# auth_pass (sensitive)\nauth_pass \"(sensitive)\nx"
        );
        assert_eq!(shown("$VRRP_PASS=abc\nauth_pass $VRRP_PASS"), "$VRRP_PASS=(sensitive)\nauth_pass (sensitive)");
        assert_eq!(shown("auth_passive x\nauth_pass\nauth_type PASS\n"), "auth_passive x\nauth_pass\nauth_type PASS\n");
    }

    #[test]
    fn held_addresses_are_read() {
        let text = "vrrp_instance a {\n  virtual_ipaddress {\n    10.0.0.9/32 dev eth0 label eth0:1\n    10.0.0.8\n  }\n}\n\
                    vrrp_instance b {\n  virtual_ipaddress {\n    fd00::1/128 dev eth1\n  }\n  interface eth2\n}\n";
        let found: Vec<String> =
            addresses(&masked(text)).iter().map(|(device, address)| format!("{device} {address}")).collect();
        assert_eq!(found, ["eth0 10.0.0.9", "eth1 fd00::1"]);
        assert!(addresses(&masked("virtual_ipaddress")).is_empty());
    }

    #[test]
    fn nothing_is_lost() {
        for text in ["", "a\r\nauth_pass \"b\"\n", "auth_pass", "auth_pass a auth_pass b", "$pass = \"x y\" z"] {
            assert_eq!(masked(text).expose().as_deref(), Some(text));
        }
    }
}
