//! Compares the desired state of a host with the observed one.
//!
//! Both sides come here in canonical form; `normalise` takes out what is not lvsctl's to decide (the health of servers
//! that keepalived watches), `ownership` knows the manifest. What is left is a dull comparison of two ordered maps:
//!
//! | desired | live | in the manifest | result |
//! |---|---|---|---|
//! | yes | no | | create |
//! | yes | different | | update in place, or replace |
//! | no | yes | yes | delete; a module stays, and so does a value that somebody else has set since |
//! | no | yes | no | foreign: listed and left alone |

mod normalise;
mod ownership;

pub use normalise::RuntimeState;

use std::net::Ipv4Addr;

use crate::effect::DestinationKey;
use crate::observe::Observation;
use crate::resource::{
    Action, Change, Entry, Health, HostState, Manifest, Owned, Programmer, Reason, Resource, ResourceId, ResourceKey,
};
use crate::topology::HostName;

/// Something on a host that lvsctl neither wants nor put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Which thing.
    pub id: ResourceId,
    /// How it is.
    pub resource: Resource,
}

/// What a comparison of one host came to.
#[derive(Clone, Debug, Default)]
pub struct HostDiff {
    /// What has to change, the manifest last.
    pub changes: Vec<Change>,
    /// What differs and is keepalived's business.
    pub runtime: Vec<RuntimeState>,
    /// What is neither wanted nor owned.
    pub foreign: Vec<Foreign>,
    /// How many desired things are there as they should be.
    pub unchanged: usize,
}

/// Compares one host.
pub fn diff(host: &HostName, desired: &HostState, observed: &Observation) -> HostDiff {
    let mut result = HostDiff::default();
    let manifest = observed.manifest.clone().unwrap_or_default();
    for (key, wanted) in desired {
        let id = ResourceId::new(host, key.clone());
        if wanted.health == Health::Standby && !observed.state.contains_key(key) {
            continue;
        }
        let live = observed.state.get(key).filter(|_| !is_about_to_go(key, desired, observed));
        if let Some(runtime) = normalise::health(&id, wanted, live, (desired, observed), &manifest) {
            result.runtime.push(runtime);
            result.unchanged += 1;
            continue;
        }
        let live =
            live.map(|entry| normalise::with_programmer(&entry.resource, &wanted.resource, manifest.owned.get(key)));
        match wish(&id, wanted, live, &manifest) {
            Some(change) => result.changes.push(change),
            None => result.unchanged += 1,
        }
    }
    for (key, live) in observed.state.iter().filter(|(key, _)| !desired.contains_key(*key)) {
        let id = ResourceId::new(host, key.clone());
        match manifest.owned.get(key) {
            _ if *key == ResourceKey::Manifest => {}
            // A module stays loaded when it is given up: who else relies on it by now is not known.
            Some(_) if matches!(key, ResourceKey::Module(_)) => {}
            // Somebody has set it otherwise since: putting back what was there before would take that away.
            Some(owned) if ownership::is_somebody_elses(&live.resource, owned) => {
                result.foreign.push(Foreign { id, resource: live.resource.clone() });
            }
            // Deleting it would take somebody else's destinations along.
            Some(_) if is_shared(key, desired, observed, &manifest) => {
                result.foreign.push(Foreign { id, resource: live.resource.clone() });
            }
            Some(owned) => result.changes.push(Change {
                id,
                action: Action::Delete,
                before: Some(normalise::with_owner(&live.resource, owned)),
                after: None,
                reason: Reason::RemovedFromTopology,
                previous: owned.previous.clone(),
                origin: None,
            }),
            None => result.foreign.push(Foreign { id, resource: live.resource.clone() }),
        }
    }
    result.changes.extend(ownership::manifest_change(host, desired, observed));
    result
}

/// Tells whether a service that lvsctl programs has live destinations that lvsctl neither wants nor put there.
fn is_shared(key: &ResourceKey, desired: &HostState, observed: &Observation, manifest: &Manifest) -> bool {
    let ResourceKey::IpvsService(service) = key else {
        return false;
    };
    let is_own = manifest.owned.get(key).is_some_and(|owned| owned.programmer != Some(Programmer::Keepalived));
    let is_foreign = |key: &ResourceKey| !desired.contains_key(key) && !manifest.owned.contains_key(key);
    // The keys are in order, so a service's destinations are together.
    let first = DestinationKey { address: Ipv4Addr::UNSPECIFIED.into(), port: 0 };
    let destinations = observed
        .state
        .range(ResourceKey::IpvsDestination(*service, first)..)
        .map(|(key, _)| key)
        .take_while(|key| matches!(key, ResourceKey::IpvsDestination(of, _) if of == service));
    is_own && destinations.into_iter().any(is_foreign)
}

/// Tells whether an address is keepalived's, who lets go of it in the course of this plan; then it is as good as gone.
fn is_about_to_go(key: &ResourceKey, desired: &HostState, observed: &Observation) -> bool {
    let ResourceKey::Address { device, address } = key else {
        return false;
    };
    let daemon = ResourceKey::KeepalivedDaemon;
    let Some(running) = observed.state.get(&daemon) else {
        return false;
    };
    let goes_on = match desired.get(&daemon) {
        Some(wanted) => wanted.resource == running.resource,
        None => !observed.manifest.as_ref().is_some_and(|manifest| manifest.owned.contains_key(&daemon)),
    };
    !goes_on && observed.lent.contains(&(device.clone(), *address))
}

/// Returns the manifest that a host has once it is as desired.
pub fn desired_manifest(desired: &HostState, observed: &Observation) -> Manifest {
    ownership::desired_manifest(desired, observed)
}

fn wish(id: &ResourceId, wanted: &Entry, live: Option<Resource>, manifest: &Manifest) -> Option<Change> {
    let known = manifest.owned.get(&id.key);
    let owned = known.filter(|owned| !owned.is_pending());
    let is_unchanged = |owned: &Owned| owned.digest == ownership::digest(&wanted.resource);
    let (action, reason) = match (&live, owned) {
        (None, None) => (Action::Create, Reason::New),
        (None, Some(owned)) if is_unchanged(owned) => (Action::Create, Reason::RemovedOnHost),
        (None, Some(_)) => (Action::Create, Reason::TopologyChanged),
        (Some(live), _) if *live == wanted.resource => return None,
        (Some(live), owned) => {
            let reason = match owned {
                None => Reason::Adopted,
                Some(owned) if is_unchanged(owned) => Reason::AlteredOnHost,
                Some(_) => Reason::TopologyChanged,
            };
            // keepalived takes its services along when it lets go of them; those of lvsctl it finds and leaves as they are.
            let leaves = (normalise::programmer(live), normalise::programmer(&wanted.resource))
                == (Some(Programmer::Keepalived), Some(Programmer::Lvsctl));
            (if leaves { Action::Replace } else { Action::Update }, reason)
        }
    };
    Some(Change {
        id: id.clone(),
        action,
        before: live,
        after: Some(wanted.resource.clone()),
        reason,
        previous: known.and_then(|owned| owned.previous.clone()),
        origin: wanted.origin,
    })
}

/// Tells whether a change is about what keepalived puts into the kernel, some time after it was told.
pub fn is_keepalived_programmed(change: &Change) -> bool {
    let resource = change.after.as_ref().or(change.before.as_ref());
    resource.and_then(normalise::programmer) == Some(Programmer::Keepalived)
}

#[cfg(test)]
mod tests;
