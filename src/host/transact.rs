//! A session's part in transactions: what a host does with its journal for a client.

use std::time::Duration;

use super::journal::{self, Attempts, Head, Intent, Journal, Record, Rules};
use super::session::Session;
use super::unmasked::UnmaskedUndo;
use super::watchdog::{Watch, Watched};
use super::{
    Armed, Cause, HostError, Pending, Phase, Recovered, Reversible, TakenBack, Transaction, Transactions, in_runs, lock,
};
use crate::effect::Effect;

/// How long the journal's lock may be somebody else's.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest id, in characters.
const LONGEST_ID: usize = 64;

/// A transaction that this session performs.
pub(super) struct Performing {
    id: String,
    journal: Journal,
    watch: Option<Watch>,
}

impl Performing {
    /// Performs a run of effects, once what takes them back is on the disk.
    fn run(
        &mut self,
        run: &[Effect],
        steps: &[Reversible],
        perform: impl FnOnce() -> Vec<Result<(), HostError>>,
    ) -> Vec<Result<(), HostError>> {
        match self.intend(steps) {
            Err(error) => vec![Err(error); run.len()],
            Ok(false) => perform(),
            Ok(true) => {
                let results = perform();
                let made = run.iter().zip(&results).map(|(effect, result)| match result {
                    Ok(()) => true,
                    Err(error) => error.leaves_in_doubt(effect),
                });
                // Without this, all of them count as made.
                let _ = self.journal.append(&Record::Done(made.collect()), false);
                self.journal.unlock();
                results
            }
        }
    }

    /// Writes down that something was taken back by the client itself, so that nobody does it once more.
    fn note_undone(&mut self, marks: Vec<String>) {
        if self.journal.is_own() && self.journal.lock(Duration::ZERO) == Ok(true) {
            if self.journal.is_own() {
                // Without this it is taken back once more.
                let _ = self.journal.append(&Record::Undone(marks), false);
            }
            self.journal.unlock();
        }
    }

    /// Writes down what takes the run back, and keeps the journal locked; tells whether there was anything to write.
    fn intend(&mut self, steps: &[Reversible]) -> Result<bool, HostError> {
        let over = |text: &str| Err(HostError::NotOpen { id: self.id.clone(), text: text.to_owned() });
        if !self.journal.is_own() {
            return over("it was taken back in the meantime");
        }
        if self.watch.as_mut().is_some_and(|watch| !watch.is_awake()) {
            return over("its watchdog has ended");
        }
        if steps.iter().all(|step| step.undo.is_empty()) {
            return Ok(false);
        }
        if !self.journal.lock(PATIENCE)? || !self.journal.is_own() {
            self.journal.unlock();
            return over("it is being taken back");
        }
        let intents: Result<Vec<Intent>, HostError> = steps.iter().map(intent).collect();
        let written = intents.and_then(|intents| self.journal.append(&Record::Intent(intents), true));
        written.inspect_err(|_| self.journal.unlock())?;
        Ok(true)
    }
}

impl Session {
    /// Tells what earlier applies have left.
    pub(super) fn transactions(&mut self) -> Result<Transactions, HostError> {
        let taken_back = journal::last(self.files())?;
        let Some(journal) = Journal::open(self.files())? else {
            return Ok(Transactions { pending: None, taken_back });
        };
        let content = journal.glance()?;
        let pending = Pending {
            phase: content.phase(),
            began: content.head.began,
            is_performed: journal::is_running(&content.head),
            is_watched: journal::is_watched(self.files())?,
            transaction: content.head.transaction,
        };
        Ok(Transactions { pending: Some(pending), taken_back })
    }

    /// Begins a transaction: nothing may be changed before this has succeeded.
    pub(super) fn begin(&mut self, transaction: &Transaction) -> Result<Armed, HostError> {
        let id = &transaction.id;
        let refused = |text: String| Err(HostError::NotOpen { id: id.clone(), text });
        let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if id.is_empty() || id.len() > LONGEST_ID || !is_plain(id) {
            return Err(HostError::Malformed { doing: "begin".into(), text: "the id is none".into() });
        }
        if !self.is_locked() {
            return refused("the host is not locked".to_owned());
        }
        if let Some(open) = Journal::open(self.files())? {
            return refused(format!("{} is", open.glance()?.head.transaction.id));
        }
        let head = Head::new(transaction, !self.beats_itself());
        let journal = Journal::create(self.files(), &head)?;
        match self.arm(transaction) {
            Ok((watch, armed)) => {
                self.performing = Some(Performing { id: id.clone(), journal, watch });
                Ok(armed)
            }
            Err(error) => {
                // Nothing was performed, so there is nothing to take back.
                journal::close(self.files(), journal)?;
                Err(error)
            }
        }
    }

    fn arm(&mut self, transaction: &Transaction) -> Result<(Option<Watch>, Armed), HostError> {
        let Some(window) = transaction.window else { return Ok((None, Armed::default())) };
        if self.has_systemd() {
            journal::install_unit(self.files())?;
        }
        let watched = Watched {
            root: self.files().root().to_owned(),
            is_machine: self.is_machine(),
            id: transaction.id.clone(),
            window,
        };
        let (watch, armed) = Watch::arm(&watched, self.has_systemd(), self.heart(), self.beats_itself())?;
        Ok((Some(watch), armed))
    }

