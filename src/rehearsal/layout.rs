//! Where everything of a rehearsal stands: a namespace a host, the segments between them, a gateway and a client.
//!
//! ```text
//! client ── gateway ──┬── segment 0: every host's own interface, and those that VIPs are on
//!                     │
//!                     └── (further segments, such as the sync daemon's, have no gateway)
//! ```
//!
//! This is computed and not done, so that it can be tested without a kernel; [`super::network`] does it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::addresses::{self, Outside};
use crate::kinds::delivery::{self, TunnelEnd};
use crate::topology::{
    Connection, Delivery, Family, Forwarding, Host, HostName, MacAddress, Role, Topology, VipHolder,
};

/// The namespace that holds the bridges.
pub const SWITCH: &str = "switch";
/// The namespace that routes between the client and the site.
pub const GATEWAY: &str = "gateway";
/// The namespace that the requests come from.
pub const CLIENT: &str = "client";

/// An interface of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name in the host's namespace.
    pub name: String,
    /// Its hardware address.
    pub mac: MacAddress,
    /// The bridge that it is plugged into.
    pub segment: usize,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
}

/// A host's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The network namespace.
    pub namespace: String,
    /// The folder with the host's `etc`, `var` and `run`.
    pub root: String,
    /// Its interfaces, its own first.
    pub links: Vec<Link>,
    /// Where its default routes lead; none for a real server whose default route lvsctl sets.
    pub default_routes: Vec<IpAddr>,
    /// VIPs that an operator would have put on `lo`, because lvsctl does not log in there.
    pub vips_by_hand: Vec<IpAddr>,
    /// The ends of tunnels that an operator would have brought up there.
    pub tunnels_by_hand: Vec<&'static TunnelEnd>,
    /// Whether it has two interfaces on one segment, of which each shall answer for itself only.
    pub shares_a_segment: bool,
}

/// The whole laboratory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The hosts' places.
    pub places: BTreeMap<HostName, Place>,
    /// How many segments there are; the first leads to the gateway.
    pub segments: usize,
    /// The gateway's address in each network of the site.
    pub gateway: Vec<IpNet>,
    /// The networks between gateway and client, IPv4 and IPv6.
    pub outside: Outside,
}

impl Layout {
    /// Lays out a topology.
    pub fn of(topology: &Topology) -> Self {
        let gateway = addresses::gateway(topology);
        let mut segments: Vec<String> = vec![String::new()];
        let places = topology.hosts.values().enumerate();
        let places = places
            .map(|(number, host)| {
                let links = links(topology, host, number, &mut segments);
                let shares_a_segment = links.iter().filter(|link| link.segment == 0).count() > 1;
                let place = Place {
                    namespace: format!("host-{}", host.name.value),
                    root: format!("/run/lab/{}", host.name.value),
                    default_routes: default_routes(topology, host, &gateway),
                    vips_by_hand: vips_by_hand(topology, host),
                    tunnels_by_hand: tunnels_by_hand(topology, host),
                    shares_a_segment,
                    links,
                };
                (host.name.value.clone(), place)
            })
            .collect();
        Layout { places, segments: segments.len(), outside: addresses::outside(topology), gateway }
    }

    /// Returns the topology with every connection led into the laboratory.
    pub fn relocated(&self, topology: &Topology) -> Topology {
        let mut topology = topology.clone();
        for (name, host) in &mut topology.hosts {
            if let Some(place) = self.places.get(name) {
                let (name, root) = (place.namespace.clone(), place.root.clone());
                host.connection.value = Connection::Namespace { name, root };
            }
        }
        topology
    }
}

/// Returns the name of a host's own interface in the laboratory.
fn own_interface(host: &Host) -> &str {
    host.interface.as_ref().map_or("eth0", |interface| interface.name.value.as_str())
}

fn links(topology: &Topology, host: &Host, number: usize, segments: &mut Vec<String>) -> Vec<Link> {
    let own = own_interface(host);
    let mac = |link: usize| MacAddress([0x02, 0x6c, 0x76, (number >> 8) as u8, number as u8, link as u8]);
    let declared = host.interface.as_ref().and_then(|interface| interface.mac.as_ref()).map(|mac| mac.value);
    let mut links = vec![Link {
        name: own.to_owned(),
        mac: declared.unwrap_or_else(|| mac(0)),
        segment: 0,
        addresses: host.addresses.iter().map(|address| address.value).collect(),
    }];
    for (name, serves) in further_interfaces(topology, host) {
        // An interface that only synchronises has a network of its own, like a cable between the directors.
        let network = segments.iter().position(|segment| *segment == name).unwrap_or_else(|| {
            segments.push(name.clone());
            segments.len() - 1
        });
        let address = addresses::private(network, number);
        links.push(Link {
            mac: mac(links.len()),
            segment: if serves { 0 } else { network },
            addresses: vec![address],
            name,
        });
    }
    links
}

