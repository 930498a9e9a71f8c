//! The addresses that a rehearsal adds to those of the site: the gateway's, the client's and those of further interfaces.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::topology::Topology;

/// Networks for the client, in the order of preference: documentation (RFC 5737), benchmarking (RFC 2544), private.
const OUTSIDE_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(198, 51, 100, 0),
    Ipv4Addr::new(203, 0, 113, 0),
    Ipv4Addr::new(192, 0, 2, 0),
    Ipv4Addr::new(198, 19, 255, 0),
    Ipv4Addr::new(10, 255, 255, 0),
];

/// The same for IPv6: documentation (RFC 3849), unique local (RFC 4193).
const OUTSIDE_V6: &[Ipv6Addr] =
    &[Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0), Ipv6Addr::new(0xfdff, 0xffff, 0xffff, 0, 0, 0, 0, 0)];

/// How many addresses of a network are looked at for a free one.
const TRIES: u32 = 4096;

/// The ends of the wire between gateway and client; the gateway has the first address and the client the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// The IPv4 network.
    pub v4: Ipv4Net,
    /// The IPv6 network.
    pub v6: Ipv6Net,
}

impl Outside {
    /// Returns the gateway's addresses.
    pub fn gateway(&self) -> [IpNet; 2] {
        self.numbered(1)
    }

    /// Returns the client's addresses.
    pub fn client(&self) -> [IpNet; 2] {
        self.numbered(2)
    }

    fn numbered(&self, number: u8) -> [IpNet; 2] {
        let v4 = Ipv4Addr::from_bits(self.v4.network().to_bits() | u32::from(number));
        let v6 = Ipv6Addr::from_bits(self.v6.network().to_bits() | u128::from(number));
        [with_prefix(v4.into(), self.v4.prefix_len()), with_prefix(v6.into(), self.v6.prefix_len())]
    }
}

/// Chooses networks for the client that the site does not use.
pub fn outside(topology: &Topology) -> Outside {
    let used: Vec<IpNet> = networks(topology).into_iter().chain(vips(topology).map(IpNet::from)).collect();
    let is_free = |net: &IpNet| !used.iter().any(|other| other.contains(net) || net.contains(other));
    let choose = |candidates: Vec<IpNet>| candidates.iter().copied().find(is_free).or(candidates.first().copied());
    let v4 = choose(OUTSIDE_V4.iter().map(|address| with_prefix((*address).into(), 24)).collect());
    let v6 = choose(OUTSIDE_V6.iter().map(|address| with_prefix((*address).into(), 64)).collect());
    match (v4, v6) {
        (Some(IpNet::V4(v4)), Some(IpNet::V6(v6))) => Outside { v4, v6 },
        _ => Outside { v4: Ipv4Net::default(), v6: Ipv6Net::default() },
    }
}

/// Chooses the gateway's address in each network of the site: the last one that nobody has.
pub fn gateway(topology: &Topology) -> Vec<IpNet> {
    let declared = topology.hosts.values().flat_map(|host| &host.addresses).map(|network| network.addr());
    let taken: BTreeSet<IpAddr> = declared.chain(vips(topology)).collect();
    networks(topology).into_iter().filter_map(|network| last_free(network, &taken)).collect()
}

/// Returns a host's address on an interface to which the topology gives none (RFC 2544).
pub fn private(segment: usize, host: usize) -> IpNet {
    let number = ((segment as u32 & 0x7f) << 10) | ((host as u32 + 1) & 0x3ff);
    with_prefix(Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() | number).into(), 22)
}

fn networks(topology: &Topology) -> BTreeSet<IpNet> {
    let declared = topology.hosts.values().flat_map(|host| &host.addresses);
    declared.map(|network| network.trunc()).filter(|network| network.prefix_len() < network.max_prefix_len()).collect()
}

fn vips(topology: &Topology) -> impl Iterator<Item = IpAddr> {
    topology.vips.keys().copied()
}

fn last_free(network: IpNet, taken: &BTreeSet<IpAddr>) -> Option<IpNet> {
    let is_candidate = |address: &IpAddr| {
        let reserved = matches!(network, IpNet::V4(network) if network.prefix_len() < 31)
            && (*address == network.broadcast() || *address == network.network());
        network.contains(address) && !reserved && !taken.contains(address)
    };
    (0..TRIES)
        .filter_map(|step| below(network.broadcast(), step))
        .find(is_candidate)
        .map(|address| with_prefix(address, network.prefix_len()))
}

fn below(address: IpAddr, step: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_sub(step).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(address) => address.to_bits().checked_sub(step.into()).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

fn with_prefix(address: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(address, prefix).unwrap_or_else(|_| address.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Role;
    use crate::topology::fixture::{host, topology};

    fn site(addresses: &[&str]) -> Topology {
        let hosts = addresses.iter().enumerate();
        topology(
            hosts.map(|(n, address)| host(Role::Director, &format!("d{n}"), address, None)).collect(),
            vec![],
            vec![],
        )
    }

    fn texts(networks: &[IpNet]) -> Vec<String> {
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_gateway_takes_the_last_free_address_of_each_network() {
        let site = site(&["10.0.0.254/24", "10.0.0.253/24", "172.16.0.1/16", "2001:db8::1/64", "192.0.2.1/32"]);
        assert_eq!(texts(&gateway(&site)), ["10.0.0.252/24", "172.16.255.254/16", "2001:db8::ffff:ffff:ffff:ffff/64"]);
    }

    #[test]
    fn a_full_network_gets_no_gateway() {
        assert_eq!(gateway(&site(&["10.0.0.1/30", "10.0.0.2/30"])), []);
        assert_eq!(texts(&gateway(&site(&["10.0.0.0/31"]))), ["10.0.0.1/31"]);
    }

    #[test]
    fn the_client_stays_out_of_the_sites_networks() {
        assert_eq!(texts(&outside(&site(&["10.0.0.1/24"])).client()), ["198.51.100.2/24", "2001:db8:ffff::2/64"]);
        let taken = outside(&site(&["198.51.100.9/28", "203.0.0.1/8", "2001:db8::1/32"]));
        assert_eq!(texts(&taken.gateway()), ["192.0.2.1/24", "fdff:ffff:ffff::1/64"]);
    }

    #[test]
    fn further_interfaces_of_a_segment_share_a_network() {
        let (one, other, elsewhere) = (private(1, 0), private(1, 1), private(2, 0));
        assert_eq!(one.to_string(), "198.18.4.1/22");
        assert_eq!(one.trunc(), other.trunc());
        assert_ne!(one.trunc(), elsewhere.trunc());
    }
}
