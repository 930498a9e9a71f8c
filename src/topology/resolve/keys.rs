//! What identifies a service in the kernel must do so once on a director.

use std::collections::BTreeMap;

use crate::source::{Problem, Problems, Spanned};
use crate::topology::{Family, HostName, Listen, Service, Topology, Vip};

/// Refuses two services with the same mark on one director, or the same protocol and port on one VIP.
pub fn check(topology: &Topology, problems: &mut Problems) {
    let mut marks: BTreeMap<(&HostName, Family, u32), Spanned<u32>> = BTreeMap::new();
    let mut services: Vec<(&Vip, &Service)> = topology.services().collect();
    services.sort_by_key(|(_, service)| service.name.span);
    for (vip, service) in &services {
        let Some(mark) = service.fwmark else { continue };
        for holder in topology.holders(vip) {
            let first = *marks.entry((holder, Family::of(vip.address.value), mark.value)).or_insert(mark);
            if first.span != mark.span {
                problems.push(
                    Problem::error("duplicate-mark", format!("Two services have the mark {}", mark.value))
                        .label(mark.span, "the same mark")
                        .label(first.span, "as here")
                        .help("Give one of the two another number; the kernel tells them apart by nothing else"),
                );
            }
        }
    }
    for vip in topology.vips.values() {
        check_ports(vip, problems);
    }
}

fn check_ports(vip: &Vip, problems: &mut Problems) {
    let mut taken: Vec<(&Service, &Listen)> = Vec::new();
    for service in &vip.services {
        for listen in &service.listens {
            let overlaps = |(other, taken): &&(&Service, &Listen)| {
                other.name.span != service.name.span
                    && taken.protocol == listen.protocol
                    && taken.ports.first <= listen.ports.last
                    && listen.ports.first <= taken.ports.last
            };
            if let Some((other, first)) = taken.iter().find(overlaps) {
                problems.push(
                    Problem::error(
                        "duplicate-listen",
                        format!("Two services of the VIP answer on {} {}", listen.protocol, listen.ports),
                    )
                    .label(listen.span, format!("service \"{}\"", service.name.value))
                    .label(first.span, format!("service \"{}\"", other.name.value))
                    .help("Give one of the two another port"),
                );
            }
        }
        taken.extend(service.listens.iter().map(|listen| (service, listen)));
    }
}