    /// Performs in order what no journal has to know how to take back, or what takes something back: that is noted.
    pub(super) fn perform_unjournaled(&mut self, effects: &[Effect]) -> Vec<Result<(), HostError>> {
        in_runs(effects, |run| {
            let results = self.perform_all(run);
            if let Some(performing) = &mut self.performing {
                let is_done = |result: &Result<(), HostError>| match result {
                    Ok(()) => true,
                    Err(error) => error.is_done_already(),
                };
                let done = run.iter().zip(&results).filter(|(_, result)| is_done(result));
                let marks: Vec<String> = done.map(|(effect, _)| journal::mark(effect)).collect();
                if !marks.is_empty() {
                    performing.note_undone(marks);
                }
            }
            results
        })
    }

    /// Performs in order, each run after its undo is on the disk.
    pub(super) fn perform_reversibly(&mut self, steps: &[Reversible]) -> Vec<Result<(), HostError>> {
        let Some(mut performing) = self.performing.take() else {
            let error = HostError::NotOpen { id: "of this client".into(), text: "none was begun".into() };
            return vec![Err(error); steps.len()];
        };
        let effects: Vec<Effect> = steps.iter().map(|step| step.effect.clone()).collect();
        let mut rest = steps;
        let results = in_runs(&effects, |run| {
            let (these, others) = rest.split_at(run.len().min(rest.len()));
            rest = others;
            performing.run(run, these, || self.perform_all(run))
        });
        self.performing = Some(performing);
        results
    }

    /// Confirms a transaction, whoever performs it.
    pub(super) fn confirm(&mut self, id: &str) -> Result<(), HostError> {
        let Some(mut journal) = self.journal_of(id)? else { return Err(self.over(id)) };
        if !journal.lock(PATIENCE)? || !journal.is_in_place() {
            return Err(self.over(id));
        }
        match journal.glance()?.phase() {
            Phase::Open => journal.append(&Record::Confirmed, true),
            Phase::Confirmed => Ok(()),
            Phase::Reverting => Err(self.over(id)),
        }
    }

    /// Takes a transaction back, whoever performs it.
    pub(super) fn revert(&mut self, id: &str) -> Result<TakenBack, HostError> {
        let taken_back = journal::revert(self, id, Cause::Asked, Attempts::Few)?;
        self.let_go(id);
        let last = journal::last(self.files())?.filter(|last| last.transaction.id == id);
        taken_back.or(last).ok_or_else(|| self.over(id))
    }

    /// Removes a transaction's journal, whoever performs it.
    pub(super) fn close(&mut self, id: &str) -> Result<(), HostError> {
        if let Some(journal) = self.journal_of(id)? {
            if !journal.lock(PATIENCE)? {
                return Err(self.over(id));
            }
            journal::close(self.files(), journal)?;
        }
        self.let_go(id);
        journal::tidy(self.files())
    }

    /// Ends what is open, if anything is: what `lvsctl recover` does. Without a window what was done stays, as nobody
    /// was promised anything else.
    pub(super) fn recover(&mut self) -> Result<Recovered, HostError> {
        let Some(pending) = self.transactions()?.pending else { return Ok(Recovered::Nothing) };
        let id = &pending.transaction.id;
        match (pending.phase, pending.transaction.window) {
            (Phase::Confirmed, _) => {
                self.close(id)?;
                Ok(Recovered::Confirmed(pending))
            }
            (Phase::Open, None) => {
                self.close(id)?;
                Ok(Recovered::Left(pending))
            }
            (Phase::Open | Phase::Reverting, _) => {
                // Whoever says it by hand may be anywhere, with the folder of a namespace or of the machine.
                let journal = self.journal_of(id)?;
                if journal.is_some_and(|journal| journal.glance().is_ok_and(|it| it.head.is_of_another_namespace())) {
                    return Err(HostError::OtherNamespace { id: id.clone() });
                }
                self.revert(id).map(Recovered::TakenBack)
            }
        }
    }

    /// Forgets the last transaction that was taken back.
    pub(super) fn forget(&mut self) -> Result<(), HostError> {
        journal::forget_last(self.files())
    }

    fn journal_of(&self, id: &str) -> Result<Option<Journal>, HostError> {
        let Some(journal) = Journal::open(self.files())? else { return Ok(None) };
        Ok((journal.glance()?.head.transaction.id == id).then_some(journal))
    }

    /// Lets go of a transaction that is over.
    fn let_go(&mut self, id: &str) {
        if let Some(performing) = self.performing.take_if(|performing| performing.id == id)
            && let Some(watch) = performing.watch
        {
            watch.end();
        }
    }

    fn over(&self, id: &str) -> HostError {
        let last = journal::last(self.files()).ok().flatten().filter(|last| last.transaction.id == id);
        let text = match last {
            Some(last) => format!("it was taken back {} ago", lock::ago(lock::now().saturating_sub(last.at))),
            None => "it is being taken back, or was closed".to_owned(),
        };
        HostError::NotOpen { id: id.to_owned(), text }
    }
}

fn intent(step: &Reversible) -> Result<Intent, HostError> {
    let rules = match &step.effect {
        Effect::IptablesRestore { family, text } => Some(Rules::before(*family, text)?),
        _ => None,
    };
    Ok(Intent { undo: UnmaskedUndo::from(&step.undo), rules })
}
