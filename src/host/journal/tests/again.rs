//! What goes wrong while something is taken back, is done twice, or was left by somebody who is dead.

use super::*;

/// Returns a step whose undo is refused: its text is not known.
fn stuck(path: &str) -> Reversible {
    let mut unknown = SecretText::default();
    unknown.push(TextPiece::Secret(None));
    let refused = Effect::WriteFile {
        path: path.into(),
        text: unknown,
        mode: 0o600,
        keepalived_test: false,
        keep_previous: false,
    };
    Reversible { effect: write(path, "after"), undo: Undo::reverse([refused]) }
}

#[test]
fn what_was_perhaps_done_and_cannot_be_taken_back_is_told() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    assert_eq!(session.perform_reversibly(&[stuck("/etc/a")]), [Ok(())]);
    // The performer died before it could say what became of the step.
    let whole = journal_of(root.path());
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(root.path().join("var/lib/lvsctl/journal/transaction"), &whole[..last]).unwrap();
    let taken_back = Session::new(root.path(), false).revert(ID).unwrap();
    assert_eq!(taken_back.errors.len(), 1, "{taken_back:?}");
    assert!(taken_back.tell().contains("but not all of it"), "{}", taken_back.tell());
}

/// Something is in the way of an undo, and goes away while it is tried again; until then the journal is there.
#[test]
fn what_fails_is_tried_again_while_the_journal_is_there() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let steps = [replace("/etc/a", "1", "2"), replace("/etc/b/file", "one", "two"), replace("/etc/a", "2", "3")];
    assert_eq!(session.perform_reversibly(&steps), vec![Ok(()); 3]);
    fs::remove_dir_all(root.path().join("etc/b")).unwrap();
    fs::write(root.path().join("etc/b"), "no folder").unwrap();
    let place = root.path().join("var/lib/lvsctl/journal/transaction");
    let taken_back = std::thread::scope(|scope| {
        // As often as a watchdog does: on a busy machine what follows may take longer than somebody who waits is kept.
        let revert = scope.spawn(|| {
            revert(&mut Session::new(root.path(), false), ID, Cause::Asked, Attempts::Many).map(Option::unwrap)
        });
        let is_noted = || Content::of(&journal_of(root.path())).is_ok_and(|content| is_undone(&content));
        assert!(crate::host::process::wait_until(Duration::from_secs(60), is_noted), "the first attempt is not noted");
        assert_eq!(text(root.path(), "/etc/a"), "1", "what can be taken back is");
        assert!(place.exists());
        // What was taken back is somebody else's by now.
        fs::write(root.path().join("etc/a"), "theirs").unwrap();
        fs::remove_file(root.path().join("etc/b")).unwrap();
        revert.join().unwrap().unwrap()
    });
    assert_eq!(taken_back.errors, Vec::<String>::new());
    assert_eq!((text(root.path(), "/etc/a"), text(root.path(), "/etc/b/file")), ("theirs".into(), "one".into()));
    assert!(!place.exists());
}

/// Somebody waits for a revert, and a watchdog is there that has more patience: the journal is its.
#[test]
fn what_a_caller_cannot_take_back_is_left_to_the_watchdog() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    assert_eq!(session.perform_reversibly(&[replace("/etc/a", "1", "2"), stuck("/etc/b")]), vec![Ok(()); 2]);
    let watchdog = watch(session.files(), Duration::ZERO).unwrap();
    let taken_back = session.revert(ID).unwrap();
    assert_eq!(taken_back.errors.len(), 2, "{taken_back:?}");
    assert!(taken_back.tell().ends_with("the watchdog on the host goes on trying"), "{}", taken_back.tell());
    let left = Session::new(root.path(), false).transactions().unwrap();
    assert_eq!((left.pending.map(|pending| pending.phase), left.taken_back), (Some(Phase::Reverting), None));
    fs::write(root.path().join("etc/a"), "theirs").unwrap();
    // The watchdog ends without it, and whoever comes now is the last one.
    drop(watchdog);
    let taken_back = Session::new(root.path(), false).revert(ID).unwrap();
    assert_eq!((taken_back.errors.len(), text(root.path(), "/etc/a")), (1, "theirs".into()), "{taken_back:?}");
    assert_eq!(Session::new(root.path(), false).transactions().unwrap().pending, None);
}

fn is_undone(content: &Content) -> bool {
    content.records.iter().any(|record| matches!(record, Record::Undone(_)))
}

