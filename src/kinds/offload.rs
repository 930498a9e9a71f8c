//! What interfaces offload, where the operator says so.
//!
//! The kernel is asked through ethtool's netlink family, so that the program ethtool need not be installed. What an
//! interface does not have counts as off. A switch that is given up goes back to what it was before lvsctl.

use std::collections::BTreeSet;

use super::{Context, Kind, ParseError, Scope, Site};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{Action, Change, Entry, Resource, ResourceKey};
use crate::source::{Problem, Problems};
use crate::topology::Host;

/// The kind of offloads.
#[derive(Clone, Copy, Debug)]
pub struct OffloadKind;

impl Kind for OffloadKind {
    fn name(&self) -> &'static str {
        "offload"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::Offload { .. })
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for offloads in host.tuning.offloads.iter().filter(|_| host.managed) {
            let written = offloads.interface.as_ref().map(|name| name.value.as_str());
            let Some(device) = written.or_else(|| site.interface_of(host)) else {
                problems.push(
                    Problem::warning(
                        "offload-interface-unknown",
                        format!("The interface of {} is not known", host.name.value),
                    )
                    .label(offloads.span, "which interface this is about is only known on the live host")
                    .help("Declare it: interface \"eth0\""),
                );
                continue;
            };
            for (offload, on) in &offloads.switches {
                let key = ResourceKey::Offload { device: device.to_owned(), offload: *offload };
                match entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.origin) {
                    Some(first) => problems.push(
                        Problem::error("duplicate-name", format!("{offload} of {device} is said twice"))
                            .label(on.span, "said again")
                            .label(first, "said first")
                            .help("Keep one of the two"),
                    ),
                    None => entries.push(Entry::new(key, Resource::Switch(on.value)).origin(on.span)),
                }
            }
        }
        entries
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let devices: BTreeSet<&String> = scope
            .keys
            .iter()
            .filter_map(|key| match key {
                ResourceKey::Offload { device, .. } => Some(device),
                _ => None,
            })
            .collect();
        devices.into_iter().cloned().map(Probe::Offloads).collect()
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::Offloads(device, switches) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected what an interface offloads".into() });
            };
            for (offload, on) in switches {
                let key = ResourceKey::Offload { device: device.clone(), offload: *offload };
                if scope.keys.contains(&key) {
                    entries.push(Entry::new(key, Resource::Switch(*on)));
                }
            }
        }
        Ok(entries)
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let wanted = if change.action == Action::Delete { &change.previous } else { &change.after };
        match (change.key(), wanted) {
            (ResourceKey::Offload { device, offload }, Some(Resource::Switch(on))) => {
                vec![Effect::SetOffload { device: device.clone(), offload: *offload, on: *on }]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fixture::*;
    use crate::topology::fixture::{at, reference_site, span};
    use crate::topology::{HostName, Offload, Offloads};

    #[test]
    fn a_switch_is_set_on_the_hosts_own_interface_and_goes_back() {
        let mut topology = reference_site();
        let director = topology.hosts.get_mut(&HostName::new("lb01")).unwrap();
        let switches = [(Offload::Lro, at(false)), (Offload::Gro, at(true))];
        director.tuning.offloads = vec![
            Offloads { interface: None, switches: switches.into(), span: span() },
            Offloads {
                interface: Some(at("eth1".into())),
                switches: switches[..1].iter().cloned().collect(),
                span: span(),
            },
        ];
        let (entries, _) = compile(&OffloadKind, &topology, &Facts::new(), "lb01");
        let expected =
            ["offload/eth0/gro Switch(true)", "offload/eth0/lro Switch(false)", "offload/eth1/lro Switch(false)"];
        assert_eq!(listing(&entries), expected);
        let key = entries[1].key.clone();
        let live = Answer::Offloads("eth0".into(), [(Offload::Lro, true), (Offload::Gso, true)].into());
        assert_eq!(
            listing(&parse(&OffloadKind, std::slice::from_ref(&key), &[live]).unwrap()),
            ["offload/eth0/lro Switch(true)"]
        );
        let set = |on| vec![Effect::SetOffload { device: "eth0".into(), offload: Offload::Lro, on }];
        let made = change(&key, Some(Resource::Switch(true)), Some(Resource::Switch(false)));
        assert_eq!(effects(&OffloadKind, &made), set(false));
        let given_up = change(&key, Some(Resource::Switch(false)), None);
        assert_eq!(effects(&OffloadKind, &given_up), []);
        assert_eq!(effects(&OffloadKind, &Change { previous: Some(Resource::Switch(true)), ..given_up }), set(true));
    }

    #[test]
    fn one_interface_under_two_names_is_an_error() {
        let mut topology = reference_site();
        let director = topology.hosts.get_mut(&HostName::new("lb01")).unwrap();
        let line = |interface: Option<&str>| Offloads {
            interface: interface.map(|name| at(name.into())),
            switches: [(Offload::Lro, at(false))].into(),
            span: span(),
        };
        director.tuning.offloads = vec![line(None), line(Some("eth0"))];
        assert_eq!(compile(&OffloadKind, &topology, &Facts::new(), "lb01").1, ["Error duplicate-name"]);
    }
}
