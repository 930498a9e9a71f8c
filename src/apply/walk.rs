//! Performs a plan wave by wave, the hosts of a wave at once.
//!
//! All effects of a host's part of a wave go to the host in one call, so that neighbouring IPVS commands become one batch.
//! The first failure ends the walk after its wave: what the failed step did is taken back, what comes after is skipped,
//! and what was applied is taken back in reverse order unless the operator wants it kept.

use std::collections::BTreeMap;
use std::thread;

use super::{ApplyReport, OnFailure, Outcome, StepReport, StepState};
use crate::effect::Effect;
use crate::host::{Host, HostError};
use crate::plan::{Plan, Step};
use crate::survey::Hosts;
use crate::topology::HostName;

/// What a host did with a step of its part of a wave.
struct Done {
    index: usize,
    /// Whether any of its effects was performed.
    begun: bool,
    result: Result<(), HostError>,
}

/// Performs a plan.
pub fn walk(
    hosts: &mut Hosts,
    plan: &Plan,
    on_failure: OnFailure,
    progress: &mut dyn FnMut(&Plan, &StepReport),
) -> ApplyReport {
    let mut report = ApplyReport::default();
    let mut applied: Vec<usize> = Vec::new();
    let mut failed: Vec<(usize, bool)> = Vec::new();
    for wave in &plan.waves {
        for Done { index, begun, result } in perform(hosts, plan, wave) {
            let (state, help) = match result {
                Ok(()) => {
                    applied.push(index);
                    (StepState::Applied, None)
                }
                Err(HostError::NotTried) => (StepState::Skipped, None),
                Err(error) => {
                    failed.push((index, begun));
                    (StepState::Failed(error.to_string()), error.help())
                }
            };
            let step = StepReport { id: plan.steps[index].change.id.clone(), state, help };
            progress(plan, &step);
            report.steps.push(step);
        }
        if !failed.is_empty() {
            break;
        }
    }
    if failed.is_empty() {
        return report;
    }
    skip_rest(plan, &mut report);
    report.outcome = if applied.is_empty() { Outcome::Failed } else { Outcome::Partial };
    // A step whose very first effect failed has done nothing, and taking it back could hit what somebody else put there.
    let half_made: Vec<usize> = failed.into_iter().filter(|(_, begun)| *begun).map(|(index, _)| index).collect();
    let mut stuck = !take_back(hosts, plan, &half_made, &mut report);
    if on_failure == OnFailure::Undo && !applied.is_empty() {
        applied.reverse();
        stuck |= !take_back(hosts, plan, &applied, &mut report);
        report.outcome = Outcome::RolledBack;
    }
    if stuck {
        report.outcome = Outcome::Unknown;
    }
    report
}

fn perform(hosts: &mut Hosts, plan: &Plan, wave: &[usize]) -> Vec<Done> {
    let mut shares: BTreeMap<&HostName, Vec<usize>> = BTreeMap::new();
    for index in wave {
        shares.entry(&plan.steps[*index].change.id.host).or_default().push(*index);
    }
    let mut done: Vec<Done> = thread::scope(|scope| {
        let threads: Vec<_> = hosts
            .iter_mut()
            .filter_map(|(name, host)| shares.remove(name).map(|share| (host, share)))
            .map(|(host, share)| {
                let kept = share.clone();
                (kept, scope.spawn(move || perform_share(host.as_mut(), plan, share)))
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|(share, thread)| {
                thread.join().unwrap_or_else(|_| {
                    let lost = |index| Done { index, begun: true, result: Err(HostError::interrupted()) };
                    share.into_iter().map(lost).collect()
                })
            })
            .collect()
    });
    let untried = |index| Done { index, begun: false, result: Err(HostError::NotTried) };
    done.extend(shares.into_values().flatten().map(untried));
    done.sort_by_key(|done| done.index);
    done
}

fn perform_share(host: &mut dyn Host, plan: &Plan, share: Vec<usize>) -> Vec<Done> {
    let steps: Vec<&Step> = share.iter().map(|index| &plan.steps[*index]).collect();
    let effects: Vec<Effect> = steps.iter().flat_map(|step| step.effects.iter().cloned()).collect();
    let mut results = host.perform_all(&effects).into_iter();
    share
        .into_iter()
        .zip(steps)
        .map(|(index, step)| {
            let own: Vec<Result<(), HostError>> = results.by_ref().take(step.effects.len()).collect();
            let begun = own.iter().any(Result::is_ok);
            let tried = own.iter().any(|result| !matches!(result, Err(HostError::NotTried)));
            let failure = own.into_iter().find_map(|result| match result {
                Err(HostError::NotTried) if tried => None,
                other => other.err(),
            });
            Done { index, begun, result: failure.map_or(Ok(()), Err) }
        })
        .collect()
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

/// Takes steps back and tells whether all of that worked.
fn take_back(hosts: &mut Hosts, plan: &Plan, indexes: &[usize], report: &mut ApplyReport) -> bool {
    let mut all = true;
    for index in indexes {
        let step = &plan.steps[*index];
        let Some(host) = hosts.get_mut(&step.change.id.host) else {
            continue;
        };
        let failure = host.perform_all(&step.undo).into_iter().find_map(Result::err);
        let Some(entry) = report.steps.iter_mut().find(|entry| entry.id == step.change.id) else {
            continue;
        };
        match (failure, &entry.state) {
            (Some(error), _) => {
                all = false;
                entry.state = StepState::NotUndone(error.to_string());
            }
            (None, StepState::Applied) => entry.state = StepState::Undone,
            (None, _) => {}
        }
    }
    all
}
