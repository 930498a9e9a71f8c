//! Sorts of changes, as the rules of the order speak of them.

use std::net::IpAddr;

use crate::effect::ServiceKey;
use crate::kinds::{delivery, ipvs, sysctl};
use crate::resource::{Action, Change, OWN_CHAIN_OUT, Programmer, Resource, ResourceKey, Table};
use crate::topology::{Family, HostName, SysctlKey};

pub(super) fn service(change: &Change) -> Option<ServiceKey> {
    match change.key() {
        ResourceKey::IpvsService(service) | ResourceKey::IpvsDestination(service, _) => Some(*service),
        _ => None,
    }
}

pub(super) fn is_director_address(change: &Change) -> bool {
    matches!(change.key(), ResourceKey::Address { device, .. } if !delivery::is_device(device))
}

pub(super) fn gives_up_vip(change: &Change) -> bool {
    change.action == Action::Delete && is_director_address(change)
}

/// Tells whether an address of a director goes and comes back: another prefix of IPv4 is added before the old one goes, and
/// nothing else can be changed in place.
pub(super) fn is_away_for_a_moment(change: &Change) -> bool {
    let prefix = |resource: &Option<Resource>| match resource {
        Some(Resource::Address { prefix, .. }) => Some(*prefix),
        _ => None,
    };
    let is_first_added =
        matches!(address(change), Some(IpAddr::V4(_))) && prefix(&change.before) != prefix(&change.after);
    is_director_address(change) && change.before.is_some() && change.after.is_some() && !is_first_added
}

/// Tells whether a host is to send what it has no other route for to somebody else than until now.
pub(super) fn leads_elsewhere(change: &Change) -> bool {
    change.before.is_some() && change.before != change.after
}

/// Tells whether a host that sends packets on is to do so no longer.
pub(super) fn ends_forwarding(change: &Change, key: &SysctlKey) -> bool {
    let says = |resource: Option<&Resource>, wanted: &str| matches!(resource, Some(Resource::Sysctl(value)) if value == wanted);
    let after = change.after.as_ref().or(change.previous.as_ref());
    sysctl::is_forwarding(key) && says(change.before.as_ref(), "1") && after.is_none_or(|after| says(Some(after), "0"))
}

pub(super) fn address(change: &Change) -> Option<IpAddr> {
    match change.key() {
        ResourceKey::Address { address, .. } => Some(*address),
        _ => None,
    }
}

/// Tells whether a service can be one of a VIP; a mark does not say which VIP its packets are for.
pub(super) fn may_serve(service: &ServiceKey, vip: IpAddr) -> bool {
    match service {
        ServiceKey::Address { address, .. } => *address == vip,
        ServiceKey::Mark { family, .. } => *family == Family::of(vip),
    }
}

pub(super) fn is_deleted_service(change: &Change) -> bool {
    change.action == Action::Delete && matches!(change.key(), ResourceKey::IpvsService(_))
}

pub(super) fn is_deleted_destination(change: &Change) -> bool {
    change.action == Action::Delete && matches!(change.key(), ResourceKey::IpvsDestination(..))
}

pub(super) fn takes_vip(change: &Change) -> bool {
    change.action != Action::Delete && is_director_address(change)
}

pub(super) fn is_keepalived(change: &Change) -> bool {
    matches!(change.key(), ResourceKey::KeepalivedDaemon)
}

pub(super) fn programmer(change: &Change) -> Option<Programmer> {
    match change.after.as_ref().or(change.before.as_ref())? {
        Resource::IpvsService { programmer, .. } | Resource::IpvsDestination { programmer, .. } => Some(*programmer),
        _ => None,
    }
}

pub(super) fn was_keepalived(change: &Change) -> bool {
    matches!(
        change.before,
        Some(
            Resource::IpvsService { programmer: Programmer::Keepalived, .. }
                | Resource::IpvsDestination { programmer: Programmer::Keepalived, .. }
        )
    )
}

pub(super) fn is_service(change: &Change, by: Option<Programmer>) -> bool {
    matches!(change.key(), ResourceKey::IpvsService(_)) && programmer(change) == by
}

