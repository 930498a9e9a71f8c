//! What earlier applies have left on hosts: ended before a plan is made, told, and only then forgotten.

use crate::host::{Host, HostError, Pending, Phase, TakenBack};
use crate::survey::{Survey, at_most};
use crate::topology::HostName;

/// What an earlier apply has left on a host, and what became of it.
#[derive(Clone, Debug)]
pub enum Earlier {
    /// It was taken back, by the host itself or just now.
    TakenBack(TakenBack),
    /// It was confirmed here and came to no end, so that what it did stays.
    Confirmed(Pending),
    /// It died without a watchdog; what it had done by then is what the plan starts from.
    Left(Pending),
}

/// What became of what earlier applies have left, on all hosts of a survey.
#[derive(Debug, Default)]
pub struct TakenUp {
    /// What is over, and is to be told whatever else went wrong.
    pub told: Vec<(HostName, Earlier)>,
    /// Which hosts stay as they are, and why.
    pub failures: Vec<(HostName, HostError)>,
    /// Whether a host was changed by it, or may have been.
    pub has_changed: bool,
}

/// Why something is not over.
struct Unended {
    error: HostError,
    may_have_changed: bool,
}

impl From<HostError> for Unended {
    fn from(error: HostError) -> Self {
        Unended { error, may_have_changed: false }
    }
}

/// Ends what earlier applies have left on the locked hosts of a survey, before it plans. A host on which that fails keeps
/// none of the others from being ended, nor from being told of.
pub fn take_up(survey: &mut Survey<'_>) -> TakenUp {
    let mut taken_up = TakenUp::default();
    for (name, ended) in at_most(survey.parallelism(), survey.hosts.iter_mut(), |_, host| end(host)) {
        match ended {
            Ok((earlier, has_changed)) => {
                taken_up.has_changed |= has_changed;
                taken_up.told.extend(earlier.map(|earlier| (name, earlier)));
            }
            Err(Unended { error, may_have_changed }) => {
                taken_up.has_changed |= may_have_changed;
                taken_up.failures.push((name, error));
            }
        }
    }
    taken_up
}

impl TakenUp {
    /// Lets the hosts forget what was told by now.
    pub fn forget(&mut self, survey: &mut Survey<'_>) {
        let is_told = |name: &HostName| self.told.iter().any(|(told, _)| told == name);
        let limit = survey.parallelism();
        let told = survey.hosts.iter_mut().filter(|(name, _)| is_told(name));
        let forgotten = at_most(limit, told, |_, host| host.forget());
        self.failures.extend(forgotten.into_iter().filter_map(|(name, result)| Some((name, result.err()?))));
    }
}

/// Returns what was on the host, and whether ending it has changed the host.
fn end(host: &mut dyn Host) -> Result<(Option<Earlier>, bool), Unended> {
    let left = host.transactions()?;
    let Some(pending) = left.pending else { return Ok((left.taken_back.map(Earlier::TakenBack), false)) };
    let id = &pending.transaction.id;
    match (pending.phase, pending.transaction.window) {
        (Phase::Confirmed, _) => {
            host.close(id)?;
            Ok((Some(Earlier::Confirmed(pending)), false))
        }
        (Phase::Open, None) => {
            host.close(id)?;
            Ok((Some(Earlier::Left(pending)), false))
        }
        (Phase::Open | Phase::Reverting, _) => match host.revert(id) {
            Ok(taken_back) => Ok((Some(Earlier::TakenBack(taken_back)), true)),
            Err(error) => Err(Unended { may_have_changed: !error.is_refusal(), error }),
        },
    }
}
