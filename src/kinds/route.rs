//! The default route of real servers under NAT, whose replies must pass the director that rewrote the request.
//!
//! The gateway is an address that moves with the master where there is one in the server's network, so that a failover
//! needs no change on any real server; else it is the preferred director's own address there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Context, Kind, ParseError, Scope, Site, delivery};
use crate::effect::{Answer, Effect, LiveRoute, Probe};
use crate::resource::{Action, Change, Entry, Resource, ResourceKey};
use crate::source::{Problem, Problems, Span};
use crate::topology::{Family, Floating, Forwarding, Host, HostName, Server, Topology, Vip, VipHolder};

/// The kind of default routes.
#[derive(Clone, Copy, Debug)]
pub struct RouteKind;

impl Kind for RouteKind {
    fn name(&self) -> &'static str {
        "route"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::DefaultRoute(_))
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        if !host.managed {
            return Vec::new();
        }
        let topology = site.topology;
        let mut gateways: BTreeMap<Family, (IpAddr, Span)> = BTreeMap::new();
        for (vip, server) in translated(topology, host) {
            let Some(gateway) = gateway(topology, host, vip, server) else {
                problems.push(no_gateway(topology, host, vip, server));
                continue;
            };
            let (chosen, origin) = *gateways.entry(Family::of(gateway)).or_insert((gateway, server.span));
            if chosen != gateway {
                problems.push(conflict(host, (chosen, origin), (gateway, server.span)));
            }
        }
        let rules = site.facts.get(&host.name.value).map(|facts| facts.policy_routing.as_slice()).unwrap_or_default();
        for (_, (gateway, origin)) in gateways.iter().filter(|(family, _)| rules.contains(family)) {
            problems.push(policy_routing(host, *gateway, *origin));
        }
        for (family, (_, origin)) in &gateways {
            if let Some(problem) = martian(topology, host, *family, *origin) {
                problems.push(problem);
            }
        }
        gateways
            .into_iter()
            .map(|(family, (via, origin))| {
                let resource = Resource::DefaultRoute { via: Some(via) };
                Entry::new(ResourceKey::DefaultRoute(family), resource).origin(origin)
            })
            .collect()
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        match scope.keys.iter().any(|key| self.owns(key)) {
            true => vec![Probe::DefaultRoutes],
            false => Vec::new(),
        }
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut best: BTreeMap<Family, &LiveRoute> = BTreeMap::new();
        for answer in answers {
            let Answer::DefaultRoutes(routes) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the default routes".into() });
            };
            for route in routes {
                let chosen = best.entry(route.family).or_insert(route);
                if route.metric < chosen.metric {
                    *chosen = route;
                }
            }
        }
        Ok(best
            .into_iter()
            .map(|(family, route)| (ResourceKey::DefaultRoute(family), route))
            .filter(|(key, _)| scope.keys.contains(key))
            .map(|(key, route)| Entry::new(key, Resource::DefaultRoute { via: route.via }))
            .collect())
    }

    /// A route without a gateway, as over a point-to-point link, cannot be put back: its interface is not kept.
    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let replace = |resource: &Option<Resource>| match resource {
            Some(Resource::DefaultRoute { via: Some(via) }) => {
                Some(Effect::ReplaceDefaultRoute { via: *via, device: None })
            }
            _ => None,
        };
        let effect = match change.action {
            Action::Create | Action::Update | Action::Replace => replace(&change.after),
            Action::Delete => replace(&change.previous).or(match &change.before {
                Some(Resource::DefaultRoute { via: Some(via) }) => Some(Effect::RemoveDefaultRoute { via: *via }),
                _ => None,
            }),
        };
        effect.into_iter().collect()
    }
}

/// Returns the VIPs whose packets reach a host translated; a director that serves its own VIP routes to nobody.
fn translated<'a>(topology: &'a Topology, host: &'a Host) -> impl Iterator<Item = (&'a Vip, &'a Server)> {
    topology
        .services()
        .flat_map(|(vip, service)| service.servers.iter().map(move |server| (vip, server)))
        .filter(|(_, server)| server.host.value == host.name.value && server.forwarding == Forwarding::Nat)
        .filter(move |(vip, _)| !topology.holders(vip).contains(&&host.name.value))
}

