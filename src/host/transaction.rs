//! What an apply tells a host about itself, and what a host tells of an apply: plain serialisable data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Undo};

/// Who works on a host, as the next one is told. Nothing of it is a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The user's name.
    pub user: String,
    /// The machine on which the command was given.
    pub from: String,
    /// The command without its values, such as `lvsctl apply`.
    pub command: String,
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} by {}@{}", self.command, self.user, self.from)
    }
}

/// What an apply says before it changes a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// What tells it apart from every other, the same on all hosts of an apply.
    pub id: String,
    /// The digest of the plan.
    pub plan: String,
    /// Who applies.
    pub operator: Operator,
    /// How long after the last sign of life the host waits for a confirmation before it takes everything back; without
    /// it no watchdog is armed.
    pub window: Option<Duration>,
}

/// An effect with what takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversible {
    /// The effect.
    pub effect: Effect,
    /// What takes it back.
    pub undo: Undo,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was begun and neither confirmed nor taken back.
    Open,
    /// It was confirmed, and the other hosts of the apply may not be as far.
    Confirmed,
    /// It is being taken back.
    Reverting,
}

/// A transaction that is on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What was said at its beginning.
    pub transaction: Transaction,
    /// When that was, in seconds since 1970.
    pub began: u64,
    /// How far it is.
    pub phase: Phase,
    /// Whether the process that performs its effects still runs.
    pub is_performed: bool,
    /// Whether a watchdog waits for the confirmation.
    pub is_watched: bool,
}

/// Why a transaction was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nobody confirmed it in time.
    Unconfirmed,
    /// Its client, or a later apply, said so.
    Asked,
    /// The host went down before it was confirmed.
    Reboot,
}

/// A transaction that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// What was said at its beginning.
    pub transaction: Transaction,
    /// When it was taken back, in seconds since 1970.
    pub at: u64,
    /// Why.
    pub cause: Cause,
    /// How many effects were taken back.
    pub effects: usize,
    /// What could not be taken back.
    pub errors: Vec<String>,
}

/// What is on a host of applies before this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transactions {
    /// The one that is not over.
    pub pending: Option<Pending>,
    /// The last one, if it was taken back by the host itself and nothing was applied since.
    pub taken_back: Option<TakenBack>,
}
