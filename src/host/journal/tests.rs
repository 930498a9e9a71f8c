//! Journals that were torn, replayed and taken back, on a folder that stands for a host's root.

mod again;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::file::Content;
use super::*;
use crate::effect::{Effect, Undo};
use crate::host::session::Session;
use crate::host::{Cause, HostError, Operator, Phase, Recovered, Reversible, Transaction};
use crate::topology::{SecretText, TextPiece};

const ID: &str = "0123abcd";

fn transaction() -> Transaction {
    let operator = Operator { user: "alice".into(), from: "desk".into(), command: "lvsctl apply".into() };
    Transaction { id: ID.into(), plan: "sha256:0".into(), operator, window: None }
}

fn write(path: &str, text: &str) -> Effect {
    let text = SecretText::plain(text);
    Effect::WriteFile { path: path.into(), text, mode: 0o600, keepalived_test: false, keep_previous: false }
}

/// Returns a step that replaces a file, and knows what was there.
fn replace(path: &str, before: &str, after: &str) -> Reversible {
    Reversible { effect: write(path, after), undo: Undo::reverse([write(path, before)]) }
}

fn begun(root: &Path) -> Session {
    let mut session = Session::new(root, false);
    session.lock(&transaction().operator, Duration::ZERO).unwrap();
    session.begin(&transaction()).unwrap();
    session
}

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path.trim_start_matches('/'))).unwrap()
}

/// Three steps on two files, of which the first is written twice.
fn steps() -> Vec<Reversible> {
    vec![replace("/etc/a", "1", "2"), replace("/etc/b", "one", "two"), replace("/etc/a", "2", "3")]
}

fn journal_of(root: &Path) -> Vec<u8> {
    fs::read(root.join("var/lib/lvsctl/journal/transaction")).unwrap()
}

#[test]
fn what_was_done_is_taken_back_last_first_and_the_result_is_left() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    assert_eq!(session.perform_reversibly(&steps()), vec![Ok(()); 3]);
    assert_eq!((text(root.path(), "/etc/a"), text(root.path(), "/etc/b")), ("3".into(), "two".into()));
    // Somebody else, as after the death of the performer.
    let mut other = Session::new(root.path(), false);
    let pending = other.transactions().unwrap().pending.unwrap();
    assert_eq!((pending.phase, pending.is_watched, pending.transaction), (Phase::Open, false, transaction()));
    let taken_back = other.revert(ID).unwrap();
    assert_eq!((taken_back.cause, taken_back.effects, taken_back.errors.len()), (Cause::Asked, 3, 0));
    assert_eq!((text(root.path(), "/etc/a"), text(root.path(), "/etc/b")), ("1".into(), "one".into()));
    let left = other.transactions().unwrap();
    assert_eq!((left.pending, left.taken_back.as_ref()), (None, Some(&taken_back)));
    assert_eq!(other.revert(ID).unwrap(), taken_back, "asked again it says the same");
    // The first one wakes up late.
    let late = session.perform_reversibly(&[replace("/etc/a", "1", "late")]);
    assert!(matches!(&late[0], Err(HostError::NotOpen { text, .. }) if text.contains("taken back")), "{late:?}");
    assert_eq!(text(root.path(), "/etc/a"), "1");
    other.forget().unwrap();
    assert_eq!(other.transactions().unwrap(), crate::host::Transactions::default());
    assert!(!root.path().join("var/lib/lvsctl/journal").exists(), "nothing is left of it");
}

#[test]
fn a_confirmed_transaction_is_kept_until_it_is_closed() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    assert!(session.perform_reversibly(&steps()).iter().all(Result::is_ok));
    let mut other = Session::new(root.path(), false);
    other.confirm(ID).unwrap();
    other.confirm(ID).unwrap();
    assert_eq!(
        revert(&mut Session::new(root.path(), false), ID, Cause::Unconfirmed, Attempts::Few).unwrap(),
        None,
        "too late"
    );
    assert!(!root.path().join("var/lib/lvsctl/journal/transaction").exists());
    assert_eq!(text(root.path(), "/etc/a"), "3");
    assert!(matches!(other.confirm(ID), Err(HostError::NotOpen { .. })));
    other.close(ID).unwrap();
    assert_eq!(other.transactions().unwrap(), crate::host::Transactions::default());
    // One that another host did not confirm goes back all the same.
    drop(session);
    let mut session = begun(root.path());
    assert!(session.perform_reversibly(&[replace("/etc/a", "3", "4")]).iter().all(Result::is_ok));
    other.confirm(ID).unwrap();
    other.revert(ID).unwrap();
    assert_eq!(text(root.path(), "/etc/a"), "3");
}

