//! The transaction of a host in memory: a journal without a disk, and a window that only a test can let pass.

use super::{FakeHost, State};
use crate::effect::Effect;
use crate::host::journal::{Undone, mark};
use crate::host::{Armed, Cause, HostError, Pending, Phase, Reversible, TakenBack, Transaction, Transactions};

/// What a host knows of applies.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pending: Option<(Transaction, Phase)>,
    performed: Vec<Reversible>,
    /// What the client took back itself.
    undone: Vec<String>,
    taken_back: Option<TakenBack>,
    /// How often the journal was used to take back.
    times: usize,
    /// What cannot be taken back the next time.
    stuck: Vec<String>,
}

impl FakeHost {
    /// Tells how often the host took back what was done since the last transaction began.
    pub fn times_taken_back(&self) -> usize {
        self.state().journal.times
    }

    /// Lets something be left the next time that the open transaction is taken back.
    pub fn cannot_take_back(&self, what: &str) {
        self.state().journal.stuck.push(what.to_owned());
    }

    /// Notes what the client that performs took back itself.
    pub(super) fn note_undone(&self, effect: &Effect) {
        let journal = &mut self.state().journal;
        if let Some((open, Phase::Open)) = &journal.pending
            && self.performing.as_ref() == Some(&open.id)
        {
            journal.undone.push(mark(effect));
        }
    }

    /// Lets the window of an open transaction pass: what a watchdog does.
    pub fn let_the_window_pass(&self) {
        let mut state = self.state();
        if let Some((Transaction { id, window: Some(_), .. }, Phase::Open)) = state.journal.pending.clone() {
            // It was open a moment ago.
            let _ = state.revert(&id, Cause::Unconfirmed);
        }
    }
}

impl State {
    pub(super) fn transactions(&self) -> Transactions {
        let pending = self.journal.pending.as_ref().map(|(transaction, phase)| Pending {
            transaction: transaction.clone(),
            began: 0,
            phase: *phase,
            is_performed: self.is_locked,
            is_watched: transaction.window.is_some() && *phase == Phase::Open,
        });
        Transactions { pending, taken_back: self.journal.taken_back.clone() }
    }

    pub(super) fn begin(&mut self, transaction: &Transaction) -> Result<Armed, HostError> {
        if let Some((open, _)) = &self.journal.pending {
            return Err(not_open(&transaction.id, format!("{} is", open.id)));
        }
        self.journal = Journal { pending: Some((transaction.clone(), Phase::Open)), ..Journal::default() };
        Ok(Armed::default())
    }

    /// Notes what is about to be performed.
    pub(super) fn intend(&mut self, step: &Reversible) -> Result<(), HostError> {
        match &self.journal.pending {
            Some((_, Phase::Open)) => {
                self.journal.performed.push(step.clone());
                Ok(())
            }
            _ => Err(not_open("of this client", "it was taken back".to_owned())),
        }
    }

    /// Notes that the last one was refused.
    pub(super) fn refused(&mut self) {
        self.journal.performed.pop();
    }

    pub(super) fn confirm(&mut self, id: &str) -> Result<(), HostError> {
        match &mut self.journal.pending {
            Some((transaction, phase)) if transaction.id == id => {
                *phase = Phase::Confirmed;
                Ok(())
            }
            _ => Err(not_open(id, "it was taken back or closed".to_owned())),
        }
    }

    pub(super) fn revert(&mut self, id: &str, cause: Cause) -> Result<TakenBack, HostError> {
        if let Some(taken_back) = self.journal.taken_back.clone().filter(|last| last.transaction.id == id) {
            return Ok(taken_back);
        }
        let Some((transaction, _)) = self.journal.pending.take_if(|(open, _)| open.id == id) else {
            return Err(not_open(id, "it was closed".to_owned()));
        };
        let performed = std::mem::take(&mut self.journal.performed);
        let reverse = performed.iter().rev().flat_map(|step| &step.undo.reverse);
        let afterwards = performed.iter().flat_map(|step| &step.undo.afterwards);
        let mut undone = Undone::of(&std::mem::take(&mut self.journal.undone));
        let to_do = reverse.chain(afterwards).filter(|effect| undone.is_to_be_done(effect));
        let errors = to_do.filter_map(|effect| self.perform(effect).err());
        let errors = errors.filter(|error| !error.is_done_already()).map(|error| error.to_string());
        let mut errors: Vec<String> = errors.collect();
        errors.append(&mut self.journal.stuck);
        self.journal.times += 1;
        let taken_back = TakenBack { transaction, at: 0, cause, effects: performed.len(), errors };
        self.journal.taken_back = Some(taken_back.clone());
        Ok(taken_back)
    }

    pub(super) fn close(&mut self, id: &str) {
        if self.journal.pending.take_if(|(open, _)| open.id == id).is_some() {
            self.journal = Journal::default();
        }
    }

    pub(super) fn forget(&mut self) {
        self.journal.taken_back = None;
    }
}

fn not_open(id: &str, text: String) -> HostError {
    HostError::NotOpen { id: id.to_owned(), text }
}
