//! Who holds what moves with a failover, when keepalived has read another file.
//!
//! keepalived answers to nobody, so what it has made of its file shows on the interfaces only. What one director held before must
//! be held by one director afterwards, and so must what a failover that has just begun is about; VRRP may take its time to elect.
//! Where the topology itself has something watched without which nobody may be master, that nobody is may be just right.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{FIRST_PAUSE, LONGEST_PAUSE, SETTLE, vetoes};
use crate::effect::Capabilities;
use crate::kinds::delivery;
use crate::resource::{Action, Change, ResourceKey};
use crate::survey::{Survey, Surveyed};
use crate::topology::{Failover, HostName, Preemption, Topology};

/// After how many intervals without an advert a backup takes over, one more than RFC 3768 has (section 6.1).
const ELECTION: u32 = 4;

/// How long keepalived may take to act on a file that it is told to read.
const STEADY: Duration = Duration::from_secs(1);

/// What is found out about who holds what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What is held by several directors, or by none although it was to be.
    pub errors: Vec<String>,
    /// What is held by none and may be.
    pub warnings: Vec<String>,
}

/// Who is to hold what moves with a failover.
#[derive(Debug)]
struct Watched {
    directors: BTreeSet<HostName>,
    /// Whether one of them held it before.
    was_held: bool,
    /// The director that takes over from any other one, where they have just begun.
    preferred: Option<HostName>,
}

/// What one director is to hold, by failover.
type Floating = BTreeMap<(String, IpAddr), Watched>;

/// Who holds each of these; of what a director that does not answer may hold nobody knows.
type Holders = Vec<Option<Vec<HostName>>>;

/// Returns what is held by no director or by several, in words, after it was waited for; what nobody held before is waited for
/// if `awaits_elections`.
pub(super) fn check(survey: &mut Survey<'_>, first: &Surveyed, awaits_elections: bool) -> Told {
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
        for address in topology.floating(failover).map(|floating| floating.address().value) {
            let one = watched_of(failover, |name| held_before(name, address));
            if one.was_held || awaits_elections {
                longest = longest.max(failover.advert_interval);
                watched.insert((failover.name.value.clone(), address), one);
            }
        }
    }
    if watched.is_empty() {
        return Told::default();
    }
    await_holders(survey, &watched, (steady(first), STEADY + longest * ELECTION))
}

fn watched_of(failover: &Failover, held_before: impl Fn(&HostName) -> bool) -> Watched {
    let was_held = failover.members.keys().any(held_before);
    let begins_with = match failover.preemption {
        Preemption::Immediate if !was_held => failover.by_priority().first().copied().cloned(),
        _ => None,
    };
    Watched { directors: failover.members.keys().cloned().collect(), was_held, preferred: begins_with }
}