/// Cuts a journal at every byte: whatever is left, nothing that was flushed is lost, and nothing is half understood.
#[test]
fn a_torn_end_is_not_there_wherever_it_was_torn() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let mut ends = vec![journal_of(root.path()).len()];
    for step in steps() {
        assert_eq!(session.perform_reversibly(&[step]), [Ok(())]);
        ends.push(journal_of(root.path()).len());
    }
    let whole = journal_of(root.path());
    let all = Content::of(&whole).unwrap().records.len();
    assert_eq!(all, 6, "an intent and what became of it, three times");
    let mut cuts = 0;
    for length in 0..=whole.len() {
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        match Content::of(&whole[..length]) {
            Ok(content) => {
                assert_eq!(content.records.len(), lines - 1, "cut at {length}");
                assert!(!content.is_damaged, "cut at {length}");
            }
            Err(_) => assert!(length < ends[0], "cut at {length}: the head is whole and was not read"),
        }
        cuts += 1;
    }
    assert!(cuts > 500, "{cuts}");
    // A byte that is another one anywhere is seen, and what else is whole is still read.
    for place in (ends[0]..whole.len()).step_by(7) {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        let content = Content::of(&flipped).unwrap();
        assert!(content.records.len() >= all - 2 && content.records.len() < all, "byte {place}");
        let is_last = whole[place..].iter().filter(|byte| **byte == b'\n').count() == 1;
        assert_eq!(content.is_damaged, !is_last, "byte {place}");
    }
}

/// The performer dies after any of the lines that it writes, the last of them torn: the files go back all the same.
#[test]
fn a_journal_that_ends_anywhere_takes_back_what_was_done_by_then() {
    let model = tempfile::tempdir().unwrap();
    let mut session = begun(model.path());
    assert!(session.perform_reversibly(&steps()).iter().all(Result::is_ok));
    let whole = journal_of(model.path());
    let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in (head..=whole.len()).step_by(5) {
        let root = tempfile::tempdir().unwrap();
        let mut session = begun(root.path());
        session.close(ID).unwrap();
        let intents = Content::of(&whole[..length]).unwrap().records;
        let intents = intents.iter().filter(|record| matches!(record, Record::Intent(_))).count();
        // What was to be done by then is done, or not: the last of it may have been cut off as well.
        for done in intents.saturating_sub(1)..=intents {
            for (path, before) in [("/etc/a", "1"), ("/etc/b", "one")] {
                session.perform(&write(path, before)).unwrap();
            }
            for step in steps().iter().take(done) {
                session.perform(&step.effect).unwrap();
            }
            let place = root.path().join("var/lib/lvsctl/journal");
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("transaction"), &whole[..length]).unwrap();
            session.revert(ID).unwrap();
            let now = (text(root.path(), "/etc/a"), text(root.path(), "/etc/b"));
            assert_eq!(now, ("1".into(), "one".into()), "cut at {length}, {done} done");
            session.forget().unwrap();
        }
    }
}

#[test]
fn nothing_is_performed_that_cannot_be_journaled() {
    let root = tempfile::tempdir().unwrap();
    let mut session = Session::new(root.path(), false);
    let refused = session.perform_reversibly(&steps());
    assert!(refused.iter().all(|result| matches!(result, Err(HostError::NotOpen { .. }))), "{refused:?}");
    assert!(matches!(session.begin(&transaction()), Err(HostError::NotOpen { .. })), "without the lock");
    let mut session = begun(root.path());
    assert!(matches!(session.begin(&transaction()), Err(HostError::NotOpen { .. })), "one at a time");
    for id in ["", "../x", "a b", "-x\n"] {
        let crooked = Transaction { id: id.into(), ..transaction() };
        assert!(matches!(session.begin(&crooked), Err(HostError::Malformed { .. })), "{id:?}");
    }
    // Somebody removes the journal: the performer does no more.
    fs::remove_file(root.path().join("var/lib/lvsctl/journal/transaction")).unwrap();
    let refused = session.perform_reversibly(&steps());
    assert!(matches!(&refused[0], Err(HostError::NotOpen { .. })), "{refused:?}");
    assert_eq!(refused[1..], [Err(HostError::NotTried), Err(HostError::NotTried)]);
    assert!(!root.path().join("etc/a").exists());
}

