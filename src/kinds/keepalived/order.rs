//! Which directors must run keepalived before another one does.
//!
//! A backup starts before the master, so that the master's first adverts find it; with several failovers of opposite
//! preference not every wish can be had, and those that would close a circle are dropped in the order of the failovers' names.

use std::collections::{BTreeMap, BTreeSet};

use crate::kinds::Site;
use crate::topology::{Failover, HostName};

/// Returns the directors whose keepalived must run before this one's configuration is written.
pub(super) fn before<'a>(site: &Site<'a>, host: &HostName) -> BTreeSet<&'a HostName> {
    let mut edges: BTreeMap<&HostName, BTreeSet<&HostName>> = BTreeMap::new();
    for failover in site.topology.failovers.values() {
        let Some(master) = master(site, failover) else {
            continue;
        };
        for backup in failover.members.keys().filter(|member| *member != master) {
            let managed = site.topology.hosts.get(backup).is_some_and(|host| host.managed);
            if managed && !reaches(&edges, backup, master) {
                edges.entry(master).or_default().insert(backup);
            }
        }
    }
    edges.remove(host).unwrap_or_default()
}

/// Returns the director that holds a VIP of the failover now, else the preferred one.
fn master<'a>(site: &Site<'a>, failover: &'a Failover) -> Option<&'a HostName> {
    let holds = |director: &HostName| {
        let facts = site.facts.get(director);
        let mut floating = site.topology.floating(failover).map(|floating| floating.address().value);
        floating.any(|address| facts.is_some_and(|facts| facts.link_with(address).is_some()))
    };
    let directors = failover.by_priority();
    directors.iter().copied().find(|director| holds(director)).or_else(|| directors.first().copied())
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