/// Returns the interfaces that the topology names beside a director's own, and whether VIPs or adverts are on them.
fn further_interfaces(topology: &Topology, host: &Host) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    let name = &host.name.value;
    for failover in topology.failovers_of(name) {
        if let Some(interface) = &failover.interface {
            *found.entry(interface.value.clone()).or_default() |= true;
        }
        for interface in failover.options.addresses.iter().filter_map(|further| further.interface.as_ref()) {
            *found.entry(interface.value.clone()).or_default() |= true;
        }
        for interface in &failover.options.tracked_interfaces {
            *found.entry(interface.value.clone()).or_default() |= false;
        }
        if let Some(interface) = failover.sync_daemon.as_ref().and_then(|daemon| daemon.interface.as_ref()) {
            *found.entry(interface.value.clone()).or_default() |= false;
        }
    }
    for interface in topology.vips_of(name).filter_map(|vip| vip.interface.as_ref()) {
        *found.entry(interface.value.clone()).or_default() |= true;
    }
    found.remove(own_interface(host));
    found
}

fn default_routes(topology: &Topology, host: &Host, gateway: &[IpNet]) -> Vec<IpAddr> {
    let forwardings: BTreeSet<_> = topology
        .services()
        .flat_map(|(_, service)| &service.servers)
        .filter(|server| server.host.value == host.name.value)
        .map(|server| server.forwarding)
        .collect();
    let only_nat = host.role == Role::RealServer && forwardings.iter().eq([&Forwarding::Nat]);
    if only_nat {
        return if host.managed { Vec::new() } else { through_directors(topology, host) };
    }
    let mut routes: BTreeMap<Family, IpAddr> = BTreeMap::new();
    for address in &host.addresses {
        let near = gateway.iter().find(|candidate| candidate.trunc() == address.value.trunc());
        if let Some(near) = near {
            routes.entry(Family::of(near.addr())).or_insert(near.addr());
        }
    }
    routes.into_values().collect()
}

/// Returns the default routes that an operator gives a real server under NAT: a floating address in its network, else the
/// preferred director's own.
fn through_directors(topology: &Topology, host: &Host) -> Vec<IpAddr> {
    let mut routes: BTreeMap<Family, IpAddr> = BTreeMap::new();
    for (vip, service) in topology.services() {
        for server in service.servers.iter().filter(|server| server.host.value == host.name.value) {
            let network = host.addresses.iter().find(|network| network.addr() == server.address);
            let floats = matches!(vip.holder, VipHolder::Failover(_));
            let route = if floats && network.is_some_and(|network| network.contains(&vip.address.value)) {
                Some(vip.address.value)
            } else {
                let directors = topology.holders(vip).into_iter().filter_map(|name| topology.hosts.get(name));
                directors.filter_map(|director| director.address_near(server.address)).next()
            };
            if let Some(route) = route {
                routes.entry(Family::of(route)).or_insert(route);
            }
        }
    }
    routes.into_values().collect()
}

fn vips_by_hand(topology: &Topology, host: &Host) -> Vec<IpAddr> {
    if host.managed {
        return Vec::new();
    }
    let serving = topology.services().filter(|(_, service)| {
        let mut servers = service.servers.iter();
        servers.any(|server| server.host.value == host.name.value && server.delivery != Delivery::None)
    });
    serving.map(|(vip, _)| vip.address.value).collect::<BTreeSet<_>>().into_iter().collect()
}

