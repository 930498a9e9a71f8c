//! Rules that differ in their ports only, as one rule with the match `multiport`.
//!
//! Chains are compared port by port, so that it is no difference how somebody has spread ports over rules. Only the text joins
//! them, as long as no packet can tell: each rule is moved forward to the first of its sort, past rules that it may change places
//! with.

use std::collections::BTreeMap;

use super::{order, rule};
use crate::resource::{ChainRule, PortMatch};
use crate::topology::PortRange;

/// How many entries a rule has at most; a range takes two (`XT_MULTI_PORTS` in `uapi/linux/netfilter/xt_multiport.h`).
const MOST: usize = 15;

/// Rules that are written as one.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    /// The first of them.
    pub first: &'a ChainRule,
    /// The ports of all of them; none where the rule names none.
    ports: Vec<PortRange>,
}

impl Joined<'_> {
    /// Writes what follows `-A CHAIN `; `None` for a peer whose hardware address is not known.
    pub(super) fn text(&self) -> Option<String> {
        rule::render_with(self.first, &self.ports)
    }

    fn takes(&self, range: PortRange) -> bool {
        self.ports.iter().copied().chain([range]).map(entries).sum::<usize>() <= MOST
    }
}

fn entries(range: PortRange) -> usize {
    if range.as_single().is_some() { 1 } else { 2 }
}

/// Joins the rules of a chain.
pub(super) fn join(rules: &[ChainRule]) -> Vec<Joined<'_>> {
    let mut joined: Vec<Joined<'_>> = Vec::with_capacity(rules.len());
    // The last of each sort; what is alike but for the ports is of one sort.
    let mut last: BTreeMap<ChainRule, usize> = BTreeMap::new();
    // What each of `joined` stands for: a rule that is moved forward passes all of what stands behind its group.
    let mut seats: Vec<Vec<&ChainRule>> = Vec::with_capacity(rules.len());
    for rule in rules {
        let Some((sort, range)) = sort(rule) else {
            joined.push(Joined { first: rule, ports: Vec::new() });
            seats.push(vec![rule]);
            continue;
        };
        let at = last.get(&sort).copied().filter(|at| {
            let behind = seats.iter().skip(at + 1).flatten();
            joined.get(*at).is_some_and(|group| group.takes(range))
                && behind.into_iter().all(|between| order::exchangeable(between, rule))
        });
        match at.and_then(|at| Some((joined.get_mut(at)?, seats.get_mut(at)?))) {
            Some((group, seats)) => {
                group.ports.push(range);
                seats.push(rule);
            }
            None => {
                last.insert(sort, joined.len());
                joined.push(Joined { first: rule, ports: vec![range] });
                seats.push(vec![rule]);
            }
        }
    }
    joined
}

/// Returns a rule without its ports, and these; `None` if it names none.
fn sort(rule: &ChainRule) -> Option<(ChainRule, PortRange)> {
    let ChainRule::Known { ports: Some(PortMatch { protocol, ports: Some(range) }), .. } = rule else { return None };
    let mut sort = rule.clone();
    if let ChainRule::Known { ports, .. } = &mut sort {
        *ports = Some(PortMatch { protocol: *protocol, ports: None });
    }
    Some((sort, *range))
}