/// Looks until one director holds each of these and that lasts, but no longer than two elections may take: a backup becomes master
/// when it hears nobody, and a better one takes over from it.
fn await_holders(survey: &mut Survey<'_>, watched: &Floating, (steady, election): (Duration, Duration)) -> Told {
    let topology = survey.topology();
    let deadline = Instant::now() + SETTLE + election * 2;
    let (mut pause, mut seen, mut since) = (FIRST_PAUSE, Holders::new(), Instant::now());
    loop {
        let facts = survey.look();
        let now = holders(facts, watched);
        let told = told(topology, facts, watched, &now);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        let enough = match (told.errors.is_empty(), told.warnings.is_empty()) {
            (true, true) if is_final(watched, &seen) => Some(steady),
            (true, true) => Some(election),
            (true, false) => Some(election * 2),
            (false, _) => None,
        };
        if enough.is_some_and(|enough| since.elapsed() >= enough) || Instant::now() > deadline {
            return told;
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

fn holders(facts: &BTreeMap<HostName, Capabilities>, watched: &Floating) -> Holders {
    // A director that is a real server as well has the address once more, where it accepts packets.
    let holds = |facts: &Capabilities, address: IpAddr| {
        let mut links = facts.links.iter().filter(|link| !delivery::is_device(&link.name));
        links.any(|link| link.addresses.iter().any(|held| held.network.addr() == address))
    };
    let of = |((_, address), one): (&(String, IpAddr), &Watched)| {
        let known: Option<Vec<_>> = one.directors.iter().map(|name| Some((name, facts.get(name)?))).collect();
        let holding = known?.into_iter().filter(|(_, facts)| holds(facts, *address));
        Some(holding.map(|(name, _)| name.clone()).collect())
    };
    watched.iter().map(of).collect()
}

/// Tells whether nobody is to take over from who holds these now.
fn is_final(watched: &Floating, seen: &Holders) -> bool {
    let holds = |(one, holders): (&Watched, &Option<Vec<HostName>>)| match (&one.preferred, holders) {
        (Some(preferred), Some(holders)) => holders.contains(preferred),
        _ => true,
    };
    watched.values().zip(seen).all(holds)
}

/// Says in words what is not held by one director.
fn told(topology: &Topology, facts: &BTreeMap<HostName, Capabilities>, watched: &Floating, seen: &Holders) -> Told {
    let mut told = Told::default();
    for (((failover, address), one), holders) in watched.iter().zip(seen) {
        let names =
            |names: &mut dyn Iterator<Item = &HostName>| names.map(HostName::as_str).collect::<Vec<_>>().join(" and ");
        let what = format!("{address} of failover {failover} is held by");
        match holders.as_deref() {
            None | Some([_]) => {}
            Some([]) => {
                let veto = topology.failovers.get(failover).and_then(|of| vetoes::veto(topology, of, facts));
                match (one.was_held, veto) {
                    (true, None) => told.errors.push(format!("{what} no director, and was before")),
                    (true, Some(veto)) => told.errors.push(format!("{what} no director, and was before: {veto}")),
                    (false, None) => told.errors.push(format!(
                        "{what} no director; keepalived's log on {} says why",
                        names(&mut one.directors.iter())
                    )),
                    (false, Some(veto)) => told.warnings.push(format!("{what} no director: {veto}")),
                }
            }
            Some(several) => told.errors.push(format!("{what} {} at once", names(&mut several.iter()))),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Link, LinkAddress};

    const VIP: &str = "10.0.0.9";

    fn watched(was_held: bool, preferred: Option<&str>) -> Floating {
        let directors = ["lb1", "lb2"].map(HostName::new).into();
        let one = Watched { directors, was_held, preferred: preferred.map(HostName::new) };
        [(("ext".to_owned(), VIP.parse().unwrap()), one)].into()
    }

    fn facts(held: &[(&str, Option<&str>)]) -> BTreeMap<HostName, Capabilities> {
        let holding = |device: &Option<&str>| {
            let link = |name: &str| {
                let addresses = vec![LinkAddress { network: format!("{VIP}/32").parse().unwrap(), label: None }];
                Link { name: name.into(), mac: None, sort: None, is_up: true, addresses }
            };
            Capabilities { links: device.map(link).into_iter().collect(), ..Capabilities::default() }
        };
        held.iter().map(|(name, device)| (HostName::new(name), holding(device))).collect()
    }

    fn say(watched: &Floating, held: &[(&str, Option<&str>)]) -> Told {
        let facts = facts(held);
        told(&Topology::default(), &facts, watched, &holders(&facts, watched))
    }

    #[test]
    fn one_director_holds_what_moves_with_a_failover() {
        let before = watched(true, None);
        let errors = |held: &[(&str, Option<&str>)]| say(&before, held).errors;
        assert_eq!(say(&before, &[("lb1", None), ("lb2", Some("eth0"))]), Told::default());
        assert_eq!(say(&before, &[("lb1", Some("lo")), ("lb2", Some("eth0"))]), Told::default(), "a server as well");
        assert_eq!(
            errors(&[("lb1", Some("eth0")), ("lb2", Some("eth0"))]),
            ["10.0.0.9 of failover ext is held by lb1 and lb2 at once"]
        );
        let none = [("lb1", None), ("lb2", None)];
        assert_eq!(errors(&none), ["10.0.0.9 of failover ext is held by no director, and was before"]);
        let begun = say(&watched(false, None), &none).errors;
        assert_eq!(
            begun,
            ["10.0.0.9 of failover ext is held by no director; keepalived's log on lb1 and lb2 says why"]
        );
        assert!(errors(&[("lb1", None)]).is_empty(), "nobody knows of the other one");
    }

    #[test]
    fn a_director_that_begins_is_awaited_until_the_better_one_took_over() {
        let seen = |watched: &Floating, holder: &str| {
            let names = ["lb1", "lb2"].map(|name| (name, (name == holder).then_some("eth0")));
            let seen = holders(&facts(&names), watched);
            (say(watched, &names) == Told::default(), is_final(watched, &seen))
        };
        let preempted = watched(false, Some("lb1"));
        assert_eq!(seen(&preempted, "lb2"), (true, false));
        assert_eq!(seen(&preempted, "lb1"), (true, true));
        assert_eq!(seen(&preempted, ""), (false, false));
        assert_eq!(seen(&watched(false, None), "lb2"), (true, true));
    }
}
