//! Takes back what a journal says: last first, then what keepalived has to read again, then the manifest.

use std::time::Duration;

use super::file::{self, Content, Journal};
use super::record::{Intent, Record};
use super::{performer, rules};
use crate::effect::{Effect, Undo};
use crate::host::files::Files;
use crate::host::session::Session;
use crate::host::{Cause, HostError, Phase, TakenBack, are_one_run, lock};
use crate::topology::Family;

/// The manifest says what is on the host, so it goes back only with everything else (`kinds::manifest::PATH`).
const MANIFEST: &str = "/var/lib/lvsctl/manifest.json";

/// How long a performer may go on with what it does before it is ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an ended performer may take to be gone.
const END: Duration = Duration::from_secs(5);

/// Takes back the transaction that is open, whoever began it.
///
/// `cause` says why. With [`Cause::Unconfirmed`] one that was confirmed at the last moment is closed instead, and there is
/// nothing to tell; so it is if somebody else was faster.
pub(in crate::host) fn revert(session: &mut Session, id: &str, cause: Cause) -> Result<Option<TakenBack>, HostError> {
    let files = session.files().clone();
    let Some(mut journal) = Journal::open(&files)? else { return Ok(None) };
    let content = journal.read()?;
    if content.head.transaction.id != id {
        return Ok(None);
    }
    if !journal.lock(PATIENCE)? {
        performer::end(content.head.performer)?;
        if !journal.lock(END)? {
            return Err(HostError::Timeout {
                doing: "wait for the apply to let go of its journal".into(),
                within: END,
            });
        }
    }
    if !journal.is_in_place() {
        return Ok(None);
    }
    let content = journal.read()?;
    let (performer, is_deserted) = (content.head.performer, content.head.is_agent && cause == Cause::Unconfirmed);
    if cause == Cause::Unconfirmed && content.phase() == Phase::Confirmed {
        close(&files, journal)?;
        return Ok(None);
    }
    // A disk that is full must not keep anything from going back.
    let _ = journal.append(&Record::Reverting, true);
    let taken_back = take_back(session, content, cause);
    let noted = file::note_last(&files, &taken_back);
    journal.remove(&files)?;
    if noted.is_err() {
        // The journal's own place may be enough.
        file::note_last(&files, &taken_back)?;
    }
    super::unit::remove(&files)?;
    if is_deserted {
        // Its client has not been heard of, and it would keep the host locked.
        performer::end(performer)?;
    }
    Ok(Some(taken_back))
}

/// Removes a journal with what belongs to it.
pub(in crate::host) fn close(files: &Files, journal: Journal) -> Result<(), HostError> {
    journal.remove(files)?;
    super::unit::remove(files)?;
    file::tidy(files)
}

fn take_back(session: &mut Session, content: Content, cause: Cause) -> TakenBack {
    let is_same_boot = content.head.boot == boot();
    let cause = if is_same_boot { cause } else { Cause::Reboot };
    let mut went = Went::default();
    if content.is_damaged {
        went.errors.push("the journal is damaged, and not everything in it could be read".to_owned());
    }
    let made = made(content.records);
    let steps = |of: fn(&Made) -> &[Effect], is_reverse: bool| {
        let mut order: Vec<&Made> = made.iter().collect();
        if is_reverse {
            order.reverse();
        }
        let each = order.into_iter().flat_map(|made| of(made).iter().map(move |effect| (effect.clone(), made)));
        each.filter(|(effect, _)| is_same_boot || persists(effect)).collect::<Vec<_>>()
    };
    let (manifest, reverse): (Vec<_>, Vec<_>) =
        steps(|made| &made.undo.reverse, true).into_iter().partition(|(effect, _)| is_manifest(effect));
    went.perform(session, &reverse);
    went.perform(session, &steps(|made| &made.undo.afterwards, false));
    // It goes on naming what may still be there.
    if let (true, Some(last)) = (went.errors.is_empty() && !went.is_unsure, manifest.last()) {
        went.perform(session, std::slice::from_ref(last));
    }
    let (transaction, at) = (content.head.transaction, lock::now());
    TakenBack { transaction, at, cause, effects: made.len(), errors: went.errors }
}

/// How it went.
#[derive(Default)]
struct Went {
    errors: Vec<String>,
    /// Whether something could not be taken back of which nobody knows whether it was ever done.
    is_unsure: bool,
}

impl Went {
    /// Performs everything, whatever fails.
    fn perform(&mut self, session: &mut Session, steps: &[(Effect, &Made)]) {
        for run in steps.chunk_by(|(one, _), (next, _)| are_one_run(one, next)) {
            if run.iter().all(|(effect, made)| made.is_back(effect)) {
                continue;
            }
            let effects: Vec<Effect> = run.iter().map(|(effect, _)| effect.clone()).collect();
            for (result, (_, made)) in session.perform_all(&effects).into_iter().zip(run) {
                match result {
                    Err(error) if error.is_done_already() => {}
                    Err(error) if made.is_certain => self.errors.push(error.to_string()),
                    Err(_) => self.is_unsure = true,
                    Ok(()) => {}
                }
            }
        }
    }
}

/// An effect that was performed, or may have been.
struct Made {
    undo: Undo,
    rules: Option<(Family, String)>,
    is_certain: bool,
}

impl Made {
    /// Tells whether an effect that takes this one back has nothing to do, as far as that shows.
    fn is_back(&self, effect: &Effect) -> bool {
        match (effect, &self.rules) {
            (Effect::IptablesRestore { .. }, Some((family, before))) => {
                rules::now(*family).is_ok_and(|now| now == *before)
            }
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

/// Returns what identifies this run of the kernel; the same text for all of them where it cannot be told.
pub(in crate::host) fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
