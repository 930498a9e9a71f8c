//! What the rules of a host are like, as far as taking them back asks.
//!
//! A text for `iptables-restore` cannot be fed to it twice: a jump would be there twice, or a chain would be missing that is
//! to be removed. It is committed as a whole, so the rules are as they were before it or as after it, and which of
//! the two shows by what they were before.

use sha2::{Digest, Sha256};

use crate::host::{HostError, iptables};
use crate::topology::Family;

/// Returns the digest of the rules of a family as they are now.
pub(in crate::host) fn now(family: Family) -> Result<String, HostError> {
    Ok(digest(&iptables::save(family)?))
}

/// Returns the digest of what `iptables-save` printed. A table without rules is as good as none, since it comes into being
/// with the first rule and stays.
fn digest(saved: &str) -> String {
    let mut table = "";
    let mut hash = Sha256::new();
    for line in saved.lines().map(str::trim_end) {
        // The counters of a chain are no rule.
        let line = if line.starts_with(':') { line.split(" [").next().unwrap_or_default() } else { line };
        match line.get(..1) {
            Some("*") => table = line,
            None | Some("#") => {}
            Some(_) if line == "COMMIT" || line.ends_with(" ACCEPT") && line.starts_with(':') => {}
            Some(_) => hash.update(format!("{table} {line}\n")),
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_empty_tables_are_no_rules() {
        let empty = "# Generated\n*mangle\n:PREROUTING ACCEPT [1:2]\nCOMMIT\n# Completed\n";
        assert_eq!(digest(empty), digest(""));
        let with =
            |count: u32, chain: &str| format!("*mangle\n:PREROUTING ACCEPT [{count}:0]\n:{chain} - [0:0]\nCOMMIT\n");
        assert_eq!(digest(&with(1, "A")), digest(&with(2, "A")));
        assert_ne!(digest(&with(1, "A")), digest(&with(1, "B")));
        assert_ne!(digest("*nat\n-A X -j Y\nCOMMIT\n"), digest("*mangle\n-A X -j Y\nCOMMIT\n"));
        assert_ne!(digest("*nat\n:INPUT DROP [0:0]\nCOMMIT\n"), digest("*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n"));
    }
}
