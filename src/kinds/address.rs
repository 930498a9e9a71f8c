//! Addresses: a VIP on its one director's interface, and VIPs on the real servers' interface that their delivery names.
//!
//! Under a failover a VIP on a director comes and goes with keepalived and is no entry here. The prefix and the label of
//! an address cannot be changed in place (`inet_rtm_newaddr` in `net/ipv4/devinet.c` leaves both alone), so an update puts
//! the address there once more and takes the old one away; where the kernel holds an address only once, which is so with
//! one prefix (`__inet_insert_ifa`) and always in IPv6 (`ipv6_add_addr`), it is taken away first.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Context, Kind, ParseError, Scope, Site, delivery, ids, interface};
use crate::effect::{Answer, Effect, LinkAddress, Probe};
use crate::resource::{Change, Entry, Resource, ResourceKey, Table};
use crate::source::{Problem, Problems};
use crate::topology::{Family, Host, Topology, Vip, VipHolder};

/// The label of every VIP on the loopback interface; one for all, so that a further VIP renames none.
const LABEL: &str = "lo:0";

/// The kind of addresses.
#[derive(Clone, Copy, Debug)]
pub struct AddressKind;

impl Kind for AddressKind {
    fn name(&self) -> &'static str {
        "address"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::Address { .. })
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        if !host.managed {
            return Vec::new();
        }
        let held = site.topology.vips.values().filter_map(|vip| held(site, vip, host, problems));
        held.collect::<Vec<_>>().into_iter().chain(delivered(site.topology, host)).collect()
    }

    fn probes(&self, _scope: &Scope<'_>) -> Vec<Probe> {
        vec![Probe::Links]
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries: BTreeMap<ResourceKey, Entry> = BTreeMap::new();
        for answer in answers {
            let Answer::Links(links) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the interfaces".into() });
            };
            for (link, address) in links.iter().flat_map(|link| link.addresses.iter().map(move |held| (link, held))) {
                let key = ResourceKey::Address { device: link.name.clone(), address: address.network.addr() };
                let left_over = looks_like_vip(&link.name, address);
                if !left_over && !scope.keys.contains(&key) {
                    continue;
                }
                let label = address.label.clone().filter(|label| *label != link.name);
                let prefix = address.network.prefix_len();
                let entry = Entry::new(key.clone(), Resource::Address { prefix, label });
                // An address may be there twice with different prefixes; the widest does the most, and is the one to be seen.
                let wider = |known: &mut Entry| {
                    if matches!(known.resource, Resource::Address { prefix: known, .. } if prefix < known) {
                        *known = entry.clone();
                    }
                };
                entries.entry(key).and_modify(wider).or_insert_with(|| entry.clone());
            }
        }
        Ok(entries.into_values().collect())
    }

    fn effects(&self, change: &Change, context: &Context<'_>) -> Vec<Effect> {
        let ResourceKey::Address { device, address } = change.key() else {
            return Vec::new();
        };
        let others = others(change, context, device, *address);
        if let (Some(Resource::Address { prefix: wanted, .. }), false) = (&change.after, others.is_empty())
            && others.iter().chain(prefix(&change.before).as_ref()).any(|prefix| prefix == wanted)
        {
            // It is there as it is to be, and beside it with other prefixes.
            let surplus = others.into_iter().chain(prefix(&change.before)).filter(|prefix| prefix != wanted);
            return surplus.map(|prefix| remove_from(device, *address, prefix)).collect();
        }
        if change.after.is_none() && !others.is_empty() {
            let all = others.into_iter().chain(prefix(&change.before));
            return all.map(|prefix| remove_from(device, *address, prefix)).collect();
        }
        let remove = match &change.before {
            Some(Resource::Address { prefix, .. }) => Some(remove_from(device, *address, *prefix)),
            _ => None,
        };
        let add = match &change.after {
            Some(Resource::Address { prefix, label }) => Some(Effect::AddAddress {
                device: device.clone(),
                address: *address,
                prefix: *prefix,
                label: label.clone(),
            }),
            _ => None,
        };
        match (&remove, &add) {
            (
                Some(Effect::RemoveAddress { prefix: old, .. }),
                Some(Effect::AddAddress { prefix: new, address: IpAddr::V4(_), .. }),
            ) if old != new => add.into_iter().chain(remove).collect(),
            _ => remove.into_iter().chain(add).collect(),
        }
    }
}

fn remove_from(device: &str, address: IpAddr, prefix: u8) -> Effect {
    Effect::RemoveAddress { device: device.to_owned(), address, prefix }
}

fn prefix(resource: &Option<Resource>) -> Option<u8> {
    match resource {
        Some(Resource::Address { prefix, .. }) => Some(*prefix),
        _ => None,
    }
}

