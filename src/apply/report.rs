//! What an apply did, step by step, and what the hosts were like afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use super::holders::Told;
use crate::plan::{Cycle, Plan};
use crate::resource::ResourceId;
use crate::topology::HostName;

/// How an apply ended; each has an exit code of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Every host was read back and is as desired.
    #[default]
    Converged,
    /// An error before anything was changed.
    Failed,
    /// Something was changed and something was not.
    Partial,
    /// A step failed, and everything that was done was taken back.
    RolledBack,
    /// A step failed, and taking back failed as well, or the hosts could not be read afterwards.
    Unknown,
}

impl Outcome {
    /// Returns the exit code of `lvsctl apply`.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Converged => 0,
            Outcome::Failed => 1,
            Outcome::Partial => 5,
            Outcome::RolledBack => 6,
            Outcome::Unknown => 7,
        }
    }
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It was made.
    Applied,
    /// It failed, and what it had done by then was taken back.
    Failed(String),
    /// It was not tried, because something before it failed.
    Skipped,
    /// It was made and taken back.
    Undone,
    /// It was made, or half made, and could not be taken back.
    NotUndone(String),
}

/// What became of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// Which thing.
    pub id: ResourceId,
    /// What became of it.
    pub state: StepState,
    /// What to do about a failure.
    pub help: Option<String>,
}

/// What became of an apply on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostEnd {
    /// It stays, and was confirmed over a new connection.
    Confirmed,
    /// It stays, and nobody had to confirm it.
    Kept,
    /// It was taken back, or never came to change anything.
    WentBack,
    /// Nobody knows, or not all of it could be taken back.
    Unknown,
}

/// How an apply began and ended on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReport {
    /// Which host.
    pub host: HostName,
    /// How long its watchdog waited for a sign of life; without one nobody watched.
    pub window: Option<Duration>,
    /// What became of it.
    pub end: HostEnd,
    /// In what way the watchdog was weaker than it should be.
    pub warning: Option<String>,
}

/// What an apply did.
#[derive(Clone, Debug, Default)]
pub struct ApplyReport {
    /// How it ended.
    pub outcome: Outcome,
    /// How often a plan was made and walked.
    pub passes: usize,
    /// Every step of every pass, in the order in which they were made.
    pub steps: Vec<StepReport>,
    /// The hosts on which it began.
    pub hosts: Vec<HostReport>,
    /// What went wrong outside a step.
    pub errors: Vec<String>,
    /// What is worth knowing and no error.
    pub warnings: Vec<String>,
    /// What remains to be done, as read back afterwards.
    pub remaining: Vec<ResourceId>,
    /// Whether every host could be read back.
    pub verified: bool,
}

impl ApplyReport {
    /// Adds the steps of a further pass.
    pub fn add(&mut self, walked: ApplyReport) {
        self.outcome = walked.outcome;
        // What an earlier pass has applied is still applied.
        let applied_before = self.steps.iter().any(|step| step.state == StepState::Applied);
        if applied_before && matches!(walked.outcome, Outcome::Failed | Outcome::RolledBack) {
            self.outcome = Outcome::Partial;
        }
        self.steps.extend(walked.steps);
        self.errors.extend(walked.errors);
    }

    /// Notes that things are not as they were before, although what was done to them was to be taken back.
    pub fn left_behind(&mut self, things: &[ResourceId], is_read: impl Fn(&HostName) -> bool) {
        let known: BTreeSet<&ResourceId> = things.iter().collect();
        for step in self.steps.iter_mut().filter(|step| known.contains(&step.id)) {
            let found = match is_read(&step.id.host) {
                true => "It is not as it was before",
                false => "How it is now cannot be read",
            };
            step.state = StepState::NotUndone(match &step.state {
                StepState::Failed(error) => format!("{error}. {found}"),
                _ => found.to_owned(),
            });
        }
        self.outcome = Outcome::Unknown;
    }

    /// Notes an error before the first step.
    pub fn fail_before(&mut self, error: String, help: Option<String>) {
        self.outcome = match self.steps.is_empty() {
            true => Outcome::Failed,
            false => Outcome::Partial,
        };
        self.errors.push(error);
        self.errors.extend(help);
    }

    /// Tells how it ended on a host.
    pub fn end_on(&self, host: &HostName, is_watched: bool) -> HostEnd {
        let states = || self.steps.iter().filter(|step| step.id.host == *host).map(|step| &step.state);
        match self.outcome {
            Outcome::Converged if is_watched => HostEnd::Confirmed,
            Outcome::Converged => HostEnd::Kept,
            _ if states().any(|state| matches!(state, StepState::NotUndone(_))) => HostEnd::Unknown,
            _ if states().any(|state| *state == StepState::Applied) => HostEnd::Kept,
            _ => HostEnd::WentBack,
        }
    }

    /// Notes what is not held by one director.
    pub(super) fn held_oddly(&mut self, told: Told) {
        if !told.errors.is_empty() && self.outcome == Outcome::Converged {
            self.outcome = Outcome::Partial;
        }
        self.errors.extend(told.errors);
        self.warnings.extend(told.warnings);
    }

    /// Notes what was read afterwards; a host that cannot be read makes the outcome unknown.
    pub fn read_back(&mut self, plan: Result<Plan, Cycle>) {
        match plan {
            Ok(plan) => {
                self.verified = plan.is_complete();
                self.remaining = plan.steps.iter().map(|step| step.change.id.clone()).collect();
            }
            Err(cycle) => self.errors.push(cycle.to_string()),
        }
        if !self.verified {
            self.outcome = Outcome::Unknown;
        }
    }
}
