//! Takes back what a journal says: last first, then what keepalived has to read again, then the manifest.

use std::ops::ControlFlow;
use std::time::Duration;

use super::file::{self, Content, Journal};
use super::performer;
use super::record::{self, Intent, Record};
use super::rules::Rules;
use super::undone::Undone;
use crate::effect::{Effect, Undo};
use crate::host::files::Files;
use crate::host::session::Session;
use crate::host::{Cause, HostError, Phase, TakenBack, are_one_run, forget, lock};

/// The manifest says what is on the host, so it goes back only with everything else (`kinds::manifest::PATH`).
const MANIFEST: &str = "/var/lib/lvsctl/manifest.json";

/// How long a performer may go on with what it does before it is ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an ended performer may take to be gone.
const END: Duration = Duration::from_secs(5);

/// How often what fails is tried, and at what distance.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) enum Attempts {
    /// Somebody waits for the answer.
    Few,
    /// Nobody does, and nobody else would come.
    Many,
}

impl Attempts {
    fn number(self) -> u32 {
        match self {
            Attempts::Few => 3,
            Attempts::Many => 60,
        }
    }
}

/// How long after an attempt the next one is made.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes back the transaction that is open, whoever began it.
///
/// `cause` says why. With [`Cause::Unconfirmed`] one that was confirmed at the last moment is closed instead, and there is
/// nothing to tell; so it is if somebody else was faster. What fails is tried again, and the journal is there until then, so
/// that whoever comes after the death of this process goes on.
pub(in crate::host) fn revert(
    session: &mut Session,
    id: &str,
    cause: Cause,
    attempts: Attempts,
) -> Result<Option<TakenBack>, HostError> {
    for left in (0..attempts.number()).rev() {
        match (attempt(session, id, cause, (left == 0).then_some(attempts)), attempts) {
            (Ok(ControlFlow::Break(taken_back)), _) => return Ok(taken_back),
            (Err(error), Attempts::Few) => return Err(error),
            (Err(error), Attempts::Many) if left == 0 => return Err(error),
            (Ok(ControlFlow::Continue(())) | Err(_), _) => std::thread::sleep(PAUSE),
        }
    }
    // Never come to: the last attempt does not ask for another one.
    Ok(None)
}

/// What is said of something that could not be taken back yet.
const LEFT: &str = "the watchdog on the host goes on trying";

/// Tries to take back; with something left to do the journal stays, unless this is the `last` attempt and no watchdog is there
/// that comes after a caller who waited for it.
fn attempt(
    session: &mut Session,
    id: &str,
    cause: Cause,
    last: Option<Attempts>,
) -> Result<ControlFlow<Option<TakenBack>>, HostError> {
    let files = session.files().clone();
    let Some(mut journal) = Journal::open(&files)? else { return Ok(ControlFlow::Break(None)) };
    let head = journal.glance()?.head;
    if head.transaction.id != id {
        return Ok(ControlFlow::Break(None));
    }
    if session.is_machine() && head.is_of_another_namespace() {
        return Err(HostError::OtherNamespace { id: id.to_owned() });
    }
    if !journal.lock(PATIENCE)? {
        performer::end(&head)?;
        if !journal.lock(END)? {
            return Err(HostError::Timeout {
                doing: "wait for the apply to let go of its journal".into(),
                within: END,
            });
        }
    }
    if !journal.is_in_place() {
        return Ok(ControlFlow::Break(None));
    }
    let content = journal.read()?;
    if cause == Cause::Unconfirmed && content.phase() == Phase::Confirmed {
        close(&files, journal)?;
        return Ok(ControlFlow::Break(None));
    }
    performer::end_orphans(&head)?;
    forget::put_back(&files)?;
    if content.phase() != Phase::Reverting {
        // A disk that is full must not keep anything from going back.
        let _ = journal.append(&Record::Reverting, true);
    }
    let (mut taken_back, went) = take_back(session, content, cause);
    let is_left = matches!(last, Some(Attempts::Few)) && file::is_watched(&files).unwrap_or(false);
    if !went.errors.is_empty() && (last.is_none() || is_left) {
        // Without this everything is taken back once more.
        let _ = journal.append(&Record::Undone(went.undone.iter().map(record::mark).collect()), false);
        if is_left {
            taken_back.errors.push(LEFT.to_owned());
            return Ok(ControlFlow::Break(Some(taken_back)));
        }
        return Ok(ControlFlow::Continue(()));
    }
    let noted = file::note_last(&files, &taken_back);
    journal.remove(&files)?;
    if noted.is_err() {
        // The journal's own place may be enough.
        file::note_last(&files, &taken_back)?;
    }
    super::unit::remove(&files)?;
    if head.is_agent && cause == Cause::Unconfirmed {
        // Its client has not been heard of, and it would keep the host locked.
        performer::end(&head)?;
    }
    Ok(ControlFlow::Break(Some(taken_back)))
}

/// Removes a journal with what belongs to it.
pub(in crate::host) fn close(files: &Files, journal: Journal) -> Result<(), HostError> {
    journal.remove(files)?;
    super::unit::remove(files)?;
    file::tidy(files)
}

