//! Where the VIPs of a failover will go by themselves, because another director is to have them than the one that gets or has them.
//!
//! A failover begins on its backups: they start before the preferred director, so that its first adverts find them, and it then
//! takes over. Later a director takes over when its priority becomes the highest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Reading, Step};
use crate::compile::Desired;
use crate::kinds::keepalived::{Block, blocks, vrrp};
use crate::observe::Observation;
use crate::resource::{HostState, Resource, ResourceKey};
use crate::topology::HostName;

/// A failover whose VIPs will change their director by themselves, or begin on another one than the preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// The failover's name.
    pub failover: String,
    /// Whether no director had it before.
    pub begins: bool,
    /// The directors that start first, or the one that holds the VIPs.
    pub from: Vec<HostName>,
    /// The director with the highest priority.
    pub to: HostName,
    /// After how long that one takes over; `None` if it leaves another master alone.
    pub takeover: Option<Duration>,
}

impl Election {
    /// Says it in words.
    pub fn text(&self) -> String {
        let Election { failover, begins, from, to, takeover } = self;
        let from = from.iter().map(HostName::as_str).collect::<Vec<_>>().join(" and ");
        let when = takeover.filter(|delay| !delay.is_zero()).map(|delay| format!(", {} s later", delay.as_secs()));
        let when = when.unwrap_or_default();
        match (begins, takeover) {
            (true, Some(_)) => format!(
                "failover {failover} begins on {from}; {to}, which is preferred, starts last and then takes the VIPs over{when}, and \
                 connections of those seconds are cut unless they are synchronised"
            ),
            (true, None) => format!(
                "failover {failover} begins on {from}, and most likely stays there, because {to} does not preempt and starts last"
            ),
            (false, _) => format!(
                "failover {failover} moves from {from} to {to}, which gets the highest priority{when}, and connections are cut \
                 unless they are synchronised"
            ),
        }
    }
}

/// A director's part in a failover, as its file says it.
#[derive(Clone, Copy)]
struct Part {
    priority: u8,
    takeover: Option<Duration>,
}

type Parts = BTreeMap<String, BTreeMap<HostName, Part>>;

/// Returns in which wave each director's keepalived is started or reads its file.
pub(super) fn started<'a>(steps: &'a [Step], waves: &[Vec<usize>]) -> BTreeMap<&'a HostName, usize> {
    let of = |index: &usize| Some(&steps.get(*index)?.change);
    let daemons = waves.iter().enumerate().flat_map(|(number, wave)| {
        let changes = wave.iter().filter_map(of).filter(|change| *change.key() == ResourceKey::KeepalivedDaemon);
        changes.map(move |change| (&change.id.host, number))
    });
    daemons.collect()
}

/// Returns the failovers with such an outcome, among those whose file is read.
pub(super) fn elections(
    desired: &Desired,
    observed: &BTreeMap<HostName, Reading>,
    started: &BTreeMap<&HostName, usize>,
) -> Vec<Election> {
    let read = |host: &HostName| observed.get(host).and_then(|reading| reading.as_ref().ok());
    let before = parts(observed.keys().filter_map(|host| Some((host, &read(host)?.state))));
    let after = parts(desired.iter());
    let none = BTreeMap::new();
    let found = after.into_iter().filter_map(|(failover, members)| {
        let to = preferred(&members)?.clone();
        let takeover = members.get(&to)?.takeover;
        let earlier = before.get(&failover).unwrap_or(&none);
        let from = match earlier.is_empty() {
            true => {
                let last = started.get(&to)?;
                let is_sooner = |name: &&HostName| started.get(*name).is_some_and(|number| number < last);
                members.keys().filter(is_sooner).cloned().collect()
            }
            false if takeover.is_some() && preferred(earlier) != Some(&to) && started.contains_key(&to) => {
                let holds = |name: &&HostName| read(name).is_some_and(|seen| is_master(seen, &failover));
                members.keys().filter(|name| **name != to).filter(holds).cloned().collect()
            }
            false => Vec::new(),
        };
        (!from.is_empty()).then_some(Election { failover, begins: earlier.is_empty(), from, to, takeover })
    });
    found.collect()
}

/// Tells whether a director holds what a failover is about now.
fn is_master(seen: &Observation, failover: &str) -> bool {
    let text = file(&seen.state).unwrap_or_default();
    let held: BTreeSet<String> = seen.held.iter().map(|(_, address)| address.to_string()).collect();
    let instances = vrrp::instances(&text);
    let mut own = instances.iter().filter(|instance| instance.name == failover).flat_map(|instance| &instance.held);
    own.any(|address| address.split('/').next().is_some_and(|address| held.contains(address)))
}

