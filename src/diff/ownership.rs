//! What the manifest of a host is to say.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::normalise;
use crate::observe::Observation;
use crate::resource::{Action, Change, HostState, Manifest, Owned, Reason, Resource, ResourceId, ResourceKey};
use crate::topology::HostName;

/// Returns the digest of a resource as the manifest records it, over the real content of a file.
///
/// That of a daemon is over what it has read, so that a new file is told from a daemon that somebody else reloaded.
pub fn digest(resource: &Resource) -> String {
    hash(&text(resource))
}

fn text(resource: &Resource) -> String {
    match resource {
        Resource::File { text, mode } => format!("{mode:o} {}", text.expose().unwrap_or_else(|| text.masked())),
        Resource::Daemon { configuration } => format!("running {}", configuration.as_deref().unwrap_or_default()),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn hash(text: &str) -> String {
    let digits =
        |byte: &u8| [byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default());
    Sha256::digest(text.as_bytes()).iter().flat_map(digits).collect()
}

/// Returns the manifest that a host has once it is as desired.
///
/// What was there before lvsctl first came is recorded where giving the thing up means putting that back.
pub fn desired_manifest(desired: &HostState, observed: &Observation) -> Manifest {
    let before = observed.manifest.as_ref();
    // Most destinations of a large site are alike.
    let mut digests: HashMap<String, String> = HashMap::new();
    let mut digest = |resource: &Resource| {
        let text = text(resource);
        match digests.get(&text) {
            Some(digest) => digest.clone(),
            None => digests.entry(text).or_insert_with_key(|text| hash(text)).clone(),
        }
    };
    let owned = desired
        .iter()
        .map(|(key, entry)| {
            let known = before.and_then(|manifest| manifest.owned.get(key));
            let previous = match known {
                Some(known) => known.previous.clone(),
                None => observed.state.get(key).map(|live| live.resource.clone()).filter(is_put_back),
            };
            let programmer = normalise::programmer(&entry.resource);
            (key.clone(), Owned { digest: digest(&entry.resource), programmer, previous })
        })
        .collect();
    Manifest { owned, is_exposed: false }
}

fn is_put_back(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::Sysctl(_)
            | Resource::Timeout(_)
            | Resource::Switch(_)
            | Resource::DefaultRoute { .. }
            | Resource::Link { .. }
    )
}

/// Tells whether a value that is put back when it is given up is neither the one that lvsctl set nor the one from before.
pub fn is_somebody_elses(live: &Resource, owned: &Owned) -> bool {
    is_put_back(live) && !owned.is_pending() && owned.digest != digest(live) && owned.previous.as_ref() != Some(live)
}

/// Returns the change of the manifest itself, if it has to change.
pub fn manifest_change(host: &HostName, desired: &HostState, observed: &Observation) -> Option<Change> {
    let before = observed.manifest.clone();
    let after = Some(desired_manifest(desired, observed)).filter(|manifest| !manifest.owned.is_empty());
    let action = match (&before, &after) {
        (None, None) => return None,
        (Some(before), Some(after)) if before == after => return None,
        (None, Some(_)) => Action::Create,
        (Some(_), Some(_)) => Action::Update,
        (Some(_), None) => Action::Delete,
    };
    let same_record = before.as_ref().map(|manifest| &manifest.owned) == after.as_ref().map(|manifest| &manifest.owned);
    let reason = match action {
        // Only its mode is not as it was written.
        _ if same_record => Reason::AlteredOnHost,
        Action::Create => Reason::New,
        Action::Delete => Reason::RemovedFromTopology,
        _ => Reason::TopologyChanged,
    };
    Some(Change {
        id: ResourceId::new(host, ResourceKey::Manifest),
        action,
        before: before.map(Resource::Manifest),
        after: after.map(Resource::Manifest),
        reason,
        previous: None,
        origin: None,
    })
}
