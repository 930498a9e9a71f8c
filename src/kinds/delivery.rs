//! How a real server comes to accept packets for a VIP, and what must be in place there before a director may send any.

use std::net::IpAddr;

use super::{fou, ids};
use crate::resource::{OWN_INTERFACE, ResourceId, Table};
use crate::topology::{Delivery, Family, Forwarding, Host, Server, SysctlKey, Topology, Tunnel, Vip};

/// The loopback interface.
pub const LOOPBACK: &str = "lo";

/// An interface at which tunnelled packets come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Its name; the module makes it, one in each network namespace.
    pub device: &'static str,
    /// The module.
    pub module: &'static str,
    /// Its sort, as the kernel calls it (`IFLA_INFO_KIND`).
    pub sort: &'static str,
}

const IPIP: TunnelEnd = TunnelEnd { device: "tunl0", module: "ipip", sort: "ipip" };
const IP6IP6: TunnelEnd = TunnelEnd { device: "ip6tnl0", module: "ip6_tunnel", sort: "ip6tnl" };
const GRE: TunnelEnd = TunnelEnd { device: "gre0", module: "ip_gre", sort: "gre" };
const IP6GRE: TunnelEnd = TunnelEnd { device: "ip6gre0", module: "ip6_gre", sort: "ip6gre" };

/// Returns the interface at which a server's packets come out of a tunnel, if its part in a VIP needs one.
///
/// What comes out of an envelope of UDP is IP in IP again (`gue_udp_recv` in `net/ipv4/fou_core.c`).
pub fn tunnel_end(vip: &Vip, server: &Server) -> Option<&'static TunnelEnd> {
    let is_needed = server.forwarding == Forwarding::Tun || server.delivery == Delivery::Tunnel;
    is_needed.then_some(match (Family::of(vip.address.value), server.tunnel) {
        (Family::Ipv4, Tunnel::Gre { .. }) => &GRE,
        (Family::Ipv6, Tunnel::Gre { .. }) => &IP6GRE,
        (Family::Ipv4, _) => &IPIP,
        (Family::Ipv6, _) => &IP6IP6,
    })
}

/// Returns the interface of a server that holds the VIP, if one does.
pub fn device(vip: &Vip, server: &Server) -> Option<&'static str> {
    match server.delivery {
        Delivery::Loopback => Some(LOOPBACK),
        Delivery::Tunnel => tunnel_end(vip, server).map(|end| end.device),
        Delivery::Dummy => Some(OWN_INTERFACE),
        Delivery::Redirect | Delivery::None => None,
    }
}

/// Tells whether a real server holds VIPs on an interface of this name; a director never does.
pub fn is_device(name: &str) -> bool {
    [LOOPBACK, OWN_INTERFACE].contains(&name) || [IPIP, IP6IP6, GRE, IP6GRE].iter().any(|end| end.device == name)
}

/// Returns the interface whose parameter a key is, if lvsctl makes it or brings it up.
pub fn interface_of(key: &SysctlKey) -> Option<&str> {
    let below = ["net/ipv4/conf/", "net/ipv6/conf/"].into_iter().find_map(|start| key.path().strip_prefix(start))?;
    below.split('/').next().filter(|name| *name != LOOPBACK && is_device(name))
}

/// Returns a host's parts in the services of a VIP.
pub fn parts<'a>(vip: &'a Vip, host: &Host) -> impl Iterator<Item = &'a Server> {
    let name = host.name.value.clone();
    let servers = vip.services.iter().flat_map(|service| &service.servers);
    servers.filter(move |server| server.host.value == name)
}

/// Returns the parameters that keep a host from answering ARP for VIPs on an interface. What counts is the larger of `all`
/// and the interface (`IN_DEV_MAXCONF` in `include/linux/inetdevice.h`).
pub fn quiet_arp(device: &str) -> impl Iterator<Item = SysctlKey> {
    let parameters = ["arp_ignore", "arp_announce"];
    parameters.into_iter().flat_map(move |name| ["all", device].map(|interface| SysctlKey::interface(interface, name)))
}

/// Returns the parameters that let packets out of a tunnel whose senders are reached another way; again the larger counts.
pub fn without_return_path(device: &str) -> impl Iterator<Item = SysctlKey> {
    ["all", device].into_iter().map(|interface| SysctlKey::interface(interface, "rp_filter"))
}

/// Returns the identities of what makes a server accept packets for a VIP; none for a server that lvsctl never logs in to.
pub fn requirements(topology: &Topology, vip: &Vip, server: &Server) -> Vec<ResourceId> {
    let managed = topology.hosts.get(&server.host.value).is_some_and(|host| host.managed);
    if !managed {
        return Vec::new();
    }
    let host = &server.host.value;
    let address: IpAddr = vip.address.value;
    let mut required: Vec<ResourceId> =
        device(vip, server).map(|device| ids::address(host, device, address)).into_iter().collect();
    if server.delivery == Delivery::Redirect {
        required.push(ids::chain(host, Family::of(address), Table::Nat));
    }
    if let Some(end) = tunnel_end(vip, server) {
        required.push(ids::link(host, end.device));
        required.extend(without_return_path(end.device).map(|key| ids::sysctl(host, key)));
    }
    if let Some((family, port)) = fou::port(server) {
        required.push(ids::fou_port(host, family, port));
    }
    if server.forwarding == Forwarding::Tun {
        required.push(ids::chain_out(host, Family::of(address), Table::Mangle));
    }
    if server.forwarding == Forwarding::Nat {
        required.push(ids::default_route(host, Family::of(server.address)));
    }
    required
}

/// Returns how many bytes of each packet the envelope of a tunnel takes (`ip_vs_tunnel_xmit` in `ip_vs_xmit.c`).
pub fn envelope(vip: &Vip, server: &Server) -> u16 {
    let header = match Family::of(vip.address.value) {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    };
    let further = match server.tunnel {
        Tunnel::Ipip => 0,
        // UDP and the header of GUE.
        Tunnel::Gue { .. } => 8 + 4,
        Tunnel::Gre { flags: 0 } => 4,
        Tunnel::Gre { .. } => 8,
    };
    header + further
}
