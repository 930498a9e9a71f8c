//! What an apply did, for people and as JSON.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::FORMAT_VERSION;
use super::describe;
use super::paint::Paint;
use crate::apply::{ApplyReport, HostEnd, HostReport, Outcome, StepReport, StepState};
use crate::plan::Plan;

/// The document that `lvsctl apply --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApplyDocument {
    /// The version of this format.
    pub format_version: &'static str,
    /// The version of lvsctl.
    pub lvsctl_version: &'static str,
    /// `converged`, `failed`, `partial`, `rolled_back` or `unknown`.
    #[schemars(extend("enum" = ["converged", "failed", "partial", "rolled_back", "unknown"]))]
    pub outcome: &'static str,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// Whether every host was read back.
    pub verified: bool,
    /// How often a plan was made and walked.
    pub passes: usize,
    /// How many steps were applied and stayed.
    pub applied: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were not tried.
    pub skipped: usize,
    /// How many were taken back.
    pub undone: usize,
    /// How many could not be taken back.
    pub not_undone: usize,
    /// Every step.
    pub steps: Vec<StepDocument>,
    /// The hosts on which it began.
    pub hosts: Vec<HostDocument>,
    /// What went wrong outside a step.
    pub errors: Vec<String>,
    /// What is worth knowing and no error.
    pub warnings: Vec<String>,
    /// What remains to be done, as read back.
    pub remaining: Vec<String>,
}

/// What became of a change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepDocument {
    /// The identity.
    pub id: String,
    /// `applied`, `failed`, `skipped`, `undone` or `not_undone`.
    #[schemars(extend("enum" = ["applied", "failed", "skipped", "undone", "not_undone"]))]
    pub state: &'static str,
    /// Why it failed.
    pub error: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// How an apply began and ended on one host.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HostDocument {
    /// The host's name.
    pub host: String,
    /// For how many seconds without a sign of life its watchdog waited; `null` if nobody watched.
    pub window_seconds: Option<u64>,
    /// `confirmed`, `kept` (nobody had to confirm), `went_back` or `unknown`.
    #[schemars(extend("enum" = ["confirmed", "kept", "went_back", "unknown"]))]
    pub end: &'static str,
    /// In what way the watchdog was weaker than it should be.
    pub warning: Option<String>,
}

/// Makes the document of an apply.
pub fn document(report: &ApplyReport) -> ApplyDocument {
    let count = |wanted: fn(&StepState) -> bool| report.steps.iter().filter(|step| wanted(&step.state)).count();
    ApplyDocument {
        format_version: FORMAT_VERSION,
        lvsctl_version: env!("CARGO_PKG_VERSION"),
        outcome: outcome(report.outcome),
        exit_code: report.outcome.exit_code(),
        verified: report.verified,
        passes: report.passes,
        applied: count(|state| matches!(state, StepState::Applied)),
        failed: count(|state| matches!(state, StepState::Failed(_))),
        skipped: count(|state| matches!(state, StepState::Skipped)),
        undone: count(|state| matches!(state, StepState::Undone)),
        not_undone: count(|state| matches!(state, StepState::NotUndone(_))),
        steps: report.steps.iter().map(step_document).collect(),
        hosts: report.hosts.iter().map(host_document).collect(),
        errors: report.errors.clone(),
        warnings: report.warnings.clone(),
        remaining: report.remaining.iter().map(ToString::to_string).collect(),
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Converged => "converged",
        Outcome::Failed => "failed",
        Outcome::Partial => "partial",
        Outcome::RolledBack => "rolled_back",
        Outcome::Unknown => "unknown",
    }
}

fn host_document(host: &HostReport) -> HostDocument {
    let end = match host.end {
        HostEnd::Confirmed => "confirmed",
        HostEnd::Kept => "kept",
        HostEnd::WentBack => "went_back",
        HostEnd::Unknown => "unknown",
    };
    let window_seconds = host.window.map(|window| window.as_secs());
    HostDocument { host: host.host.to_string(), window_seconds, end, warning: host.warning.clone() }
}

