//! What makes a change of the IPVS table true, by who programs the service.
//!
//! A static service is lvsctl's: it is changed over netlink, in place wherever the kernel can, and a destination is drained
//! before it goes. A checked one is keepalived's, and these facts about a reload (tried on 2.2.7) decide what is left to do:
//!
//! - scheduler, flags, persistence, weights and the forwarding method are applied in place; thresholds are not compared;
//! - a virtual server that leaves the file is deleted with all its destinations, one that comes is added; where it is in
//!   the kernel already, keepalived logs `EEXIST` and leaves its scheduler and its destinations' weights as they are;
//! - it compares with its previous configuration and not with the kernel: a service that somebody deleted comes back only
//!   after a reload without it and another one with it, and a destination that somebody deleted does not come back at all.
//!
//! A service that takes the place of another is put up ahead of keepalived, which then leaves it as it is (`plan::succession`).
//!
//! One thing the kernel cannot change in place, nor can keepalived: a server that is routed to directly from now on. It is
//! taken out for a moment, and its connections with it.
//!
//! A missing destination is health there and is left alone, and so is a weight of 0 where keepalived is to inhibit.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::effect::{DestinationConfig, DestinationKey, Effect, IpvsCommand, ServiceConfig, ServiceKey};
use crate::kinds::{Context, keepalived};
use crate::resource::{Change, Health, Programmer, Reason, Resource, ResourceKey};
use crate::topology::Forwarding;

/// How long a destination may keep its connections where its service does not say.
pub const DRAIN: Duration = Duration::from_secs(30);

/// How long keepalived may take to act on a reload, which it reads asynchronously.
pub const RELOAD: Duration = Duration::from_secs(10);

/// Returns the effects of a change of a service.
pub(super) fn service(change: &Change, context: &Context<'_>, key: ServiceKey) -> Vec<Effect> {
    let (before, after) = (as_service(change.before.as_ref()), as_service(change.after.as_ref()));
    let set = |config: &ServiceConfig| Effect::Ipvs(IpvsCommand::SetService(key, config.clone()));
    let new = |config: &ServiceConfig| Effect::Ipvs(IpvsCommand::NewService(key, config.clone()));
    let delete = Effect::Ipvs(IpvsCommand::DeleteService(key));
    match (before, after) {
        (None, Some((config, Programmer::Lvsctl))) => vec![new(config)],
        (Some((_, Programmer::Lvsctl)), Some((config, Programmer::Lvsctl))) => vec![set(config)],
        (Some((_, Programmer::Lvsctl)), None) => vec![delete],

        (None, Some((config, Programmer::Keepalived))) if context.ahead.contains_key(&key) => vec![new(config)],
        (None, Some((config, Programmer::Keepalived))) => appear(change, context, key, config),
        (Some((_, Programmer::Keepalived)), Some((config, Programmer::Keepalived))) => vec![set(config)],
        (Some((_, Programmer::Keepalived)), None) if reloads(context) => vec![gone(key)],
        (Some((_, Programmer::Keepalived)), None) => vec![delete],

        // keepalived takes the service away when it reloads, and lvsctl then puts its own there.
        (Some((_, Programmer::Keepalived)), Some((config, Programmer::Lvsctl))) if reloads(context) => {
            vec![gone(key), new(config)]
        }
        (Some((_, Programmer::Keepalived)), Some((config, Programmer::Lvsctl))) => vec![set(config)],
        // keepalived finds the service there and leaves it as it is.
        (Some((_, Programmer::Lvsctl)), Some((config, Programmer::Keepalived))) => vec![set(config)],
        (None, None) => Vec::new(),
    }
}

