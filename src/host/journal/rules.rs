//! What the rules of a host are like, as far as taking a change of them back asks.
//!
//! A text for `iptables-restore` cannot be fed to it twice: a jump would be there twice, or a chain would be missing that is
//! to be removed. It is committed as a whole, so what it names is as it was before it or as after it, and which of
//! the two shows by what it was before. What it does not name is somebody else's, or another step's, and says nothing of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::{HostError, iptables};
use crate::topology::Family;

/// The rules that a text changes, as they were before it.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::host) struct Rules {
    family: Family,
    /// Tables with the chains that the text is about; the jumps to a chain belong to it.
    chains: BTreeSet<(String, String)>,
    digest: String,
}

impl Rules {
    /// Reads what a text for `iptables-restore` is about to change.
    pub(in crate::host) fn before(family: Family, text: &str) -> Result<Self, HostError> {
        let chains = chains(text);
        let digest = digest(&iptables::save(family)?, &chains);
        Ok(Rules { family, chains, digest })
    }

    /// Tells whether they are as they were, as far as that can be read.
    pub(super) fn are_back(&self) -> bool {
        iptables::save(self.family).is_ok_and(|saved| digest(&saved, &self.chains) == self.digest)
    }
}

/// Returns the chains that a text is about, with their tables. A jump from a chain of the kernel's is a matter of the chain
/// that it leads to; any other rule there is one of the whole chain's.
fn chains(text: &str) -> BTreeSet<(String, String)> {
    let mut table = "";
    let mut chains = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let chain = match words[..] {
            ["-I", _, _, "-j", chain] | ["-D", _, "-j", chain] => chain,
            [command, chain, ..] if command.starts_with('-') => chain,
            [word, ..] if word.starts_with(':') => word.trim_start_matches(':'),
            [word] if word.starts_with('*') => {
                table = word;
                continue;
            }
            _ => continue,
        };
        chains.insert((table.to_owned(), chain.to_owned()));
    }
    chains
}

/// Returns the digest of what `iptables-save` printed of some chains and of the jumps to them. A table without rules is as
/// good as none, since it comes into being with the first rule and stays.
fn digest(saved: &str, chains: &BTreeSet<(String, String)>) -> String {
    let mut table = "";
    let mut hash = Sha256::new();
    for line in saved.lines().map(str::trim_end) {
        let is_meant = |chain: &str| chains.contains(&(table.to_owned(), chain.to_owned()));
        match line.get(..1) {
            Some("*") => table = line,
            Some(":") => {
                // The counters of a chain are no rule.
                let line = line.split(" [").next().unwrap_or_default();
                let chain = line.trim_start_matches(':').split(' ').next().unwrap_or_default();
                if is_meant(chain) && !line.ends_with(" ACCEPT") {
                    hash.update(format!("{table} {line}\n"));
                }
            }
            Some("-") => {
                let words: Vec<&str> = line.split(' ').collect();
                let leads = words.windows(2).any(|pair| matches!(pair[0], "-j" | "-g") && is_meant(pair[1]));
                if leads || words.get(1).is_some_and(|chain| is_meant(chain)) {
                    hash.update(format!("{table} {line}\n"));
                }
            }
            _ => {}
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "*mangle\n:A - [0:0]\n-A A -j RETURN\n-I PREROUTING 1 -j A\nCOMMIT\n";

    fn of_a(saved: &str) -> String {
        digest(saved, &chains(MADE))
    }

    #[test]
    fn counters_and_empty_tables_are_no_rules() {
        let empty = "# Generated\n*mangle\n:PREROUTING ACCEPT [1:2]\nCOMMIT\n# Completed\n";
        assert_eq!(of_a(empty), of_a(""));
        let with =
            |count: u32, chain: &str| format!("*mangle\n:PREROUTING ACCEPT [{count}:0]\n:{chain} - [0:0]\nCOMMIT\n");
        assert_eq!(of_a(&with(1, "A")), of_a(&with(2, "A")));
        assert_ne!(of_a(&with(1, "A")), of_a(""));
        let jump = |table: &str| format!("*{table}\n-A PREROUTING -j A\nCOMMIT\n");
        assert_ne!(of_a(&jump("mangle")), of_a(&jump("nat")));
        let of_input = |policy: &str| {
            let saved = format!("*filter\n:INPUT {policy} [0:0]\nCOMMIT\n");
            digest(&saved, &chains("*filter\n-A INPUT -p vrrp -j ACCEPT\nCOMMIT\n"))
        };
        assert_ne!(of_input("DROP"), of_input("ACCEPT"));
    }

    /// What another step, or somebody else, does to other chains must not make it look as if a change was not taken back.
    #[test]
    fn only_the_chains_of_a_text_and_the_jumps_to_them_count() {
        let text = "*mangle\n-D PREROUTING -j A\n-F A\n-X A\nCOMMIT\n*filter\n-D INPUT -p vrrp -j ACCEPT\nCOMMIT\n";
        let named = [("*filter", "INPUT"), ("*mangle", "A")];
        assert_eq!(chains(text), named.map(|(table, chain)| (table.to_owned(), chain.to_owned())).into());
        let saved = |a: &str, b: &str, foreign: &str| {
            format!("*mangle\n:PREROUTING ACCEPT [0:0]\n{a}{b}-A PREROUTING -p udp -j {foreign}\nCOMMIT\n")
        };
        let (a, b) = (":A - [0:0]\n-A PREROUTING -j A\n-A A -j RETURN\n", ":B - [0:0]\n-A PREROUTING -j B\n");
        let before = of_a(&saved("", "", "DROP"));
        assert_eq!(of_a(&saved("", b, "DROP")), before, "another step's chain");
        assert_eq!(of_a(&saved("", "", "LOG")), before, "a foreign rule");
        assert_ne!(of_a(&saved(a, "", "DROP")), before);
        assert_ne!(of_a(&saved(":A - [0:0]\n", "", "DROP")), before, "a chain without a jump");
        assert_ne!(of_a("*mangle\n-A PREROUTING -j A\nCOMMIT\n"), before, "a jump");
    }
}
