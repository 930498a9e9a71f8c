//! What can be on a host: its identity, its configuration, and the two together with where they come from.
//!
//! A [`ResourceKey`] says which thing it is and never changes; a [`Resource`] says how it is. An [`Entry`] of the desired
//! state knows what must be there before it and the span of the topology that asks for it.

mod boot;
mod change;
mod key;
mod manifest;
mod rule;
mod value;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use boot::{BOOT_HEADER, BootContent, BootFile};
pub use change::{Action, Change, Reason};
pub use key::{OWN_CHAIN, OWN_CHAIN_OUT, OWN_INTERFACE, ResourceKey, Table};
pub use manifest::{Manifest, ManifestLine, Owned};
pub use rule::{ChainRule, PortMatch, RuleTarget, ServiceRule};
pub use value::{Programmer, Resource};

use crate::source::Span;
use crate::topology::HostName;

/// Identifies a thing on a host; prints as `lb01/ipvs/fwm:1/10.4.1.151:80`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceId {
    /// The host.
    pub host: HostName,
    /// The thing.
    pub key: ResourceKey,
}

impl ResourceId {
    /// Names a thing on a host.
    pub fn new(host: &HostName, key: ResourceKey) -> Self {
        ResourceId { host: host.clone(), key }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.key)
    }
}

/// In what a live destination may differ from the desired one because of its health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It is taken out of the table while its check fails.
    #[default]
    Presence,
    /// It is kept with weight 0 while its check fails.
    Weight,
    /// It is in the table only while too few others are well.
    Standby,
}

/// A thing on a host, desired or observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which one.
    pub key: ResourceKey,
    /// How it is, or is to be.
    pub resource: Resource,
    /// What must be there before it, on whichever host.
    pub requires: Vec<ResourceId>,
    /// What in the topology asks for it.
    pub origin: Option<Span>,
    /// How long destinations of this service may finish when they are taken out, where the topology says so.
    pub drain: Option<Duration>,
    /// Connections that a live destination carries: active and inactive.
    pub connections: Option<(u32, u32)>,
    /// What keepalived does with a desired destination that it watches.
    pub health: Health,
}

impl Entry {
    /// Makes an entry that requires nothing and comes from nowhere, as an observed one.
    pub fn new(key: ResourceKey, resource: Resource) -> Self {
        let requires = Vec::new();
        Entry { key, resource, requires, origin: None, drain: None, connections: None, health: Health::Presence }
    }

    /// Sets the span that asks for it.
    pub fn origin(mut self, span: Span) -> Self {
        self.origin = Some(span);
        self
    }

    /// Sets what health does to it.
    pub fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// Adds something that must be there before.
    pub fn requires(mut self, id: ResourceId) -> Self {
        if !self.requires.contains(&id) {
            // Most require one thing or two, and a list that grows by itself begins with room for four.
            if self.requires.len() < 4 {
                self.requires.reserve_exact(1);
            }
            self.requires.push(id);
        }
        self
    }

    /// Adds many things that must be there before. Each is looked up and not looked for: an address can require thousands.
    pub fn requires_all(mut self, ids: impl IntoIterator<Item = ResourceId>) -> Self {
        let mut known: HashSet<ResourceId> = self.requires.iter().cloned().collect();
        self.requires.extend(ids.into_iter().filter(|id| known.insert(id.clone())));
        self
    }
}

/// Everything of interest on one host, in the order of the keys.
pub type HostState = BTreeMap<ResourceKey, Entry>;
