//! VIPs: who holds them, and in which network.

use super::{servers, supervision, undeclared};
use crate::source::{Problem, Problems, Spanned};
use crate::topology::decode::{Draft, ServiceDraft, VipDraft, duplicate};
use crate::topology::{Delivery, Family, Forwarding, Role, Service, Topology, Vip, VipHolder};

/// Returns the first VIP of each address and reports the others.
pub fn distinct<'a>(draft: &'a Draft, problems: &mut Problems) -> Vec<&'a VipDraft> {
    let mut distinct: Vec<&VipDraft> = Vec::new();
    for vip in &draft.vips {
        match distinct.iter().find(|other| vip.usable && other.usable && other.address == vip.address) {
            None => distinct.push(vip),
            Some(first) => problems.push(again(vip, first)),
        }
    }
    distinct
}

fn again(vip: &VipDraft, first: &VipDraft) -> Problem {
    if vip.holder == first.holder {
        return Problem::error("duplicate-vip", format!("The VIP {} is declared twice", *vip.address))
            .label(vip.address.span, "declared again")
            .label(first.address.span, "declared first")
            .help("Move the services of the second one into the first");
    }
    let problem =
        Problem::error("shared-vip", format!("Two parties would hold the VIP {} at the same time", *vip.address))
            .label(holder_span(vip), "holds it as well")
            .label(holder_span(first), "holds it already");
    problem.help("Let all its directors take part in one failover, and declare the VIP once with that")
}

fn holder_span(vip: &VipDraft) -> crate::source::Span {
    match &vip.holder {
        Some(VipHolder::Director(name)) => name.span,
        Some(VipHolder::Failover(name)) => name.span,
        None => vip.address.span,
    }
}

/// Checks the holder's name; tells whether it can be followed.
pub fn check_holder(draft: &Draft, vip: &VipDraft, problems: &mut Problems) -> bool {
    match &vip.holder {
        None => false,
        Some(VipHolder::Failover(name)) if draft.failovers.contains_key(&name.value) => true,
        Some(VipHolder::Failover(name)) => {
            let known = draft.failovers.keys().map(String::as_str);
            problems.push(undeclared("failover", name, known, &format!("`failover \"{}\" {{ … }}`", name.value)));
            false
        }
        Some(VipHolder::Director(name)) => match draft.hosts.get(&name.value) {
            Some(host) if host.role == Role::Director => true,
            Some(host) => {
                problems.push(
                    Problem::error(
                        "not-a-director",
                        format!("\"{}\" is a real server and cannot hold a VIP", name.value),
                    )
                    .label(name.span, "not a director")
                    .label(host.name.span, "declared here")
                    .help("Name a director, or declare this host as one"),
                );
                false
            }
            None => {
                problems.push(undeclared(
                    "director",
                    &Spanned::new(name.as_str(), name.span),
                    draft.hosts.values().filter(|host| host.role == Role::Director).map(|host| host.name.as_str()),
                    &format!("`director \"{}\" {{ address \"…/24\" }}`", name.value),
                ));
                false
            }
        },
    }
}

/// Follows the names within a VIP.
pub fn resolve(draft: &Draft, vip: &VipDraft, holder: VipHolder, topology: &Topology, problems: &mut Problems) -> Vip {
    let mut resolved = Vip {
        address: vip.address,
        prefix: vip.prefix,
        holder,
        interface: vip.interface.clone(),
        label: vip.label.clone(),
        services: Vec::new(),
    };
    check_delivery(draft, vip, problems);
    check_own(topology, &resolved, problems);
    let mut services: Vec<Service> = Vec::new();
    for service in &vip.services {
        if let Some(first) = services.iter().find(|other| other.name == service.name) {
            problems.push(duplicate("service", &service.name.value, service.name.span, first.name.span));
        }
        check_netmask(vip, service, problems);
        let servers = servers::resolve(draft, vip, service, topology, &resolved, problems);
        let service = Service {
            name: service.name.clone(),
            listens: service.listens.clone(),
            fwmark: service.fwmark,
            scheduler: service.scheduler.clone(),
            persistence: service.persistence,
            engine: service.engine.clone(),
            one_packet: service.one_packet,
            syn_proxy: service.syn_proxy,
            drain: service.drain,
            on_failure: service.on_failure,
            supervision: service.supervision.clone(),
            servers,
        };
        supervision::check(vip, &service, problems);
        services.push(service);
    }
    resolved.services = services;
    resolved
}

