//! What a failover may ask of keepalived beyond who takes part.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::source::Spanned;

/// The options of a failover; without any, keepalived's own defaults hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailoverOptions {
    /// The address of adverts, which is that of one director.
    pub source_address: Option<Spanned<IpAddr>>,
    /// Gratuitous ARP.
    pub garp: Garp,
    /// Interfaces whose loss makes a director give up the VIPs.
    pub tracked_interfaces: Vec<Spanned<String>>,
    /// Routes that only the master has.
    pub routes: Vec<FloatingRoute>,
    /// Floating addresses that serve no virtual service.
    pub addresses: Vec<FloatingAddress>,
    /// Floating addresses that adverts do not name.
    pub unadvertised: Vec<Spanned<IpAddr>>,
    /// Lines that are copied into the `vrrp_instance`.
    pub raw: Vec<Spanned<String>>,
}

impl FailoverOptions {
    /// Tells whether adverts name an address.
    pub fn advertises(&self, address: IpAddr) -> bool {
        self.unadvertised.iter().all(|excluded| excluded.value != address)
    }
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
