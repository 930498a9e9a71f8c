//! Makes a plan true: waves in order, hosts at once, and then reads back.
//!
//! [`walk`] performs one plan and takes it back if a step fails; [`apply`] claims what is about to be put on each host in
//! its manifest, walks, reads again, and repeats while something remains that a pass did not do. What it returns is what was read, not what was meant.

mod claim;
mod earlier;
mod holders;
mod lane;
mod report;
mod take_back;
mod transaction;
mod vetoes;
mod walk;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use earlier::{Earlier, TakenUp, take_up};
pub use report::{ApplyReport, HostEnd, HostReport, Outcome, StepReport, StepState};
pub use transaction::Conduct;

use transaction::Open;

use crate::plan::{Plan, Reading};
use crate::resource::ResourceId;
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
    conduct: impl Into<Conduct>,
    progress: &mut dyn FnMut(&Plan, &[StepReport]),
) -> ApplyReport {
    let conduct = conduct.into();
    let mut open = Open::new(&conduct.transaction);
    let mut report = perform(survey, first, &conduct, &mut open, progress);
    report.hosts = open.ends(&report);
    report
}

/// Performs passes until nothing remains, and ends the transaction.
fn perform(
    survey: &mut Survey<'_>,
    first: Surveyed,
    conduct: &Conduct,
    open: &mut Open<'_>,
    progress: &mut dyn FnMut(&Plan, &[StepReport]),
) -> ApplyReport {
    let mut report = ApplyReport::default();
    let mut later: Option<Surveyed> = None;
    for pass in 1..=PASSES {
        report.passes = pass;
        let surveyed = later.as_ref().unwrap_or(&first);
        // What a pass leaves may ask for something that the first plan did not show.
        if let Some(guard) = conduct.refusal(&surveyed.plan) {
            report.fail_before(format!("Refused by the guard {}: {}", guard.name, guard.text), Some(guard.help()));
            return end_badly(survey, &first, open, (report, conduct));
        }
        if let Err((host, error)) = open.begin(survey, &surveyed.plan) {
            report.fail_before(format!("{host}: {error}"), error.help());
            return end_badly(survey, &first, open, (report, conduct));
        }
        let Some(claims) = claim::claim(survey, surveyed, &mut report) else {
            return end_badly(survey, &first, open, (report, conduct));
        };
        let walked = walk::walk(survey, &surveyed.plan, conduct.on_failure, progress);
        if walked.report.outcome != Outcome::Converged {
            let report = failed(survey, surveyed, (report, walked), (&claims, conduct));
            return end_badly(survey, &first, open, (report, conduct));
        }
        report.add(walked.report);
        match settle(survey) {
            Ok(read) if read.plan.is_empty() => {
                report.read_back(Ok(read.plan));
                report.held_oddly(holders::check(survey, &first, conduct.awaits_elections));
                return match report.outcome {
                    Outcome::Converged => confirm(survey, &first, open, report),
                    _ => end_badly(survey, &first, open, (report, conduct)),
                };
            }
            Ok(read) if pass < PASSES && read.plan.is_complete() => later = Some(read),
            other => {
                report.outcome = Outcome::Partial;
                report.read_back(other.map(|read| read.plan));
                return end_badly(survey, &first, open, (report, conduct));
            }
        }
    }
    report
}

/// Confirms what was verified. If a host cannot be confirmed, all of them go back.
fn confirm(survey: &mut Survey<'_>, first: &Surveyed, open: &mut Open<'_>, mut report: ApplyReport) -> ApplyReport {
    if let Err((host, error)) = open.confirm(survey) {
        report.errors.push(format!("{host} cannot be confirmed, and so all hosts go back: {error}"));
        return revert(survey, first, open, report);
    }
    for (host, error) in open.close(survey) {
        // It is confirmed all the same; the next apply tidies up.
        report.errors.push(format!("{host}: the journal of this apply cannot be removed: {error}"));
    }
    report
}