fn take_back(session: &mut Session, content: Content, cause: Cause) -> (TakenBack, Went) {
    // A namespace that stands for a host and was made anew is that host after a reboot.
    let is_same_kernel = content.head.is_of_this_boot() && !content.head.is_of_another_namespace();
    let cause = if is_same_kernel { cause } else { Cause::Reboot };
    let mut undone = Undone::of(content.records.iter().flat_map(|record| match record {
        Record::Undone(marks) => marks.as_slice(),
        _ => &[],
    }));
    let made = made(content.records);
    let steps = |of: fn(&Made) -> &[Effect], is_reverse: bool| {
        let mut order: Vec<&Made> = made.iter().collect();
        if is_reverse {
            order.reverse();
        }
        let each = order.into_iter().flat_map(|made| of(made).iter().map(move |effect| (effect.clone(), made)));
        each.filter(|(effect, _)| is_same_kernel || persists(effect)).collect::<Vec<_>>()
    };
    let (manifest, mut reverse): (Vec<_>, Vec<_>) =
        steps(|made| &made.undo.reverse, true).into_iter().partition(|(effect, _)| is_manifest(effect));
    let mut afterwards = steps(|made| &made.undo.afterwards, false);
    for steps in [&mut reverse, &mut afterwards] {
        steps.retain(|(effect, _)| undone.is_to_be_done(effect));
    }
    let mut went = Went::default();
    went.perform(session, &reverse);
    went.perform(session, &afterwards);
    // It goes on naming what may still be there.
    if let (true, Some(last)) = (went.errors.is_empty() && !content.is_damaged, manifest.last()) {
        went.perform(session, std::slice::from_ref(last));
    }
    let mut errors = went.errors.clone();
    if content.is_damaged {
        // To try again would find no more in it.
        errors.insert(0, "the journal is damaged, and not everything in it could be read".to_owned());
    }
    let (transaction, at) = (content.head.transaction, lock::now());
    (TakenBack { transaction, at, cause, effects: made.len(), errors }, went)
}

/// How it went.
#[derive(Default)]
struct Went {
    errors: Vec<String>,
    /// What is as it was.
    undone: Vec<Effect>,
}

impl Went {
    /// Performs everything, whatever fails.
    fn perform(&mut self, session: &mut Session, steps: &[(Effect, &Made)]) {
        for run in steps.chunk_by(|(one, _), (next, _)| are_one_run(one, next)) {
            let effects: Vec<Effect> = run.iter().map(|(effect, _)| effect.clone()).collect();
            if run.iter().all(|(effect, made)| made.is_back(effect)) {
                self.undone.extend(effects);
                continue;
            }
            for (result, (effect, made)) in session.perform_all(&effects).into_iter().zip(run) {
                match result {
                    Err(error) if !says_it_is_back(&error, effect, made) => self.errors.push(error.to_string()),
                    Ok(()) | Err(_) => self.undone.push(effect.clone()),
                }
            }
        }
    }
}

/// Tells whether an error of taking something back says that there was nothing to take back.
fn says_it_is_back(error: &HostError, effect: &Effect, made: &Made) -> bool {
    match (effect, error.errno()) {
        (Effect::RemoveFouPort { .. }, Some("EINVAL")) | (Effect::AddFouPort { .. }, Some("EADDRINUSE")) => true,
        // A wait puts nothing back, and what was never begun does not come to its end.
        (Effect::AwaitService { .. }, _) if matches!(error, HostError::Timeout { .. }) => !made.is_certain,
        _ => error.is_done_already(),
    }
}

/// An effect that was performed, or may have been.
struct Made {
    undo: Undo,
    rules: Option<Rules>,
    /// Whether that is known.
    is_certain: bool,
}

impl Made {
    /// Tells whether an effect that takes this one back has nothing to do, as far as that shows.
    fn is_back(&self, effect: &Effect) -> bool {
        match (effect, &self.rules) {
            (Effect::IptablesRestore { .. }, Some(rules)) => rules.are_back(),
            _ => false,
        }
    }
}

fn made(records: Vec<Record>) -> Vec<Made> {
    let mut made = Vec::new();
    let mut records = records.into_iter().peekable();
    while let Some(record) = records.next() {
        let Record::Intent(intents) = record else { continue };
        let performed = match records.peek() {
            Some(Record::Done(performed)) => Some(performed.clone()),
            _ => None,
        };
        for (place, Intent { undo, rules }) in intents.into_iter().enumerate() {
            let was_made = performed.as_ref().map(|performed| performed.get(place) == Some(&true));
            if was_made != Some(false) {
                made.push(Made { undo: undo.undo(), rules, is_certain: was_made.is_some() });
            }
        }
    }
    made
}

/// Tells whether an effect is of something that outlives the kernel.
fn persists(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::WriteFile { .. } | Effect::WriteLink { .. } | Effect::RemoveFile { .. } | Effect::ReloadUnits
    )
}

fn is_manifest(effect: &Effect) -> bool {
    matches!(effect, Effect::WriteFile { path, .. } | Effect::RemoveFile { path } if path == MANIFEST)
}
