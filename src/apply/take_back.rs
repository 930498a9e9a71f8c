//! Takes back what a failed walk has done, and tells from what is read afterwards whether that worked.

use crate::effect::{Effect, Undo};
use crate::observe::Observation;
use crate::plan::{Plan, Reading};
use crate::resource::{Resource, ResourceId, ResourceKey};
use crate::survey::{Hosts, Surveyed};
use crate::topology::HostName;

/// A step that was begun.
pub(super) struct Begun {
    /// Which step.
    pub(super) index: usize,
    /// Which of its effects were performed, or may have been.
    pub(super) made: Vec<bool>,
}

/// What went wrong while taking back, with the host.
pub(super) type Errors = Vec<(HostName, String)>;

/// Takes back what was made, given in the order in which that was done, and returns what went wrong.
///
/// What depends on what keepalived has read is only taken back together with everything else: keepalived must not be told
/// that it reads its earlier file while the new one is kept.
pub(super) fn take_back(hosts: &mut Hosts, plan: &Plan, begun: &[Begun], everything: bool) -> Errors {
    let mut errors = Vec::new();
    for begun in begun.iter().rev() {
        let step = &plan.steps[begun.index];
        for undo in step.undo.iter().zip(&begun.made).rev() {
            if let (Undo { reverse, .. }, true) = undo {
                errors.extend(perform(hosts, &step.change.id, reverse));
            }
        }
    }
    for begun in begun.iter().filter(|_| everything) {
        let step = &plan.steps[begun.index];
        for undo in step.undo.iter().zip(&begun.made) {
            if let (Undo { afterwards, .. }, true) = undo {
                errors.extend(perform(hosts, &step.change.id, afterwards));
            }
        }
    }
    errors
}

fn perform(hosts: &mut Hosts, id: &ResourceId, effects: &[Effect]) -> Option<(HostName, String)> {
    let host = hosts.get_mut(&id.host)?;
    // One by one, because one that has nothing to do must not stop the rest; what is read afterwards has the last word.
    let errors = effects.iter().filter_map(|effect| host.perform(effect).err());
    let error = errors.filter(|error| !error.is_done_already()).last()?;
    Some((id.host.clone(), format!("{id} cannot be taken back: {error}")))
}

/// Returns those of some things that are not as they were before the walk, or cannot be read.
pub(super) fn differences(before: &Surveyed, now: &Surveyed, touched: &[ResourceId]) -> Vec<ResourceId> {
    let differing = touched.iter().filter(|id| match (before.observed.get(&id.host), now.observed.get(&id.host)) {
        (Some(Ok(before)), Some(Ok(now))) => differs(before, now, &id.key),
        _ => true,
    });
    differing.cloned().collect()
}

/// Tells whether a host's manifest names the same things as before; `None` if it cannot be read.
pub(super) fn is_manifest_back(before: &Surveyed, now: Option<&Reading>, host: &HostName) -> Option<bool> {
    let (Some(Ok(before)), Some(Ok(now))) = (before.observed.get(host), now) else { return None };
    // One that names nothing is as good as none.
    let owned = |observation: &Observation| observation.manifest.clone().unwrap_or_default().owned;
    Some(owned(before) == owned(now))
}

fn differs(before: &Observation, now: &Observation, key: &ResourceKey) -> bool {
    // What is left of a chain is seen as the chain itself.
    let whole = match key {
        ResourceKey::ChainRemainder { family, table, chain } => {
            ResourceKey::Chain { family: *family, table: *table, chain: chain.clone() }
        }
        other => other.clone(),
    };
    let key = &whole;
    let of = |observation: &Observation| observation.state.get(key).map(|entry| entry.resource.clone());
    let (before, now) = (of(before), of(now));
    match key {
        // It stays loaded, and so do the parameters that came with it. Manifests are looked after at the very end.
        ResourceKey::Module(_) | ResourceKey::Manifest => false,
        ResourceKey::Sysctl(_) if before.is_none() => false,
        // Nor does the end of a tunnel go with it, but it is down again.
        ResourceKey::Link(_) if before.is_none() => !matches!(now, None | Some(Resource::Link { is_up: false, .. })),
        ResourceKey::IpvsTimeout(timeout) if before.is_none() => {
            now.is_some_and(|now| now != Resource::Timeout(timeout.kernel_default()))
        }
        _ => before != now,
    }
}
