//! Chains of iptables: marks in `mangle` on directors, redirections in `nat` on real servers, and what stands beside a
//! service (`services`).
//!
//! lvsctl owns one chain of a table, `LVSCTL`, with one jump from `PREROUTING` (from `INPUT` in `filter`), and `LVSCTL-OUT`
//! with one from `POSTROUTING`; every other chain is foreign and only listed. A live text becomes entries in `save`, one rule of
//! it a typed value or its text in `rule`, and rules whose order has no effect are put into one order in `order`; a change
//! becomes one text for `iptables-restore --noflush` in `effects`, with ports joined by `multiport`, which the kernel takes
//! whole or not at all. To let lvsctl write a further form of rule, extend [`ChainRule`], and `rule` in both directions.

mod compile;
mod effects;
mod multiport;
mod order;
mod peers;
mod rule;
mod save;
mod service_rule;
mod services;
mod words;

use super::{Context, Kind, ParseError, Scope, Site};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{ChainRule, Change, Entry, Resource, ResourceKey, Table};
use crate::source::Problems;
use crate::topology::{Family, Host};

pub use effects::{contents, creation};
pub use peers::keep_unknown_peers;

/// The kind of iptables chains.
#[derive(Clone, Copy, Debug)]
pub struct ChainKind;

impl Kind for ChainKind {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::Chain { .. } | ResourceKey::ChainRemainder { .. })
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        if !host.managed {
            return Vec::new();
        }
        let marks = compile::marks(site, host, problems).into_iter();
        let redirections = compile::redirections(site, host, problems);
        marks.chain(redirections).chain(services::compile(site, host, problems)).collect()
    }

    /// Asks for both families where iptables is installed, because foreign chains are listed even if lvsctl has none.
    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let asked = |family: &Family| {
            scope.capabilities.iptables.is_some()
                || scope
                    .keys
                    .iter()
                    .any(|key| matches!(key, ResourceKey::Chain { family: other, .. } if other == family))
        };
        [Family::Ipv4, Family::Ipv6].into_iter().filter(asked).map(Probe::Iptables).collect()
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::Iptables(family, text) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the rules of iptables".into() });
            };
            let needed = |table: Table| {
                let same = |key: &ResourceKey| matches!(key, ResourceKey::Chain { family: f, table: t, .. } if (f, *t) == (family, table));
                scope.keys.iter().any(same)
            };
            let chains = save::parse(*family, text, needed);
            entries.extend(chains.map_err(|message| ParseError { kind: self.name(), message })?);
        }
        Ok(entries)
    }

    /// A chain with the rule of a peer whose hardware address is unknown has no effect: half a chain would let two
    /// directors pass packets back and forth.
    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let (ResourceKey::Chain { family, table, chain } | ResourceKey::ChainRemainder { family, table, chain }) =
            change.key()
        else {
            return Vec::new();
        };
        let before = change.before.as_ref().and_then(State::of);
        let after = change.after.as_ref().and_then(State::of);
        let text = effects::restore(*table, chain, before, after);
        text.into_iter().map(|text| Effect::IptablesRestore { family: *family, text }).collect()
    }
}

/// How a chain is, borrowed from its resource.
#[derive(Clone, Copy, Debug)]
struct State<'a> {
    rules: &'a [ChainRule],
    jumps: usize,
}

impl<'a> State<'a> {
    fn of(resource: &'a Resource) -> Option<Self> {
        match resource {
            Resource::Chain { rules, jumps } => Some(State { rules, jumps: *jumps }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
