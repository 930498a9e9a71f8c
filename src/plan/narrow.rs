//! Parts a change of a real server's chain in two: its new rules come before the directors use them, its old ones go when
//! the directors no longer do.
//!
//! A redirection that goes at once would refuse clients that a director still sends here. Without anything that goes on a
//! director nobody depends on the old rules, and the change stays whole.

use super::sorts::{forgets_table, is_keepalived};
use crate::resource::{Action, ChainRule, Change, Resource, ResourceId, ResourceKey, Table};

/// Parts the changes of chains that take rules away.
pub fn part(changes: Vec<Change>) -> Vec<Change> {
    if !changes.iter().any(|change| forgets_table(change) || is_keepalived(change)) {
        return changes;
    }
    changes.into_iter().flat_map(|change| parts(&change).unwrap_or_else(|| vec![change])).collect()
}

/// Returns the parts of a change, unless it is to stay whole.
fn parts(change: &Change) -> Option<Vec<Change>> {
    let ResourceKey::Chain { family, table: Table::Nat, chain } = change.key() else { return None };
    let (Action::Update, Some(before), Some(after)) = (change.action, &change.before, &change.after) else {
        return None;
    };
    let (Resource::Chain { rules: had, jumps: jumps_before }, Resource::Chain { rules: wanted, jumps }) =
        (before, after)
    else {
        return None;
    };
    let leaving: Vec<ChainRule> = had.iter().filter(|rule| !wanted.contains(rule)).cloned().collect();
    if leaving.is_empty() {
        return None;
    }
    // The first rule that matches decides: the new ones are in effect at once.
    let brings = wanted.iter().any(|rule| !had.contains(rule)) || jumps != jumps_before;
    let both = Resource::Chain { rules: wanted.iter().cloned().chain(leaving).collect(), jumps: *jumps };
    let between = if brings { both } else { before.clone() };
    let key = ResourceKey::ChainRemainder { family: *family, table: Table::Nat, chain: chain.clone() };
    let id = ResourceId::new(&change.id.host, key);
    let going = Change { id, before: Some(between.clone()), ..change.clone() };
    let coming = Change { after: Some(between), ..change.clone() };
    Some(if brings { vec![coming, going] } else { vec![going] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Reason, RuleTarget};
    use crate::topology::{Family, HostName};

    fn rule(port: u16) -> ChainRule {
        ChainRule::Known {
            destination: None,
            interface: None,
            ports: None,
            mac_source: None,
            target: RuleTarget::Redirect(Some(port)),
        }
    }

    fn chain(ports: &[u16]) -> Option<Resource> {
        Some(Resource::Chain { rules: ports.iter().copied().map(rule).collect(), jumps: 1 })
    }

    fn update(before: &[u16], after: &[u16]) -> Change {
        let key = ResourceKey::Chain { family: Family::Ipv4, table: Table::Nat, chain: "LVSCTL".into() };
        Change {
            id: ResourceId::new(&HostName::new("web1"), key),
            action: Action::Update,
            before: chain(before),
            after: chain(after),
            reason: Reason::TopologyChanged,
            previous: None,
            origin: None,
        }
    }

    fn daemon() -> Change {
        let id = ResourceId::new(&HostName::new("lb1"), ResourceKey::KeepalivedDaemon);
        Change { id, before: None, after: None, ..update(&[], &[]) }
    }

    fn parted(before: &[u16], after: &[u16]) -> Vec<(String, Option<Resource>, Option<Resource>)> {
        let changes = part(vec![update(before, after), daemon()]);
        let chains = changes.into_iter().filter(|change| change.id.host.as_str() == "web1");
        chains.map(|change| (change.id.to_string(), change.before, change.after)).collect()
    }

    #[test]
    fn old_rules_go_after_the_new_ones_have_come() {
        let (whole, rest) = ("web1/iptables/nat/LVSCTL".to_owned(), "web1/iptables/nat/LVSCTL/old-rules".to_owned());
        let both = chain(&[2, 3, 1]);
        assert_eq!(
            parted(&[1, 2], &[2, 3]),
            [(whole.clone(), chain(&[1, 2]), both.clone()), (rest.clone(), both, chain(&[2, 3]))]
        );
        assert_eq!(parted(&[1, 2], &[2]), [(rest, chain(&[1, 2]), chain(&[2]))]);
        assert_eq!(parted(&[1], &[1, 2]), [(whole, chain(&[1]), chain(&[1, 2]))]);
    }

    #[test]
    fn nothing_is_parted_where_no_director_changes() {
        assert_eq!(part(vec![update(&[1, 2], &[2, 3])]), [update(&[1, 2], &[2, 3])]);
    }
}
