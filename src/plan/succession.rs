//! Virtual services that take the place of others: an address becomes a mark, or a mark another one or an address.
//!
//! None can be edited into the other, neither in the kernel nor by keepalived, which would take the one away and add the
//! other. So the new one is put up first with those servers that are well in the old one, then rules lead packets to it, and
//! only then the old one is drained and goes. lvsctl puts up what keepalived is to have, too: keepalived finds it there and
//! leaves it as it is (tried on 2.2.7).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Reading, sorts};
use crate::compile::Desired;
use crate::effect::ServiceKey;
use crate::resource::{
    Action, ChainRule, Change, HostState, PortMatch, Programmer, Resource, ResourceKey, RuleTarget, Table,
};
use crate::topology::{HostName, PortRange, Protocol};

/// The successors on every host.
#[derive(Debug, Default)]
pub struct Successions {
    hosts: BTreeMap<HostName, Succession>,
}

/// Those on one host.
#[derive(Debug, Default)]
struct Succession {
    /// Each service that goes, with what takes its place.
    successors: BTreeMap<ServiceKey, ServiceKey>,
    /// What lvsctl puts up ahead of keepalived, with whose place it takes.
    ahead: BTreeMap<ServiceKey, BTreeSet<ServiceKey>>,
}

impl Successions {
    /// Finds who succeeds whom.
    pub fn of(changes: &[Change], desired: &Desired, observed: &BTreeMap<HostName, Reading>) -> Self {
        let mut by_host: BTreeMap<&HostName, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            if matches!(change.key(), ResourceKey::IpvsService(_) | ResourceKey::KeepalivedDaemon) {
                by_host.entry(&change.id.host).or_default().push(change);
            }
        }
        let hosts = by_host.into_iter().filter_map(|(host, changes)| {
            let (desired, observation) = (desired.get(host)?, observed.get(host)?.as_ref().ok()?);
            let found = on_host(&changes, desired, &observation.state);
            (!found.successors.is_empty()).then(|| (host.clone(), found))
        });
        Successions { hosts: hosts.collect() }
    }

    /// Returns the successor of a service that goes.
    pub fn successor(&self, host: &HostName, service: &ServiceKey) -> Option<ServiceKey> {
        self.hosts.get(host)?.successors.get(service).copied()
    }

    /// Returns the services that lvsctl puts up ahead of keepalived on a host, with whose place they take.
    pub fn ahead(&self, host: &HostName) -> Option<&BTreeMap<ServiceKey, BTreeSet<ServiceKey>>> {
        Some(&self.hosts.get(host)?.ahead)
    }

    /// Tells whether something comes before keepalived, though it is to be keepalived's.
    pub fn is_ahead(&self, host: &HostName, key: &ResourceKey) -> bool {
        match key {
            ResourceKey::IpvsService(service) | ResourceKey::IpvsDestination(service, _) => {
                self.hosts.get(host).is_some_and(|host| host.ahead.contains_key(service))
            }
            _ => false,
        }
    }
}

fn on_host(changes: &[&Change], desired: &HostState, observed: &HostState) -> Succession {
    let services = |action: Action| -> BTreeMap<ServiceKey, Option<Programmer>> {
        let changes = changes.iter().filter(|change| change.action == action);
        changes.filter_map(|change| Some((sorts::service(change)?, sorts::programmer(change)))).collect()
    };
    let (going, coming) = (services(Action::Delete), services(Action::Create));
    let mut found = Succession::default();
    if going.is_empty() || coming.is_empty() {
        return found;
    }
    let reloads = observed.contains_key(&ResourceKey::KeepalivedDaemon)
        && changes.iter().any(|change| sorts::is_keepalived(change) && change.action == Action::Update);
    let mut left: BTreeMap<IpAddr, Vec<(Place, ServiceKey)>> = BTreeMap::new();
    for (place, service) in places(observed).into_iter().filter(|(_, service)| going.contains_key(service)) {
        left.entry(place.address).or_default().push((place, service));
    }
    for (place, new) in places(desired) {
        let Some(programmer) = coming.get(&new) else { continue };
        let here = left.get(&place.address).into_iter().flatten().filter(|(other, _)| place.overlaps(other));
        for (_, old) in here {
            let both = (going.get(old).copied().flatten(), *programmer);
            let by_keepalived = both == (Some(Programmer::Keepalived), Some(Programmer::Keepalived));
            // A keepalived that starts anew or stops takes the one away before it brings the other.
            if by_keepalived && !reloads {
                continue;
            }
            if by_keepalived {
                found.ahead.entry(new).or_default().insert(*old);
            }
            found.successors.entry(*old).or_insert(new);
        }
    }
    found
}

/// Where packets come for that a service gets.
#[derive(Clone, Copy, Debug)]
struct Place {
    address: IpAddr,
    protocol: Protocol,
    ports: Option<PortRange>,
}

impl Place {
    fn overlaps(&self, other: &Place) -> bool {
        let apart = |one: PortRange, two: PortRange| one.last < two.first || two.last < one.first;
        let ports = !matches!((self.ports, other.ports), (Some(one), Some(two)) if apart(one, two));
        self.protocol == other.protocol && ports
    }
}

/// Returns what leads to each service of a state: its own address, or the rules that set its mark.
fn places(state: &HostState) -> Vec<(Place, ServiceKey)> {
    let mut places = Vec::new();
    for entry in state.values() {
        match (&entry.key, &entry.resource) {
            (ResourceKey::IpvsService(service @ ServiceKey::Address { protocol, address, port }), _) => {
                let ports = (*port != 0).then(|| PortRange::single(*port));
                places.push((Place { address: *address, protocol: *protocol, ports }, *service));
            }
            (ResourceKey::Chain { family, table: Table::Mangle, .. }, Resource::Chain { rules, .. }) => {
                places.extend(rules.iter().filter_map(|rule| match rule {
                    ChainRule::Known {
                        destination: Some(address),
                        ports: Some(PortMatch { protocol, ports }),
                        target: RuleTarget::Mark(mark),
                        ..
                    } => {
                        let place = Place { address: *address, protocol: *protocol, ports: *ports };
                        Some((place, ServiceKey::Mark { mark: *mark, family: *family }))
                    }
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    places
}
