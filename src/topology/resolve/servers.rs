//! Servers: which host and address each is, how packets get there, and what watches it.

use std::net::IpAddr;

use super::{tunnels, undeclared};
use crate::source::{Problem, Problems, Span, Spanned};
use crate::topology::decode::{Draft, ServerDraft, ServiceDraft, VipDraft};
use crate::topology::{Check, Delivery, Family, Forwarding, Host, HostName, Role, Server, Topology, Tunnel, Vip};

/// Resolves the servers of a service: those of its pools first, then its own.
pub fn resolve(
    draft: &Draft,
    vip: &VipDraft,
    service: &ServiceDraft,
    topology: &Topology,
    holding: &Vip,
    problems: &mut Problems,
) -> Vec<Server> {
    let mut wanted: Vec<(&ServerDraft, Option<&Check>)> = Vec::new();
    for name in &service.pools {
        match draft.pools.get(&name.value) {
            Some(pool) => {
                let check = service.check.as_ref().or(pool.check.as_ref());
                wanted.extend(pool.servers.iter().map(|server| (server, check)));
            }
            None if draft.declared.contains(&("pool", name.value.clone())) => {}
            None => {
                let known = draft.pools.keys().map(String::as_str);
                problems.push(undeclared("pool", name, known, &format!("`pool \"{}\" {{ … }}`", name.value)));
            }
        }
    }
    wanted.extend(service.servers.iter().map(|server| (server, service.check.as_ref())));
    if wanted.is_empty() && service.pools.is_empty() {
        problems.push(
            Problem::warning("no-servers", format!("The service \"{}\" has no servers", service.name.value))
                .label(service.name.span, "answers nobody")
                .help("Add `server` with a real server's name, or `pool` with a pool's"),
        );
    }
    let holders: Vec<&Host> =
        topology.holders(holding).into_iter().filter_map(|name| topology.hosts.get(name)).collect();
    let mut servers: Vec<Server> = Vec::with_capacity(wanted.len());
    for (server, check) in wanted {
        let Some(resolved) = one(draft, vip, service, server, check, &holders, problems) else { continue };
        check_checked_port(service, &resolved, problems);
        let same = |other: &&Server| other.address == resolved.address && is_same_port(service, other, &resolved);
        match servers.iter().find(same) {
            Some(first) => problems.push(
                Problem::error(
                    "duplicate-server",
                    format!("The service has the server \"{}\" twice", server.host.value),
                )
                .label(resolved.host.span, "named again")
                .label(first.host.span, "named first")
                .help("Keep one of the two, and give it the weight of both"),
            ),
            None => servers.push(resolved),
        }
    }
    servers
}

fn one(
    draft: &Draft,
    vip: &VipDraft,
    service: &ServiceDraft,
    server: &ServerDraft,
    check: Option<&Check>,
    holders: &[&Host],
    problems: &mut Problems,
) -> Option<Server> {
    let forwarding = if server.says_forwarding { server.forwarding } else { vip.forwarding };
    if !server.says_forwarding && !vip.says_forwarding {
        problems.push(
            Problem::error("missing-property", "Nothing says how packets get to this server")
                .label(server.host.span, "has no forwarding method")
                .label(vip.address.span, "nor has its VIP")
                .help("Add forwarding=\"dr\", \"tun\" or \"nat\" to the VIP or to the server"),
        );
    }
    let (host, written) = find(draft, &server.host, problems)?;
    if host.role == Role::Director {
        problems.push(
            Problem::error(
                "not-a-real-server",
                format!("\"{}\" is a director and cannot be a server", host.name.value),
            )
            .label(server.host.span, "not a real server")
            .label(host.name.span, "declared here")
            .help("Name a real server"),
        );
        return None;
    }
    let family = match host.addresses.first() {
        Some(own) if !vip.usable => Family::of(own.addr()),
        _ => Family::of(vip.address.value),
    };
    let address = written.or_else(|| choose(host, family, holders));
    let Some(address) = address.filter(|address| Family::of(*address) == family) else {
        // A host whose addresses could not be read has been reported.
        if let Some(own) = host.addresses.first() {
            problems.push(
                Problem::error("family", "A VIP and its servers must be of the same address family")
                    .label(server.host.span, format!("has no {family} address here"))
                    .label(vip.address.span, family.to_string())
                    .label(own.span, "this host's address")
                    .help("Give the host an address of that family"),
            );
        }
        return None;
    };
    let forwarding = forwarding?.value;
    if matches!(forwarding, Forwarding::Dr | Forwarding::Tun) {
        check_port(forwarding, service, server, problems);
    }
    tunnels::check(server, host, forwarding, problems);
    if let (Some(proxy), false) = (service.syn_proxy, forwarding.translates()) {
        problems.push(
            Problem::error("syn-proxy", "A SYN proxy needs replies that pass the director")
                .label(proxy, "translates the numbers of every segment, both ways")
                .label(server.host.span, "answers clients itself")
                .help("Use forwarding=\"nat\" or \"fullnat\", or take `syn-proxy` away"),
        );
    }
    let delivery = match (forwarding, vip.delivery) {
        (Forwarding::Tun, Some(delivery)) if delivery.value == Delivery::Redirect => {
            problems.push(redirected_tunnel(server, delivery.span));
            delivery.value
        }
        (Forwarding::Dr | Forwarding::Tun, Some(delivery)) => delivery.value,
        (Forwarding::Dr, None) => Delivery::Loopback,
        (Forwarding::Tun, None) => Delivery::Tunnel,
        _ => Delivery::None,
    };
    Some(Server {
        host: Spanned::new(host.name.value.clone(), server.host.span),
        address,
        port: server.port,
        weight: server.weight,
        upper: server.upper,
        lower: server.lower,
        forwarding,
        tunnel: server.tunnel.map_or(Tunnel::Ipip, |tunnel| tunnel.value),
        delivery,
        check: server.check.as_ref().or(check).cloned(),
        notify: server.notify.clone(),
        span: server.span,
    })
}