/// Returns the effects of a change of a destination.
pub(super) fn destination(
    change: &Change,
    context: &Context<'_>,
    service: ServiceKey,
    key: DestinationKey,
) -> Vec<Effect> {
    let (before, after) = (as_destination(change.before.as_ref()), as_destination(change.after.as_ref()));
    let set = |config: DestinationConfig| Effect::Ipvs(IpvsCommand::SetDestination(service, key, config));
    // keepalived may take its own away at any moment, whose check fails just then.
    let set_if_there =
        |config: DestinationConfig| Effect::Ipvs(IpvsCommand::SetDestinationIfThere(service, key, config));
    let new = |config: &DestinationConfig| Effect::Ipvs(IpvsCommand::NewDestination(service, key, config.clone()));
    let delete = Effect::Ipvs(IpvsCommand::DeleteDestination(service, key));
    match (before, after) {
        (None, Some((config, Programmer::Lvsctl))) => vec![new(config)],
        (Some((live, programmer)), Some((config, after))) if becomes_direct(live, config) => {
            let only_if_there = after == Programmer::Keepalived;
            let within = if only_if_there && reloads(context) { RELOAD } else { Duration::ZERO };
            let replace =
                Effect::ReplaceDestination { service, destination: key, config: config.clone(), only_if_there, within };
            // keepalived leaves the weight of what it finds there.
            let weight = (programmer != after && only_if_there).then(|| set_if_there(config.clone()));
            [replace].into_iter().chain(weight).collect()
        }
        (Some((_, Programmer::Lvsctl)), Some((config, Programmer::Lvsctl))) => vec![set(config.clone())],
        (Some((live, programmer)), None) => {
            let mut effects = drained((live, programmer), service, key, context);
            if programmer == Programmer::Lvsctl || !reloads(context) {
                effects.push(delete);
            }
            effects
        }
        (None, Some((config, Programmer::Keepalived))) => match context.ahead.get(&service) {
            Some(old) if old.iter().any(|old| is_well(context, *old, key)) => vec![new(config)],
            _ => Vec::new(),
        },
        (Some((live, Programmer::Keepalived)), Some((config, Programmer::Keepalived))) => {
            adjusted(change, live, config, context).map(set_if_there).into_iter().collect()
        }
        // The destination went with keepalived's service.
        (Some((_, Programmer::Keepalived)), Some((config, Programmer::Lvsctl))) if reloads(context) => {
            vec![new(config)]
        }
        (Some((_, Programmer::Keepalived)), Some((config, Programmer::Lvsctl))) => vec![set(config.clone())],
        (Some((_, Programmer::Lvsctl)), Some((config, Programmer::Keepalived))) => vec![set_if_there(config.clone())],
        (None, None) => Vec::new(),
    }
}

/// Tells whether packets go to a server directly from now on that did not: those of the connections that it has would take
/// the others along (see [`Effect::ReplaceDestination`]).
pub fn becomes_direct(live: &DestinationConfig, wanted: &DestinationConfig) -> bool {
    wanted.forwarding == Forwarding::Dr && live.forwarding != Forwarding::Dr
}

/// Tells whether a server gets connections from a service now.
fn is_well(context: &Context<'_>, service: ServiceKey, server: DestinationKey) -> bool {
    // The keys are in order, so a service's destinations are together.
    let first = DestinationKey { address: Ipv4Addr::UNSPECIFIED.into(), port: 0 };
    let of_service = context.observed.range(ResourceKey::IpvsDestination(service, first)..);
    let of_service =
        of_service.take_while(|(key, _)| matches!(key, ResourceKey::IpvsDestination(of, _) if *of == service));
    of_service.into_iter().any(|(key, entry)| match (key, &entry.resource) {
        (ResourceKey::IpvsDestination(_, there), Resource::IpvsDestination { config, .. }) => {
            there.address == server.address && config.weight > 0
        }
        _ => false,
    })
}

