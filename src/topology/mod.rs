//! The operator's model: hosts, failovers, VIPs, virtual services and real servers, resolved and free of syntax.
//!
//! `decode` turns a document into these types and `resolve` fills in defaults, follows names and checks what a single
//! node cannot know. Every value that an operator can write wrongly keeps its span. What the kernel and keepalived make
//! of a topology is decided later, by the kinds of resource; nothing here knows them.

mod conceal;
pub mod decode;
mod failover;
mod failover_options;
mod floating;
#[cfg(test)]
pub mod fixture;
pub mod grammar;
mod host;
mod load;
mod name;
pub mod resolve;
mod secret;
mod service;
mod supervision;
mod sync;
mod tuning;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

pub use failover::{Email, Failover, Member, Preemption, VrrpVersion};
pub use failover_options::{FailoverOptions, FloatingAddress, FloatingRoute, Garp, Script, StateNotify, SyncGroup};
pub use floating::Floating;
pub use host::{Connection, Host, Interface, MacAddress, Role};
pub use load::{Loaded, load};
pub use name::{Family, HostName, SysctlKey};
pub use secret::{Secret, SecretReference, SecretText, SecretValues, TextPiece};
pub use service::{
    Check, CheckKind, Delivery, DnsCheck, Forwarding, HttpCheck, Listen, OnFailure, Persistence, PortRange, Protocol,
    Scheduler, ScriptCheck, Server, Service, Tunnel, UdpCheck, Vip, VipHolder,
};
pub use supervision::{Command, Notify, Quorum, SorryServer, Supervision};
pub use sync::{OwnSyncDaemon, OwnSyncDaemons, SyncDaemon, SyncOptions, SyncState};
pub use tuning::{IpvsTimeout, Offload, Offloads, Tuning};

use crate::source::Spanned;

/// A whole site: every host, who fails over to whom, and what is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Directors and real servers by name.
    pub hosts: BTreeMap<HostName, Host>,
    /// Failover groups by name.
    pub failovers: BTreeMap<String, Failover>,
    /// Failovers that move together, by the group's name.
    pub sync_groups: BTreeMap<String, SyncGroup>,
    /// VIPs by address.
    pub vips: BTreeMap<IpAddr, Vip>,
    /// Where keepalived sends its mail, if anywhere.
    pub email: Option<Spanned<Email>>,
    /// How long hosts wait for the confirmation of an apply, if the policy says so.
    pub confirm: Option<Duration>,
}

impl Topology {
    /// Returns the hosts of one role in the order of their names.
    pub fn hosts_of(&self, role: Role) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(move |host| host.role == role)
    }

    /// Returns the hosts that lvsctl logs in to, in the order of their names.
    pub fn managed_hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.managed)
    }

    /// Returns every service with its VIP, VIPs by address and services as written.
    pub fn services(&self) -> impl Iterator<Item = (&Vip, &Service)> {
        self.vips.values().flat_map(|vip| vip.services.iter().map(move |service| (vip, service)))
    }

    /// Returns the directors that can hold a VIP, the preferred one first.
    pub fn holders<'a>(&'a self, vip: &'a Vip) -> Vec<&'a HostName> {
        match &vip.holder {
            VipHolder::Director(name) => vec![&name.value],
            VipHolder::Failover(name) => self.failovers.get(&name.value).map(Failover::by_priority).unwrap_or_default(),
        }
    }

    /// Returns the VIPs that a director can hold, in the order of their addresses.
    pub fn vips_of<'a>(&'a self, director: &'a HostName) -> impl Iterator<Item = &'a Vip> {
        self.vips.values().filter(move |vip| self.holders(vip).contains(&director))
    }

    /// Returns the failovers that a director takes part in, in the order of their names.
    pub fn failovers_of<'a>(&'a self, director: &'a HostName) -> impl Iterator<Item = &'a Failover> {
        self.failovers.values().filter(move |failover| failover.members.contains_key(director))
    }
}
