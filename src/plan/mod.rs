//! A plan: the changes of every host with their effects, their undo, and the order in which they are made.
//!
//! [`graph`] turns requires edges into waves: a wave's steps do not depend on each other and may be made at once, and a
//! wave begins when the one before it has ended. The same input always makes the same plan.

mod digest;
mod disruption;
mod election;
mod edges;
mod graph;
mod guard;
mod guard_vip;
mod impact;
mod names;
mod narrow;
mod preference;
mod reload;
mod reload_edits;
mod sorts;
mod succession;
mod undo;

use std::collections::{BTreeMap, BTreeSet};

pub use disruption::disruption;
pub use graph::Cycle;
pub use guard::{GUARDS, Guard};
pub use impact::Impact;
pub use names::{Names, ServiceName};
pub use preference::Election;
pub use reload::{ReloadAct, ReloadEffect, reload};

use succession::Successions;

use crate::compile::Desired;
use crate::diff::{Foreign, RuntimeState, diff};
use crate::effect::{Effect, ServiceKey, Undo};
use crate::kinds::{Context, Kind, module_options, registry};
use crate::observe::Observation;
use crate::resource::{Action, Change, HostState, Programmer, Resource, ResourceId, ResourceKey};
use crate::topology::HostName;

/// How reading a host went.
#[derive(Clone, Debug)]
pub enum HostStatus {
    /// It was read; the digest is of everything that the plan rests on.
    Read {
        /// The digest of the observed state, without counters and health.
        digest: String,
    },
    /// It could not be read.
    Unread {
        /// Why.
        error: String,
        /// What to do about it.
        help: Option<String>,
    },
}

/// A change with what makes it true and what takes it back.
#[derive(Clone, Debug)]
pub struct Step {
    /// The change.
    pub change: Change,
    /// What makes it true.
    pub effects: Vec<Effect>,
    /// What takes each effect back.
    pub undo: Vec<Undo>,
    /// The other changes of the plan that come before it.
    pub requires: Vec<ResourceId>,
    /// Connections that a destination carries now: active and inactive.
    pub connections: Option<(u32, u32)>,
    /// Whether those are cut, and not left to end.
    pub is_cut: bool,
    /// The service that takes the place of one that goes, and is there before.
    pub successor: Option<ServiceKey>,
}

impl Step {
    /// Returns in what way the step is disruptive, if it is.
    pub fn disruption(&self) -> Option<String> {
        if self.successor.is_some() { None } else { disruption(&self.change) }
    }
}

/// What has to be done to every host, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The digest of hosts and changes: equal plans have equal ids.
    pub id: String,
    /// Every managed host, in the order of names.
    pub hosts: BTreeMap<HostName, HostStatus>,
    /// The changes, by host and key.
    pub steps: Vec<Step>,
    /// Indexes into `steps`, wave by wave.
    pub waves: Vec<Vec<usize>>,
    /// What the plan does to each virtual service that feels it.
    pub impact: Vec<Impact>,
    /// The failovers that will change their director by themselves.
    pub elections: Vec<Election>,
    /// What differs and is not lvsctl's business.
    pub runtime: Vec<RuntimeState>,
    /// What is neither wanted nor owned.
    pub foreign: Vec<Foreign>,
    /// How many things are as desired.
    pub unchanged: usize,
    /// What must not happen unless it is allowed by name.
    pub guards: Vec<Guard>,
    /// What the operator calls the services and servers.
    pub names: Names,
}

impl Plan {
    /// Tells whether every host was read; a plan that is not complete is never "no changes".
    pub fn is_complete(&self) -> bool {
        self.hosts.values().all(|status| matches!(status, HostStatus::Read { .. }))
    }

    /// Tells whether nothing has to change on the hosts that were read.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Counts the steps of one action.
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.change.action == action).count()
    }
}

/// What was learnt of one host: its observation, or why there is none and what to do about it.
pub type Reading = Result<Observation, (String, Option<String>)>;

