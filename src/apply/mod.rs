//! Makes a plan true: waves in order, hosts at once, and then reads back.
//!
//! [`walk`] performs one plan and takes it back if a step fails; [`apply`] claims what is about to be put on each host in
//! its manifest, walks, reads again, and repeats while something remains that a pass did not do. What it returns is what was read, not what was meant.

mod claim;
mod holders;
mod lane;
mod report;
mod take_back;
mod walk;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use report::{ApplyReport, Outcome, StepReport, StepState};

use crate::plan::Plan;
use crate::survey::{Survey, Surveyed};
use crate::topology::HostName;

/// How often a plan is made and walked before what remains is reported as not converged.
const PASSES: usize = 3;
/// How long what keepalived does by itself may take until it shows in the kernel.
const SETTLE: Duration = Duration::from_secs(10);
/// How soon it is looked for again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What to do when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Takes back what was done, in reverse order.
    #[default]
    Undo,
    /// Leaves what was done, and says what it is.
    Keep,
}

/// Applies a plan that was made by the same survey, whose hosts are locked, and verifies it; `progress` hears what became
/// of the steps of each wave.
pub fn apply(
    survey: &mut Survey<'_>,
    first: Surveyed,
    on_failure: OnFailure,
    progress: &mut dyn FnMut(&Plan, &[StepReport]),
) -> ApplyReport {
    let mut report = ApplyReport::default();
    let mut later = None;
    for pass in 1..=PASSES {
        report.passes = pass;
        let surveyed = later.as_ref().unwrap_or(&first);
        let Some(claims) = claim::claim(survey, surveyed, &mut report) else {
            return report;
        };
        let walked = walk::walk(&mut survey.hosts, &surveyed.plan, on_failure, progress);
        if walked.report.outcome != Outcome::Converged {
            return failed(survey, surveyed, (report, walked), (&claims, on_failure));
        }
        report.add(walked.report);
        match settle(survey) {
            Ok(read) if read.plan.is_empty() => {
                report.read_back(Ok(read.plan));
                report.held_oddly(holders::check(survey, &first));
                return report;
            }
            Ok(read) if pass < PASSES && read.plan.is_complete() => later = Some(read),
            other => {
                report.outcome = Outcome::Partial;
                report.read_back(other.map(|read| read.plan));
                return report;
            }
        }
    }
    report
}

/// Finds out what a failed walk has left behind, and makes the manifests say so.
fn failed(
    survey: &mut Survey<'_>,
    before: &Surveyed,
    (mut report, walked): (ApplyReport, walk::Walked),
    (claims, on_failure): (&claim::Claims, OnFailure),
) -> ApplyReport {
    // What keepalived does by itself takes its time, but only when it was told to go back.
    let deadline = Instant::now() + if on_failure == OnFailure::Undo { SETTLE } else { Duration::ZERO };
    let mut pause = FIRST_PAUSE;
    let (different, now) = loop {
        let Ok(read) = survey.plan() else { break (None, BTreeMap::new()) };
        let different = take_back::differences(before, &read, &walked.taken_back);
        if different.is_empty() || !read.plan.is_complete() || Instant::now() > deadline {
            break (Some(different), read.observed);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    let mut own = walked.report;
    match different {
        Some(different) if different.is_empty() => {}
        different => {
            let is_read = |host: &HostName| matches!(now.get(host), Some(Ok(_)));
            own.left_behind(&different.unwrap_or(walked.taken_back), is_read);
            // Of a host that cannot be read it is said once that it cannot be reached.
            own.errors.extend(walked.errors.into_iter().filter(|(host, _)| is_read(host)).map(|(_, error)| error));
        }
    }
    claim::settle(survey, (&before.plan, &now), claims, &mut own);
    report.add(own);
    report.read_back(survey.plan().map(|read| read.plan));
    report
}

/// Reads until nothing remains, or until what keepalived does by itself has had its time.
fn settle(survey: &mut Survey<'_>) -> Result<Surveyed, crate::plan::Cycle> {
    let deadline = Instant::now() + SETTLE;
    let mut pause = FIRST_PAUSE;
    loop {
        let read = survey.plan()?;
        let awaited = read.plan.steps.iter().any(|step| crate::diff::is_keepalived_programmed(&step.change));
        if read.plan.is_empty() || !awaited || Instant::now() > deadline {
            return Ok(read);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
