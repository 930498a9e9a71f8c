//! The addresses that move with a failover's master: its VIPs, and those that serve nothing.

use std::net::IpAddr;

use super::{Failover, Family, FloatingAddress, Host, HostName, Topology, Vip, VipHolder};
use crate::source::Spanned;

/// An address that moves with the master.
#[derive(Clone, Copy, Debug)]
pub enum Floating<'a> {
    /// A VIP.
    Vip(&'a Vip),
    /// An address that serves no virtual service.
    Further(&'a FloatingAddress),
}

impl Floating<'_> {
    /// Returns the address.
    pub fn address(&self) -> Spanned<IpAddr> {
        match self {
            Floating::Vip(vip) => vip.address,
            Floating::Further(further) => further.network.map(|network| network.addr()),
        }
    }

    /// Returns the length of its prefix.
    pub fn prefix(&self) -> u8 {
        match self {
            Floating::Vip(vip) => vip.prefix,
            Floating::Further(further) => further.network.prefix_len(),
        }
    }
}

impl Topology {
    /// Returns what moves with a failover's master: VIPs in the order of addresses, then further addresses as written.
    pub fn floating<'a>(&'a self, failover: &'a Failover) -> impl Iterator<Item = Floating<'a>> + Clone {
        let vips = self.vips.values();
        let own =
            vips.filter(|vip| matches!(&vip.holder, VipHolder::Failover(name) if name.value == failover.name.value));
        own.map(Floating::Vip).chain(failover.options.addresses.iter().map(Floating::Further))
    }

    /// Returns those of them that adverts name.
    pub fn advertised<'a>(&'a self, failover: &'a Failover) -> impl Iterator<Item = Floating<'a>> + Clone {
        self.floating(failover).filter(|floating| failover.options.advertises(floating.address().value))
    }

    /// Returns the family that a failover's VRRP speaks: that of its first advertised address.
    pub fn family_of(&self, failover: &Failover) -> Option<Family> {
        self.advertised(failover).next().map(|floating| Family::of(floating.address().value))
    }
}

impl Topology {
    /// Returns the interface that keepalived makes for a failover's hardware address, if it has one; IPv6 is a router of its own.
    pub fn virtual_interface(&self, failover: &Failover) -> Option<String> {
        failover.options.virtual_mac?;
        let sort = match self.family_of(failover)? {
            Family::Ipv4 => "vrrp",
            Family::Ipv6 => "vrrp6",
        };
        Some(format!("{sort}.{}", failover.virtual_router_id.value))
    }

    /// Returns the same for one address: what names an interface of its own, or is of the other family, stays on a real one.
    pub fn virtual_interface_of(&self, failover: &Failover, floating: Floating<'_>) -> Option<String> {
        let elsewhere = match floating {
            Floating::Vip(vip) => vip.interface.is_some(),
            Floating::Further(further) => further.interface.is_some(),
        };
        let same_family = self.family_of(failover) == Some(Family::of(floating.address().value));
        (same_family && !elsewhere).then(|| self.virtual_interface(failover)).flatten()
    }
}

impl Failover {
    /// Returns the address that is written for a director's adverts: its own, else the failover's if that is its own.
    pub fn source_address(&self, director: &HostName, host: &Host) -> Option<Spanned<IpAddr>> {
        let shared = || self.options.source_address.filter(|address| host.declares(address.value));
        self.members.get(director)?.source_address.or_else(shared)
    }
}
