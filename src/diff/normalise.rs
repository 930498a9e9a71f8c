//! Takes out of a comparison what is not lvsctl's to decide.
//!
//! The kernel does not say who programmed a virtual service, so the manifest does, and else the topology. Presence and
//! weight 0 of a destination that keepalived watches are health: keepalived removed it, or inhibited it, because its check
//! failed. A weight of 0 is so only where keepalived is to inhibit; otherwise somebody else has set it. That holds only while the service itself is there, keepalived runs, and the destination was put there before;
//! otherwise the destination is missing because nobody has put it there yet.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::effect::SyncDaemonConfig;
use crate::observe::Observation;
use crate::resource::{
    BootContent, BootFile, Entry, Health, HostState, Manifest, Owned, Programmer, Resource, ResourceId, ResourceKey,
};

/// A state of a live host that differs from the topology and is right all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuntimeState {
    /// Which thing.
    pub id: ResourceId,
    /// What is to be said of it.
    pub state: String,
}

/// Returns who programs a virtual service or a destination.
pub fn programmer(resource: &Resource) -> Option<Programmer> {
    match resource {
        Resource::IpvsService { programmer, .. } | Resource::IpvsDestination { programmer, .. } => Some(*programmer),
        _ => None,
    }
}

/// Returns a live resource with the programmer that the manifest knows, or else the desired one, and without what the
/// operator leaves to the kernel.
pub fn with_programmer(live: &Resource, wanted: &Resource, owned: Option<&Owned>) -> Resource {
    if let (Resource::SyncDaemon(live), Resource::SyncDaemon(SyncDaemonConfig { maxlen: None, .. })) = (live, wanted) {
        // The kernel works it out from the interface.
        return Resource::SyncDaemon(SyncDaemonConfig { maxlen: None, ..live.clone() });
    }
    if let (Resource::BootFiles(live), Resource::BootFiles(wanted)) = (live, wanted) {
        return own_files(live, |file| wanted.contains_key(file));
    }
    let known = owned.and_then(|owned| owned.programmer).or_else(|| programmer(wanted));
    replace_programmer(live, known)
}

/// Returns a live resource with the programmer that the manifest knows.
pub fn with_owner(live: &Resource, owned: &Owned) -> Resource {
    match live {
        Resource::BootFiles(live) => own_files(live, |_| false),
        live => replace_programmer(live, owned.programmer),
    }
}

/// Returns the files without those that somebody else wrote and whose place lvsctl does not need: they stay.
fn own_files(live: &BTreeMap<BootFile, BootContent>, is_wanted: impl Fn(&BootFile) -> bool) -> Resource {
    let own = live.iter().filter(|(file, content)| is_wanted(file) || !file.is_foreign(content));
    Resource::BootFiles(own.map(|(file, content)| (*file, content.clone())).collect())
}

fn replace_programmer(live: &Resource, known: Option<Programmer>) -> Resource {
    let mut resource = live.clone();
    if let (Resource::IpvsService { programmer, .. } | Resource::IpvsDestination { programmer, .. }, Some(known)) =
        (&mut resource, known)
    {
        *programmer = known;
    }
    resource
}

/// Returns what is to be said of a destination whose difference is its health.
pub fn health(
    id: &ResourceId,
    wanted: &Entry,
    live: Option<&Entry>,
    (desired, observed): (&HostState, &Observation),
    manifest: &Manifest,
) -> Option<RuntimeState> {
    let Resource::IpvsDestination { config: wish, programmer: Programmer::Keepalived } = &wanted.resource else {
        return None;
    };
    let ResourceKey::IpvsDestination(service, _) = &id.key else {
        return None;
    };
    let standing_in = || {
        observed.state.keys().any(|key| {
            let of_service = matches!(key, ResourceKey::IpvsDestination(of, _) if of == service);
            of_service && desired.get(key).is_some_and(|entry| entry.health == Health::Standby)
        })
    };
    let say = |state: &str| Some(RuntimeState { id: id.clone(), state: state.to_owned() });
    match live.map(|entry| &entry.resource) {
        Some(_) if wanted.health == Health::Standby => say("in the table: the quorum is lost"),
        None => {
            let running = observed.state.contains_key(&ResourceKey::KeepalivedDaemon);
            let serving = observed.state.contains_key(&ResourceKey::IpvsService(*service));
            let was_there = manifest
                .owned
                .get(&id.key)
                .is_some_and(|owned| owned.programmer == Some(Programmer::Keepalived) && !owned.is_pending());
            (running && serving && (was_there || settled(observed, desired)))
                .then(|| match standing_in() {
                    true => say("out of the table: the sorry server stands in"),
                    false => say("out of the table: keepalived's check fails"),
                })
                .flatten()
        }
        Some(Resource::IpvsDestination { config, .. })
            if wanted.health == Health::Weight && config.weight == 0 && wish.weight != 0 =>
        {
            let mut healthy = config.clone();
            healthy.weight = wish.weight;
            (healthy == *wish).then(|| say("weight 0: keepalived's check fails")).flatten()
        }
        Some(_) => None,
    }
}

/// Tells whether keepalived has read the very configuration that is desired, and so has put there what it is going to.
fn settled(observed: &Observation, desired: &HostState) -> bool {
    [ResourceKey::KeepalivedConfiguration, ResourceKey::KeepalivedDaemon].iter().all(|key| {
        let live = observed.state.get(key).map(|entry| &entry.resource);
        live.is_some() && live == desired.get(key).map(|entry| &entry.resource)
    })
}
