//! Groups of failovers: who may move together.

use std::collections::BTreeMap;

use super::undeclared;
use crate::source::{Problem, Problems, Spanned};
use crate::topology::decode::Draft;
use crate::topology::{Failover, SyncGroup, Topology};

/// Checks every group and its members.
pub fn check(draft: &Draft, topology: &Topology, problems: &mut Problems) {
    let mut member_of: BTreeMap<&str, &Spanned<String>> = BTreeMap::new();
    let mut groups: Vec<&SyncGroup> = topology.sync_groups.values().collect();
    groups.sort_by_key(|group| group.name.span);
    for group in groups {
        let mut first: Option<(&Failover, &Spanned<String>)> = None;
        for name in &group.failovers {
            let Some(failover) = topology.failovers.get(&name.value) else {
                if !draft.declared.contains(&("failover", name.value.clone())) {
                    let known = topology.failovers.keys().map(String::as_str);
                    problems.push(undeclared(
                        "failover",
                        name,
                        known,
                        &format!("`failover \"{}\" {{ … }}`", name.value),
                    ));
                }
                continue;
            };
            check_scripts(failover, name, problems);
            if let Some(other) = member_of.insert(&name.value, name).filter(|other| !group.failovers.contains(other)) {
                problems.push(
                    Problem::error("conflict", format!("Failover {} is in two groups", name.value))
                        .label(name.span, "in this group")
                        .label(other.span, "and in this one")
                        .help("Name it once, or make one group of the two"),
                );
            }
            match first {
                None => first = Some((failover, name)),
                Some(first) => check_pair(first, (failover, name), problems),
            }
        }
    }
}

/// keepalived moves a group as a whole, so its failovers must want the same director (keepalived.conf(5), `vrrp_sync_group`).
fn check_pair(one: (&Failover, &Spanned<String>), two: (&Failover, &Spanned<String>), problems: &mut Problems) {
    let ((first, first_name), (second, name)) = (one, two);
    let (fault, help) = if first.members.keys().ne(second.members.keys()) {
        ("Failovers of one group have the same directors", "Let the same directors take part in both")
    } else if first.by_priority() != second.by_priority() {
        (
            "Failovers of one group prefer the same director",
            "Put the priorities of both in the same order; otherwise they would never come to rest",
        )
    } else if first.preemption != second.preemption {
        ("Failovers of one group preempt alike", "Write the same `preempt` in both")
    } else {
        return;
    };
    problems.push(
        Problem::error("sync-group", fault)
            .label(name.span, "differs")
            .label(first_name.span, "from this one")
            .help(help),
    );
}

fn check_scripts(failover: &Failover, name: &Spanned<String>, problems: &mut Problems) {
    if let Some(script) = failover.options.scripts.iter().find(|script| script.weight.value != 0) {
        problems.push(
            Problem::error("sync-group", "In a sync group a script has no weight")
                .label(script.weight.span, "keepalived would take 0")
                .label(name.span, "in a group")
                .help("Take the weight away: then the script's failure gives up the VIPs of the whole group"),
        );
    }
}
