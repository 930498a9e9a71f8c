//! What must not happen unless the operator allows it by name.
//!
//! `management-address`: a change would cut the address by which lvsctl, or the operator's login, is on the host. To add a guard,
//! add its name to [`GUARDS`] and what finds it to [`guards`]. What keepalived does to such an address is told in `guard_vip`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Reading, Step, guard_vip};
use crate::effect::{Capabilities, Link, Management, ServiceKey};
use crate::resource::{
    Action, ChainRule, Change, PortMatch, Resource, ResourceId, ResourceKey, RuleTarget, ServiceRule,
};
use crate::topology::{Family, HostName, Protocol};

/// The guard of the address that we came in on.
pub const MANAGEMENT_ADDRESS: &str = "management-address";

/// The names of all guards.
pub const GUARDS: [&str; 1] = [MANAGEMENT_ADDRESS];

/// A change that is not made unless the guard is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The guard's name.
    pub name: &'static str,
    /// The change.
    pub id: ResourceId,
    /// What would happen.
    pub text: String,
}

/// Returns the guards that the steps of a plan meet.
pub(super) fn guards(steps: &[Step], observed: &BTreeMap<HostName, Reading>) -> Vec<Guard> {
    let mut guards = Vec::new();
    let changes: Vec<&Change> = steps.iter().map(|step| &step.change).collect();
    for change in &changes {
        let Some(Ok(here)) = observed.get(&change.id.host) else { continue };
        let Some(management) = here.capabilities.management else { continue };
        let by_itself = cuts(change, &management, &here.capabilities);
        if let Some(how) = by_itself.or_else(|| guard_vip::cuts(change, management.address, &changes, observed)) {
            guards.push(Guard::of(&change.id.host, &management, change.id.clone(), &how));
        }
    }
    for (host, reading) in observed {
        let management = reading.as_ref().ok().and_then(|here| here.capabilities.management);
        let Some(management) = management else { continue };
        if let Some((id, how)) = guard_vip::passes(host, management.address, &changes, observed) {
            guards.push(Guard::of(host, &management, id, &how));
        }
    }
    guards
}

impl Guard {
    /// Returns what to do about it.
    pub fn help(&self) -> String {
        format!("Reach the host by another address, or give --allow {}", self.name)
    }

    fn of(host: &HostName, management: &Management, id: ResourceId, how: &str) -> Self {
        let text = format!("{} on {host}, the address of this connection, {how}", management.address);
        Guard { name: MANAGEMENT_ADDRESS, id, text }
    }
}

/// Says how a change cuts the address that we came in on, if it does.
fn cuts(change: &Change, management: &Management, capabilities: &Capabilities) -> Option<String> {
    let address = management.address;
    match (change.key(), change.action) {
        (ResourceKey::Address { address: of, device }, Action::Delete | Action::Replace | Action::Update)
            if *of == address =>
        {
            Some(format!("is taken from {device}"))
        }
        (ResourceKey::Link(device), _) if goes_down(change) => {
            let is_there = capabilities.link_with(address).is_some_and(|link| link.name == *device);
            is_there.then(|| format!("goes with the interface {device}"))
        }
        (ResourceKey::DefaultRoute(family), _) if *family == Family::of(address) && change.before.is_some() => {
            let is_near = |client: IpAddr| capabilities.links.iter().any(|link| reaches(link, client));
            let client = management.client.filter(|client| is_near(*client));
            client.is_none().then(|| "answers by the default route, which changes".to_owned())
        }
        (ResourceKey::IpvsService(service), Action::Create | Action::Replace) if takes(service, management) => {
            Some(format!("is balanced by the virtual service {service}"))
        }
        (ResourceKey::Chain { chain, .. }, Action::Create | Action::Update | Action::Replace) => {
            let rules = |resource: &Option<Resource>| match resource {
                Some(Resource::Chain { rules, .. }) => rules.clone(),
                _ => Vec::new(),
            };
            let before = rules(&change.before);
            let new = rules(&change.after).into_iter().filter(|rule| !before.contains(rule));
            let met = new.into_iter().any(|rule| meets(&rule, management));
            met.then(|| format!("meets a rule of {chain}"))
        }
        _ => None,
    }
}

fn goes_down(change: &Change) -> bool {
    match (&change.before, &change.after) {
        (Some(_), None) => true,
        (Some(Resource::Link { is_up: was, .. }), Some(Resource::Link { is_up, .. })) => *was && !*is_up,
        _ => false,
    }
}

/// Tells whether an address is in a network of an interface, and answered without a gateway.
fn reaches(link: &Link, client: IpAddr) -> bool {
    link.addresses.iter().any(|held| held.network.contains(&client))
}

fn takes(service: &ServiceKey, management: &Management) -> bool {
    match service {
        ServiceKey::Address { protocol: Protocol::Tcp, address, port } => {
            *address == management.address && (*port == 0 || *port == management.port)
        }
        _ => false,
    }
}

