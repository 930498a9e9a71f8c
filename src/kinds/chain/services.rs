//! The rules that stand beside a service: source translation on directors, the largest segment on real servers.

use std::collections::BTreeMap;

use super::compile::{entry, port_match};
use crate::kinds::{Site, delivery, ids};
use crate::resource::{ChainRule, Entry, PortMatch, ResourceKey, ServiceRule, Table};
use crate::source::{Problems, Span};
use crate::topology::{Family, Forwarding, Host, Listen, PortRange, Protocol, Role, Server, Service, Vip};

/// What a frame of Ethernet carries; a client with a larger one is told by ICMP.
const ETHERNET: u16 = 1500;

/// The headers of TCP without options.
const TCP_HEADER: u16 = 20;

#[derive(Default)]
struct Chains {
    chains: BTreeMap<ResourceKey, (Vec<ChainRule>, Span)>,
}

impl Chains {
    fn add(&mut self, key: ResourceKey, what: ServiceRule, address: std::net::IpAddr, ports: PortMatch, origin: Span) {
        let rule = ChainRule::Service { what, address, ports };
        let (rules, _) = self.chains.entry(key).or_insert_with(|| (Vec::new(), origin));
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
}

/// Returns the chains of a host.
pub(super) fn compile(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
    let mut chains = Chains::default();
    if host.role == Role::Director {
        for vip in site.topology.vips_of(&host.name.value) {
            for service in vip.services.iter().filter(|service| service.syn_proxy.is_some()) {
                open_connections(host, vip, service, &mut chains);
            }
            for (service, server) in of(vip, Forwarding::FullNat) {
                translate_sources(host, vip, service, server, &mut chains);
            }
        }
    }
    for vip in site.topology.vips.values() {
        for (service, server) in of(vip, Forwarding::Tun).filter(|(_, server)| server.host.value == host.name.value) {
            clamp_segments(host, vip, service, server, &mut chains);
        }
    }
    let chains = chains.chains.into_iter();
    chains.map(|(key, (rules, origin))| entry(site, host, key, rules, origin, problems)).collect()
}

fn of(vip: &Vip, forwarding: Forwarding) -> impl Iterator<Item = (&Service, &Server)> {
    let parts = vip.services.iter().flat_map(|service| service.servers.iter().map(move |server| (service, server)));
    parts.filter(move |(_, server)| server.forwarding == forwarding)
}

/// What a director sends to a server gets the director's own address, so that the reply comes back to it from anywhere.
fn translate_sources(host: &Host, vip: &Vip, service: &Service, server: &Server, chains: &mut Chains) {
    let key = ids::chain_out(&host.name.value, Family::of(server.address), Table::Nat).key;
    for listen in &service.listens {
        let sent = match &server.port {
            Some(port) => Listen { ports: PortRange::single(port.value), ..*listen },
            None => *listen,
        };
        let what = ServiceRule::Masquerade { vip: vip.address.value };
        chains.add(key.clone(), what, server.address, port_match(&sent), server.span);
    }
}

/// A SYN gets its answer from the director, and a server its own once the client has answered that.
fn open_connections(host: &Host, vip: &Vip, service: &Service, chains: &mut Chains) {
    let address = vip.address.value;
    let family = Family::of(address);
    let span = service.syn_proxy.unwrap_or(service.name.span);
    let size = ETHERNET - header(family) - TCP_HEADER;
    for listen in service.listens.iter().filter(|listen| listen.protocol == Protocol::Tcp) {
        let ports = port_match(listen);
        let chain = |table| ids::chain(&host.name.value, family, table).key;
        chains.add(chain(Table::Raw), ServiceRule::Untrack, address, ports, span);
        chains.add(chain(Table::Filter), ServiceRule::SynProxy(size), address, ports, span);
        chains.add(chain(Table::Filter), ServiceRule::DropInvalid, address, ports, span);
    }
}

/// Returns the length of an IP header without options.
fn header(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    }
}

/// A server answers clients itself, so it alone can tell them that what they send has to fit into a tunnel.
fn clamp_segments(host: &Host, vip: &Vip, service: &Service, server: &Server, chains: &mut Chains) {
    let address = vip.address.value;
    let family = Family::of(address);
    let size = ETHERNET - delivery::envelope(vip, server) - header(family) - TCP_HEADER;
    let key = ids::chain_out(&host.name.value, family, Table::Mangle).key;
    for listen in service.listens.iter().filter(|listen| listen.protocol == Protocol::Tcp) {
        chains.add(key.clone(), ServiceRule::ClampSegments(size), address, port_match(listen), server.span);
    }
}