fn file(state: &HostState) -> Option<String> {
    match &state.get(&ResourceKey::KeepalivedConfiguration)?.resource {
        Resource::File { text, .. } => Some(text.masked()),
        _ => None,
    }
}

fn parts<'a>(states: impl Iterator<Item = (&'a HostName, &'a HostState)>) -> Parts {
    let mut parts = Parts::new();
    for (host, state) in states {
        let text = file(state).unwrap_or_default();
        for block in blocks(&text).named("vrrp_instance") {
            if let (Some(name), Some(part)) = (block.words.get(1), part(block)) {
                parts.entry(name.clone()).or_default().insert(host.clone(), part);
            }
        }
    }
    parts
}

fn part(block: &Block) -> Option<Part> {
    let priority = block.value("priority")?.parse().ok()?;
    let seconds = |text: &str| text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let delay = block.value("preempt_delay").and_then(seconds).unwrap_or_default();
    Some(Part { priority, takeover: block.child("nopreempt").is_none().then_some(delay) })
}

/// Returns the director with the highest priority, if there is one.
fn preferred(members: &BTreeMap<HostName, Part>) -> Option<&HostName> {
    let highest = members.values().map(|part| part.priority).max()?;
    let mut first = members.iter().filter(|(_, part)| part.priority == highest).map(|(name, _)| name);
    first.next().filter(|_| first.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Entry;
    use crate::topology::SecretText;

    fn state(lines: &str) -> HostState {
        let text = format!(
            "vrrp_instance ext {{\n interface eth0\n virtual_router_id 1\n {lines}\n virtual_ipaddress {{\n 192.0.2.9/32\n }}\n}}\n"
        );
        let text = SecretText::plain(if lines.is_empty() { String::new() } else { text });
        let file = Entry::new(ResourceKey::KeepalivedConfiguration, Resource::File { text, mode: 0o600 });
        [(file.key.clone(), file)].into()
    }

    /// Tells of two directors of which the second reads its file first; `held` says who holds the VIP.
    fn told(before: [&str; 2], after: [&str; 2], held: Option<&str>) -> Vec<String> {
        let names = ["lb1", "lb2"].map(HostName::new);
        let desired: Desired = names.iter().cloned().zip(after.map(state)).collect();
        let seen = |(name, lines): (&HostName, &str)| {
            let held =
                held.filter(|held| *held == name.as_str()).map(|_| ("eth0".into(), "192.0.2.9".parse().unwrap()));
            let seen = Observation { state: state(lines), held: held.into_iter().collect(), ..Observation::default() };
            (name.clone(), Ok(seen))
        };
        let observed = names.iter().zip(before).map(seen).collect();
        let started = [(&names[0], 6), (&names[1], 4)].into();
        elections(&desired, &observed, &started).iter().map(Election::text).collect()
    }

    #[test]
    fn a_failover_begins_on_its_backup() {
        let begins = |lines: [&str; 2]| told(["", ""], lines, None);
        let text = "failover ext begins on lb2; lb1, which is preferred, starts last and then takes the VIPs over";
        assert!(begins(["priority 9", "priority 5"])[0].starts_with(&format!("{text}, and ")));
        let later = begins(["priority 9\n preempt_delay 30", "priority 5"]);
        assert!(later[0].starts_with(&format!("{text}, 30 s later, and ")), "{later:?}");
        assert!(begins(["priority 9\n nopreempt", "priority 5\n nopreempt"])[0].contains("most likely stays there"));
        assert!(begins(["priority 5", "priority 9"]).is_empty(), "the preferred one starts first and stays");
        assert!(begins(["priority 9", ""]).is_empty(), "there is no other one");
    }

    #[test]
    fn a_failover_moves_to_whoever_gets_the_highest_priority() {
        let [high, low, higher] = ["priority 9", "priority 5", "priority 20"];
        let moved = told([high, low], [high, higher], Some("lb1"));
        assert_eq!(moved.len(), 1);
        assert!(
            moved[0].starts_with("failover ext moves from lb1 to lb2, which gets the highest priority, "),
            "{moved:?}"
        );
        let stays: [([&str; 2], Option<&str>); 5] = [
            ([high, higher], Some("lb2")),
            ([high, higher], None),
            ([high, low], Some("lb2")),
            ([higher, low], Some("lb1")),
            ([high, "priority 20\n nopreempt"], Some("lb1")),
        ];
        for (after, held) in stays {
            assert_eq!(told([high, low], after, held), Vec::<String>::new(), "{after:?} {held:?}");
        }
        let third = told([high, ""], [high, higher], Some("lb1"));
        assert!(third[0].contains("moves from lb1 to lb2"), "a director that is new to the failover");
    }
}