pub(super) fn is_destination(change: &Change, action: Action, by: Option<Programmer>) -> bool {
    change.action == action && matches!(change.key(), ResourceKey::IpvsDestination(..)) && programmer(change) == by
}

/// Tells whether a change takes something out of a director's table.
pub(super) fn forgets_table(change: &Change) -> bool {
    change.action == Action::Delete
        && matches!(change.key(), ResourceKey::IpvsService(_) | ResourceKey::IpvsDestination(..))
}

/// Tells whether a change makes a director send packets to a server in another way.
pub(super) fn is_sent_otherwise(change: &Change) -> bool {
    match (&change.before, &change.after) {
        (
            Some(Resource::IpvsDestination { config: before, .. }),
            Some(Resource::IpvsDestination { config: after, .. }),
        ) => (before.forwarding, before.tunnel) != (after.forwarding, after.tunnel),
        _ => false,
    }
}

/// Tells whether a change makes a director route packets to a server that it did not route to before.
pub(super) fn becomes_direct(change: &Change) -> bool {
    match (&change.before, &change.after) {
        (
            Some(Resource::IpvsDestination { config: before, .. }),
            Some(Resource::IpvsDestination { config: after, .. }),
        ) => ipvs::becomes_direct(before, after),
        _ => false,
    }
}

/// Tells whether a change is one of the chain by which a director becomes the client of its servers.
pub(super) fn is_of_translation(change: &Change) -> bool {
    matches!(
        change.key(),
        ResourceKey::Chain { table: Table::Nat, chain, .. } | ResourceKey::ChainRemainder { table: Table::Nat, chain, .. }
            if chain == OWN_CHAIN_OUT
    )
}

/// Tells whether a chain gets rules rather than loses some.
pub(super) fn gains_rules(change: &Change) -> bool {
    change.action != Action::Delete && matches!(change.key(), ResourceKey::Chain { .. })
}

/// Tells whether a change makes a real server stop accepting packets for a VIP.
pub(super) fn stops_accepting(change: &Change) -> bool {
    let accepts = match change.key() {
        ResourceKey::Address { device, .. } => delivery::is_device(device),
        ResourceKey::Link(_) | ResourceKey::FouPort { .. } => true,
        ResourceKey::Chain { table, .. } => *table == Table::Nat,
        ResourceKey::DefaultRoute(_) => true,
        ResourceKey::ChainRemainder { .. } => return true,
        _ => false,
    };
    change.action == Action::Delete && accepts
}

/// Tells whether a change gives a host another way out.
pub(super) fn is_rerouted(change: &Change) -> bool {
    change.action == Action::Update && matches!(change.key(), ResourceKey::DefaultRoute(_))
}

/// Returns the gateway that a host is given.
pub(super) fn new_gateway(change: &Change) -> Option<(HostName, IpAddr)> {
    match change.after {
        Some(Resource::DefaultRoute { via: Some(via) }) => Some((change.id.host.clone(), via)),
        _ => None,
    }
}

/// Tells whether a change takes an address off a host that is to be its gateway; the kernel refuses a gateway that is one of
/// the host's own addresses.
pub(super) fn is_own_gateway(change: &Change, (host, gateway): &(HostName, IpAddr)) -> bool {
    change.action == Action::Delete
        && change.id.host == *host
        && matches!(change.key(), ResourceKey::Address { address, .. } if address == gateway)
}

/// Tells whether a change lets a real server accept packets for a VIP in a further way.
pub(super) fn starts_accepting(change: &Change) -> bool {
    change.action != Action::Delete
        && match change.key() {
            ResourceKey::Address { device, .. } => delivery::is_device(device),
            ResourceKey::Chain { table, .. } => *table == Table::Nat,
            _ => false,
        }
}

pub(super) fn is_parameter(change: &Change) -> bool {
    matches!(
        change.key(),
        ResourceKey::Sysctl(_)
            | ResourceKey::IpvsTimeout(_)
            | ResourceKey::Offload { .. }
            | ResourceKey::ModuleOptions
            | ResourceKey::Module(_)
    )
}
