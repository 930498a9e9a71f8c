//! What hosts tell of applies that did not end, as lines for people.

use super::describe;
use crate::host::{Cause, Operator, Pending, Phase, TakenBack};

/// Says that an apply is not over.
pub fn pending(host: &str, pending: &Pending) -> String {
    let what = operator(&pending.transaction.operator);
    let then = match (pending.phase, pending.is_performed, pending.is_watched) {
        (Phase::Reverting, ..) => "is being taken back",
        (Phase::Confirmed, ..) => "was confirmed and not closed",
        (Phase::Open, true, _) => "is at work",
        (Phase::Open, false, true) => "has died or lost its connection, and is taken back if it is not confirmed soon",
        (Phase::Open, false, false) => "has died",
    };
    format!("{host}: {what} {then}")
}

/// Says that an apply was taken back.
pub fn taken_back(host: &str, taken_back: &TakenBack) -> String {
    let what = operator(&taken_back.transaction.operator);
    let why = match (taken_back.cause, taken_back.transaction.window) {
        (Cause::Unconfirmed, Some(window)) => format!("nobody confirmed it within {} s", window.as_secs()),
        (Cause::Unconfirmed, None) => "nobody confirmed it".to_owned(),
        (Cause::Asked, _) => "it did not end".to_owned(),
        (Cause::Reboot, _) => "the host went down before it was confirmed".to_owned(),
    };
    let mut text = format!("{host}: {what} was taken back, because {why}");
    if !taken_back.errors.is_empty() {
        text.push_str(", but not all of it");
        for error in &taken_back.errors {
            text.push_str(&format!("\n  {}", describe::clean(error)));
        }
    }
    text
}

fn operator(operator: &Operator) -> String {
    describe::clean(&operator.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Transaction;
    use std::time::Duration;

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
        assert!(pending("lb1", &told).starts_with("lb1: lvsctl apply by alice@desk has died or lost"));
        told.is_performed = true;
        assert_eq!(pending("lb1", &told), "lb1: lvsctl apply by alice@desk is at work");
        let mut told = TakenBack {
            transaction: transaction(Some(60)),
            at: 0,
            cause: Cause::Unconfirmed,
            effects: 3,
            errors: Vec::new(),
        };
        let text = "lb1: lvsctl apply by alice@desk was taken back, because nobody confirmed it within 60 s";
        assert_eq!(taken_back("lb1", &told), text);
        told.errors.push("Cannot stop\u{1b} keepalived".into());
        let text = taken_back("lb1", &told);
        assert!(text.contains(", but not all of it\n  Cannot stop") && !text.contains('\u{1b}'), "{text}");
    }
}
