//! What a failover may ask of keepalived beyond who takes part.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::source::{Span, Spanned};

/// The options of a failover; without any, keepalived's own defaults hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailoverOptions {
    /// The address of adverts, which is that of one director.
    pub source_address: Option<Spanned<IpAddr>>,
    /// Gratuitous ARP.
    pub garp: Garp,
    /// Interfaces whose loss makes a director give up the VIPs.
    pub tracked_interfaces: Vec<Spanned<String>>,
    /// Scripts whose failure gives up the VIPs or lowers the priority, by name.
    pub tracked_scripts: Vec<Spanned<String>>,
    /// What these scripts are.
    pub scripts: Vec<Script>,
    /// Programs that are told of a change of state.
    pub notify: StateNotify,
    /// Routes that only the master has.
    pub routes: Vec<FloatingRoute>,
    /// Floating addresses that serve no virtual service.
    pub addresses: Vec<FloatingAddress>,
    /// Floating addresses that adverts do not name.
    pub unadvertised: Vec<Spanned<IpAddr>>,
    /// Where it is written that the VIPs have a hardware address of their own, which moves with them.
    pub virtual_mac: Option<Span>,
    /// Lines that are copied into the `vrrp_instance`.
    pub raw: Vec<Spanned<String>>,
}

impl FailoverOptions {
    /// Tells whether adverts name an address.
    pub fn advertises(&self, address: IpAddr) -> bool {
        self.unadvertised.iter().all(|excluded| excluded.value != address)
    }
}

/// Failovers that change their master together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// The group's name.
    pub name: Spanned<String>,
    /// The names of its failovers.
    pub failovers: Vec<Spanned<String>>,
}

/// How a new master makes itself known; `None` leaves keepalived's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Garp {
    /// When packets are sent a second time, in whole seconds.
    pub delay: Option<Duration>,
    /// How many are sent at a time.
    pub repeat: Option<u8>,
    /// How often a master repeats them, in whole seconds.
    pub refresh: Option<Duration>,
}

/// A script that watches something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its name.
    pub name: Spanned<String>,
    /// The program with its arguments.
    pub run: Spanned<String>,
    /// How often it runs, in whole seconds.
    pub interval: Duration,
    /// What is added to the priority: while it fails if below 0, while it succeeds if above.
    pub weight: Spanned<i16>,
    /// Successes in a row until it counts as well.
    pub rise: u32,
    /// Failures in a row until it counts as failed.
    pub fall: u32,
    /// Who runs it.
    pub user: String,
}

impl Script {
    /// Tells whether another script does the same under the same name.
    pub fn is_same(&self, other: &Script) -> bool {
        let of = |script: &Script| {
            let Script { name, run, interval, weight, rise, fall, user } = script.clone();
            (name.value, run.value, interval, weight.value, rise, fall, user)
        };
        of(self) == of(other)
    }
}

/// Programs that are told of a change of state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateNotify {
    /// Told of becoming master.
    pub master: Option<Spanned<String>>,
    /// Told of becoming backup.
    pub backup: Option<Spanned<String>>,
    /// Told of a failure of what is tracked.
    pub fault: Option<Spanned<String>>,
    /// Told of everything.
    pub any: Option<Spanned<String>>,
    /// Who runs them; root if absent.
    pub user: Option<String>,
}

/// A route that moves with the VIPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatingRoute {
    /// Where it leads.
    pub network: Spanned<IpNet>,
    /// The gateway.
    pub via: Spanned<IpAddr>,
}

/// An address that moves with the VIPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatingAddress {
    /// The address with its prefix.
    pub network: Spanned<IpNet>,
    /// The interface; `None` means the failover's.
    pub interface: Option<Spanned<String>>,
}
