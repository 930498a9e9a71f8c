//! Performs a plan wave by wave, the hosts of a wave at once.
//!
//! The first failure ends the walk after its wave: what the failed step did is taken back, what comes after is skipped,
//! and what was applied is taken back in reverse order unless the operator wants it kept.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use super::lane::{self, Done};
use super::take_back::{Begun, Errors, take_back};
use super::{ApplyReport, OnFailure, Outcome, StepReport, StepState};
use crate::host::{Host, HostError, Phase};
use crate::plan::Plan;
use crate::resource::ResourceId;
use crate::survey::{Hosts, Survey, at_most};
use crate::topology::HostName;

/// What became of a plan. Whether what was taken back is as it was before shows only when the hosts are read again.
#[derive(Default)]
pub(super) struct Walked {
    /// What is to be reported.
    pub(super) report: ApplyReport,
    /// What was taken back, and what failed and may have been made all the same.
    pub(super) taken_back: Vec<ResourceId>,
    /// What went wrong while taking back.
    pub(super) errors: Errors,
}

/// Performs a plan; `progress` hears what became of the steps of each wave.
pub(super) fn walk(
    survey: &mut Survey<'_>,
    plan: &Plan,
    on_failure: OnFailure,
    progress: &mut dyn FnMut(&Plan, &[StepReport]),
) -> Walked {
    let (limit, hosts) = (survey.parallelism(), &mut survey.hosts);
    let mut report = ApplyReport::default();
    let mut applied: Vec<Begun> = Vec::new();
    let mut failed: Vec<Begun> = Vec::new();
    let mut stopped = false;
    for wave in &plan.waves {
        let mut ended = Vec::with_capacity(wave.len());
        for Done { index, made, result } in perform(limit, hosts, plan, wave) {
            let (state, help) = match result {
                Ok(()) => {
                    applied.push(Begun { index, made });
                    (StepState::Applied, None)
                }
                Err(HostError::NotTried) if !made.contains(&true) => (StepState::Skipped, None),
                Err(HostError::NotTried) => {
                    failed.push(Begun { index, made });
                    (StepState::Failed("Not finished, because something beside it failed".to_owned()), None)
                }
                Err(error) => {
                    // After a refusal nothing was done, and what is there may be somebody else's.
                    if made.contains(&true) || !error.is_refusal() {
                        failed.push(Begun { index, made });
                    }
                    stopped = true;
                    (StepState::Failed(error.to_string()), error.help())
                }
            };
            ended.push(StepReport { id: plan.steps[index].change.id.clone(), state, help });
        }
        progress(plan, &ended);
        report.steps.append(&mut ended);
        if stopped {
            break;
        }
    }
    if !stopped {
        return Walked { report, ..Walked::default() };
    }
    skip_rest(plan, &mut report);
    report.outcome = match (applied.is_empty(), on_failure) {
        (true, _) => Outcome::Failed,
        (false, OnFailure::Keep) => Outcome::Partial,
        (false, OnFailure::Undo) => Outcome::RolledBack,
    };
    let mut begun = match on_failure {
        OnFailure::Undo => applied,
        OnFailure::Keep => Vec::new(),
    };
    begun.extend(failed);
    let back = gone_back(limit, hosts, begun.iter().map(|begun| &plan.steps[begun.index].change.id.host).collect());
    let (by_themselves, by_us): (Vec<Begun>, Vec<Begun>) =
        begun.into_iter().partition(|begun| back.contains(&plan.steps[begun.index].change.id.host));
    let errors = take_back(hosts, plan, &by_us, on_failure == OnFailure::Undo);
    begun = by_us.into_iter().chain(by_themselves).collect();
    let taken_back: Vec<ResourceId> = begun.iter().map(|begun| plan.steps[begun.index].change.id.clone()).collect();
    let known: BTreeSet<&ResourceId> = taken_back.iter().collect();
    for step in report.steps.iter_mut().filter(|step| known.contains(&step.id)) {
        if step.state == StepState::Applied {
            step.state = StepState::Undone;
        }
    }
    Walked { report, taken_back, errors }
}

/// Returns those of some hosts that have taken themselves back, or are about to: once more would be once too often.
///
/// All of them are asked, and not only those that refused to go on: a host without a step in the wave that failed said nothing.
fn gone_back(limit: NonZeroUsize, hosts: &mut Hosts, begun: BTreeSet<&HostName>) -> BTreeSet<HostName> {
    let has_gone_back = |_: &HostName, host: &mut dyn Host| {
        let left = host.transactions()?;
        Ok::<_, HostError>(left.pending.is_none_or(|pending| pending.phase != Phase::Open))
    };
    let asked = at_most(limit, hosts.iter_mut().filter(|(name, _)| begun.contains(name)), has_gone_back);
    asked.into_iter().filter(|(_, answer)| *answer == Ok(true)).map(|(name, _)| name).collect()
}

fn perform(limit: NonZeroUsize, hosts: &mut Hosts, plan: &Plan, wave: &[usize]) -> Vec<Done> {
    let mut shares: BTreeMap<HostName, Vec<usize>> = BTreeMap::new();
    for index in wave {
        shares.entry(plan.steps[*index].change.id.host.clone()).or_default().push(*index);
    }
    let worked = at_most(limit, hosts.iter_mut(), |name, host| {
        let done = shares.get(name).map(|share| lane::perform(host, plan, share));
        Ok::<_, HostError>(done.unwrap_or_default())
    });
    let mut done = Vec::with_capacity(wave.len());
    for (name, result) in worked {
        let share = shares.remove(&name).unwrap_or_default();
        done.extend(result.unwrap_or_else(|error| {
            share.into_iter().map(|index| Done::nothing(index, plan, error.clone())).collect()
        }));
    }
    done.extend(shares.into_values().flatten().map(|index| Done::nothing(index, plan, HostError::NotTried)));
    done.sort_by_key(|done| done.index);
    done
}

fn skip_rest(plan: &Plan, report: &mut ApplyReport) {
    let known: std::collections::BTreeSet<_> = report.steps.iter().map(|step| step.id.clone()).collect();
    for index in plan.waves.iter().flatten() {
        let id = &plan.steps[*index].change.id;
        if !known.contains(id) {
            report.steps.push(StepReport { id: id.clone(), state: StepState::Skipped, help: None });
        }
    }
}