/// A client that died while it took back by itself: what it had taken back is left alone.
#[test]
fn what_the_client_took_back_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let steps = [replace("/etc/a", "1", "2"), replace("/etc/b", "one", "two")];
    assert_eq!(session.perform_reversibly(&steps), vec![Ok(()); 2]);
    assert_eq!(session.perform_unjournaled(&[write("/etc/b", "one")]), [Ok(())]);
    fs::write(root.path().join("etc/b"), "theirs").unwrap();
    drop(session);
    Session::new(root.path(), false).revert(ID).unwrap();
    assert_eq!((text(root.path(), "/etc/a"), text(root.path(), "/etc/b")), ("1".into(), "theirs".into()));
}

/// What is whole and not understood was written by another build, and is nothing to guess at.
#[test]
fn what_another_build_wrote_is_refused_with_its_name() {
    use sha2::{Digest, Sha256};
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    assert!(session.perform_reversibly(&steps()).iter().all(Result::is_ok));
    let text = r#"{"a_later_record":[1]}"#;
    let sum: String = Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut journal = journal_of(root.path());
    journal.extend(format!("{sum} {text}\n").bytes());
    let refused = Content::of(&journal).map(drop).unwrap_err().to_string();
    assert!(refused.contains(&format!("lvsctl {} has written it", env!("CARGO_PKG_VERSION"))), "{refused}");
    fs::write(root.path().join("var/lib/lvsctl/journal/transaction"), journal).unwrap();
    assert!(Session::new(root.path(), false).revert(ID).is_err());
    assert_eq!(self::text(root.path(), "/etc/a"), "3", "nothing was taken back in part");
}

#[test]
fn what_comes_after_a_torn_line_is_read() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    assert!(session.perform_reversibly(&steps()).iter().all(Result::is_ok));
    let whole = journal_of(root.path());
    fs::write(root.path().join("var/lib/lvsctl/journal/transaction"), &whole[..whole.len() - 3]).unwrap();
    Session::new(root.path(), false).confirm(ID).unwrap();
    let content = Content::of(&journal_of(root.path())).unwrap();
    assert_eq!((content.phase(), content.is_damaged), (Phase::Confirmed, false));
}

#[test]
fn without_a_window_what_was_done_stays() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    assert!(session.perform_reversibly(&steps()).iter().all(Result::is_ok));
    drop(session);
    let recovered = Session::new(root.path(), false).recover().unwrap();
    assert!(matches!(&recovered, Recovered::Left(left) if left.transaction.id == ID), "{recovered:?}");
    assert_eq!(text(root.path(), "/etc/a"), "3");
    assert_eq!(Session::new(root.path(), false).recover(), Ok(Recovered::Nothing));
}

#[test]
fn a_journal_that_somebody_works_with_is_not_said_to_be_closed() {
    let root = tempfile::tempdir().unwrap();
    let mut session = begun(root.path());
    let journal = Journal::open(session.files()).unwrap().unwrap();
    assert!(journal.lock(Duration::ZERO).unwrap());
    assert!(matches!(session.close(ID), Err(HostError::NotOpen { .. })));
    journal.unlock();
    assert!(journal.is_in_place());
    session.close(ID).unwrap();
    assert!(!journal.is_in_place());
}

/// A performer was killed from outside while a program of its ran; that program must do no more.
#[test]
fn what_a_dead_performer_left_running_is_ended_and_a_daemon_is_not() {
    use std::process::Command;
    let root = tempfile::tempdir().unwrap();
    let session = begun(root.path());
    drop(session);
    let mut content = Content::of(&journal_of(root.path())).unwrap();
    // No process has ever started so late.
    content.head.performer = (content.head.performer.0, u64::MAX);
    let marker = format!("{}-{}", content.head.performer.0, u64::MAX);
    let start = |program: &str, arguments: &[&str], marker: &str| {
        Command::new(program).args(arguments).env("LVSCTL_PERFORMER", marker).spawn().unwrap()
    };
    let mut orphan = start("sleep", &["600"], &marker);
    let mut daemon = start("setsid", &["sleep", "600"], &marker);
    let mut stranger = start("sleep", &["600"], "1-1");
    let session_of = |pid: u32| crate::host::process::Process::session(pid);
    let wait_until = |is_so: &dyn Fn() -> bool| crate::host::process::wait_until(Duration::from_secs(60), is_so);
    assert!(wait_until(&|| session_of(daemon.id()) == Some(daemon.id())));
    // A started program has its environment a moment later.
    let environment = || fs::read(format!("/proc/{}/environ", orphan.id())).unwrap();
    assert!(wait_until(&|| String::from_utf8_lossy(&environment()).contains(&marker)));
    fs::write(
        root.path().join("var/lib/lvsctl/journal/transaction"),
        record::line(&Record::Head(Box::new(content.head))),
    )
    .unwrap();
    Session::new(root.path(), false).revert(ID).unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(orphan.wait().unwrap().signal(), Some(9));
    for other in [&mut daemon, &mut stranger] {
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
