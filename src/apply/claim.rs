//! The manifests around a walk.
//!
//! Before it, each manifest takes up what is about to be put on its host, so that a crash leaves nothing that nobody owns.
//! After a walk that failed, it is made to say what is there: a claim on something that was never put there would let a
//! later plan take away what somebody else did put there.

use std::collections::{BTreeMap, BTreeSet};

use super::{ApplyReport, Outcome, StepState};
use crate::diff::desired_manifest;
use crate::effect::{Effect, Undo};
use crate::host::{Host, HostError, Reversible};
use crate::kinds::manifest;
use crate::plan::{Plan, Reading};
use crate::resource::{Action, Manifest, ResourceId, ResourceKey};
use crate::survey::{Survey, Surveyed};
use crate::topology::HostName;

/// What the manifest of each host said before, and what it says while the plan is walked.
pub(super) type Claims = BTreeMap<HostName, Claim>;

/// One host's manifest.
pub(super) struct Claim {
    recorded: Option<Manifest>,
    claimed: Manifest,
    wanted: Manifest,
}

/// Writes the claims; if one cannot be written, the others are taken back and the report says so.
pub(super) fn claim(survey: &mut Survey<'_>, surveyed: &Surveyed, report: &mut ApplyReport) -> Option<Claims> {
    let mut claims = Claims::new();
    let mut failure = None;
    for (name, host) in &mut survey.hosts {
        let Some(Ok(observation)) = surveyed.observed.get(name) else {
            continue;
        };
        let mut steps = surveyed.plan.steps.iter().filter(|step| step.change.id.host == *name).peekable();
        if steps.peek().is_none() {
            continue;
        }
        let puts =
            steps.any(|step| step.change.action != Action::Delete && *step.change.key() != ResourceKey::Manifest);
        let recorded = observation.manifest.clone();
        let mut claimed = recorded.clone().unwrap_or_default();
        let wanted = surveyed.desired.get(name).map(|desired| desired_manifest(desired, observation));
        let wanted = wanted.unwrap_or_default();
        if puts {
            for (key, owned) in &wanted.owned {
                claimed.owned.entry(key.clone()).or_insert_with(|| owned.clone().pending());
            }
        }
        if Some(&claimed) != recorded.as_ref()
            && !claimed.owned.is_empty()
            && let Err(error) = write_claim(host.as_mut(), &claimed, recorded.as_ref())
        {
            failure = Some((format!("{name}: the manifest cannot be written: {error}"), error.help()));
            // One that cannot be reached cannot be asked to put it back either.
            if error.leaves_in_doubt(&manifest::write(&claimed)) && !matches!(error, HostError::Unreachable { .. }) {
                claims.insert(name.clone(), Claim { recorded, claimed, wanted });
            }
            break;
        }
        claims.insert(name.clone(), Claim { recorded, claimed, wanted });
    }
    let Some((error, help)) = failure else { return Some(claims) };
    report.fail_before(error, help);
    for (name, claim) in claims.into_iter().filter(|(_, claim)| claim.recorded.as_ref() != Some(&claim.claimed)) {
        if let Some(Err(error)) = survey.hosts.get_mut(&name).map(|host| host.perform(&restore(claim.recorded))) {
            report.outcome = Outcome::Unknown;
            report.errors.push(format!("{name}: the manifest cannot be put back: {error}"));
        }
    }
    None
}

/// Makes the manifests say what a failed walk has left.
///
/// `now` is what was read after the walk of `plan`. What a deletion puts back, such as a parameter, is still there.
pub(super) fn settle(
    survey: &mut Survey<'_>,
    (plan, now): (&Plan, &BTreeMap<HostName, Reading>),
    claims: &Claims,
    report: &mut ApplyReport,
) {
    let deletions = plan.steps.iter().filter(|step| step.change.action == Action::Delete);
    let deletions: BTreeSet<&ResourceId> = deletions.map(|step| &step.change.id).collect();
    let states: BTreeMap<&ResourceId, &StepState> = report.steps.iter().map(|step| (&step.id, &step.state)).collect();
    let mut wanted = Vec::new();
    for (name, claim) in claims {
        let state = |key: &ResourceKey| states.get(&ResourceId::new(name, key.clone())).copied();
        let known =
            |key: &ResourceKey| claim.recorded.as_ref().is_some_and(|recorded| recorded.owned.contains_key(key));
        let mut owned = claim.claimed.owned.clone();
        let is_gone = |key: &ResourceKey| match (key, now.get(name)) {
            (
                ResourceKey::Sysctl(_)
                | ResourceKey::IpvsTimeout(_)
                | ResourceKey::Offload { .. }
                | ResourceKey::DefaultRoute(_),
                _,
            ) => true,
            (key, Some(Ok(observation))) => !observation.state.contains_key(key),
            _ => false,
        };
        owned.retain(|key, owned| match state(key) {
            Some(StepState::Applied) if deletions.contains(&ResourceId::new(name, key.clone())) => !is_gone(key),
            Some(StepState::Applied) => {
                *owned = claim.wanted.owned.get(key).unwrap_or(owned).clone();
                true
            }
            Some(StepState::NotUndone(_)) => true,
            _ => known(key),
        });
        let says = match owned.is_empty() {
            true => claim.recorded.clone().filter(|recorded| recorded.owned.is_empty()),
            false => Some(Manifest { owned, is_exposed: false }),
        };
        let is_written = matches!(state(&ResourceKey::Manifest), Some(StepState::Undone | StepState::NotUndone(_)));
        // It comes last: once it is written as it is to be, everything else on the host is, too.
        let is_final = state(&ResourceKey::Manifest) == Some(&StepState::Applied);
        if !is_final && (is_written || says.as_ref() != Some(&claim.claimed)) {
            wanted.push((name, says));
        }
    }
    for (name, says) in wanted {
        if let Some(Err(error)) = survey.hosts.get_mut(name).map(|host| host.perform(&restore(says))) {
            report.outcome = Outcome::Unknown;
            report.errors.push(format!("{name}: the manifest cannot be put back: {error}"));
        }
    }
}

/// Writes a claim; the journal knows what the manifest said before.
fn write_claim(host: &mut dyn Host, claimed: &Manifest, recorded: Option<&Manifest>) -> Result<(), HostError> {
    let undo = Undo::reverse([restore(recorded.cloned())]);
    let step = Reversible { effect: manifest::write(claimed), undo };
    host.perform_reversibly(vec![step]).into_iter().collect()
}

fn restore(recorded: Option<Manifest>) -> Effect {
    match recorded {
        Some(manifest) => manifest::write(&manifest),
        None => Effect::RemoveFile { path: manifest::PATH.to_owned() },
    }
}