/// Finds a server's host by name or address, and the address if one was written.
fn find<'a>(draft: &'a Draft, name: &Spanned<String>, problems: &mut Problems) -> Option<(&'a Host, Option<IpAddr>)> {
    if let Ok(address) = name.value.parse::<IpAddr>() {
        let host = draft.hosts.values().find(|host| host.declares(address));
        let certain = draft.hosts.values().all(|host| !host.addresses.is_empty());
        if host.is_none() && certain {
            let prefix = if address.is_ipv4() { 24 } else { 64 };
            problems.push(
                Problem::error("undeclared", format!("No host with the address {address} is declared"))
                    .label(name.span, "not declared")
                    .help(format!(
                        "Declare it: `real-server \"x\" {{ address \"{address}/{prefix}\"; managed #false }}`"
                    )),
            );
        }
        return host.map(|host| (host, Some(address)));
    }
    if let Some(host) = draft.hosts.get(&HostName::new(&name.value)) {
        return Some((host, None));
    }
    if !draft.declared.contains(&("host", name.value.clone())) {
        let real = draft.hosts.values().filter(|host| host.role == Role::RealServer);
        problems.push(undeclared(
            "real server",
            name,
            real.map(|host| host.name.as_str()),
            &format!("`real-server \"{}\" {{ address \"…/24\"; managed #false }}`", name.value),
        ));
    }
    None
}

/// Chooses the address that packets go to: the first of the family, and rather one in a network that a director shares,
/// because neither direct routing nor the way back under nat leads through a router.
fn choose(host: &Host, family: Family, holders: &[&Host]) -> Option<IpAddr> {
    let own = || host.addresses.iter().filter(|network| Family::of(network.addr()) == family);
    let shared = own().find(|network| {
        holders.iter().any(|holder| holder.addresses.iter().any(|address| network.contains(&address.addr())))
    });
    shared.or_else(|| own().next()).map(|network| network.addr())
}

/// Returns the one port that a service gives every server without a port of its own, if it is one.
fn common_port(service: &ServiceDraft) -> Option<u16> {
    match service.listens.as_slice() {
        [only] => only.ports.as_single(),
        _ => None,
    }
}

/// Tells whether two servers are one destination of any IPVS service that the service becomes.
fn is_same_port(service: &ServiceDraft, one: &Server, other: &Server) -> bool {
    let port = |server: &Server| server.port.map(|port| port.value);
    if port(one) == port(other) {
        return true;
    }
    // With a mark and several ports, no port means that the packet's own is kept, which is like no other.
    if service.fwmark.is_some() && common_port(service).is_none() {
        return false;
    }
    service
        .listens
        .iter()
        .filter_map(|listen| listen.ports.as_single())
        .any(|listened| port(one).unwrap_or(listened) == port(other).unwrap_or(listened))
}

/// Refuses a check that has no port to try, because the server takes packets on many.
fn check_checked_port(service: &ServiceDraft, server: &Server, problems: &mut Problems) {
    let Some(check) =
        server.check.as_ref().filter(|check| check.kind.has_port() && check.port.is_none() && server.port.is_none())
    else {
        return;
    };
    let many = |listen: &&crate::topology::Listen| {
        listen.ports.first == 0 || (service.fwmark.is_some() && common_port(service).is_none())
    };
    if let Some(listen) = service.listens.iter().find(many) {
        problems.push(
            Problem::error("missing-property", "The check does not know which port to try")
                .label(check.span, "`port=` is missing")
                .label(listen.span, "the service answers on many")
                .help("Add `port=` to the check"),
        );
    }
}

/// Refuses a redirection of what comes out of a tunnel: REDIRECT drops a packet whose interface has no address
/// (`nf_nat_redirect_ipv4` in `net/netfilter/nf_nat_redirect.c`).
fn redirected_tunnel(server: &ServerDraft, delivery: Span) -> Problem {
    Problem::error("conflict", "What comes out of a tunnel cannot be redirected")
        .label(delivery, "needs an address on the interface that the packet came in on")
        .label(server.host.span, "gets its packets through a tunnel, whose end has none")
        .help("Use delivery=\"tunnel\", which puts the VIP there, or \"loopback\"")
}

/// Refuses another port under direct routing and tunnelling, which rewrite no port.
fn check_port(forwarding: Forwarding, service: &ServiceDraft, server: &ServerDraft, problems: &mut Problems) {
    let Some(port) = server.port else { return };
    let name = if forwarding == Forwarding::Tun { "Tunnelling" } else { "Direct routing" };
    if let Some(listen) = service.listens.iter().find(|listen| listen.ports.as_single() != Some(port.value)) {
        problems.push(
            Problem::error("port-remap", format!("{name} cannot change the port"))
                .label(port.span, format!("port {} on the server", port.value))
                .label(listen.span, format!("port {} on the VIP", listen.ports))
                .help("Take `port=` away, or use forwarding=\"nat\""),
        );
    }
}
