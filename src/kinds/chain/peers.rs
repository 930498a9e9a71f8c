//! Peers whose hardware address could not be learnt, because they were not reached.
//!
//! The rule that leaves such a peer alone cannot be written. Where a chain has it from earlier, it stays: a director that is
//! down must not make the other one forget it, or the two would pass packets back and forth when it returns.

use super::order;
use crate::resource::{ChainRule, HostState, Resource, RuleTarget};

/// Puts the live rules of peers in the place of those that cannot be written, where there are as many of both.
pub fn keep_unknown_peers(desired: &mut HostState, live: &HostState) {
    for (key, entry) in desired {
        let there = live.get(key).map(|entry| &entry.resource);
        if let (Resource::Chain { rules, .. }, Some(Resource::Chain { rules: there, .. })) =
            (&mut entry.resource, there)
            && let Some(known) = known(rules, there)
        {
            *rules = known;
        }
    }
}

fn known(wanted: &[ChainRule], live: &[ChainRule]) -> Option<Vec<ChainRule>> {
    let unknown = wanted.iter().filter(|rule| matches!(rule, ChainRule::UnknownPeer { .. })).count();
    let further = live.iter().filter(|rule| leaves_a_peer_alone(rule) && !wanted.contains(rule));
    let further: Vec<ChainRule> = further.cloned().collect();
    if unknown == 0 || further.len() != unknown {
        return None;
    }
    let mut further = further.into_iter();
    let rules = wanted.iter().map(|rule| match rule {
        ChainRule::UnknownPeer { .. } => further.next(),
        known => Some(known.clone()),
    });
    Some(order::canonical(rules.collect::<Option<_>>()?))
}

fn leaves_a_peer_alone(rule: &ChainRule) -> bool {
    matches!(
        rule,
        ChainRule::Known {
            destination: None,
            interface: None,
            ports: None,
            mac_source: Some(_),
            target: RuleTarget::Return,
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> ChainRule {
        let mac_source = Some(format!("52:54:00:00:00:{last:02x}").parse().unwrap());
        let target = RuleTarget::Return;
        ChainRule::Known { destination: None, interface: None, ports: None, mac_source, target }
    }

    fn mark() -> ChainRule {
        let (destination, target) = (Some("192.0.2.1".parse().unwrap()), RuleTarget::Mark(1));
        ChainRule::Known { destination, interface: None, ports: None, mac_source: None, target }
    }

    fn unknown() -> ChainRule {
        ChainRule::UnknownPeer { peer: "lb02 eth0".into() }
    }

    #[test]
    fn a_peer_that_cannot_be_asked_keeps_its_rule() {
        assert_eq!(known(&[unknown(), mark()], &[peer(2), mark()]), Some(vec![peer(2), mark()]));
        assert_eq!(known(&[peer(1), unknown(), mark()], &[peer(1), peer(2)]), Some(vec![peer(1), peer(2), mark()]));
        assert_eq!(known(&[unknown(), mark()], &[mark()]), None, "it has none");
        assert_eq!(known(&[unknown(), mark()], &[peer(1), peer(2)]), None, "either may be it");
        assert_eq!(known(&[peer(1), mark()], &[peer(2), mark()]), None, "nothing is unknown");
    }
}
