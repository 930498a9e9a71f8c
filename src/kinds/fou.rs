//! UDP ports of real servers at which packets come out of Generic UDP Encapsulation (`fou`, ip-fou(8)).
//!
//! The port belongs to a network namespace, and whatever comes out of it goes on to the end of the tunnel of IP in IP.

use std::collections::BTreeMap;

use super::{Context, Kind, ParseError, Scope, Site, delivery, ids};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{Action, Change, Entry, Resource, ResourceKey};
use crate::source::{Problems, Span};
use crate::topology::{Family, Forwarding, Host, Server, Tunnel};

/// The module that opens such ports.
pub const MODULE: &str = "fou";

/// The kind of these ports.
#[derive(Clone, Copy, Debug)]
pub struct FouKind;

/// Returns the port at which a server takes packets out of their envelopes, and the family of these.
pub fn port(server: &Server) -> Option<(Family, u16)> {
    match server.tunnel {
        Tunnel::Gue { port, .. } if server.forwarding == Forwarding::Tun => Some((Family::of(server.address), port)),
        _ => None,
    }
}

/// Returns the option by which ip-fou(8) takes envelopes of IPv6.
pub fn option(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "",
        Family::Ipv6 => " -6",
    }
}

impl Kind for FouKind {
    fn name(&self) -> &'static str {
        "fou"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::FouPort { .. })
    }

    fn compile(&self, site: &Site<'_>, host: &Host, _problems: &mut Problems) -> Vec<Entry> {
        if !host.managed {
            return Vec::new();
        }
        let mut ports: BTreeMap<(Family, u16), Span> = BTreeMap::new();
        for server in site.topology.vips.values().flat_map(|vip| delivery::parts(vip, host)) {
            if let Some(port) = port(server) {
                ports.entry(port).or_insert(server.span);
            }
        }
        let entries = ports.into_iter().map(|((family, port), origin)| {
            Entry::new(ResourceKey::FouPort { family, port }, Resource::FouPort { is_gue: true })
                .origin(origin)
                .requires(ids::module(&host.name.value, MODULE))
        });
        entries.collect()
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let asked = scope.keys.iter().any(|key| self.owns(key));
        asked.then_some(Probe::FouPorts).into_iter().collect()
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::FouPorts(ports) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the ports of fou".into() });
            };
            let live = ports.iter().map(|((family, port), is_gue)| {
                (ResourceKey::FouPort { family: *family, port: *port }, Resource::FouPort { is_gue: *is_gue })
            });
            let of_interest = live.filter(|(key, _)| scope.keys.contains(key));
            entries.extend(of_interest.map(|(key, resource)| Entry::new(key, resource)));
        }
        Ok(entries)
    }

    /// A port of another sort has to be closed first. It cannot be put back: what it expected instead is not kept.
    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let ResourceKey::FouPort { family, port } = *change.key() else {
            return Vec::new();
        };
        let close = change.before.iter().map(|_| Effect::RemoveFouPort { family, port });
        let open = (change.action != Action::Delete).then_some(Effect::AddFouPort { family, port });
        close.chain(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fixture::*;
    use crate::topology::fixture::reference_site;

    #[test]
    fn a_port_is_opened_once_for_all_services() {
        let mut topology = reference_site();
        for server in topology.vips.values_mut().flat_map(|vip| &mut vip.services).flat_map(|one| &mut one.servers) {
            server.forwarding = Forwarding::Tun;
            server.tunnel = Tunnel::Gue { port: 6080, flags: 0 };
        }
        let host = topology.vips.values().next().unwrap().services[0].servers[0].host.value.clone();
        let (entries, _) = compile(&FouKind, &topology, &Facts::new(), host.as_str());
        assert_eq!(listing(&entries), ["fou/ipv4/6080 FouPort { is_gue: true }"]);
        assert_eq!(required(&entries[0]), [format!("{host}/module/fou")]);
    }

    #[test]
    fn another_sort_of_port_makes_way() {
        let key = ResourceKey::FouPort { family: Family::Ipv6, port: 1 };
        let live = Answer::FouPorts(BTreeMap::from([((Family::Ipv6, 1), false), ((Family::Ipv4, 1), true)]));
        let seen = parse(&FouKind, std::slice::from_ref(&key), &[live]).unwrap();
        assert_eq!(listing(&seen), ["fou/ipv6/1 FouPort { is_gue: false }"]);
        let port = |is_gue| Some(Resource::FouPort { is_gue });
        let (close, open) = (
            Effect::RemoveFouPort { family: Family::Ipv6, port: 1 },
            Effect::AddFouPort { family: Family::Ipv6, port: 1 },
        );
        let made = |before, after| effects(&FouKind, &change(&key, before, after));
        assert_eq!(made(port(true), None), std::slice::from_ref(&close));
        assert_eq!(made(None, port(true)), std::slice::from_ref(&open));
        assert_eq!(made(port(false), port(true)), [close, open]);
    }
}
