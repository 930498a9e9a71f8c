//! What client and agent say to each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::effect::{Answer, Capabilities, Effect, Probe};
use crate::host::unmasked::{Unmasked, UnmaskedUndo};
use crate::host::{Armed, HostError, Operator, Reversible, TakenBack, Transaction, Transactions};

/// The version of what is said; the two ends are of one build, and so it is the same on both.
pub const PROTOCOL: u16 = 2;

/// How long an answer may take that waits for nothing, and how long an effect that calls a program.
pub(super) const ANSWER: Duration = Duration::from_secs(120);
const EFFECT: Duration = Duration::from_secs(60);

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u16,
    /// lvsctl's version.
    pub version: String,
    /// The agent's process, under which it holds the lock.
    pub process: u32,
}

/// What a client asks for.
///
/// It has no `Debug`, so that a secret cannot be printed by accident.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// What the host has.
    Capabilities,
    /// The answer to a probe.
    Probe(Probe),
    /// Effects, in order.
    Perform(Vec<Unmasked>),
    /// Effects, in order, each with what takes it back.
    PerformReversibly(Vec<(Unmasked, UnmaskedUndo)>),
    /// The host's lock, until the agent ends.
    Lock {
        /// Who wants it.
        operator: Operator,
        /// How long to wait for its holder.
        patience: Duration,
    },
    /// What earlier applies have left.
    Transactions,
    /// The beginning of a transaction.
    Begin(Transaction),
    /// That the watchdog knows that the client lives.
    Beat,
    /// A transaction's confirmation.
    Confirm(String),
    /// That a transaction is taken back.
    Revert(String),
    /// That a transaction's journal is removed.
    Close(String),
    /// That the last transaction that was taken back is forgotten.
    Forget,
    /// Nothing: the client is still there. It is not answered and not counted.
    Alive,
    /// That the agent ends, after so many requests before this one.
    End {
        /// How many.
        requests: u64,
    },
}

impl Request {
    /// Returns the request to perform effects.
    pub(super) fn perform(effects: &[Effect]) -> Self {
        Request::Perform(effects.iter().map(Unmasked::from).collect())
    }

    /// Returns the request to perform effects that can be taken back.
    pub(super) fn perform_reversibly(steps: &[Reversible]) -> Self {
        let unmasked = |step: &Reversible| (Unmasked::from(&step.effect), UnmaskedUndo::from(&step.undo));
        Request::PerformReversibly(steps.iter().map(unmasked).collect())
    }
}

/// Returns how long the answer to some effects may take, even if the agent is heard to be at work: longer than anything it
/// does waits by itself.
pub(super) fn time_of<'a>(effects: impl IntoIterator<Item = &'a Effect>) -> Duration {
    let time = |effect: &Effect| match effect {
        Effect::AwaitService { within, .. }
        | Effect::AwaitNoAddress { within, .. }
        | Effect::AwaitNoSyncDaemon { within } => *within,
        // A batch of tens of thousands is one call.
        Effect::Ipvs(_) => Duration::ZERO,
        _ => EFFECT,
    };
    let mut sum = ANSWER;
    // How long the last effects have together, if they are drains: neighbours wait at the same time.
    let mut draining = Duration::ZERO;
    for effect in effects {
        draining = match effect {
            Effect::AwaitDrained { within, .. } => draining.max(*within),
            other => {
                sum = sum.saturating_add(draining).saturating_add(time(other));
                Duration::ZERO
            }
        };
    }
    sum.saturating_add(draining)
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// There is no answer yet, and the work goes on.
    Working,
    /// What the host has.
    Capabilities(Result<Capabilities, HostError>),
    /// The answer to a probe.
    Answer(Result<Answer, HostError>),
    /// What became of each effect.
    Performed(Vec<Result<(), HostError>>),
    /// What earlier applies have left.
    Transactions(Result<Transactions, HostError>),
    /// That a transaction has begun.
    Armed(Result<Armed, HostError>),
    /// What became of a transaction that was to be taken back.
    TakenBack(Result<TakenBack, HostError>),
    /// What became of anything else.
    Done(Result<(), HostError>),
    /// The agent ends, and has answered so many requests.
    Ended {
        /// How many.
        requests: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{DestinationKey, IpvsCommand, ServiceKey};
    use crate::topology::Family;

    #[test]
    fn drains_that_wait_at_the_same_time_are_counted_once() {
        let service = ServiceKey::Mark { mark: 1, family: Family::Ipv4 };
        let destination = DestinationKey { address: std::net::Ipv4Addr::LOCALHOST.into(), port: 80 };
        let drain = |seconds| Effect::AwaitDrained { service, destination, within: Duration::from_secs(seconds) };
        let rest = [Effect::Ipvs(IpvsCommand::DeleteService(service)), Effect::StopKeepalived];
        let first: Vec<Effect> = (0..22_000).map(|_| drain(30)).chain([drain(40)]).collect();
        let all: Vec<Effect> = first.iter().cloned().chain(rest).chain([drain(5)]).collect();
        assert_eq!(time_of(&first), ANSWER + Duration::from_secs(40));
        assert_eq!(time_of(&all), ANSWER + Duration::from_secs(40) + EFFECT + Duration::from_secs(5));
        assert_eq!(time_of(&[drain(1), drain(u64::MAX)]), Duration::MAX);
    }
}
