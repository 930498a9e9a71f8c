//! Reads a host: asks the probes of every kind and has them parse the answers.
//!
//! The manifest comes first, because what lvsctl owns has to be looked at even when the topology no longer asks for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::effect::{Answer, Capabilities};
use crate::host::{Host, HostError};
use crate::kinds::manifest::ManifestKind;
use crate::kinds::{Kind, ParseError, Scope, keepalived, registry};
use crate::resource::{HostState, Manifest, Resource, ResourceKey};

/// What was read from one host.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// What the host has.
    pub capabilities: Capabilities,
    /// Everything of interest, canonical and ordered, the manifest included.
    pub state: HostState,
    /// What lvsctl put there; `None` if it never came.
    pub manifest: Option<Manifest>,
    /// The VIPs that keepalived holds here now, with their interfaces.
    pub held: Vec<(String, IpAddr)>,
    /// The addresses that keepalived's file has it hold here, with their interfaces.
    pub lent: BTreeSet<(String, IpAddr)>,
}

/// A host that could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObserveError {
    /// The host did not answer a question.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The host answered something that cannot be understood.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

impl ObserveError {
    /// Returns what to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            ObserveError::Host(error) => error.help(),
            ObserveError::Parse(error) if error.kind == "manifest" => Some(
                "Restore the file from a backup; without it lvsctl takes over what is as the topology says, and no longer \
                 knows what else it put there"
                    .into(),
            ),
            ObserveError::Parse(_) => None,
        }
    }
}

/// Reads everything of interest on a host: what is desired, what is owned, and what is foreign.
pub fn observe(
    host: &mut dyn Host,
    capabilities: &Capabilities,
    desired: Option<&HostState>,
) -> Result<Observation, ObserveError> {
    let mut keys: BTreeSet<ResourceKey> = desired.into_iter().flat_map(|state| state.keys().cloned()).collect();
    let recorded = ask(host, &ManifestKind, &Scope { capabilities, keys: &keys })?;
    let manifest = recorded.into_iter().find_map(|entry| match entry.resource {
        Resource::Manifest(manifest) => Some(manifest),
        _ => None,
    });
    keys.extend(manifest.iter().flat_map(|manifest| manifest.owned.keys().cloned()));
    let scope = Scope { capabilities, keys: &keys };
    let mut state = HostState::new();
    for kind in registry() {
        state.extend(ask(host, *kind, &scope)?.into_iter().map(|entry| (entry.key.clone(), entry)));
    }
    let lent = match state.get(&ResourceKey::KeepalivedConfiguration).map(|entry| &entry.resource) {
        Some(Resource::File { text, .. }) => keepalived::addresses(text),
        _ => BTreeSet::new(),
    };
    // What keepalived holds is its business.
    state.retain(|key, _| match key {
        ResourceKey::Address { device, address } => keys.contains(key) || !lent.contains(&(device.clone(), *address)),
        _ => true,
    });
    Ok(Observation { capabilities: capabilities.clone(), state, manifest, held: Vec::new(), lent })
}

fn ask(host: &mut dyn Host, kind: &dyn Kind, scope: &Scope<'_>) -> Result<Vec<crate::resource::Entry>, ObserveError> {
    let answers =
        kind.probes(scope).iter().map(|probe| host.probe(probe)).collect::<Result<Vec<Answer>, HostError>>()?;
    Ok(kind.parse(scope, &answers)?)
}
