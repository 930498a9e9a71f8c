//! Digests of what a plan rests on and of the plan itself.
//!
//! Counters and what a health check owns are left out, or every plan would be stale at once. Secrets are masked: a digest
//! of a short password in a plan would give it away.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{HostStatus, Plan};
use crate::observe::Observation;
use crate::resource::{Programmer, Resource, ResourceKey};

/// Returns the digest of an observed state.
pub fn observation(observation: &Observation) -> String {
    let owned = observation.manifest.as_ref().map(|manifest| &manifest.owned);
    let watched = |key: &ResourceKey| {
        owned.and_then(|owned| owned.get(key)).is_some_and(|owned| owned.programmer == Some(Programmer::Keepalived))
    };
    let lines: BTreeMap<String, String> = observation
        .state
        .iter()
        .filter(|(key, _)| !(watched(key) && matches!(key, ResourceKey::IpvsDestination(..))))
        .map(|(key, entry)| {
            let value = match &entry.resource {
                Resource::Manifest(manifest) => {
                    manifest.owned.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
                }
                resource => serde_json::to_string(resource).unwrap_or_default(),
            };
            (key.to_string(), value)
        })
        .collect();
    hash(&serde_json::to_string(&lines).unwrap_or_default())
}

/// Returns the digest of a plan: its hosts' digests and its changes in order.
pub fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (host, status) in &plan.hosts {
        let digest = match status {
            HostStatus::Read { digest } => digest,
            HostStatus::Unread { .. } => "unread",
        };
        text.push_str(&format!("{host} {digest}\n"));
    }
    for step in &plan.steps {
        let change = &step.change;
        let after = match &change.after {
            Some(Resource::Manifest(_)) | None => String::new(),
            Some(resource) => serde_json::to_string(resource).unwrap_or_default(),
        };
        text.push_str(&format!("{} {:?} {after}\n", change.id, change.action));
    }
    hash(&text)
}

fn hash(text: &str) -> String {
    let hexadecimal: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hexadecimal}")
}
