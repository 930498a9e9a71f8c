//! One order for rules whose order has no effect.
//!
//! Two rules may change places if they do the same to a packet, or if no packet meets both. Among all orders that differ
//! by such exchanges only, the canonical one always takes the smallest rule that nothing before it holds back. A chain
//! that somebody has rearranged without effect is then no difference.

use std::mem::discriminant;

use crate::resource::{ChainRule, PortMatch};
use crate::topology::PortRange;

/// Puts the rules of a chain into the canonical order.
///
/// Each rule goes as far to the front as it can without passing a smaller one; a chain that was in canonical order before
/// a rule joined it still is.
pub(super) fn canonical(rules: Vec<ChainRule>) -> Vec<ChainRule> {
    let mut ordered: Vec<ChainRule> = Vec::with_capacity(rules.len());
    for rule in rules {
        let free = ordered.iter().rposition(|before| !exchangeable(before, &rule)).map_or(0, |held| held + 1);
        let smaller = ordered.iter().skip(free).take_while(|before| **before <= rule).count();
        ordered.insert(free + smaller, rule);
    }
    ordered
}

pub(super) fn exchangeable(one: &ChainRule, two: &ChainRule) -> bool {
    match (one, two) {
        (ChainRule::UnknownPeer { .. }, ChainRule::UnknownPeer { .. }) => true,
        (ChainRule::Known { target: one_target, .. }, ChainRule::Known { target: two_target, .. }) => {
            one_target == two_target || disjoint(one, two)
        }
        (
            ChainRule::Service { what: one, address: at, ports: of },
            ChainRule::Service { what: two, address: at_too, ports: of_too },
        ) => discriminant(one) == discriminant(two) || at != at_too || apart(*of, *of_too),
        _ => false,
    }
}

/// Tells whether no packet can meet both rules.
fn disjoint(one: &ChainRule, two: &ChainRule) -> bool {
    let (
        ChainRule::Known { destination: d1, interface: i1, ports: p1, mac_source: m1, .. },
        ChainRule::Known { destination: d2, interface: i2, ports: p2, mac_source: m2, .. },
    ) = (one, two)
    else {
        return false;
    };
    differ(d1, d2) || differ(i1, i2) || differ(m1, m2) || matches!((p1, p2), (Some(p1), Some(p2)) if apart(*p1, *p2))
}

fn differ<T: PartialEq>(one: &Option<T>, two: &Option<T>) -> bool {
    matches!((one, two), (Some(one), Some(two)) if one != two)
}

fn apart(one: PortMatch, two: PortMatch) -> bool {
    let outside = |one: PortRange, two: PortRange| one.last < two.first || two.last < one.first;
    one.protocol != two.protocol || matches!((one.ports, two.ports), (Some(one), Some(two)) if outside(one, two))
}
