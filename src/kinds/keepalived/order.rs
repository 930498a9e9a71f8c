//! Which directors must run keepalived before another one does.
//!
//! A backup starts before the master, so that the master's first adverts find it. Where a failover gets an address from another one
//! with another master, whoever holds it gives it up before the new master takes it. With several failovers of opposite
//! preference not every wish can be had, and those that would close a circle are dropped in the order of the failovers' names.

use std::collections::{BTreeMap, BTreeSet};

use crate::kinds::Site;
use crate::topology::{Failover, HostName};

/// Returns the directors whose keepalived must run before this one's configuration is written.
pub(super) fn before<'a>(site: &Site<'a>, host: &HostName) -> BTreeSet<&'a HostName> {
    let mut edges: BTreeMap<&HostName, BTreeSet<&HostName>> = BTreeMap::new();
    let mut add = |master: &'a HostName, backup: &'a HostName| {
        let managed = site.topology.hosts.get(backup).is_some_and(|host| host.managed);
        if managed && backup != master && !reaches(&edges, backup, master) {
            edges.entry(master).or_default().insert(backup);
        }
    };
    let failovers = site.topology.failovers.values();
    let masters = failovers.filter_map(|failover| Some((failover, master(site, failover)?)));
    for (failover, master) in masters.clone() {
        failover.members.keys().filter(|member| held(site, failover, member) > 0).for_each(|giver| add(master, giver));
    }
    for (failover, master) in masters {
        failover.members.keys().for_each(|backup| add(master, backup));
    }
    edges.remove(host).unwrap_or_default()
}

/// Returns the director that holds most of what moves with the failover now, else the preferred one.
fn master<'a>(site: &Site<'a>, failover: &'a Failover) -> Option<&'a HostName> {
    let directors = failover.by_priority();
    // Of several with as many, the last is taken.
    directors.into_iter().rev().max_by_key(|director| held(site, failover, director))
}

/// Counts what a director holds of what moves with a failover.
fn held(site: &Site<'_>, failover: &Failover, director: &HostName) -> usize {
    let Some(facts) = site.facts.get(director) else { return 0 };
    let floating = site.topology.floating(failover).map(|floating| floating.address().value);
    floating.filter(|address| facts.link_with(*address).is_some()).count()
}

fn reaches(edges: &BTreeMap<&HostName, BTreeSet<&HostName>>, from: &HostName, to: &HostName) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(host) = open.pop() {
        if host == to {
            return true;
        }
        if seen.insert(host) {
            open.extend(edges.get(host).into_iter().flatten().copied());
        }
    }
    false
}