/// Makes the plan that turns what was observed into what is desired.
pub fn plan(desired: &Desired, observed: &BTreeMap<HostName, Reading>) -> Result<Plan, Cycle> {
    let mut plan = Plan::default();
    let mut changes = Vec::new();
    let nothing = HostState::new();
    for (host, reading) in observed {
        let status = match reading {
            Ok(observation) => {
                let found = diff(host, desired.get(host).unwrap_or(&nothing), observation);
                changes.extend(found.changes);
                plan.runtime.extend(found.runtime);
                plan.runtime.extend(held_vips(host, observation));
                plan.runtime.extend(waiting_options(host, desired.get(host).unwrap_or(&nothing), observation));
                plan.foreign.extend(found.foreign);
                plan.unchanged += found.unchanged;
                HostStatus::Read { digest: digest::observation(observation) }
            }
            Err((error, help)) => HostStatus::Unread { error: error.clone(), help: help.clone() },
        };
        plan.hosts.insert(host.clone(), status);
    }
    let changes = narrow::part(changes);
    let successions = Successions::of(&changes, desired, observed);
    let order = graph::order(desired, &changes, &successions)?;
    plan.steps = steps(changes, order.requires, desired, observed, &successions);
    plan.waves = order.waves;
    impact::mark_cuts(&mut plan.steps, &plan.waves);
    plan.impact = impact::impact(desired, observed, &plan);
    plan.elections = preference::elections(desired, observed, &preference::started(&plan.steps, &plan.waves));
    plan.guards = guard::guards(&plan.steps, observed);
    plan.id = digest::plan(&plan);
    Ok(plan)
}

fn held_vips<'a>(host: &'a HostName, observation: &'a Observation) -> impl Iterator<Item = RuntimeState> + 'a {
    observation.held.iter().map(move |(device, address)| RuntimeState {
        id: ResourceId::new(host, ResourceKey::Address { device: device.clone(), address: *address }),
        state: "master: holds the VIP".to_owned(),
    })
}

fn waiting_options(host: &HostName, desired: &HostState, observation: &Observation) -> Option<RuntimeState> {
    let state = module_options::waits_for_load(desired, &observation.state, &observation.capabilities)?;
    Some(RuntimeState { id: ResourceId::new(host, ResourceKey::ModuleOptions), state })
}

fn steps(
    changes: Vec<Change>,
    requires: Vec<Vec<ResourceId>>,
    desired: &Desired,
    observed: &BTreeMap<HostName, Reading>,
    successions: &Successions,
) -> Vec<Step> {
    let mut changed: BTreeMap<HostName, BTreeSet<ResourceKey>> = BTreeMap::new();
    for change in &changes {
        changed.entry(change.id.host.clone()).or_default().insert(change.id.key.clone());
    }
    let mut passing: BTreeMap<HostName, Vec<ServiceKey>> = BTreeMap::new();
    for change in changes.iter().filter(|change| passes_to_keepalived(change)) {
        if let ResourceKey::IpvsService(service) = change.key() {
            passing.entry(change.id.host.clone()).or_default().push(*service);
        }
    }
    let (nothing, none) = (HostState::new(), BTreeMap::new());
    let mut steps = Vec::with_capacity(changes.len());
    steps.extend(changes.into_iter().zip(requires).filter_map(|(change, requires)| {
        let host = change.id.host.clone();
        let observation = observed.get(&host)?.as_ref().ok()?;
        let context = Context {
            capabilities: &observation.capabilities,
            changed: changed.get(&host)?,
            desired: desired.get(&host).unwrap_or(&nothing),
            observed: &observation.state,
            ahead: successions.ahead(&host).unwrap_or(&none),
        };
        let kind = kind_of(&change.id.key)?;
        let effects = kind.effects(&change, &context);
        let back = Context { desired: context.observed, observed: context.desired, ahead: &none, ..context };
        let inverse = kind.effects(&change.inverse(), &back);
        let passing = passing.get(&host).map(Vec::as_slice).unwrap_or_default();
        let undo = undo::undo(&change, &effects, &inverse, &observation.state, passing);
        let connections = observation.state.get(&change.id.key).and_then(|entry| entry.connections);
        let successor = match change.key() {
            ResourceKey::IpvsService(service) => successions.successor(&host, service),
            _ => None,
        };
        Some(Step { change, effects, undo, requires, connections, is_cut: false, successor })
    }));
    steps
}

fn passes_to_keepalived(change: &Change) -> bool {
    let by = |resource: &Option<Resource>| match resource {
        Some(Resource::IpvsService { programmer, .. }) => Some(*programmer),
        _ => None,
    };
    (by(&change.before), by(&change.after)) == (Some(Programmer::Lvsctl), Some(Programmer::Keepalived))
}

fn kind_of(key: &ResourceKey) -> Option<&'static dyn Kind> {
    registry().iter().copied().find(|kind| kind.owns(key))
}

#[cfg(test)]
mod tests;
