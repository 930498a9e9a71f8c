//! Who holds what moves with a failover, when keepalived has read another file.
//!
//! keepalived answers to nobody, so what it has made of its file shows on the interfaces only. What one director held before must
//! be held by one director afterwards; VRRP may take its time to elect. Nothing is said of what nobody held before: a failover
//! that has just begun has not elected anyone yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{FIRST_PAUSE, LONGEST_PAUSE, SETTLE};
use crate::effect::Capabilities;
use crate::resource::{Action, Change, ResourceKey};
use crate::survey::{Survey, Surveyed};
use crate::topology::{Failover, HostName};

/// After how many intervals without an advert a backup takes over, one more than RFC 3768 has (section 6.1).
const ELECTION: u32 = 4;

/// How long keepalived may take to act on a file that it is told to read.
const STEADY: Duration = Duration::from_secs(1);

/// What one director is to hold, by failover.
type Floating = BTreeMap<(String, IpAddr), BTreeSet<HostName>>;

/// Returns what is held by no director or by several, in words, after it was waited for.
pub(super) fn check(survey: &mut Survey<'_>, first: &Surveyed) -> Vec<String> {
    // A daemon that is stopped holds nothing, and is not to.
    let is_reading =
        |change: &Change| *change.key() == ResourceKey::KeepalivedDaemon && change.action != Action::Delete;
    let is_touched =
        |name: &HostName| first.plan.steps.iter().any(|step| step.change.id.host == *name && is_reading(&step.change));
    let topology = survey.topology();
    let failovers: Vec<&Failover> = topology
        .failovers
        .values()
        .filter(|failover| failover.members.keys().all(|name| survey.hosts.contains_key(name)))
        .filter(|failover| failover.members.keys().any(is_touched))
        .collect();
    let held_before = |name: &HostName, address: IpAddr| match first.observed.get(name) {
        Some(Ok(seen)) => {
            seen.held.iter().any(|(_, held)| *held == address) && seen.lent.iter().any(|(_, lent)| *lent == address)
        }
        _ => false,
    };
    let mut watched = Floating::new();
    let mut longest = Duration::ZERO;
    for failover in failovers {
        longest = longest.max(failover.advert_interval);
        for address in topology.floating(failover).map(|floating| floating.address().value) {
            if failover.members.keys().any(|name| held_before(name, address)) {
                watched.insert((failover.name.value.clone(), address), failover.members.keys().cloned().collect());
            }
        }
    }
    if watched.is_empty() {
        return Vec::new();
    }
    let deadline = Instant::now() + SETTLE + longest * ELECTION;
    let steady = steady(first);
    let (mut pause, mut well_since) = (FIRST_PAUSE, None);
    loop {
        let odd = odd(survey.look(), &watched);
        if odd.is_empty() {
            let since = *well_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= steady {
                return odd;
            }
        } else {
            well_since = None;
            if Instant::now() > deadline {
                return odd;
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Returns how long it must be well: keepalived reads a file some time after it is told to, and while it has not, everything is
/// where it was. Where nothing is to move, one look is enough.
fn steady(first: &Surveyed) -> Duration {
    let mut files = first.plan.steps.iter().filter(|step| *step.change.key() == ResourceKey::KeepalivedConfiguration);
    if files.any(|step| step.disruption().is_some()) { STEADY } else { Duration::ZERO }
}

/// Returns in words what is not held by one director.
fn odd(facts: &BTreeMap<HostName, Capabilities>, watched: &Floating) -> Vec<String> {
    let told = watched.iter().filter_map(|((failover, address), directors)| {
        if !directors.iter().all(|name| facts.contains_key(name)) {
            // Of one that does not answer nobody knows.
            return None;
        }
        let holds = |name: &&HostName| facts.get(*name).is_some_and(|facts| facts.link_with(*address).is_some());
        let holders: Vec<&str> = directors.iter().filter(holds).map(HostName::as_str).collect();
        match holders.as_slice() {
            [_] => None,
            [] => Some(format!("{address} of failover {failover} is held by no director, and was before")),
            several => Some(format!("{address} of failover {failover} is held by {} at once", several.join(" and "))),
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Link, LinkAddress};

    #[test]
    fn one_director_holds_what_moves_with_a_failover() {
        let [vip, lb1, lb2] = ["10.0.0.9", "lb1", "lb2"];
        let watched: Floating =
            [(("ext".to_owned(), vip.parse().unwrap()), [lb1, lb2].map(HostName::new).into())].into();
        let holding = |is_held: bool| {
            let held = is_held.then(|| LinkAddress { network: format!("{vip}/32").parse().unwrap(), label: None });
            let addresses = held.into_iter().collect();
            let link = Link { name: "eth0".into(), mac: None, sort: None, is_up: true, addresses };
            Capabilities { links: vec![link], ..Capabilities::default() }
        };
        let told = |held: &[(&str, bool)]| {
            odd(&held.iter().map(|(name, is_held)| (HostName::new(name), holding(*is_held))).collect(), &watched)
        };
        assert!(told(&[(lb1, false), (lb2, true)]).is_empty());
        assert_eq!(told(&[(lb1, true), (lb2, true)]), ["10.0.0.9 of failover ext is held by lb1 and lb2 at once"]);
        assert_eq!(
            told(&[(lb1, false), (lb2, false)]),
            ["10.0.0.9 of failover ext is held by no director, and was before"]
        );
        assert!(told(&[(lb1, false)]).is_empty(), "nobody knows of the other one");
    }
}
