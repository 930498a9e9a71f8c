//! What must be in place on a real server before a director may send it packets.

use std::net::IpAddr;

use super::ids;
use crate::resource::{ResourceId, Table};
use crate::topology::{Delivery, Family, Forwarding, Server, Topology, Vip};

/// Returns the identities of what makes a server accept packets for a VIP; none for a server that lvsctl never logs in to.
pub fn requirements(topology: &Topology, vip: &Vip, server: &Server) -> Vec<ResourceId> {
    let managed = topology.hosts.get(&server.host.value).is_some_and(|host| host.managed);
    if !managed {
        return Vec::new();
    }
    let host = &server.host.value;
    let address: IpAddr = vip.address.value;
    let delivered = match server.delivery {
        Delivery::Loopback => Some(ids::address(host, "lo", address)),
        Delivery::Redirect => Some(ids::chain(host, Family::of(address), Table::Nat)),
        Delivery::None => None,
    };
    let routed = (server.forwarding == Forwarding::Nat).then(|| ids::default_route(host, Family::of(server.address)));
    delivered.into_iter().chain(routed).collect()
}