fn tunnels_by_hand(topology: &Topology, host: &Host) -> Vec<&'static TunnelEnd> {
    if host.managed {
        return Vec::new();
    }
    let mut ends: Vec<&TunnelEnd> = Vec::new();
    for vip in topology.vips.values() {
        let needed = delivery::parts(vip, host).filter_map(|server| delivery::tunnel_end(vip, server));
        ends.extend(needed);
    }
    ends.sort_by_key(|end| end.device);
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::{at, host, reference_site, server, service, topology, vip};
    use crate::topology::{Protocol, Server};

    fn place<'a>(layout: &'a Layout, name: &str) -> &'a Place {
        &layout.places[&HostName::new(name)]
    }

    #[test]
    fn what_a_failover_names_is_there() {
        let mut topology = reference_site();
        let options = &mut topology.failovers.get_mut("ext").unwrap().options;
        options.tracked_interfaces = vec![at("eth7".into())];
        let network = at("192.168.1.11/24".parse().unwrap());
        options.addresses = vec![crate::topology::FloatingAddress { network, interface: Some(at("eth8".into())) }];
        let layout = Layout::of(&topology);
        let names: Vec<&str> = place(&layout, "lb02").links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["eth0", "eth7", "eth8"]);
    }

    #[test]
    fn the_reference_site_keeps_its_addresses_and_hardware_addresses() {
        let layout = Layout::of(&reference_site());
        assert_eq!(layout.segments, 1);
        let director = place(&layout, "lb01");
        assert_eq!(director.links.len(), 1);
        assert_eq!(director.links[0].mac.to_string(), "52:54:00:06:b2:98");
        assert_eq!(director.links[0].addresses, ["10.4.1.181/24".parse().unwrap()]);
        let gateway = layout.gateway[0].addr();
        assert_eq!(layout.gateway, ["10.4.1.254/24".parse().unwrap()]);
        assert!(layout.places.values().all(|place| place.default_routes == [gateway]));
    }

    #[test]
    fn made_up_hardware_addresses_differ() {
        let layout = Layout::of(&reference_site());
        let addresses: BTreeSet<_> =
            layout.places.values().flat_map(|place| &place.links).map(|link| link.mac).collect();
        assert_eq!(addresses.len(), layout.places.len());
    }

    #[test]
    fn a_real_server_under_nat_is_left_without_a_default_route() {
        let director = host(Role::Director, "d", "10.0.0.1/24", None);
        let web = host(Role::RealServer, "w", "10.0.0.2/24", None);
        let nat = Server { forwarding: Forwarding::Nat, delivery: Delivery::None, ..server(&web) };
        let services = vec![service("http", Protocol::Tcp, 80, vec![nat])];
        let site = topology(
            vec![director, web],
            vec![],
            vec![vip("10.0.0.9", VipHolder::Director(at(HostName::new("d"))), services)],
        );
        assert!(place(&Layout::of(&site), "w").default_routes.is_empty());
        assert_eq!(place(&Layout::of(&site), "d").default_routes, ["10.0.0.254".parse::<IpAddr>().unwrap()]);
        let mut unmanaged = site.clone();
        unmanaged.hosts.get_mut(&HostName::new("w")).unwrap().managed = false;
        assert_eq!(place(&Layout::of(&unmanaged), "w").default_routes, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_sync_daemons_interface_is_on_a_segment_of_its_own() {
        let mut site = reference_site();
        let failover = site.failovers.get_mut("ext").unwrap();
        failover.sync_daemon.as_mut().unwrap().interface = Some(at("eth1".into()));
        let layout = Layout::of(&site);
        assert_eq!(layout.segments, 2);
        let links = &place(&layout, "lb02").links;
        assert_eq!((links[1].name.as_str(), links[1].segment), ("eth1", 1));
        assert!(!place(&layout, "lb02").shares_a_segment);
        assert_eq!(place(&layout, "web1").links.len(), 1);
    }

    #[test]
    fn an_interface_with_vips_is_where_the_gateway_is() {
        let mut site = reference_site();
        site.vips.values_mut().for_each(|vip| vip.interface = Some(at("eth1".into())));
        let layout = Layout::of(&site);
        assert_eq!(place(&layout, "lb01").links[1].segment, 0);
        assert!(place(&layout, "lb01").shares_a_segment);
    }

    #[test]
    fn every_connection_is_led_into_the_laboratory() {
        let mut site = reference_site();
        site.hosts.values_mut().for_each(|host| host.connection.value = Connection::Local);
        let layout = Layout::of(&site);
        for host in layout.relocated(&site).hosts.values() {
            let Connection::Namespace { name, root } = &host.connection.value else { panic!("{host:?}") };
            assert_eq!(*name, format!("host-{}", host.name.value));
            assert_eq!(*root, format!("/run/lab/{}", host.name.value));
        }
    }
}