#[test]
fn a_refused_effect_is_not_taken_back() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let foreign = write("/etc/foreign", "theirs");
    session.perform(&foreign).unwrap();
    // The text is not known, so that nothing was written.
    let mut unknown = SecretText::default();
    unknown.push(TextPiece::Secret(None));
    let effect = Effect::WriteFile {
        path: "/etc/foreign".into(),
        text: unknown,
        mode: 0o600,
        keepalived_test: false,
        keep_previous: false,
    };
    let undo = Undo::reverse([Effect::RemoveFile { path: "/etc/foreign".into() }]);
    let refused = session.perform_reversibly(&[Reversible { effect, undo }]);
    assert!(matches!(refused[..], [Err(HostError::MissingSecret { .. })]), "{refused:?}");
    assert_eq!(session.revert(ID).unwrap().effects, 0);
    assert_eq!(text(root.path(), "/etc/foreign"), "theirs");
}

#[test]
fn secrets_are_for_root_alone_and_go_with_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let secret = |value: &str| {
        let mut text = SecretText::plain("auth_pass ");
        text.push(TextPiece::Secret(Some(value.into())));
        let path = "/etc/secret".to_owned();
        Effect::WriteFile { path, text, mode: 0o600, keepalived_test: false, keep_previous: false }
    };
    let step = Reversible { effect: secret("new-canary"), undo: Undo::reverse([secret("old-canary")]) };
    assert_eq!(session.perform_reversibly(&[step]), [Ok(())]);
    let folder = root.path().join("var/lib/lvsctl/journal");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("transaction"))), (0o700, 0o600));
    assert!(String::from_utf8(journal_of(root.path())).unwrap().contains("old-canary"), "or it could not be put back");
    session.revert(ID).unwrap();
    assert_eq!(text(root.path(), "/etc/secret"), "auth_pass old-canary");
    for entry in fs::read_dir(&folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("canary"), "{text}");
    }
}

/// A host that comes up again has forgotten what was in the kernel; only files are put back then.
#[test]
fn after_a_reboot_only_what_persists_is_taken_back() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let kernel =
        Effect::WriteSysctl { key: crate::topology::SysctlKey::from_path("net/no/such/parameter"), value: "1".into() };
    let undo = Undo { reverse: vec![kernel.clone(), write("/etc/a", "before")], afterwards: vec![kernel] };
    let step = Reversible { effect: write("/etc/a", "after"), undo };
    assert_eq!(session.perform_reversibly(&[step]), [Ok(())]);
    let place = root.path().join("var/lib/lvsctl/journal/transaction");
    let booted = Content::of(&journal_of(root.path())).unwrap();
    let mut head = Head { boot: "another run of the kernel".into(), ..booted.head };
    assert!(!is_running(&head), "its number is somebody else's by now");
    head.transaction.window = Some(Duration::from_secs(60));
    let lines = [Record::Head(Box::new(head))].into_iter().chain(booted.records).map(|record| record::line(&record));
    fs::write(&place, lines.collect::<String>()).unwrap();
    let recovered = Session::new(root.path(), false).recover().unwrap();
    let Recovered::TakenBack(taken_back) = recovered else { panic!("{recovered:?}") };
    assert_eq!((taken_back.cause, taken_back.errors), (Cause::Reboot, Vec::new()));
    assert_eq!(text(root.path(), "/etc/a"), "before");
    assert_eq!(Session::new(root.path(), false).recover(), Ok(Recovered::Nothing));
}

