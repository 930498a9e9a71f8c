//! Where probes are answered and effects performed: the only layer, with `rehearsal` and `cli`, that touches a machine.
//!
//! A [`Host`] is one machine, or one network namespace that stands for a machine. [`connect`] opens the one that a
//! topology names. [`fake::FakeHost`] is one in memory with the kernel's own refusals, for the tests of other layers; it
//! and the real kernel pass the same contract (`tests/contract`).
//!
//! ```text
//! local.rs     the machine or a namespace of it: worker.rs runs session.rs on a thread inside the namespace
//! genl.rs      the IPVS table            rtnetlink.rs  links.rs  routes.rs           netlink.rs  what both share; generic.rs  how a family of generic netlink is found
//! keepalived.rs  the daemon, and keepalived_check.rs  its answers; process.rs  what a pid file names
//! ethtool.rs   what interfaces offload             fou.rs  the ports at which packets come out of gue
//! agent/       the far end of a connection to another machine, and the near one
//! fan_out.rs   many hosts at once
//! drain.rs     waits for destinations to lose their connections; forget.rs and replace.rs  make the kernel forget them
//! ssh/         another machine: how it is reached, whether it is the right one, and a program that runs there
//! iptables.rs  module.rs  sysctl.rs  files.rs  lock.rs, and program.rs  runs what they need
//! ```
//!
//! To add a probe or an effect: its variant in `effect`, one arm in `session.rs`, one in `fake`, one case in the contract.
//! To add a way to reach a host: an implementation of the trait and an arm in [`connect`].

pub mod agent;
mod drain;
mod error;
mod ethtool;
pub mod fake;
mod fan_out;
mod files;
mod forget;
mod fou;
mod generic;
mod genl;
mod iptables;
mod journal;
mod keepalived;
mod keepalived_check;
mod keepalived_stand_in;
mod links;
mod local;
mod lock;
mod management;
mod module;
mod netlink;
mod process;
mod program;
mod replace;
mod rights;
mod routes;
mod rtnetlink;
mod session;
pub mod ssh;
mod streams;
mod sysctl;
mod transact;
mod transaction;
mod unmasked;
mod watchdog;
mod worker;

pub use error::HostError;
pub use fan_out::{PARALLELISM, fan_out};
pub use local::LocalHost;
pub use ssh::Patience;
pub use transaction::{
    Armed, Cause, Operator, Pending, Phase, Recovered, Reversible, TakenBack, Transaction, Transactions,
};
pub use watchdog::{Heart, Watched, serve as watch};

use std::path::Path;
use std::time::Duration;

use session::Session;
use zeroize::Zeroizing;

use crate::effect::{Answer, Capabilities, Effect, Probe};
use crate::topology::{self, Connection, SecretValues};

/// A machine, or what stands for one.
pub trait Host: Send {
    /// Tells what the host has; changes nothing.
    fn capabilities(&mut self) -> Result<Capabilities, HostError>;

    /// Answers a question; changes nothing.
    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError>;

    /// Makes one change, or waits for one.
    fn perform(&mut self, effect: &Effect) -> Result<(), HostError>;

    /// Performs in order and returns one result an effect.
    ///
    /// Neighbouring [`Effect::Ipvs`] are one batch, in which every command is tried whatever became of the others, and
    /// neighbouring [`Effect::AwaitDrained`] wait at the same time. After a batch with a failure, and after any other
    /// failure, the rest is [`HostError::NotTried`].
    fn perform_all(&mut self, effects: Vec<Effect>) -> Vec<Result<(), HostError>> {
        in_runs(&effects, |run| run.iter().map(|effect| self.perform(effect)).collect())
    }

    /// Takes the host's lock for an apply, which is released when the host is dropped. Waits for its holder at most so
    /// long, and then names it.
    fn lock(&mut self, operator: &Operator, patience: Duration) -> Result<(), HostError>;

    /// Tells what applies before this one have left on the host: one that is not over, or one that the host took back.
    fn transactions(&mut self) -> Result<Transactions, HostError>;

    /// Begins a transaction on a locked host: its journal is on the disk, and its watchdog armed, when this returns.
    fn begin(&mut self, transaction: &Transaction) -> Result<Armed, HostError>;

    /// Performs as [`Host::perform_all`] does, each run after the journal knows how to take it back.
    fn perform_reversibly(&mut self, steps: Vec<Reversible>) -> Vec<Result<(), HostError>>;

