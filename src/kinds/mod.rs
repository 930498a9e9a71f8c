//! The kinds of resource: each knows how one sort of thing is desired, observed and changed.
//!
//! A kind does no input or output. It COMPILES a topology into entries, EMITS probes and PARSES their answers into
//! entries, and turns a change into effects; a host performs those. To add a kind, add a folder or a file here, write its
//! [`Kind`] and put one line into [`registry`]; `tests/layering.rs` fails if the line is forgotten.

pub mod address;
pub mod boot;
pub mod chain;
pub mod delivery;
#[cfg(test)]
mod fixture;
pub mod fou;
pub mod ids;
pub mod manifest;
pub mod interface;
pub mod ipvs;
pub mod keepalived;
pub mod link;
pub mod module;
pub mod module_options;
pub mod offload;
pub mod route;
pub mod sync_daemon;
pub mod sysctl;
pub mod timeout;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::effect::{Answer, Capabilities, Effect, Probe, ServiceKey};
use crate::resource::{Change, Entry, HostState, ResourceKey};
use crate::source::Problems;
use crate::topology::{Host, HostName, SecretValues, Topology};

/// A topology together with what had to be looked up outside it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// What the operator wrote.
    pub topology: &'a Topology,
    /// What each host that was reached is like; empty when no host is contacted.
    pub facts: &'a BTreeMap<HostName, Capabilities>,
    /// The secrets that were looked up.
    pub secrets: &'a SecretValues,
}

impl<'a> Site<'a> {
    /// Returns the name of a host's interface: the declared one, or the one that holds its first address.
    pub fn interface_of(&self, host: &'a Host) -> Option<&'a str> {
        if let Some(interface) = &host.interface {
            return Some(&interface.name.value);
        }
        let first = host.addresses.first()?.addr();
        self.facts.get(&host.name.value)?.link_with(first).map(|link| link.name.as_str())
    }
}

/// What a kind may look at when it observes a host.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// What the host has.
    pub capabilities: &'a Capabilities,
    /// Everything that is desired or owned there; a kind may return more, which is then foreign.
    pub keys: &'a BTreeSet<ResourceKey>,
}

/// What a kind may look at when it turns a change into effects.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What the host has.
    pub capabilities: &'a Capabilities,
    /// Everything that changes on this host in the same plan.
    pub changed: &'a BTreeSet<ResourceKey>,
    /// How everything on this host is to be.
    pub desired: &'a HostState,
    /// How everything on this host was before the plan.
    pub observed: &'a HostState,
    /// The virtual services that are put up ahead of keepalived, each with those whose place it takes.
    pub ahead: &'a BTreeMap<ServiceKey, BTreeSet<ServiceKey>>,
}

/// An answer that a kind could not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}: {message}")]
pub struct ParseError {
    /// The kind's name.
    pub kind: &'static str,
    /// What could not be read.
    pub message: String,
}

/// One sort of thing on a host.
pub trait Kind: Sync {
    /// Returns the kind's name, which is the first part of its keys.
    fn name(&self) -> &'static str;

    /// Tells whether a key is of this kind.
    fn owns(&self, key: &ResourceKey) -> bool;

    /// Returns what the topology asks for on a host, with requires edges and spans.
    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry>;

    /// Returns the questions whose answers tell how things are; asking them changes nothing.
    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe>;

    /// Returns how things are, in canonical form; `answers` holds those to this kind's own probes, in their order.
    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError>;

    /// Returns what makes a change true. `plan::undo` says what takes each effect back, some by those of [`Change::inverse`].
    fn effects(&self, change: &Change, context: &Context<'_>) -> Vec<Effect>;
}

/// Returns every kind, in the order in which a host is observed.
pub fn registry() -> &'static [&'static dyn Kind] {
    &[
        &manifest::ManifestKind,
        &module_options::ModuleOptionsKind,
        &module::ModuleKind,
        &link::LinkKind,
        &fou::FouKind,
        &sysctl::SysctlKind,
        &timeout::TimeoutKind,
        &offload::OffloadKind,
        &address::AddressKind,
        &route::RouteKind,
        &chain::ChainKind,
        &ipvs::IpvsKind,
        &sync_daemon::SyncDaemonKind,
        &keepalived::KeepalivedKind,
        &boot::BootKind,
    ]
}
