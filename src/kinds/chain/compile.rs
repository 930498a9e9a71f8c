//! The rules that a topology asks for: marks on directors, redirections on real servers.

use std::collections::{BTreeMap, BTreeSet};

use super::order;
use super::rule::every_or;
use crate::kinds::{Site, ids, interface};
use crate::resource::{ChainRule, Entry, PortMatch, Resource, ResourceKey, RuleTarget, Table};
use crate::source::{Problem, Problems, Span};
use crate::topology::{Delivery, Family, Host, HostName, Listen, MacAddress, Role, Vip};

/// Another director that can hold a VIP, with its interface for it.
type Peer<'a> = (&'a HostName, Option<&'a str>);

/// Returns the chains of `mangle` in which a director sets the marks of its services.
///
/// Packets that a peer has sent on are left alone: two directors that hold the same table would otherwise pass a packet
/// back and forth.
pub(super) fn marks(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
    if host.role != Role::Director {
        return Vec::new();
    }
    let mut chains: BTreeMap<Family, (Vec<ChainRule>, Span, BTreeSet<Peer<'_>>)> = BTreeMap::new();
    for vip in site.topology.vips_of(&host.name.value) {
        for service in &vip.services {
            let Some(mark) = &service.fwmark else {
                continue;
            };
            let family = Family::of(vip.address.value);
            let (rules, _, peers) = chains.entry(family).or_insert_with(|| (Vec::new(), mark.span, BTreeSet::new()));
            let others = site.topology.holders(vip).into_iter().filter(|name| **name != host.name.value);
            let others = others.filter_map(|name| site.topology.hosts.get(name).map(|peer| (name, peer)));
            peers.extend(others.map(|(name, peer)| (name, interface::of_vip(site, vip, peer))));
            let interface = interface::of_arrivals(site, vip, host);
            rules.extend(service.listens.iter().map(|listen| ChainRule::Known {
                destination: Some(vip.address.value),
                interface: interface.as_deref().map(str::to_owned),
                ports: Some(port_match(listen)),
                mac_source: None,
                target: RuleTarget::Mark(mark.value),
            }));
        }
    }
    chains
        .into_iter()
        .map(|(family, (rules, origin, peers))| {
            let peers = peers.into_iter();
            let peers = peers.filter_map(|(name, device)| site.topology.hosts.get(name).map(|peer| (peer, device)));
            let mut all: Vec<ChainRule> =
                peers.map(|(peer, device)| peer_rule(site, host, (peer, device), problems)).collect();
            let mut seen = BTreeSet::new();
            all.retain(|rule| seen.insert(rule.clone()));
            all.extend(rules);
            entry(site, host, ids::chain(&host.name.value, family, Table::Mangle).key, all, origin, problems)
        })
        .collect()
}

/// Returns the chains of `nat` in which a real server sends packets for a VIP to its own address.
pub(super) fn redirections(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
    let mut chains: BTreeMap<Family, (Vec<ChainRule>, Span)> = BTreeMap::new();
    for (vip, service) in site.topology.services() {
        for server in &service.servers {
            if server.host.value != host.name.value || server.delivery != Delivery::Redirect {
                continue;
            }
            let family = Family::of(vip.address.value);
            let (rules, _) = chains.entry(family).or_insert_with(|| (Vec::new(), server.span));
            for listen in &service.listens {
                let port = server.port.as_ref().map(|port| port.value).filter(|port| *port != 0);
                let rule = redirection(vip, listen, port.filter(|port| listen.ports.as_single() != Some(*port)));
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    chains
        .into_iter()
        .map(|(family, (rules, origin))| {
            entry(site, host, ids::chain(&host.name.value, family, Table::Nat).key, rules, origin, problems)
        })
        .collect()
}

fn redirection(vip: &Vip, listen: &Listen, port: Option<u16>) -> ChainRule {
    ChainRule::Known {
        destination: Some(vip.address.value),
        interface: None,
        ports: Some(port_match(listen)),
        mac_source: None,
        target: RuleTarget::Redirect(port),
    }
}

pub(super) fn port_match(listen: &Listen) -> PortMatch {
    PortMatch { protocol: listen.protocol, ports: every_or(listen.ports) }
}

pub(super) fn entry(
    site: &Site<'_>,
    host: &Host,
    key: ResourceKey,
    rules: Vec<ChainRule>,
    origin: Span,
    problems: &mut Problems,
) -> Entry {
    let table = match &key {
        ResourceKey::Chain { table, .. } => table.as_str(),
        _ => "",
    };
    let facts = site.facts.get(&host.name.value);
    if facts.is_some_and(|facts| facts.iptables.is_none()) {
        let message = format!("{} has no iptables, which the rules of its services take", host.name.value);
        problems.push(
            Problem::error("iptables-missing", message)
                .label(origin, format!("becomes a rule in table {table}"))
                .help(format!("Install iptables on {}", host.name.value)),
        );
    }
    if facts.is_some_and(|facts| facts.has_legacy_rules) {
        let message = format!("{} has rules in both of iptables' halves of the kernel", host.name.value);
        problems.push(
            Problem::warning("iptables-twice", message)
                .label(origin, format!("becomes a rule in table {table} of nf_tables"))
                .help("Look at `iptables-legacy-save`: packets pass those rules too, and lvsctl does not see them"),
        );
    }
    Entry::new(key, Resource::Chain { rules: order::canonical(rules), jumps: 1 }).origin(origin)
}

/// Returns the rule that leaves a peer's packets alone.
fn peer_rule(
    site: &Site<'_>,
    host: &Host,
    (peer, device): (&Host, Option<&str>),
    problems: &mut Problems,
) -> ChainRule {
    match mac_of(site, peer, device) {
        Some(mac) => ChainRule::Known {
            destination: None,
            interface: None,
            ports: None,
            mac_source: Some(mac),
            target: RuleTarget::Return,
        },
        None => {
            if site.facts.contains_key(&host.name.value) {
                problems.push(mac_unknown(site, host, peer));
            }
            let interface = device.unwrap_or("its interface");
            ChainRule::UnknownPeer { peer: format!("{} {interface}", peer.name.value) }
        }
    }
}

/// Returns the hardware address of the interface on which a peer has the VIP: what it sends on comes from there.
fn mac_of(site: &Site<'_>, peer: &Host, device: Option<&str>) -> Option<MacAddress> {
    let own = peer.interface.as_ref().filter(|own| device.is_none_or(|device| device == own.name.value));
    let declared = own.and_then(|interface| interface.mac.as_ref());
    declared.map(|mac| mac.value).or_else(|| site.facts.get(&peer.name.value)?.link(device?)?.mac)
}

/// A peer that could not be read makes the plan incomplete anyway, and may tell next time: that is a warning. One that
/// was read, or that is never logged in to, will not: that is an error.
fn mac_unknown(site: &Site<'_>, host: &Host, peer: &Host) -> Problem {
    let message = format!(
        "The hardware address of {} is not known, and the marks of {} need it",
        peer.name.value, host.name.value
    );
    let problem = match peer.managed && !site.facts.contains_key(&peer.name.value) {
        true => Problem::warning("unknown-peer-mac", message),
        false => Problem::error("unknown-peer-mac", message),
    };
    let place = peer.interface.as_ref().map_or(peer.name.span, |interface| interface.name.span);
    problem
        .label(place, "no mac is declared here, and none was read on the host")
        .label(host.name.span, "would mark packets that the other director has already sent on")
        .help("Declare it, as in interface \"eth0\" mac=\"52:54:00:06:b2:98\", for the interface that has the VIP")
}
