//! One host's part of a wave.
//!
//! Effects go to the host in as few calls as can be, so that neighbouring IPVS commands of many steps become one batch. Steps
//! that drain a destination come last and do it together: all weights become 0, then the connections of all of them have
//! the same time to end, and then all destinations go.

use crate::effect::Effect;
use crate::host::{Host, HostError, Reversible};
use crate::plan::Plan;

/// What a host did with a step of its part of a wave.
pub(super) struct Done {
    /// Which step.
    pub(super) index: usize,
    /// Which of its effects are to be taken back if anything is: they were performed, or may have been.
    pub(super) made: Vec<bool>,
    /// How it ended.
    pub(super) result: Result<(), HostError>,
}

impl Done {
    /// Returns a step none of whose effects is known to be performed.
    pub(super) fn nothing(index: usize, plan: &Plan, error: HostError) -> Self {
        Done { index, made: vec![false; plan.steps[index].effects.len()], result: Err(error) }
    }

    fn note(&mut self, plan: &Plan, place: usize, result: Result<(), HostError>) {
        let Err(error) = result else {
            self.made[place] = true;
            return;
        };
        self.made[place] = is_to_be_taken_back(&plan.steps[self.index].effects[place], &error);
        // The error that stopped the others says more than theirs.
        if self.result.is_ok() || self.result == Err(HostError::NotTried) {
            self.result = Err(error);
        }
    }
}

/// Tells whether what failed is taken back as if it had been made, which harms nobody if it was not.
///
/// Rules are the exception: what puts a jump back adds another one where it is in place still. Only the journal knows what
/// rules there were, and without it the hosts are read again and the outcome is unknown.
fn is_to_be_taken_back(effect: &Effect, error: &HostError) -> bool {
    error.leaves_in_doubt(effect) && !matches!(effect, Effect::IptablesRestore { .. })
}

/// Performs one host's part of a wave.
pub(super) fn perform(host: &mut dyn Host, plan: &Plan, share: &[usize]) -> Vec<Done> {
    let mut done: Vec<Done> = share
        .iter()
        .map(|index| Done { index: *index, made: vec![false; plan.steps[*index].effects.len()], result: Ok(()) })
        .collect();
    let wait = |index: usize| plan.steps[index].effects.iter().position(is_drain);
    let (mut first, mut waits, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (lane, index) in share.iter().enumerate().filter(|(_, index)| wait(**index).is_none()) {
        first.extend((0..plan.steps[*index].effects.len()).map(|effect| (lane, effect)));
    }
    for (lane, index) in share.iter().enumerate() {
        if let Some(at) = wait(*index) {
            first.extend((0..at).map(|effect| (lane, effect)));
            waits.push((lane, at));
            last.extend((at + 1..plan.steps[*index].effects.len()).map(|effect| (lane, effect)));
        }
    }
    let mut going = true;
    for share in [first, waits, last] {
        if going {
            going = run(host, plan, &mut done, &share);
        } else {
            share.into_iter().for_each(|(lane, effect)| done[lane].note(plan, effect, Err(HostError::NotTried)));
        }
    }
    done
}

fn run(host: &mut dyn Host, plan: &Plan, done: &mut [Done], what: &[(usize, usize)]) -> bool {
    let reversible = |(lane, effect): &(usize, usize)| {
        let step = &plan.steps[done[*lane].index];
        Reversible { effect: step.effects[*effect].clone(), undo: step.undo[*effect].clone() }
    };
    let results = host.perform_reversibly(what.iter().map(reversible).collect());
    let all = results.iter().all(Result::is_ok);
    for ((lane, effect), result) in what.iter().zip(results) {
        done[*lane].note(plan, *effect, result);
    }
    all
}

fn is_drain(effect: &Effect) -> bool {
    matches!(effect, Effect::AwaitDrained { .. })
}
