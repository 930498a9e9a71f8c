//! What a test makes go wrong on a host in memory.

use std::collections::BTreeMap;

use super::{FakeHost, State};
use crate::effect::Effect;
use crate::host::HostError;

/// What goes wrong, by how many effects were asked for before.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Instead of an effect.
    instead: BTreeMap<usize, HostError>,
    /// After it.
    after: BTreeMap<usize, HostError>,
    /// Nothing arrives any more.
    is_cut_off: bool,
    cable_is_pulled_at: Option<usize>,
}

impl FakeHost {
    /// Makes an effect fail that is yet to be performed: 0 is the next one.
    pub fn fail_at(&self, effects_before: usize, error: HostError) {
        let mut state = self.state();
        let place = state.performed.len() + effects_before;
        state.failures.instead.insert(place, error);
    }

    /// Makes an effect fail that was made by then: 0 is the next one.
    pub fn fail_after(&self, effects_before: usize, error: HostError) {
        let mut state = self.state();
        let place = state.performed.len() + effects_before;
        state.failures.after.insert(place, error);
    }

    /// Makes the host unreachable: every question and every effect fails from now on.
    pub fn pull_the_cable(&self) {
        self.state().failures.is_cut_off = true;
    }

    /// Makes the host unreachable when it is about to perform an effect: 0 is the next one.
    pub fn pull_the_cable_at(&self, effects_before: usize) {
        let mut state = self.state();
        state.failures.cable_is_pulled_at = Some(state.performed.len() + effects_before);
    }

    /// Makes the host reachable again.
    pub fn plug_the_cable_in(&self) {
        let failures = &mut self.state().failures;
        (failures.is_cut_off, failures.cable_is_pulled_at) = (false, None);
    }

    /// Performs an effect unless something goes wrong, and tells whether it was made: it may have failed all the same.
    pub(super) fn carry_out(&self, effect: &Effect) -> (bool, Result<(), HostError>) {
        let mut state = self.state();
        let place = state.performed.len();
        state.failures.is_cut_off |= state.failures.cable_is_pulled_at.is_some_and(|at| at <= place);
        if let Err(error) = state.reach() {
            return (false, Err(error));
        }
        state.performed.push(effect.clone());
        let result = state.failures.instead.remove(&place).map_or(Ok(()), Err).and_then(|()| state.perform(effect));
        match (result, state.failures.after.remove(&place)) {
            (Ok(()), Some(error)) => (true, Err(error)),
            (result, _) => (result.is_ok(), result),
        }
    }
}

impl State {
    pub(super) fn reach(&self) -> Result<(), HostError> {
        let unreachable = || HostError::Unreachable { text: "no answer".into() };
        (!self.failures.is_cut_off).then_some(()).ok_or_else(unreachable)
    }
}