/// Says of all hosts that were watched how it ended there, and of which one the watchdog was weak.
fn hosts(report: &ApplyReport, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let mut ends: BTreeMap<HostEnd, Vec<&HostReport>> = BTreeMap::new();
    for host in &report.hosts {
        ends.entry(host.end).or_default().push(host);
        let warning = host.warning.as_deref().map(describe::clean);
        lines.extend(warning.map(|text| paint.bad(&format!("  warning: {}: {text}", host.host))));
    }
    for (end, hosts) in ends {
        let Some(window) = hosts.first().and_then(|host| host.window) else { continue };
        let what = match end {
            HostEnd::Confirmed => "confirmed",
            HostEnd::Kept => "kept without a confirmation",
            HostEnd::WentBack => "went back",
            HostEnd::Unknown => "unknown",
        };
        let names: Vec<String> = hosts.iter().map(|host| host.host.to_string()).collect();
        lines.push(format!("  armed for {} s, {what}: {}", window.as_secs(), names.join(", ")));
    }
    lines
}

fn step_document(step: &StepReport) -> StepDocument {
    let (state, error) = match &step.state {
        StepState::Applied => ("applied", None),
        StepState::Failed(error) => ("failed", Some(error.clone())),
        StepState::Skipped => ("skipped", None),
        StepState::Undone => ("undone", None),
        StepState::NotUndone(error) => ("not_undone", Some(error.clone())),
    };
    StepDocument { id: step.id.to_string(), state, error, help: step.help.clone() }
}

/// Renders one step as it happens.
pub fn step(step: &StepReport, paint: Paint) -> String {
    match &step.state {
        StepState::Applied => format!("  {} {}", paint.good("done"), step.id),
        StepState::Failed(error) => format!("  {} {}: {}", paint.bad("FAILED"), step.id, describe::clean(error)),
        StepState::Skipped => format!("  skipped {}", step.id),
        StepState::Undone => format!("  undone {}", step.id),
        StepState::NotUndone(error) => {
            format!("  {} {}: {}", paint.bad("NOT UNDONE"), step.id, describe::clean(error))
        }
    }
}

/// Says what of a plan no going back brings back: connections that are cut, and what traffic feels of single changes.
pub fn irreversible(plan: &Plan) -> Vec<String> {
    let cut = plan.steps.iter().filter(|step| step.is_cut).filter_map(|step| step.connections);
    let cut: u64 = cut.map(|(active, inactive)| u64::from(active) + u64::from(inactive)).sum();
    let mut lines = Vec::new();
    if cut > 0 {
        lines.push(format!("{} cut", describe::count(usize::try_from(cut).unwrap_or(usize::MAX), "connection")));
    }
    for step in &plan.steps {
        let told = step.disruption().map(|text| format!("{}: {}", step.change.id.host, describe::clean(&text)));
        lines.extend(told.filter(|line| !lines.contains(line)));
    }
    lines
}

/// Renders how an apply ended.
pub fn human(report: &ApplyReport, paint: Paint) -> String {
    let document = document(report);
    let mut lines = Vec::new();
    for entry in &report.steps {
        if matches!(entry.state, StepState::Failed(_) | StepState::NotUndone(_)) {
            lines.push(step(entry, paint));
            lines.extend(entry.help.iter().map(|help| format!("    help: {}", describe::clean(help))));
        }
    }
    lines.extend(report.errors.iter().map(|error| paint.bad(&format!("  error: {}", describe::clean(error)))));
    lines.extend(report.warnings.iter().map(|text| paint.bad(&format!("  warning: {}", describe::clean(text)))));
    lines.extend(hosts(report, paint));
    if matches!(report.outcome, Outcome::Partial | Outcome::Unknown) {
        lines.extend(document.remaining.iter().map(|id| format!("  remains: {id}")));
    }
    let counts = format!(
        "{} applied, {} failed, {} skipped, {} undone, {} not undone",
        document.applied, document.failed, document.skipped, document.undone, document.not_undone
    );
    lines.push(match report.outcome {
        Outcome::Converged => paint.good(&format!("Converged: {counts}; read back, no change remains")),
        Outcome::Failed => paint.bad("Failed: the hosts are as they were before"),
        Outcome::Partial => paint.bad(&format!("Partly applied: {counts}")),
        Outcome::RolledBack => paint.bad(&format!("Rolled back: {counts}; the hosts are as they were before")),
        Outcome::Unknown if !report.verified => paint.bad(&format!("Unknown: {counts}; not every host could be read")),
        Outcome::Unknown => paint.bad(&format!("Unknown: {counts}; not everything could be taken back")),
    });
    lines.join("\n") + "\n"
}
