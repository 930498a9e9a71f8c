//! An apply as one transaction over its hosts: begun on each before its first change, then confirmed on all, or taken back on all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{ApplyReport, HostEnd, HostReport, OnFailure};
use crate::host::{Armed, Host, HostError, TakenBack, Transaction};
use crate::plan::{Guard, Plan};
use crate::survey::{Hosts, Survey, at_most};
use crate::topology::HostName;

/// How much longer than its window a host that was lost is looked for: it has gone back by then, or nobody knows.
const GRACE: Duration = Duration::from_secs(10);

/// How soon a host that was lost is looked for again.
const PAUSE: Duration = Duration::from_millis(500);

/// How an apply is to be conducted.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// What hosts are told.
    pub transaction: Transaction,
    /// The guards whose changes are made all the same.
    pub allow: Vec<String>,
    /// Whether a failover that begins is waited for until it has elected a master.
    pub awaits_elections: bool,
}

impl From<OnFailure> for Conduct {
    /// Without a window, because nobody has to confirm, and without waiting for elections.
    fn from(on_failure: OnFailure) -> Self {
        let transaction = Transaction {
            id: "0".to_owned(),
            plan: String::new(),
            operator: crate::host::Operator::default(),
            window: None,
        };
        Conduct { on_failure, transaction, allow: Vec::new(), awaits_elections: false }
    }
}

impl Conduct {
    /// Returns the first guard of a plan that is not allowed.
    pub fn refusal<'a>(&self, plan: &'a Plan) -> Option<&'a Guard> {
        plan.guards.iter().find(|guard| self.allow.iter().all(|allowed| allowed != guard.name))
    }

    /// Tells whether hosts go back to where they were if the apply is not confirmed.
    pub(super) fn is_all_or_nothing(&self) -> bool {
        self.transaction.window.is_some() && self.on_failure == OnFailure::Undo
    }
}

/// What a host said, and which.
pub(super) type Failure = (HostName, HostError);

/// The hosts on which a transaction is open.
pub(super) struct Open<'a> {
    transaction: &'a Transaction,
    /// Where it is open still.
    hosts: BTreeSet<HostName>,
    /// Where it has begun, ended or not.
    begun: BTreeMap<HostName, Armed>,
    /// Where it may not have been taken back, or not all of it.
    doubtful: BTreeSet<HostName>,
}

impl<'a> Open<'a> {
    /// Begins nowhere yet.
    pub(super) fn new(transaction: &'a Transaction) -> Self {
        Open { transaction, hosts: BTreeSet::new(), begun: BTreeMap::new(), doubtful: BTreeSet::new() }
    }

