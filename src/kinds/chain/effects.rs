//! A change of a chain as one text for `iptables-restore --noflush`.
//!
//! With `--noflush`, a `:CHAIN` line makes a chain or empties it and leaves every other one alone, and the kernel swaps
//! the table at `COMMIT`, so that no packet meets half a chain. The same text goes to x_tables and to nf_tables.

use std::fmt::Write;

use super::{State, multiport, rule};
use crate::resource::{ChainRule, Table};

/// The chains that the kernel has by itself (`NF_INET_*` in `uapi/linux/netfilter.h`); they cannot be removed.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// Returns the text that brings a chain from one state to another, `None` being its absence.
///
/// There is no text if a rule cannot be written, or if there is nothing to do.
pub(super) fn restore(
    table: Table,
    chain: &str,
    before: Option<State<'_>>,
    after: Option<State<'_>>,
) -> Option<String> {
    if BUILT_IN.contains(&chain) {
        return exchange(table, chain, before, after);
    }
    let hook = table.hook(chain);
    let (had, wanted) = (before.map_or(0, |state| state.jumps), after.map_or(0, |state| state.jumps));
    let mut lines = Vec::new();
    match after {
        Some(after) => {
            lines.push(format!(":{chain} - [0:0]"));
            lines.extend(appended(chain, after.rules)?);
            lines.extend((had..wanted).map(|_| format!("-I {hook} 1 -j {chain}")));
            lines.extend((wanted..had).map(|_| format!("-D {hook} -j {chain}")));
        }
        None => {
            before?;
            lines.extend((0..had).map(|_| format!("-D {hook} -j {chain}")));
            lines.push(format!("-F {chain}"));
            lines.push(format!("-X {chain}"));
        }
    }
    Some(whole(table, &lines))
}

/// Returns the text that makes lvsctl's chain from nothing, for people to read.
///
/// The rule of a peer whose hardware address is not known becomes a comment.
pub fn creation(table: Table, chain: &str, rules: &[ChainRule]) -> String {
    let mut lines = vec![format!(":{chain} - [0:0]")];
    lines.extend(multiport::join(rules).iter().map(|joined| match (joined.text(), joined.first) {
        (Some(text), _) => format!("-A {chain} {text}"),
        (None, ChainRule::UnknownPeer { peer }) => {
            let peer: String = peer.chars().filter(|character| !character.is_control()).collect();
            format!("# -A {chain} -m mac --mac-source {peer} -j RETURN: the hardware address is not known")
        }
        (None, _) => format!("# a rule of {chain} has no text"),
    }));
    lines.push(format!("-I {} 1 -j {chain}", table.hook(chain)));
    whole(table, &lines)
}

/// Returns the text that makes a chain with its rules, or empties and fills it, without a jump to it.
///
/// There is no text if a rule cannot be written.
pub fn contents(table: Table, chain: &str, rules: &[ChainRule]) -> Option<String> {
    let made = std::iter::once(format!(":{chain} - [0:0]"));
    let lines: Vec<String> = made.chain(appended(chain, rules)?).collect();
    Some(whole(table, &lines))
}

/// Changes the rules of a built-in chain one by one, since flushing it would take the jumps along.
fn exchange(table: Table, chain: &str, before: Option<State<'_>>, after: Option<State<'_>>) -> Option<String> {
    let mut lines = Vec::new();
    for rule in before.map_or(&[][..], |state| state.rules) {
        lines.push(format!("-D {chain} {}", rule::render(rule)?));
    }
    for rule in after.map_or(&[][..], |state| state.rules) {
        lines.push(format!("-A {chain} {}", rule::render(rule)?));
    }
    (!lines.is_empty()).then(|| whole(table, &lines))
}

fn appended(chain: &str, rules: &[ChainRule]) -> Option<Vec<String>> {
    multiport::join(rules).iter().map(|joined| Some(format!("-A {chain} {}", joined.text()?))).collect()
}

fn whole(table: Table, lines: &[String]) -> String {
    let mut text = format!("*{}\n", table.as_str());
    for line in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text.push_str("COMMIT\n");
    text
}