fn check_netmask(vip: &VipDraft, service: &ServiceDraft, problems: &mut Problems) {
    let most = Family::of(vip.address.value).host_prefix();
    if let Some(netmask) = service.netmask.filter(|netmask| netmask.value > most) {
        problems.push(
            Problem::error("out-of-range", "`netmask` is longer than an address")
                .label(netmask.span, "this number")
                .help(format!("Use a prefix from 1 to {most}")),
        );
    }
}

/// Refuses a delivery that no server of the VIP could act on.
fn check_delivery(draft: &Draft, vip: &VipDraft, problems: &mut Problems) {
    let (Some(delivery), Some(forwarding)) = (vip.delivery, vip.forwarding) else { return };
    let pooled = |name: &Spanned<String>| draft.pools.get(&name.value).map(|pool| pool.servers.as_slice());
    let direct = vip.services.iter().any(|service| {
        let pools = service.pools.iter().filter_map(pooled).flatten();
        service
            .servers
            .iter()
            .chain(pools)
            .any(|server| server.forwarding.is_some_and(|own| matches!(*own, Forwarding::Dr | Forwarding::Tun)))
    });
    if forwarding.value == Forwarding::Nat && delivery.value != Delivery::None && !direct {
        problems.push(
            Problem::error("conflict", "Under nat a real server never sees the VIP")
                .label(delivery.span, "has nothing to deliver")
                .label(forwarding.span, "rewrites the VIP to the server's address")
                .help("Take `delivery=` away, or use forwarding=\"dr\""),
        );
    }
}

/// Refuses a VIP that is a host's own address, but for the one director that holds it.
fn check_own(topology: &Topology, vip: &Vip, problems: &mut Problems) {
    let Some(host) = topology.hosts.values().find(|host| host.declares(vip.address.value)) else { return };
    let Some(own) = host.addresses.iter().find(|own| own.addr() == vip.address.value) else { return };
    if matches!(&vip.holder, VipHolder::Director(name) if *name == host.name) {
        return;
    }
    let help = match host.role {
        Role::RealServer => "Give the VIP an address of its own; a real server must not answer for it",
        Role::Director => "Give the VIP an address of its own, or let this director alone hold it with `director=`",
    };
    problems.push(
        Problem::error("vip-is-own-address", format!("The VIP is the own address of \"{}\"", host.name.value))
            .label(vip.address.span, "this VIP")
            .label(own.span, "already this host's")
            .help(help),
    );
}

/// Refuses a VIP that lies in no network of those who can hold it.
pub fn check_network(topology: &Topology, vip: &Vip, problems: &mut Problems) {
    let holders: Vec<_> = topology.holders(vip).into_iter().filter_map(|name| topology.hosts.get(name)).collect();
    if holders.is_empty() || holders.iter().any(|host| host.addresses.is_empty()) {
        return;
    }
    let outside: Vec<_> = holders.iter().filter(|host| host.address_near(vip.address.value).is_none()).collect();
    let problem = match outside.len() {
        0 => return,
        some if some == holders.len() => {
            Problem::error("outside-network", "The VIP lies in no network of the directors that can hold it")
        }
        _ => Problem::warning("outside-network", "The VIP lies in no network of one of its directors"),
    };
    let problem = problem.label(vip.address.span, "nobody would find it here");
    let labelled = outside.iter().filter_map(|host| host.addresses.first().map(|own| (host, own)));
    let problem = labelled.fold(problem, |problem, (host, own)| {
        problem.label(own.span, format!("{} is in {}", host.name.value, own.trunc()))
    });
    problems.push(problem.help("Choose a VIP in that network, or add the director's `address` in the VIP's network"));
}