    /// Begins on the hosts that a plan changes and on which it has not begun.
    pub(super) fn begin(&mut self, survey: &mut Survey<'_>, plan: &Plan) -> Result<(), Failure> {
        let changed: BTreeSet<&HostName> = plan.steps.iter().map(|step| &step.change.id.host).collect();
        let limit = survey.parallelism();
        let new = survey.hosts.iter_mut().filter(|(name, _)| changed.contains(name) && !self.hosts.contains(*name));
        let begun = at_most(limit, new, |_, host| host.begin(self.transaction));
        let mut failure = None;
        for (name, result) in begun {
            match result {
                Ok(armed) => {
                    self.begun.insert(name.clone(), armed);
                    self.hosts.insert(name);
                }
                Err(error) => failure = failure.or(Some((name, error))),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Confirms on every host over a connection of its own, which shows that the host can still be reached.
    ///
    /// All of them are asked first, so that no host is confirmed while another one goes back.
    pub(super) fn confirm(&self, survey: &mut Survey<'_>) -> Result<(), Failure> {
        if self.transaction.window.is_none() {
            return Ok(());
        }
        let id = self.transaction.id.as_str();
        let mut asked = self.reopened(survey)?;
        for (name, answer) in at_most(survey.parallelism(), asked.iter_mut(), |_, host| host.transactions()) {
            let open = answer.map_err(|error| (name.clone(), error))?.pending;
            if open.is_none_or(|pending| pending.transaction.id != id) {
                let text = "it was taken back before it could be confirmed".to_owned();
                return Err((name, HostError::NotOpen { id: id.to_owned(), text }));
            }
        }
        let confirmed = at_most(survey.parallelism(), asked.iter_mut(), |_, host| host.confirm(id));
        confirmed.into_iter().try_for_each(|(name, result)| result.map_err(|error| (name, error)))
    }

    fn reopened(&self, survey: &mut Survey<'_>) -> Result<Hosts, Failure> {
        let reopened = survey.reopen(|name| self.hosts.contains(name));
        reopened
            .into_iter()
            .map(|(name, host)| host.map(|host| (name.clone(), host)).map_err(|error| (name, error)))
            .collect()
    }

    /// Notes that a host may not be as it was before.
    pub(super) fn doubt(&mut self, host: &HostName) {
        self.doubtful.insert(host.clone());
    }

    /// Tells how it ended on each host on which it began.
    pub(super) fn ends(&self, report: &ApplyReport) -> Vec<HostReport> {
        let window = self.transaction.window;
        let end = |(host, armed): (&HostName, &Armed)| HostReport {
            host: host.clone(),
            window,
            end: match self.doubtful.contains(host) {
                true => HostEnd::Unknown,
                false => report.end_on(host, window.is_some()),
            },
            warning: armed.warning.clone(),
        };
        self.begun.iter().map(end).collect()
    }

    /// Tells whether it has begun on a host and not ended.
    pub(super) fn is_on(&self, host: &HostName) -> bool {
        self.hosts.contains(host)
    }

    /// Ends it on those hosts that are as they were: there is nothing to take back, and nobody does it twice.
    pub(super) fn close_where(&mut self, survey: &mut Survey<'_>, is_back: impl Fn(&HostName) -> bool) {
        let id = self.transaction.id.as_str();
        let limit = survey.parallelism();
        let back = survey.hosts.iter_mut().filter(|(name, _)| self.hosts.contains(*name) && is_back(name));
        for (name, closed) in at_most(limit, back, |_, host| host.close(id)) {
            if closed.is_ok() {
                self.hosts.remove(&name);
            }
        }
    }

    /// Ends it where what is there is to stay. Of a host that is lost it is said elsewhere that it cannot be read.
    pub(super) fn close(&self, survey: &mut Survey<'_>) -> Vec<Failure> {
        let id = self.transaction.id.as_str();
        let limit = survey.parallelism();
        let open = survey.hosts.iter_mut().filter(|(name, _)| self.hosts.contains(*name));
        let mut failed = failures(at_most(limit, open, |_, host| host.close(id)));
        failed.retain(|(_, error)| !is_lost(error));
        failed
    }

    /// Forgets on every host that it was taken back, because the report tells it.
    pub(super) fn forget(&self, survey: &mut Survey<'_>) {
        let limit = survey.parallelism();
        let open = survey.hosts.iter_mut().filter(|(name, _)| self.hosts.contains(*name));
        // A host that does not answer tells it to the next plan.
        at_most(limit, open, |_, host| host.forget());
    }

    /// Takes it back on every host. One that cannot be reached is looked for until it must have gone back by itself.
    pub(super) fn revert(&mut self, survey: &mut Survey<'_>) -> Vec<Failure> {
        let failed = self.take_back(survey);
        self.doubtful.extend(failed.iter().map(|(host, _)| host.clone()));
        failed
    }

    fn take_back(&self, survey: &mut Survey<'_>) -> Vec<Failure> {
        let id = self.transaction.id.as_str();
        let deadline = Instant::now() + self.transaction.window.unwrap_or_default() + GRACE;
        let limit = survey.parallelism();
        let revert = |_: &HostName, host: &mut dyn Host| host.revert(id).and_then(complete);
        let open = survey.hosts.iter_mut().filter(|(name, _)| self.hosts.contains(*name));
        let mut failed = failures(at_most(limit, open, revert));
        loop {
            let lost: BTreeSet<HostName> =
                failed.iter().filter(|(_, error)| is_lost(error)).map(|(name, _)| name.clone()).collect();
            if lost.is_empty() || self.transaction.window.is_none() {
                return failed;
            }
            let reopened = survey.reopen(|name| lost.contains(name)).into_iter();
            let mut found: Hosts = reopened.filter_map(|(name, host)| Some((name, host.ok()?))).collect();
            failed.retain(|(name, _)| !found.contains_key(name));
            failed.extend(failures(at_most(limit, found.iter_mut(), revert)));
            survey.hosts.extend(found);
            if Instant::now() >= deadline {
                return failed;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn complete(taken_back: TakenBack) -> Result<(), HostError> {
    match taken_back.errors.join("; ") {
        errors if errors.is_empty() => Ok(()),
        text => Err(HostError::Malformed { doing: "take everything back".to_owned(), text }),
    }
}

fn is_lost(error: &HostError) -> bool {
    matches!(error, HostError::Unreachable { .. } | HostError::Timeout { .. })
}

fn failures<T>(results: Vec<(HostName, Result<T, HostError>)>) -> Vec<Failure> {
    results.into_iter().filter_map(|(name, result)| Some((name, result.err()?))).collect()
}
