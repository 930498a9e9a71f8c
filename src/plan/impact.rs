//! What a plan does to each virtual service, in the operator's terms: usable servers and weight before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Plan, Reading, Step, sorts};
use crate::compile::Desired;
use crate::effect::ServiceKey;
use crate::resource::{Action, Entry, Health, HostState, Resource, ResourceId, ResourceKey};
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
    /// The service that takes its place, and is there before.
    pub successor: Option<ServiceKey>,
    /// Connections of destinations and services that go without being drained, or are taken away and put back.
    pub cut: u64,
}

impl Impact {
    /// Tells whether anything changes.
    pub fn is_felt(&self) -> bool {
        self.servers.0 != self.servers.1 || self.weight.0 != self.weight.1 || self.draining + self.cut > 0
    }
}

/// Returns the impact on every service that feels any, on all of its directors, by service and host.
///
/// A server whose check fails is not usable before nor after; `runtime` names those.
pub fn impact(desired: &Desired, observed: &BTreeMap<HostName, Reading>, plan: &Plan) -> Vec<Impact> {
    let Plan { steps, runtime, .. } = plan;
    let unhealthy: BTreeSet<&ResourceId> = runtime.iter().map(|state| &state.id).collect();
    let touched: BTreeSet<ServiceKey> = steps.iter().filter_map(|step| sorts::service(&step.change)).collect();
    let nothing = HostState::new();
    let mut found: BTreeMap<(ServiceKey, HostName), Impact> = BTreeMap::new();
    for (host, reading) in observed {
        let Ok(observation) = reading else { continue };
        let desired = desired.get(host).unwrap_or(&nothing);
        // A server that stands in for all others is none of them, in the table or not.
        let stands_in = |key: &ResourceKey| desired.get(key).is_some_and(|entry| entry.health == Health::Standby);
        let wanted = desired.values().filter(|entry| entry.health != Health::Standby);
        let wanted = tally(wanted.filter(|entry| !unhealthy.contains(&ResourceId::new(host, entry.key.clone()))));
        let live = tally(observation.state.values().filter(|entry| !stands_in(&entry.key)));
        let services: BTreeSet<&ServiceKey> = live.keys().chain(wanted.keys()).collect();
        for service in services.into_iter().filter(|service| touched.contains(service)) {
            let (servers_before, weight_before) = live.get(service).copied().unwrap_or_default();
            let (servers_after, weight_after) = wanted.get(service).copied().unwrap_or_default();
            let impact = Impact {
                host: host.clone(),
                service: *service,
                servers: (servers_before, servers_after),
                weight: (weight_before, weight_after),
                draining: 0,
                successor: None,
                cut: 0,
            };
            found.insert((*service, host.clone()), impact);
        }
    }
    for step in steps.iter().filter(|step| step.successor.is_some()) {
        let service = sorts::service(&step.change).map(|service| (service, step.change.id.host.clone()));
        if let Some(impact) = service.and_then(|key| found.get_mut(&key)) {
            impact.successor = step.successor;
        }
    }
    for step in steps {
        let Some((active, inactive)) = step.connections else { continue };
        let Some(service) = sorts::service(&step.change) else { continue };
        if let Some(impact) = found.get_mut(&(service, step.change.id.host.clone())) {
            match step.change.action {
                _ if step.is_cut => impact.cut += u64::from(active) + u64::from(inactive),
                Action::Delete => impact.draining += u64::from(service.in_use(active, inactive)),
                Action::Create | Action::Update | Action::Replace => {}
            }
        }
    }
    let felt: BTreeSet<ServiceKey> =
        found.values().filter(|impact| impact.is_felt()).map(|impact| impact.service).collect();
    found.into_values().filter(|impact| felt.contains(&impact.service)).collect()
}

/// Marks the destinations that are taken away and put back, and those that are deleted when their VIP is gone.
pub fn mark_cuts(steps: &mut [Step], waves: &[Vec<usize>]) {
    let mut gone: Vec<(HostName, IpAddr)> = Vec::new();
    for wave in waves {
        for step in wave.iter().filter_map(|index| steps.get(*index)).map(|step| &step.change) {
            if let (true, Some(vip)) = (sorts::gives_up_vip(step), sorts::address(step)) {
                gone.push((step.id.host.clone(), vip));
            }
        }
        for index in wave {
            let Some(step) = steps.get_mut(*index) else { continue };
            let (change, key) = (&step.change, sorts::service(&step.change));
            let behind = |vip: &IpAddr| key.is_some_and(|key| sorts::may_serve(&key, *vip));
            let vip_is_gone = gone.iter().any(|(host, vip)| *host == change.id.host && behind(vip));
            step.is_cut = match change.action {
                Action::Replace => true,
                Action::Delete => sorts::is_deleted_destination(change) && vip_is_gone,
                Action::Create | Action::Update => false,
            };
        }
    }
}

fn tally<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<ServiceKey, (usize, u64)> {
    let mut sums: BTreeMap<ServiceKey, (usize, u64)> = BTreeMap::new();
    for entry in entries {
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
