//! Addresses that belong to hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::source::{Problem, Problems, Span};
use crate::topology::Topology;

/// Refuses an address that two hosts declare.
pub fn check(topology: &Topology, problems: &mut Problems) {
    let mut first_of: BTreeMap<IpAddr, Span> = BTreeMap::new();
    let mut addresses: Vec<_> = topology.hosts.values().flat_map(|host| &host.addresses).collect();
    addresses.sort_by_key(|address| address.span);
    for address in addresses {
        match first_of.get(&address.addr()) {
            Some(first) => problems.push(
                Problem::error("duplicate-address", format!("Two hosts have the address {}", address.addr()))
                    .label(address.span, "given again")
                    .label(*first, "given first")
                    .help("Give one of the two hosts another address"),
            ),
            None => {
                first_of.insert(address.addr(), address.span);
            }
        }
    }
}
