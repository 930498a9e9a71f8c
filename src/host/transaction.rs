//! What an apply tells a host about itself, and what a host tells of an apply: plain serialisable data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Undo};
use crate::source::plain::one_line;

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

/// What a host says when a transaction has begun on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    /// In what way its watchdog is weaker than it should be.
    pub warning: Option<String>,
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

/// What became of an apply that died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// None was open, or it was confirmed.
    Nothing,
    /// It was confirmed here and came to no end: what it had done stays.
    Confirmed(Pending),
    /// It had no window: what it had done stays.
    Left(Pending),
    /// It was taken back.
    TakenBack(TakenBack),
}

/// What is on a host of applies before this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transactions {
    /// The one that is not over.
    pub pending: Option<Pending>,
    /// The last one, if it was taken back by the host itself and nothing was applied since.
    pub taken_back: Option<TakenBack>,
}

impl Pending {
    /// Says that an apply is not over.
    pub fn tell(&self) -> String {
        let then = match (self.phase, self.is_performed, self.is_watched) {
            (Phase::Reverting, ..) => "is being taken back",
            (Phase::Confirmed, true, _) => "is confirmed and about to end",
            (Phase::Confirmed, false, _) => {
                "was confirmed here and died before its end: this host stays as it left it, and hosts that it had not come \
                 to go back"
            }
            (Phase::Open, true, _) => "is at work",
            (Phase::Open, false, true) => {
                "has died or lost its connection, and is taken back if it is not confirmed soon"
            }
            (Phase::Open, false, false) => "has died",
        };
        one_line(&format!("{} {then}", self.transaction.operator), usize::MAX)
    }
}

impl TakenBack {
    /// Says that an apply was taken back, and why.
    pub fn tell(&self) -> String {
        let why = match (self.cause, self.transaction.window) {
            (Cause::Unconfirmed, Some(window)) => format!("nobody confirmed it within {} s", window.as_secs()),
            (Cause::Unconfirmed, None) => "nobody confirmed it".to_owned(),
            (Cause::Asked, _) => "it did not end".to_owned(),
            (Cause::Reboot, _) => "the host went down before it was confirmed".to_owned(),
        };
        let mut text = format!("{} was taken back, because {why}", self.transaction.operator);
        if !self.errors.is_empty() {
            text.push_str(&format!(", but not all of it: {}", self.errors.join("; ")));
        }
        one_line(&text, usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(window: Option<u64>) -> Transaction {
        let operator = Operator { user: "alice".into(), from: "desk".into(), command: "lvsctl apply".into() };
        Transaction { id: "1".into(), plan: String::new(), operator, window: window.map(Duration::from_secs) }
    }

    #[test]
    fn an_apply_that_did_not_end_is_told_with_whose_it_was() {
        let mut told = Pending {
            transaction: transaction(Some(60)),
            began: 0,
            phase: Phase::Open,
            is_performed: false,
            is_watched: true,
        };
        assert!(told.tell().starts_with("lvsctl apply by alice@desk has died or lost"));
        told.is_performed = true;
        assert_eq!(told.tell(), "lvsctl apply by alice@desk is at work");
        let mut told = TakenBack {
            transaction: transaction(Some(60)),
            at: 0,
            cause: Cause::Unconfirmed,
            effects: 3,
            errors: Vec::new(),
        };
        let text = "lvsctl apply by alice@desk was taken back, because nobody confirmed it within 60 s";
        assert_eq!(told.tell(), text);
        told.errors.push("Cannot stop\u{1b} keepalived".into());
        let text = told.tell();
        assert!(text.contains(", but not all of it: Cannot stop") && !text.contains('\u{1b}'), "{text}");
    }
}
