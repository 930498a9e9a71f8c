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
        self.perform_all(vec![effect.clone()]).into_iter().collect()
    }

    fn perform_all(&mut self, effects: Vec<Effect>) -> Vec<Result<(), HostError>> {
        let length = effects.len();
        match self.worker.call(move |session| session.perform_unjournaled(&effects)) {
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
    use std::fs;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::super::agent::{RemoteHost, Rhythm, serve};
    use super::*;
    use crate::effect::{Link, Undo};
    use crate::topology::SecretText;

    fn write(path: &str, text: &str) -> Effect {
        let text = SecretText::plain(text);
        Effect::WriteFile { path: path.into(), text, mode: 0o600, keepalived_test: false, keep_previous: false }
    }

    /// A client on another machine that dies while it takes back: the journal knows what it had taken back by then.
    #[test]
    fn what_is_taken_back_through_an_agent_is_noted() {
        let root = tempfile::tempdir().unwrap();
        let open = || LocalHost { worker: Worker::start(root.path(), None, None).unwrap() };
        let (near, far) = UnixStream::pair().unwrap();
        let host = open();
        let agent =
            thread::spawn(move || serve(Box::new(host), far.try_clone().unwrap(), far, Rhythm::default(), || {}));
        let mut client = RemoteHost::greet(near, Duration::from_secs(60)).unwrap();
        let operator = Operator::default();
        client.lock(&operator, Duration::ZERO).unwrap();
        let id = "0123abcd".to_owned();
        client.begin(&Transaction { id: id.clone(), plan: String::new(), operator, window: None }).unwrap();
        let steps = ["/etc/a", "/etc/b"]
            .map(|path| Reversible { effect: write(path, "after"), undo: Undo::reverse([write(path, "before")]) });
        assert_eq!(client.perform_reversibly(steps.to_vec()), [Ok(()), Ok(())]);
        client.perform(&write("/etc/b", "before")).unwrap();
        fs::write(root.path().join("etc/b"), "theirs").unwrap();
        drop(client);
        agent.join().unwrap().unwrap();
        assert_eq!(open().revert(&id).unwrap().errors, Vec::<String>::new());
        let text = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!((text("etc/a"), text("etc/b")), ("before".into(), "theirs".into()));
    }

    #[test]
    fn this_machine_answers_without_any_rights() {
        let mut machine = LocalHost::machine().unwrap();
        let Answer::Links(links) = machine.probe(&Probe::Links).unwrap() else { panic!("not the answer to the probe") };
        let loopback = |links: Vec<Link>| links.into_iter().find(|link| link.name == "lo").unwrap();
        let loopback = (loopback(links), loopback(machine.capabilities().unwrap().links));
        assert_eq!(loopback.0.mac, None);
        // Of this interface alone: others come and go on a machine that does more than this.
        assert_eq!(loopback.0, loopback.1);
    }

    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        let missing = LocalHost::namespace("no-such-namespace", Path::new("/nonexistent")).map(drop).unwrap_err();
        assert!(missing.to_string().contains("no-such-namespace"), "{missing}");
        let crooked = LocalHost::namespace("../self/ns/net", Path::new("/nonexistent")).map(drop).unwrap_err();
        assert!(matches!(crooked, HostError::Unreachable { .. }), "{crooked}");
    }
}