/// Returns what is left to be set of a destination that keepalived programs.
fn adjusted(
    change: &Change,
    live: &DestinationConfig,
    wanted: &DestinationConfig,
    context: &Context<'_>,
) -> Option<DestinationConfig> {
    let inhibits = context.desired.get(change.key()).is_some_and(|entry| entry.health == Health::Weight);
    let inhibited = live.weight == 0;
    if !reloads(context) {
        // Where keepalived does not inhibit, somebody else has set the weight to 0, and keepalived would leave it so.
        let weight = if inhibited && inhibits { 0 } else { wanted.weight };
        return Some(DestinationConfig { weight, ..wanted.clone() });
    }
    if inhibited && !inhibits && change.reason == Reason::AlteredOnHost {
        return Some(wanted.clone());
    }
    // Whether a weight of 0 was asked for or is health cannot be told from here. keepalived can, and it writes the
    // thresholds together with the next weight that it sets.
    let thresholds = (live.upper, live.lower) != (wanted.upper, wanted.lower);
    (thresholds && !inhibited).then(|| wanted.clone())
}

/// Returns the effects that make keepalived's service appear in the kernel.
fn appear(change: &Change, context: &Context<'_>, key: ServiceKey, config: &ServiceConfig) -> Vec<Effect> {
    let ran = context.observed.contains_key(&ResourceKey::KeepalivedDaemon);
    let known = change.reason == Reason::RemovedOnHost || !reloads(context);
    if !(ran && known) {
        return vec![present(key)];
    }
    let text = context.desired.get(&ResourceKey::KeepalivedConfiguration).and_then(|entry| match &entry.resource {
        Resource::File { text, .. } => keepalived::without(text, key).map(|reduced| (text, reduced)),
        _ => None,
    });
    let Some((full, reduced)) = text else {
        return vec![present(key)];
    };
    // That keepalived takes the stand-in away shows that it has read the reduced configuration.
    vec![
        Effect::Ipvs(IpvsCommand::NewService(key, config.clone())),
        keepalived::write(&reduced),
        Effect::ReloadKeepalived { configuration: keepalived::digest(&reduced) },
        gone(key),
        keepalived::write(full),
        Effect::ReloadKeepalived { configuration: keepalived::digest(full) },
        present(key),
    ]
}

fn drained(
    (live, programmer): (&DestinationConfig, Programmer),
    service: ServiceKey,
    destination: DestinationKey,
    context: &Context<'_>,
) -> Vec<Effect> {
    let within = context.desired.get(&ResourceKey::IpvsService(service)).and_then(|entry| entry.drain).unwrap_or(DRAIN);
    let quiet = DestinationConfig { weight: 0, ..live.clone() };
    let set = Effect::Ipvs(match programmer {
        Programmer::Lvsctl => IpvsCommand::SetDestination(service, destination, quiet),
        Programmer::Keepalived => IpvsCommand::SetDestinationIfThere(service, destination, quiet),
    });
    let wait = Effect::AwaitDrained { service, destination, within };
    if live.weight == 0 { vec![wait] } else { vec![set, wait] }
}

fn present(service: ServiceKey) -> Effect {
    Effect::AwaitService { service, present: true, within: RELOAD }
}

fn gone(service: ServiceKey) -> Effect {
    Effect::AwaitService { service, present: false, within: RELOAD }
}

/// Tells whether a keepalived that runs reads a configuration or stops in this plan, and so lets go of what it put there.
///
/// One that was killed has left its services behind, and the next one neither knows nor changes them.
fn reloads(context: &Context<'_>) -> bool {
    context.observed.contains_key(&ResourceKey::KeepalivedDaemon)
        && [ResourceKey::KeepalivedConfiguration, ResourceKey::KeepalivedDaemon]
            .iter()
            .any(|key| context.changed.contains(key))
}

fn as_service(resource: Option<&Resource>) -> Option<(&ServiceConfig, Programmer)> {
    match resource {
        Some(Resource::IpvsService { config, programmer }) => Some((config, *programmer)),
        _ => None,
    }
}

fn as_destination(resource: Option<&Resource>) -> Option<(&DestinationConfig, Programmer)> {
    match resource {
        Some(Resource::IpvsDestination { config, programmer }) => Some((config, *programmer)),
        _ => None,
    }
}