/// Tells whether a rule does something to the packets of our connection.
fn meets(rule: &ChainRule, management: &Management) -> bool {
    let is_ours = |ports: &PortMatch| {
        let in_range = ports.ports.is_none_or(|range| (range.first..=range.last).contains(&management.port));
        ports.protocol == Protocol::Tcp && in_range
    };
    match rule {
        ChainRule::Known { destination, ports, target, mac_source, .. } => {
            let is_led_away = matches!(target, RuleTarget::Mark(_) | RuleTarget::Redirect(_));
            let is_met = destination.is_none_or(|destination| destination == management.address);
            is_led_away && is_met && mac_source.is_none() && ports.as_ref().is_none_or(is_ours)
        }
        ChainRule::Service { what, address, ports } => {
            let harms = matches!(what, ServiceRule::Untrack | ServiceRule::SynProxy(_) | ServiceRule::DropInvalid);
            harms && *address == management.address && is_ours(ports)
        }
        ChainRule::UnknownPeer { .. } | ChainRule::Other(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::LinkAddress;
    use crate::resource::{Reason, Table};

    const MANAGEMENT: Management = Management {
        address: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
        port: 22,
        client: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9))),
    };

    fn capabilities() -> Capabilities {
        let addresses = vec![LinkAddress { network: "10.0.0.1/24".parse().unwrap(), label: None }];
        let link = Link { name: "eth0".into(), mac: None, sort: None, is_up: true, addresses };
        Capabilities { links: vec![link], ..Capabilities::default() }
    }

    fn change(key: ResourceKey, before: Option<Resource>, after: Option<Resource>) -> Change {
        let action = match (&before, &after) {
            (None, _) => Action::Create,
            (_, None) => Action::Delete,
            _ => Action::Update,
        };
        let id = ResourceId::new(&HostName::new("lb1"), key);
        Change { id, action, before, after, reason: Reason::TopologyChanged, previous: None, origin: None }
    }

    fn is_cut(change: &Change) -> bool {
        cuts(change, &MANAGEMENT, &capabilities()).is_some()
    }

    #[test]
    fn the_address_itself_and_its_interface_are_guarded() {
        let held = Some(Resource::Address { prefix: 24, label: None });
        let key = |last: u8| ResourceKey::Address { device: "eth0".into(), address: [10, 0, 0, last].into() };
        assert!(is_cut(&change(key(1), held.clone(), None)));
        assert!(!is_cut(&change(key(2), held.clone(), None)));
        assert!(!is_cut(&change(key(1), None, held)), "to put it there harms nobody");
        let link = |is_up| Some(Resource::Link { sort: None, is_up });
        assert!(is_cut(&change(ResourceKey::Link("eth0".into()), link(true), link(false))));
        assert!(!is_cut(&change(ResourceKey::Link("eth1".into()), link(true), None)));
        assert!(!is_cut(&change(ResourceKey::Link("eth0".into()), link(false), link(true))));
    }

    #[test]
    fn the_route_by_which_we_answer_is_guarded_and_no_other() {
        let route = |last: u8| Some(Resource::DefaultRoute { via: Some([10, 0, 0, last].into()) });
        let key = ResourceKey::DefaultRoute(Family::Ipv4);
        assert!(is_cut(&change(key.clone(), route(254), route(1))));
        assert!(is_cut(&change(key.clone(), route(254), None)));
        assert!(!is_cut(&change(key.clone(), None, route(1))), "without one we answer by another");
        assert!(!is_cut(&change(ResourceKey::DefaultRoute(Family::Ipv6), route(254), None)));
        let near = Management { client: Some([10, 0, 0, 77].into()), ..MANAGEMENT };
        assert_eq!(cuts(&change(key, route(254), route(1)), &near, &capabilities()), None, "it is on the same network");
    }

    #[test]
    fn services_and_rules_that_would_take_our_packets_are_guarded() {
        let service = |port: u16| {
            ResourceKey::IpvsService(ServiceKey::Address { protocol: Protocol::Tcp, address: MANAGEMENT.address, port })
        };
        for (port, cut) in [(22, true), (0, true), (80, false)] {
            assert_eq!(is_cut(&change(service(port), None, None)), cut, "port {port}");
        }
        let rule = |first: u16, destination: Option<IpAddr>| ChainRule::Known {
            destination,
            interface: None,
            ports: Some(PortMatch {
                protocol: Protocol::Tcp,
                ports: Some(crate::topology::PortRange { first, last: first + 10 }),
            }),
            mac_source: None,
            target: RuleTarget::Mark(7),
        };
        let chain = |rules: Vec<ChainRule>| Some(Resource::Chain { rules, jumps: 1 });
        let key = ResourceKey::Chain { family: Family::Ipv4, table: Table::Mangle, chain: "LVSCTL".into() };
        let ours = rule(15, Some(MANAGEMENT.address));
        assert!(is_cut(&change(key.clone(), None, chain(vec![ours.clone()]))));
        assert!(is_cut(&change(key.clone(), None, chain(vec![rule(22, None)]))));
        assert!(!is_cut(&change(key.clone(), chain(vec![ours.clone()]), chain(vec![ours]))), "it is there already");
        assert!(!is_cut(&change(key, None, chain(vec![rule(80, Some(MANAGEMENT.address))]))));
    }
}
