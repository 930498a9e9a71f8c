//! What a failover's options say about its directors and its addresses.

use std::net::IpAddr;

use crate::source::{Problem, Problems, Spanned};
use crate::topology::{Failover, Family, Floating, Topology};

/// Checks the options of every failover.
pub fn check(topology: &Topology, problems: &mut Problems) {
    for failover in topology.failovers.values() {
        check_sources(topology, failover, problems);
        check_unadvertised(topology, failover, problems);
        check_further(topology, failover, problems);
    }
}

/// An advert that comes from an address that the director does not have is never sent.
fn check_sources(topology: &Topology, failover: &Failover, problems: &mut Problems) {
    let hosts = failover.members.keys().filter_map(|name| topology.hosts.get(name));
    if let Some(shared) = &failover.options.source_address {
        match hosts.clone().find(|host| host.declares(shared.value)) {
            None => problems.push(
                Problem::error(
                    "source-address",
                    format!("No director of the failover has the address {}", shared.value),
                )
                .label(shared.span, "nobody's address")
                .label(failover.name.span, "this failover")
                .help("Name an address that one of the directors declares; it then holds for that director"),
            ),
            Some(host) => {
                let own = failover.members.get(&host.name.value).and_then(|member| member.source_address);
                if let Some(own) = own {
                    problems.push(
                        Problem::error("conflict", format!("{} has two source addresses", host.name.value))
                            .label(shared.span, "one for the director that has this address")
                            .label(own.span, "one for the director itself")
                            .help("Keep one of the two"),
                    );
                }
            }
        }
    }
    for host in hosts {
        let own = failover.members.get(&host.name.value).and_then(|member| member.source_address);
        if let Some(own) = own.filter(|own| !host.declares(own.value)) {
            problems.push(
                Problem::error(
                    "source-address",
                    format!("{} does not have the address {}", host.name.value, own.value),
                )
                .label(own.span, "not this director's")
                .label(host.name.span, "declared here, with its addresses")
                .help("Name one of its addresses, or declare this one with `address`"),
            );
        }
        let source = failover.source_address(&host.name.value, host);
        let (Some(source), Some(family)) = (source, topology.family_of(failover)) else { continue };
        if Family::of(source.value) != family {
            problems.push(
                Problem::error("family", "Adverts are of the family of the addresses that they name")
                    .label(source.span, "of the other family")
                    .label(failover.name.span, format!("keeps {family} addresses"))
                    .help(format!("Name an {family} address of the director")),
            );
        }
    }
}

fn check_unadvertised(topology: &Topology, failover: &Failover, problems: &mut Problems) {
    for excluded in &failover.options.unadvertised {
        if topology.floating(failover).all(|floating| floating.address().value != excluded.value) {
            problems.push(
                Problem::error("undeclared", format!("The failover does not hold {}", excluded.value))
                    .label(excluded.span, "no VIP and no further address of this failover")
                    .label(failover.name.span, "this failover")
                    .help(format!("Declare `vip \"{}\" failover={:?}`", excluded.value, failover.name.value)),
            );
        }
    }
    if let (Some(first), None) = (failover.options.unadvertised.first(), topology.advertised(failover).next())
        && topology.floating(failover).next().is_some()
    {
        problems.push(
            Problem::error("nothing-advertised", "Adverts must name one address at least")
                .label(first.span, "left out of the adverts")
                .label(failover.name.span, "has no other address")
                .help("Keep one VIP in the adverts; keepalived would take none of them"),
        );
    }
}

/// A further address must belong to nobody else.
fn check_further(topology: &Topology, failover: &Failover, problems: &mut Problems) {
    for further in &failover.options.addresses {
        let address = further.network.map(|network| network.addr());
        if let Some(taken) = taken(topology, failover, address) {
            problems.push(
                Problem::error("duplicate-address", format!("The address {} is declared twice", address.value))
                    .label(address.span, "would move with this failover")
                    .label(taken.span, "declared here")
                    .help("Keep one of the two; a VIP moves with its failover by itself"),
            );
        }
    }
}

/// Returns where an address is declared as a VIP, as a host's own, or in a failover before this one.
fn taken(topology: &Topology, failover: &Failover, address: Spanned<IpAddr>) -> Option<Spanned<IpAddr>> {
    let vip = topology.vips.get(&address.value).map(|vip| vip.address);
    let own = topology.hosts.values().flat_map(|host| &host.addresses).map(|own| own.map(|network| network.addr()));
    let before = topology.failovers.values().filter(|other| other.name.value < failover.name.value);
    let further = before.filter_map(|other| {
        topology
            .floating(other)
            .filter(|floating| matches!(floating, Floating::Further(_)))
            .map(|one| one.address())
            .find(|one| one.value == address.value)
    });
    vip.or_else(|| own.chain(further).find(|one| one.value == address.value))
}