/// A namespace that stands for a host shares the machine's folder tree: whoever recovers it by hand must be inside.
#[test]
fn what_was_done_in_another_namespace_is_not_taken_back_here_by_hand() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let kernel =
        Effect::WriteSysctl { key: crate::topology::SysctlKey::from_path("net/no/such/parameter"), value: "1".into() };
    let undo = Undo::reverse([kernel, write("/etc/a", "before")]);
    assert_eq!(session.perform_reversibly(&[Reversible { effect: write("/etc/a", "after"), undo }]), [Ok(())]);
    let here = Content::of(&journal_of(root.path())).unwrap();
    assert!(here.head.namespace.is_some() && !here.head.is_of_another_namespace());
    let mut head = Head { namespace: Some((0, 0)), ..here.head };
    head.transaction.window = Some(Duration::from_secs(60));
    let lines = [Record::Head(Box::new(head))].into_iter().chain(here.records).map(|record| record::line(&record));
    fs::write(root.path().join("var/lib/lvsctl/journal/transaction"), lines.collect::<String>()).unwrap();
    let refused = Session::new(root.path(), false).recover().unwrap_err();
    assert_eq!(refused, HostError::OtherNamespace { id: ID.into() });
    let refused = Session::new(root.path(), true).revert(ID).unwrap_err();
    assert_eq!(refused, HostError::OtherNamespace { id: ID.into() }, "the machine is never another one");
    assert_eq!(text(root.path(), "/etc/a"), "after");
    // The next apply enters the namespace by its name: it was made anew, and what was in its kernel is gone.
    let taken_back = Session::new(root.path(), false).revert(ID).unwrap();
    assert_eq!((taken_back.cause, taken_back.errors), (Cause::Reboot, Vec::new()));
    assert_eq!(text(root.path(), "/etc/a"), "before");
}

/// What cannot be taken back is told, and the manifest goes on claiming what may still be there.
#[test]
fn what_cannot_be_taken_back_is_told_and_stays_owned() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let manifest = "/var/lib/lvsctl/manifest.json";
    let claim = replace(manifest, "before", "claimed");
    let mut unknown = SecretText::default();
    unknown.push(TextPiece::Secret(None));
    let path = "/etc/c".to_owned();
    let stuck = Effect::WriteFile { path, text: unknown, mode: 0o600, keepalived_test: false, keep_previous: false };
    let refused = Undo::reverse([stuck]);
    let steps = [claim, Reversible { effect: write("/etc/a", "after"), undo: refused }, replace("/etc/b", "1", "2")];
    assert_eq!(session.perform_reversibly(&steps), vec![Ok(()); 3]);
    let taken_back = session.revert(ID).unwrap();
    assert_eq!(taken_back.errors.len(), 1, "{taken_back:?}");
    assert_eq!((text(root.path(), "/etc/b"), text(root.path(), manifest)), ("1".into(), "claimed".into()));
}

/// A large table is one run: one line, and one flush to the disk.
#[test]
fn a_run_of_thousands_is_one_line() {
    use crate::effect::{DestinationKey, IpvsCommand, ServiceKey};
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    session.close(ID).unwrap();
    let mut journal = Journal::create(session.files(), &Head::new(&transaction(), false)).unwrap();
    let service = ServiceKey::Mark { mark: 1, family: crate::topology::Family::Ipv4 };
    let undo = |number: u32| {
        let destination = DestinationKey { address: std::net::Ipv4Addr::from(number).into(), port: 80 };
        Undo::reverse([Effect::Ipvs(IpvsCommand::DeleteDestination(service, destination))])
    };
    let steps: Vec<Undo> = (0..20_000).map(undo).collect();
    let begun = std::time::Instant::now();
    let intents = steps.iter().map(|undo| Intent { undo: undo.into(), rules: None }).collect();
    journal.append(&Record::Intent(intents), true).unwrap();
    let written = begun.elapsed();
    let content = journal.read().unwrap();
    println!(
        "20,000 effects: {} bytes, {written:?}, read {:?}",
        journal_of(root.path()).len(),
        begun.elapsed() - written
    );
    let [Record::Intent(intents)] = &content.records[..] else { panic!("more than a line") };
    assert_eq!(intents.len(), steps.len());
    assert!(written < Duration::from_secs(60), "{written:?}");
    // Who only asks how far it is reads none of that.
    journal.append(&Record::Reverting, false).unwrap();
    let outline = record::outline(&journal_of(root.path()));
    assert!(outline.len() < 1000, "{}", outline.len());
    assert_eq!(journal.glance().unwrap().phase(), Phase::Reverting);
}