    /// Tells the host that its client lives. Every other call tells it as well, for as long as it takes.
    fn beat(&mut self) -> Result<(), HostError>;

    /// Confirms a transaction, over any connection: its watchdog is disarmed, and its journal kept until it is closed.
    fn confirm(&mut self, id: &str) -> Result<(), HostError>;

    /// Takes back a transaction, over any connection, unless it is taken back or closed; a performer that still works is
    /// ended.
    fn revert(&mut self, id: &str) -> Result<TakenBack, HostError>;

    /// Removes a transaction's journal: what is there stays. No such journal is fine.
    fn close(&mut self, id: &str) -> Result<(), HostError>;

    /// Forgets what [`Transactions::taken_back`] tells.
    fn forget(&mut self) -> Result<(), HostError>;
}

/// Opens the host that a topology names; over SSH nothing takes longer than `patience` says.
pub fn connect(host: &topology::Host, secrets: &SecretValues, patience: &Patience) -> Result<Box<dyn Host>, HostError> {
    match &host.connection.value {
        Connection::Local => Ok(Box::new(LocalHost::machine()?)),
        Connection::Namespace { name, root } => Ok(Box::new(LocalHost::namespace(name, root.as_ref())?)),
        Connection::Ssh { become_root, become_password, .. } => {
            let target = ssh::Target::of(&host.connection.value).ok_or_else(HostError::interrupted)?;
            let mut session = ssh::SshSession::open(&target, patience)?;
            let user = session.user().to_owned();
            let password = |wrong: Option<&str>| match become_password {
                // There is only this one.
                Some(_) if wrong.is_some() => None,
                Some(reference) => secrets.get(&reference.value).cloned().map(Zeroizing::new),
                None => ssh::sudo_password(&user, wrong),
            };
            let root = match (*become_root, become_password.is_some() || ssh::is_somebody_there()) {
                (false, _) => agent::Root::Login,
                (true, false) => agent::Root::Sudo,
                (true, true) => agent::Root::SudoWith(&password),
            };
            Ok(Box::new(agent::start(&mut session, root, patience.answer)?))
        }
    }
}

/// Hands over effects in runs, a batch or a single one, and stops after a run with a failure.
fn in_runs(
    effects: &[Effect],
    mut perform: impl FnMut(&[Effect]) -> Vec<Result<(), HostError>>,
) -> Vec<Result<(), HostError>> {
    let mut results = Vec::new();
    for run in effects.chunk_by(are_one_run) {
        let ended = perform(run);
        let failed = ended.iter().any(Result::is_err);
        // A large table is one run, whose results are those of all.
        match results.is_empty() {
            true => results = ended,
            false => results.extend(ended),
        }
        if failed {
            break;
        }
    }
    results.resize(effects.len(), Err(HostError::NotTried));
    results
}

/// Ends what an apply that died has left on this machine: what `lvsctl recover` does, at boot and by hand.
pub fn recover(root: &Path, operator: &Operator) -> Result<Recovered, HostError> {
    let mut session = Session::new(root, root == Path::new("/"));
    // Whoever works on the host is not disturbed.
    session.lock(operator, Duration::ZERO)?;
    session.recover()
}

fn are_one_run(one: &Effect, next: &Effect) -> bool {
    let effects = (one, next);
    matches!(effects, (Effect::Ipvs(_), Effect::Ipvs(_)) | (Effect::AwaitDrained { .. }, Effect::AwaitDrained { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{IpvsCommand, ServiceKey};
    use crate::topology::Family;

    fn delete(mark: u32) -> Effect {
        Effect::Ipvs(IpvsCommand::DeleteService(ServiceKey::Mark { mark, family: Family::Ipv4 }))
    }

    #[test]
    fn neighbouring_commands_are_one_run_and_a_failure_ends_what_follows_it() {
        let load = Effect::LoadModule("ip_vs".into());
        let effects = [load.clone(), delete(1), delete(2), load.clone(), delete(3)];
        let mut runs = Vec::new();
        let results = in_runs(&effects, |run| {
            runs.push(run.len());
            run.iter().map(|effect| if *effect == delete(1) { Err(HostError::NotTried) } else { Ok(()) }).collect()
        });
        assert_eq!(runs, [1, 2], "the batch is one run, and nothing after it is tried");
        let not_tried = Err(HostError::NotTried);
        assert_eq!(results, [Ok(()), not_tried.clone(), Ok(()), not_tried.clone(), not_tried]);
    }
}