/// Returns what a server's replies must pass.
///
/// Of several floating addresses the lowest is taken, so that all services of one failover agree. One that the server
/// holds itself is no gateway for it: the kernel refuses its own addresses.
fn gateway(topology: &Topology, host: &Host, vip: &Vip, server: &Server) -> Option<IpAddr> {
    let network = host.addresses.iter().find(|network| network.contains(&server.address));
    let failover = match &vip.holder {
        VipHolder::Failover(name) => topology.failovers.get(&name.value),
        VipHolder::Director(_) => None,
    };
    let near = |address: &IpAddr| network.is_some_and(|network| network.contains(address));
    let foreign = |floating: &Floating<'_>| match floating {
        Floating::Vip(vip) => !delivery::parts(vip, host).any(|part| delivery::device(vip, part).is_some()),
        Floating::Further(_) => true,
    };
    let floating = failover.into_iter().flat_map(|failover| topology.floating(failover)).filter(foreign);
    let floating = floating.map(|floating| floating.address().value).filter(near).min();
    floating.or_else(|| {
        let preferred = topology.hosts.get(*topology.holders(vip).first()?)?;
        preferred.address_near(server.address)
    })
}

fn no_gateway(topology: &Topology, host: &Host, vip: &Vip, server: &Server) -> Problem {
    let message = format!(
        "The replies of {} cannot be routed through the director of {}, which has no address in its network",
        host.name.value, vip.address.value
    );
    let problem = Problem::warning("nat-return-path", message).label(server.span, "served under nat");
    let director = topology.holders(vip).first().and_then(|name| topology.hosts.get(*name));
    match director {
        Some(director) => problem.label(director.name.span, format!("no address near {}", server.address)),
        None => problem,
    }
    .help("Give the director an address in the server's network, or route the replies to it by other means")
}

/// The default route is read from the main table; another table may be asked first.
fn policy_routing(host: &Host, gateway: IpAddr, origin: Span) -> Problem {
    let name = &host.name.value;
    Problem::warning(
        "nat-return-path",
        format!("{name} has rules of policy routing, by which replies may miss the director"),
    )
    .label(origin, format!("replies must pass {gateway}"))
    .help(format!("Look at `ip rule` on {name}: replies that leave another way are dropped by the clients"))
}

/// Returns what is wrong if replies that need no director pass one that holds their source address: the kernel drops a
/// packet whose source is one of its own addresses (`fib_validate_source`).
fn martian(topology: &Topology, host: &Host, family: Family, translated_at: Span) -> Option<Problem> {
    let gateways: Vec<&HostName> = translated(topology, host).flat_map(|(vip, _)| topology.holders(vip)).collect();
    let (vip, server) = topology.services().find_map(|(vip, service)| {
        let passed = topology.holders(vip).iter().any(|holder| gateways.contains(holder));
        let direct = |server: &&Server| {
            server.host.value == host.name.value
                && Family::of(server.address) == family
                && matches!(server.forwarding, Forwarding::Dr | Forwarding::Tun)
        };
        service.servers.iter().find(direct).filter(|_| passed).map(|server| (vip, server))
    })?;
    let message = format!("Replies of {} for {} pass a director that drops them", host.name.value, vip.address.value);
    let problem = Problem::warning("martian-replies", message)
        .label(server.span, format!("answers clients itself, as {}", vip.address.value))
        .label(translated_at, "makes the director the default route")
        .help("Serve both VIPs by the same method, or from different real servers; clients in the server's own network are reached");
    Some(problem)
}

fn conflict(host: &Host, one: (IpAddr, Span), two: (IpAddr, Span)) -> Problem {
    let message = format!("{} would need two default routes", host.name.value);
    Problem::error("gateway-conflict", message)
        .label(one.1, format!("replies must pass {}", one.0))
        .label(two.1, format!("replies must pass {}", two.0))
        .help("Serve both VIPs from one failover, or from different real servers")
}

#[cfg(test)]
mod tests;
