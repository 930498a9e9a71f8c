//! What `iptables-save` prints, as entries.
//!
//! Every chain that is user-defined and every built-in one with rules of its own becomes an entry, so that foreign ones
//! can be listed. The unconditional jumps from its hook belong to the chain that they lead to. Of `raw` and `filter` only
//! lvsctl's own chains are taken, and other tables are passed over; a text that breaks off is refused, because what it lacks would look deleted.

use std::collections::BTreeMap;

use super::{order, rule, words};
use crate::resource::{ChainRule, Entry, OWN_CHAIN, OWN_CHAIN_OUT, Resource, ResourceKey, Table};
use crate::topology::Family;

#[derive(Default)]
struct SavedChain {
    built_in: bool,
    rules: Vec<ChainRule>,
    jumps: usize,
}

type Chains = BTreeMap<String, SavedChain>;

/// Reads the text of `iptables-save` or `ip6tables-save`; `needed` tells of which tables something is expected.
pub(super) fn parse(family: Family, text: &str, needed: impl Fn(Table) -> bool) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut open: Option<(&str, Chains)> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let wrong = || format!("line {} of iptables-save is not understood: {line:?}", at + 1);
        if line.is_empty() || line.starts_with('#') {
            match unreadable(line).and_then(table) {
                Some(table) if needed(table) => return Err(line.trim_start_matches("# ").to_owned()),
                _ => continue,
            }
        }
        if let Some(name) = line.strip_prefix('*') {
            if open.replace((name, Chains::new())).is_some() {
                return Err(wrong());
            }
            continue;
        }
        let Some((name, chains)) = &mut open else {
            return Err(wrong());
        };
        if line == "COMMIT" {
            if let Some(table) = table(name) {
                entries.extend(
                    std::mem::take(chains).into_iter().filter_map(|(name, chain)| entry(family, table, name, chain)),
                );
            }
            open = None;
        } else if let Some(declared) = line.strip_prefix(':') {
            let mut parts = declared.split_ascii_whitespace();
            let (Some(chain), Some(policy)) = (parts.next(), parts.next()) else {
                return Err(wrong());
            };
            chains.entry(chain.to_owned()).or_default().built_in = policy != "-";
        } else {
            add((family, table(name)), chains, without_counters(line)).ok_or_else(wrong)?;
        }
    }
    match open {
        Some((name, _)) => Err(format!("The text of iptables-save breaks off in table {name}")),
        None => Ok(entries),
    }
}

/// Returns the table of which `iptables-nft-save` says that rules beyond its grammar keep it from printing any; one that
/// only "contains incompatible base-chains" is printed without those (`__do_output` in `iptables/xtables-save.c`).
fn unreadable(comment: &str) -> Option<&str> {
    let (name, rest) = comment.strip_prefix("# Table `")?.split_once('\'')?;
    rest.contains(" is incompatible").then_some(name)
}

fn table(name: &str) -> Option<Table> {
    Table::ALL.into_iter().find(|table| table.as_str() == name)
}

/// Removes the `[packets:bytes]` that `iptables-save -c` puts in front of a rule.
fn without_counters(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|line| line.split_once("] "));
    rest.map_or(line, |(_, rule)| rule)
}

fn add((family, table): (Family, Option<Table>), chains: &mut Chains, line: &str) -> Option<()> {
    let appended = line.strip_prefix("-A ")?;
    let (name, text) = appended.split_once(' ').unwrap_or((appended, ""));
    if let Some(target) = words::split(text).and_then(|words| unconditional(&words))
        && table.is_some_and(|table| table.hook(&target) == name)
        && let Some(chain) = chains.get_mut(&target).filter(|chain| !chain.built_in)
    {
        chain.jumps += 1;
        return Some(());
    }
    let rules = &mut chains.get_mut(name)?.rules;
    match is_own(name) {
        true => rules.extend(rule::parse_each(family, text)),
        false => rules.push(rule::parse(family, text)),
    }
    Some(())
}

fn is_own(chain: &str) -> bool {
    [OWN_CHAIN, OWN_CHAIN_OUT].contains(&chain)
}

fn unconditional(words: &[String]) -> Option<String> {
    match words {
        [option, target] if option == "-j" => Some(target.clone()),
        _ => None,
    }
}

/// Returns a chain's entry, and none for a built-in chain that has no rules of its own.
fn entry(family: Family, table: Table, name: String, chain: SavedChain) -> Option<Entry> {
    if chain.built_in && chain.rules.is_empty() {
        return None;
    }
    let is_own = is_own(&name);
    if !is_own && matches!(table, Table::Raw | Table::Filter) {
        return None;
    }
    let rules = if is_own { order::canonical(chain.rules) } else { chain.rules };
    let key = ResourceKey::Chain { family, table, chain: name };
    Some(Entry::new(key, Resource::Chain { rules, jumps: chain.jumps }))
}
