//! Makes a plan true: waves in order, hosts at once, and then reads back.
//!
//! [`walk`] performs one plan and takes it back if a step fails; [`apply`] claims what is about to be put on each host in
//! its manifest, walks, reads again, and repeats while something remains that a pass could not do in one go, such as an
//! address that passes from keepalived to lvsctl. What it returns is what was read, not what was meant.

mod report;
mod walk;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use report::{ApplyReport, Outcome, StepReport, StepState};

use crate::diff::desired_manifest;
use crate::effect::Effect;
use crate::kinds::manifest;
use crate::plan::Plan;
use crate::resource::{Action, Manifest, ResourceKey};
use crate::survey::{Survey, Surveyed};
use crate::topology::HostName;

/// How often a plan is made and walked before what remains is reported as not converged.
const PASSES: usize = 3;
/// How long what keepalived does by itself may take until it shows in the kernel.
const SETTLE: Duration = Duration::from_secs(10);

/// What to do when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Takes back what was done, in reverse order.
    #[default]
    Undo,
    /// Leaves what was done, and says what it is.
    Keep,
}

/// Applies a plan that was made by the same survey, whose hosts are locked, and verifies it.
pub fn apply(
    survey: &mut Survey<'_>,
    first: Surveyed,
    on_failure: OnFailure,
    progress: &mut dyn FnMut(&Plan, &StepReport),
) -> ApplyReport {
    let mut report = ApplyReport::default();
    let mut surveyed = first;
    for pass in 1..=PASSES {
        report.passes = pass;
        let before = claim(survey, &surveyed, &mut report);
        if report.outcome == Outcome::Failed {
            return report;
        }
        let walked = walk::walk(&mut survey.hosts, &surveyed.plan, on_failure, progress);
        let failed = walked.outcome != Outcome::Converged;
        report.add(walked);
        if failed {
            if matches!(report.outcome, Outcome::RolledBack | Outcome::Failed) {
                unclaim(survey, before, &mut report);
            }
            report.read_back(survey.plan().map(|read| read.plan));
            return report;
        }
        match settle(survey) {
            Ok(read) if read.plan.is_empty() => {
                report.read_back(Ok(read.plan));
                return report;
            }
            Ok(read) if pass < PASSES && read.plan.is_complete() => surveyed = read,
            other => {
                report.outcome = Outcome::Partial;
                report.read_back(other.map(|read| read.plan));
                return report;
            }
        }
    }
    report
}

/// Reads until nothing remains, or until what keepalived does by itself has had its time.
fn settle(survey: &mut Survey<'_>) -> Result<Surveyed, crate::plan::Cycle> {
    let deadline = Instant::now() + SETTLE;
    let mut pause = Duration::from_millis(20);
    loop {
        let read = survey.plan()?;
        let awaited = read.plan.steps.iter().any(|step| crate::diff::is_keepalived_programmed(&step.change));
        if read.plan.is_empty() || !awaited || Instant::now() > deadline {
            return Ok(read);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Writes into each manifest what is about to be put on its host, so that a crash leaves nothing that nobody owns.
fn claim(survey: &mut Survey<'_>, surveyed: &Surveyed, report: &mut ApplyReport) -> BTreeMap<HostName, Effect> {
    let mut before = BTreeMap::new();
    for (name, host) in &mut survey.hosts {
        let Some(Ok(observation)) = surveyed.observed.get(name) else {
            continue;
        };
        let steps = || surveyed.plan.steps.iter().filter(|step| step.change.id.host == *name);
        let puts =
            steps().any(|step| step.change.action != Action::Delete && *step.change.key() != ResourceKey::Manifest);
        if !puts {
            continue;
        }
        let recorded = observation.manifest.clone();
        let mut claimed = recorded.clone().unwrap_or_default();
        let wanted =
            surveyed.desired.get(name).map(|desired| desired_manifest(desired, observation)).unwrap_or_default();
        for (key, owned) in wanted.owned {
            claimed.owned.entry(key).or_insert(owned);
        }
        if Some(&claimed) == recorded.as_ref() {
            continue;
        }
        if let Err(error) = host.perform(&manifest::write(&claimed)) {
            report.fail_before(format!("{name}: the manifest cannot be written: {error}"), error.help());
            break;
        }
        before.insert(name.clone(), restore(recorded));
    }
    if report.outcome == Outcome::Failed {
        unclaim(survey, before, report);
        return BTreeMap::new();
    }
    before
}

fn restore(recorded: Option<Manifest>) -> Effect {
    match recorded {
        Some(manifest) => manifest::write(&manifest),
        None => Effect::RemoveFile { path: manifest::PATH.to_owned() },
    }
}

fn unclaim(survey: &mut Survey<'_>, before: BTreeMap<HostName, Effect>, report: &mut ApplyReport) {
    for (name, effect) in before {
        if let Some(Err(error)) = survey.hosts.get_mut(&name).map(|host| host.perform(&effect)) {
            report.outcome = Outcome::Unknown;
            report.errors.push(format!("{name}: the manifest cannot be put back: {error}"));
        }
    }
}