/// Returns the further prefixes with which an interface has an address that is changed or goes.
fn others(change: &Change, context: &Context<'_>, device: &str, address: IpAddr) -> Vec<u8> {
    let Some(known) = prefix(&change.before) else {
        return Vec::new();
    };
    let held = context.capabilities.link(device).into_iter().flat_map(|link| &link.addresses);
    let same = held.filter(|held| held.network.addr() == address).map(|held| held.network.prefix_len());
    same.filter(|prefix| *prefix != known).collect()
}

/// Tells whether an address could be a VIP that somebody left there: a single one, or one that has a label.
///
/// Under IPv6 an interface gets single addresses from DHCP, so there only those of the interfaces that hold delivered VIPs count.
fn looks_like_vip(device: &str, address: &LinkAddress) -> bool {
    let is_single = address.network.prefix_len() == address.network.max_prefix_len();
    let is_labelled = address.label.as_ref().is_some_and(|label| label != device);
    let counts = delivery::is_device(device) || address.network.addr().is_ipv4();
    (is_single || is_labelled) && counts && !address.network.addr().is_loopback()
}

/// Tells whether an address that nobody asked for is accounted for: it is the host's own, or a VIP of the topology, which
/// keepalived may hold.
pub fn is_accounted_for(topology: &Topology, host: &Host, key: &ResourceKey) -> bool {
    match key {
        ResourceKey::Address { device, address } => {
            host.declares(*address) || (!delivery::is_device(device) && topology.vips.contains_key(address))
        }
        _ => false,
    }
}

/// Returns a VIP that a host holds without a failover, unless it is one of the addresses that the host has anyway.
fn held(site: &Site<'_>, vip: &Vip, host: &Host, problems: &mut Problems) -> Option<Entry> {
    let address = vip.address.value;
    let VipHolder::Director(director) = &vip.holder else {
        return None;
    };
    if director.value != host.name.value || host.declares(address) {
        return None;
    }
    let Some(device) = interface::of_vip(site, vip, host) else {
        problems.push(interface_unknown(site, vip, host));
        return None;
    };
    let label = vip.label.as_ref().map(|label| label.value.clone()).filter(|label| label != device);
    let resource = Resource::Address { prefix: vip.prefix, label };
    let key = ResourceKey::Address { device: device.to_owned(), address };
    let name = &host.name.value;
    let mut requires = Vec::new();
    for service in &vip.services {
        if service.fwmark.is_some() {
            requires.push(ids::chain(name, Family::of(address), Table::Mangle));
        }
        for (key, listen) in ids::service_keys(vip, service) {
            requires.push(ids::ipvs_service(name, key));
            requires.extend(service.servers.iter().map(|server| {
                let destination = ids::destination_key(service, listen, server);
                ids::ipvs_destination(name, key, destination)
            }));
        }
    }
    Some(Entry::new(key, resource).origin(vip.address.span).requires_all(requires))
}

fn interface_unknown(site: &Site<'_>, vip: &Vip, host: &Host) -> Problem {
    let message = format!("The interface of VIP {} on director {} is not known", vip.address.value, host.name.value);
    // A host that was not asked may still tell; one that was asked has already been silent.
    let problem = match site.facts.contains_key(&host.name.value) {
        true => Problem::error("vip-interface-unknown", message),
        false => Problem::warning("vip-interface-unknown", message),
    };
    problem
        .label(vip.address.span, "this VIP")
        .label(host.name.span, "no interface of this director holds its first address")
        .help("Name it, as in interface \"eth0\" on the director or interface=\"eth0\" on the VIP")
}

/// Returns the VIPs that a host takes packets for because one of its interfaces holds them.
fn delivered(topology: &Topology, host: &Host) -> Vec<Entry> {
    let mut entries: BTreeMap<ResourceKey, Entry> = BTreeMap::new();
    for vip in topology.vips.values() {
        for server in delivery::parts(vip, host) {
            let Some(device) = delivery::device(vip, server) else {
                continue;
            };
            let (address, name) = (vip.address.value, &host.name.value);
            let family = Family::of(address);
            let key = ResourceKey::Address { device: device.to_owned(), address };
            let label = (device == delivery::LOOPBACK && family == Family::Ipv4).then(|| LABEL.to_owned());
            let resource = Resource::Address { prefix: family.host_prefix(), label };
            let mut entry = Entry::new(key.clone(), resource).origin(server.span);
            if device != delivery::LOOPBACK {
                entry = entry.requires(ids::link(name, device));
            }
            if family == Family::Ipv4 {
                for parameter in delivery::quiet_arp(device) {
                    entry = entry.requires(ids::sysctl(name, parameter));
                }
            }
            entries.entry(key).or_insert(entry);
        }
    }
    entries.into_values().collect()
}

#[cfg(test)]
mod tests;