/// Ends the transaction of an apply that did not come to its end: what was kept is kept, and with a window all goes back.
fn end_badly(
    survey: &mut Survey<'_>,
    first: &Surveyed,
    open: &mut Open<'_>,
    (mut report, conduct): (ApplyReport, &Conduct),
) -> ApplyReport {
    if conduct.is_all_or_nothing() && matches!(report.outcome, Outcome::Partial | Outcome::Unknown) {
        close_what_is_back(survey, first, open, &report);
        return revert(survey, first, open, report);
    }
    for (host, error) in open.close(survey) {
        report.errors.push(format!("{host}: the journal of this apply cannot be removed: {error}"));
    }
    report
}

/// Ends the transaction on the hosts that the walk itself has taken back.
fn close_what_is_back(survey: &mut Survey<'_>, first: &Surveyed, open: &mut Open<'_>, report: &ApplyReport) {
    let Ok(now) = survey.plan() else { return };
    let different = take_back::differences(first, &now, &touched(report));
    open.close_where(survey, |host| {
        let is_manifest_back = take_back::is_manifest_back(first, now.observed.get(host), host);
        is_manifest_back == Some(true) && different.iter().all(|id| id.host != *host)
    });
}

/// Returns what was tried.
fn touched(report: &ApplyReport) -> Vec<ResourceId> {
    let tried = report.steps.iter().filter(|step| step.state != StepState::Skipped);
    tried.map(|step| step.id.clone()).collect()
}

/// Takes everything back on all hosts by their journals, and reports what they are like afterwards.
fn revert(survey: &mut Survey<'_>, first: &Surveyed, open: &mut Open<'_>, mut report: ApplyReport) -> ApplyReport {
    let failures = open.revert(survey);
    let mut is_complete = failures.is_empty();
    for (host, error) in failures {
        report.errors.push(format!("{host}: {error}"));
    }
    let touched = touched(&report);
    let (different, now) = await_equal(survey, first, &touched, SETTLE);
    for step in
        report.steps.iter_mut().filter(|step| matches!(step.state, StepState::Applied | StepState::NotUndone(_)))
    {
        step.state = StepState::Undone;
    }
    report.outcome = if touched.is_empty() { Outcome::Failed } else { Outcome::RolledBack };
    match different {
        Some(different) if different.is_empty() => {}
        different => {
            let is_read = |host: &HostName| matches!(now.get(host), Some(Ok(_)));
            report.left_behind(&different.unwrap_or(touched), is_read);
        }
    }
    for host in first.observed.keys() {
        if open.is_on(host) && take_back::is_manifest_back(first, now.get(host), host) == Some(false) {
            report.errors.push(format!("{host}: the manifest does not name what it named before"));
            open.doubt(host);
            is_complete = false;
        }
    }
    if !is_complete {
        // What a host says that it could not take back may be something that no plan looks at.
        report.outcome = Outcome::Unknown;
    }
    report.read_back(survey.plan().map(|read| read.plan));
    open.forget(survey);
    report
}

/// Reads until some things are as they were, or until what keepalived does by itself has had its time.
fn await_equal(
    survey: &mut Survey<'_>,
    before: &Surveyed,
    things: &[ResourceId],
    within: Duration,
) -> (Option<Vec<ResourceId>>, BTreeMap<HostName, Reading>) {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        let Ok(read) = survey.plan() else { return (None, BTreeMap::new()) };
        let different = take_back::differences(before, &read, things);
        if different.is_empty() || !read.plan.is_complete() || Instant::now() > deadline {
            return (Some(different), read.observed);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Finds out what a failed walk has left behind, and makes the manifests say so.
fn failed(
    survey: &mut Survey<'_>,
    before: &Surveyed,
    (mut report, walked): (ApplyReport, walk::Walked),
    (claims, conduct): (&claim::Claims, &Conduct),
) -> ApplyReport {
    // What keepalived does by itself takes its time, but only when it was told to go back.
    let within = if conduct.on_failure == OnFailure::Undo { SETTLE } else { Duration::ZERO };
    let (different, now) = await_equal(survey, before, &walked.taken_back, within);
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
