//! What a plan does to each virtual service, in the operator's terms: usable servers and weight before and after.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reading, Step};
use crate::compile::Desired;
use crate::effect::ServiceKey;
use crate::resource::{Action, HostState, Resource, ResourceKey};
use crate::topology::HostName;

/// What changes for one virtual service on one director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// The director.
    pub host: HostName,
    /// The service.
    pub service: ServiceKey,
    /// Destinations with a weight above 0, before and after.
    pub servers: (usize, usize),
    /// The sum of their weights, before and after.
    pub weight: (u64, u64),
    /// Established connections of destinations that are drained.
    pub draining: u64,
    /// Connections of destinations and services that go without being drained, or are taken away and put back.
    pub cut: u64,
}

impl Impact {
    /// Tells whether anything changes.
    fn is_felt(&self) -> bool {
        self.servers.0 != self.servers.1 || self.weight.0 != self.weight.1 || self.draining + self.cut > 0
    }
}

/// Returns the impact on every service that feels any, by host and service.
pub fn impact(desired: &Desired, observed: &BTreeMap<HostName, Reading>, steps: &[Step]) -> Vec<Impact> {
    let nothing = HostState::new();
    let mut found: BTreeMap<(HostName, ServiceKey), Impact> = BTreeMap::new();
    for (host, reading) in observed {
        let Ok(observation) = reading else { continue };
        let wanted = tally(desired.get(host).unwrap_or(&nothing));
        let live = tally(&observation.state);
        let touched: BTreeSet<ServiceKey> = steps
            .iter()
            .filter(|step| step.change.id.host == *host)
            .filter_map(|step| service_of(step.change.key()))
            .collect();
        for service in touched {
            let (servers_before, weight_before) = live.get(&service).copied().unwrap_or_default();
            let (servers_after, weight_after) = wanted.get(&service).copied().unwrap_or_default();
            let impact = Impact {
                host: host.clone(),
                service,
                servers: (servers_before, servers_after),
                weight: (weight_before, weight_after),
                draining: 0,
                cut: 0,
            };
            found.insert((host.clone(), service), impact);
        }
    }
    for step in steps {
        let Some((active, inactive)) = step.connections else { continue };
        let Some(service) = service_of(step.change.key()) else { continue };
        if let Some(impact) = found.get_mut(&(step.change.id.host.clone(), service)) {
            match step.change.action {
                Action::Delete => impact.draining += u64::from(active),
                Action::Replace => impact.cut += u64::from(active) + u64::from(inactive),
                Action::Create | Action::Update => {}
            }
        }
    }
    found.into_values().filter(Impact::is_felt).collect()
}

fn tally(state: &HostState) -> BTreeMap<ServiceKey, (usize, u64)> {
    let mut sums: BTreeMap<ServiceKey, (usize, u64)> = BTreeMap::new();
    for entry in state.values() {
        if let (ResourceKey::IpvsDestination(service, _), Resource::IpvsDestination { config, .. }) =
            (&entry.key, &entry.resource)
        {
            let sum = sums.entry(*service).or_default();
            sum.0 += usize::from(config.weight > 0);
            sum.1 += u64::from(config.weight);
        }
    }
    sums
}

fn service_of(key: &ResourceKey) -> Option<ServiceKey> {
    match key {
        ResourceKey::IpvsService(service) | ResourceKey::IpvsDestination(service, _) => Some(*service),
        _ => None,
    }
}
