//! The converger of a rehearsal: the same survey, plan and apply that the commands use.

use std::time::Duration;

use super::converge::Converger;
use super::report::{ApplySummary, PlanSummary};
use crate::apply::{self, Conduct, OnFailure, Outcome, StepState};
use crate::host::Operator;
use crate::plan::{HostStatus, Plan};
use crate::resource::Action;
use crate::source::Severity;
use crate::survey::{Goal, Reach, Survey, Surveyed};
use crate::topology::{Secret, SecretValues, Topology};

/// What stands for every secret in a rehearsal; a real one never enters the guest.
pub const STAND_IN: &str = "rehearse";

/// Plans and applies for real.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveConverger;

impl Converger for LiveConverger {
    fn plan(&mut self, topology: &Topology) -> Result<PlanSummary, String> {
        let secrets = stand_ins(topology);
        let mut survey = Survey::connect(topology, &secrets, Goal::Converge, None, Reach::default());
        read(&mut survey).map(|surveyed| summary(&surveyed.plan))
    }

    fn apply(&mut self, topology: &Topology) -> Result<ApplySummary, String> {
        let secrets = stand_ins(topology);
        let mut survey = Survey::connect(topology, &secrets, Goal::Converge, None, Reach::default());
        let operator = Operator { command: "lvsctl rehearse".to_owned(), ..Operator::default() };
        survey.lock(&operator, Duration::ZERO).map_err(|(host, error)| format!("{host}: {error}"))?;
        let surveyed = read(&mut survey)?;
        let conduct = Conduct { awaits_elections: true, ..OnFailure::Keep.into() };
        let report = apply::apply(&mut survey, surveyed, conduct, &mut |_, _| {});
        let mut failures = report.errors.clone();
        for step in &report.steps {
            match &step.state {
                StepState::Failed(error) | StepState::NotUndone(error) => {
                    failures.push(format!("{}: {error}", step.id))
                }
                StepState::Applied | StepState::Skipped | StepState::Undone => {}
            }
        }
        failures.extend(report.remaining.iter().map(|id| format!("{id}: differs after the apply")));
        if failures.is_empty() && report.outcome != Outcome::Converged {
            failures.push("the hosts could not be read back".to_owned());
        }
        let applied = report.steps.iter().filter(|step| step.state == StepState::Applied).count();
        Ok(ApplySummary { applied, failures })
    }
}

/// Returns the secrets of a topology with a stand-in for each.
pub fn stand_ins(topology: &Topology) -> SecretValues {
    let mut values = SecretValues::default();
    for secret in topology.failovers.values().filter_map(|failover| failover.auth_pass.as_ref()) {
        if let Secret::Reference(reference) = &secret.value {
            values.insert(reference.clone(), STAND_IN.to_owned());
        }
    }
    values
}

fn read(survey: &mut Survey<'_>) -> Result<Surveyed, String> {
    let surveyed = survey.plan().map_err(|cycle| cycle.to_string())?;
    let unread = surveyed.plan.hosts.iter().filter_map(|(name, status)| match status {
        HostStatus::Unread { error, .. } => Some(format!("{name} cannot be read: {error}")),
        HostStatus::Read { .. } => None,
    });
    let wrong = surveyed.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let reasons: Vec<String> = unread.chain(wrong.map(|problem| problem.message.clone())).collect();
    if reasons.is_empty() { Ok(surveyed) } else { Err(reasons.join("; ")) }
}

fn summary(plan: &Plan) -> PlanSummary {
    PlanSummary {
        create: plan.count(Action::Create),
        update: plan.count(Action::Update),
        replace: plan.count(Action::Replace),
        delete: plan.count(Action::Delete),
    }
}
