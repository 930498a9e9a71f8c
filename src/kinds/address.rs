//! Addresses: a VIP on its one director's interface, and VIPs on the loopback interface of real servers.
//!
//! Under a failover a VIP on a director comes and goes with keepalived and is no entry here. The prefix and the label of
//! an address cannot be changed in place (`inet_rtm_newaddr` in `net/ipv4/devinet.c` leaves both alone), so an update puts
//! the address there once more and takes the old one away; where the kernel holds an address only once, which is so with
//! one prefix (`__inet_insert_ifa`) and always in IPv6 (`ipv6_add_addr`), it is taken away first.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Context, Kind, ParseError, Scope, Site, ids, interface};
use crate::effect::{Answer, Effect, LinkAddress, Probe};
use crate::resource::{Change, Entry, Resource, ResourceKey, Table};
use crate::source::{Problem, Problems};
use crate::topology::{Delivery, Family, Host, Server, SysctlKey, Topology, Vip, VipHolder};

/// The loopback interface.
const LOOPBACK: &str = "lo";
/// The label of every VIP there; one for all, so that a further VIP renames none.
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
        held.collect::<Vec<_>>().into_iter().chain(on_loopback(site.topology, host)).collect()
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
                // An address may be there twice with different prefixes; the single one is the likelier VIP.
                if prefix == address.network.max_prefix_len() {
                    entries.insert(key, entry);
                } else {
                    entries.entry(key).or_insert(entry);
                }
            }
        }
        Ok(entries.into_values().collect())
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let ResourceKey::Address { device, address } = change.key() else {
            return Vec::new();
        };
        let remove = match &change.before {
            Some(Resource::Address { prefix, .. }) => {
                Some(Effect::RemoveAddress { device: device.clone(), address: *address, prefix: *prefix })
            }
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

/// Tells whether an address could be a VIP that somebody left there: a single one, or one that has a label.
///
/// Under IPv6 an interface gets single addresses from DHCP, so there only those of the loopback interface count.
fn looks_like_vip(device: &str, address: &LinkAddress) -> bool {
    let is_single = address.network.prefix_len() == address.network.max_prefix_len();
    let is_labelled = address.label.as_ref().is_some_and(|label| label != device);
    let counts = device == LOOPBACK || address.network.addr().is_ipv4();
    (is_single || is_labelled) && counts && !address.network.addr().is_loopback()
}

/// Tells whether an address that nobody asked for is accounted for: it is the host's own, or a VIP of the topology, which
/// keepalived may hold.
pub fn is_accounted_for(topology: &Topology, host: &Host, key: &ResourceKey) -> bool {
    match key {
        ResourceKey::Address { device, address } => {
            host.declares(*address) || (device != LOOPBACK && topology.vips.contains_key(address))
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
    let mut entry = Entry::new(key, resource).origin(vip.address.span);
    let name = &host.name.value;
    for service in &vip.services {
        if service.fwmark.is_some() {
            entry = entry.requires(ids::chain(name, Family::of(address), Table::Mangle));
        }
        for (key, listen) in ids::service_keys(vip, service) {
            entry = entry.requires(ids::ipvs_service(name, key));
            for server in &service.servers {
                let destination = ids::destination_key(service, listen, server);
                entry = entry.requires(ids::ipvs_destination(name, key, destination));
            }
        }
    }
    Some(entry)
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

/// Returns the server for whose sake a host has a VIP on its loopback interface, if there is one.
pub fn served_on_loopback<'a>(vip: &'a Vip, host: &Host) -> Option<&'a Server> {
    let mut servers = vip.services.iter().flat_map(|service| &service.servers);
    servers.find(|server| server.host.value == host.name.value && server.delivery == Delivery::Loopback)
}

/// Returns the VIPs that a host takes packets for on its loopback interface.
fn on_loopback(topology: &Topology, host: &Host) -> Vec<Entry> {
    let mut entries = Vec::new();
    for vip in topology.vips.values() {
        let Some(server) = served_on_loopback(vip, host) else {
            continue;
        };
        let address: IpAddr = vip.address.value;
        let family = Family::of(address);
        let label = (family == Family::Ipv4).then(|| LABEL.to_owned());
        let key = ResourceKey::Address { device: LOOPBACK.to_owned(), address };
        let resource = Resource::Address { prefix: family.host_prefix(), label };
        let mut entry = Entry::new(key, resource).origin(server.span);
        if family == Family::Ipv4 {
            for parameter in quiet_arp() {
                entry = entry.requires(ids::sysctl(&host.name.value, parameter));
            }
        }
        entries.push(entry);
    }
    entries
}

/// Returns the parameters that keep a real server from answering ARP for a VIP on its loopback interface.
fn quiet_arp() -> impl Iterator<Item = SysctlKey> {
    let parameters = ["arp_ignore", "arp_announce"];
    parameters.into_iter().flat_map(|name| ["all", LOOPBACK].map(|interface| SysctlKey::interface(interface, name)))
}

#[cfg(test)]
mod tests;
