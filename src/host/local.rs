//! This machine, or a network namespace of it that stands for a machine.
//!
//! The two are one implementation: a thread that is inside the namespace, if there is one, and a folder in front of the
//! paths of files. `/proc` and `/sys` are always the machine's; what of them belongs to the network follows the thread.

use std::path::Path;
use std::time::Duration;

use super::session::Session;
use super::watchdog::Heart;
use super::worker::Worker;
use super::{Armed, Host, HostError, Operator, Reversible, TakenBack, Transaction, Transactions};
use crate::effect::{Answer, Capabilities, Effect, Probe};

/// A host that this process reaches without a network.
pub struct LocalHost {
    worker: Worker,
}

impl LocalHost {
    /// Opens this machine.
    pub fn machine() -> Result<Self, HostError> {
        Ok(LocalHost { worker: Worker::start(Path::new("/"), None, None)? })
    }

    /// Opens this machine for a client elsewhere, and returns what tells the machine that the client lives: its host's
    /// own thread does not.
    pub fn machine_for_client() -> Result<(Self, Heart), HostError> {
        let heart = Heart::default();
        Ok((LocalHost { worker: Worker::start(Path::new("/"), None, Some(heart.clone()))? }, heart))
    }

    /// Opens a network namespace below `/run/netns`, whose files lie below a folder of their own.
    pub fn namespace(name: &str, root: &Path) -> Result<Self, HostError> {
        Ok(LocalHost { worker: Worker::start(root, Some(name), None)? })
    }
}

impl Host for LocalHost {
    fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        self.worker.call(Session::capabilities)?
    }

    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError> {
        let probe = probe.clone();
        self.worker.call(move |session| session.probe(&probe))?
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        let effect = effect.clone();
        self.worker.call(move |session| session.perform_unjournaled(&effect))?
    }

    fn perform_all(&mut self, effects: Vec<Effect>) -> Vec<Result<(), HostError>> {
        let length = effects.len();
        match self.worker.call(move |session| session.perform_all(&effects)) {
            Ok(results) => results,
            Err(error) => vec![Err(error); length],
        }
    }

    fn lock(&mut self, operator: &Operator, patience: Duration) -> Result<(), HostError> {
        let operator = operator.clone();
        self.worker.call(move |session| session.lock(&operator, patience))?
    }

    fn transactions(&mut self) -> Result<Transactions, HostError> {
        self.worker.call(|session| session.transactions())?
    }

    fn begin(&mut self, transaction: &Transaction) -> Result<Armed, HostError> {
        let transaction = transaction.clone();
        self.worker.call(move |session| session.begin(&transaction))?
    }

    fn perform_reversibly(&mut self, steps: Vec<Reversible>) -> Vec<Result<(), HostError>> {
        let length = steps.len();
        match self.worker.call(move |session| session.perform_reversibly(&steps)) {
            Ok(results) => results,
            Err(error) => vec![Err(error); length],
        }
    }

    fn beat(&mut self) -> Result<(), HostError> {
        self.worker.call(|session| session.heart().beat())
    }

    fn confirm(&mut self, id: &str) -> Result<(), HostError> {
        let id = id.to_owned();
        self.worker.call(move |session| session.confirm(&id))?
    }

    fn revert(&mut self, id: &str) -> Result<TakenBack, HostError> {
        let id = id.to_owned();
        self.worker.call(move |session| session.revert(&id))?
    }

    fn close(&mut self, id: &str) -> Result<(), HostError> {
        let id = id.to_owned();
        self.worker.call(move |session| session.close(&id))?
    }

    fn forget(&mut self) -> Result<(), HostError> {
        self.worker.call(|session| session.forget())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_answers_without_any_rights() {
        let mut machine = LocalHost::machine().unwrap();
        let Answer::Links(links) = machine.probe(&Probe::Links).unwrap() else { panic!("not the answer to the probe") };
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(loopback.mac, None);
        assert_eq!(machine.capabilities().unwrap().links, links);
    }

    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        let missing = LocalHost::namespace("no-such-namespace", Path::new("/nonexistent")).map(drop).unwrap_err();
        assert!(missing.to_string().contains("no-such-namespace"), "{missing}");
        let crooked = LocalHost::namespace("../self/ns/net", Path::new("/nonexistent")).map(drop).unwrap_err();
        assert!(matches!(crooked, HostError::Unreachable { .. }), "{crooked}");
    }
}
