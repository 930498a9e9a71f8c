//! Two operators at once, and an apply that is killed: whatever it had done is owned, and the next one ends it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::commands::{SITE, essence};
use crate::gate::Gate;
use crate::laboratory::{Laboratory, eventually, texts, walk};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("interrupted::a_second_operator_is_told_who_works", two_operators).within(60),
        test("interrupted::a_killed_apply_leaves_nothing_that_nobody_owns", || killed(false)).within(180),
        test("interrupted::a_killed_apply_is_ended_by_the_next", || killed(true)).within(180),
        test("interrupted::a_half_written_file_does_not_stay", half_written).within(90),
    ]
}

/// Starts an apply and returns it once a line of its progress contains a text.
fn apply_until(laboratory: &Laboratory, text: &str) -> Child {
    let mut command = laboratory.command(&["apply", "--auto-approve"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("lvsctl starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let found = lines.find(|line| line.contains(text));
    assert!(found.is_some(), "{text} is never told");
    // Nobody reads what it says from here on, and that must not end it.
    std::thread::spawn(move || lines.count());
    child
}

fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).expect("a process of ours");
}

fn two_operators() {
    let laboratory = Laboratory::new(SITE);
    let mut first = apply_until(&laboratory, "done");
    signal(&first, Signal::STOP);
    let mut before = laboratory.snapshot();
    eventually("the programs that it had started have ended", || {
        let again = laboratory.snapshot();
        let is_still = again == before;
        before = again;
        is_still
    });
    for arguments in [&["apply", "--auto-approve"][..], &["destroy", "--auto-approve"]] {
        let second = laboratory.lvsctl(arguments).expect(1);
        let holder = format!("process {}", first.id());
        assert!(second.stderr.contains("Another lvsctl works") && second.stderr.contains(&holder), "{}", second.stderr);
    }
    laboratory.lvsctl(&["plan"]).expect(0);
    before.assert_equal(&laboratory.snapshot(), "the second one changed nothing");
    signal(&first, Signal::CONT);
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    // The lock went with the process.
    laboratory.lvsctl(&["apply", "--auto-approve"]).expect(0);
}

/// Kills applies at several points, the first before anything is told of.
fn killed(go_on: bool) {
    let laboratory = Laboratory::new(SITE);
    let empty = laboratory.snapshot();
    let manifest = laboratory.root("d1").join("var/lib/lvsctl/manifest.json");
    for point in ["", "done d1/sysctl", "done w1/address", "done d1/keepalived/configuration", "done d1/address"] {
        let mut child = match point {
            "" => {
                let mut command = laboratory.command(&["apply", "--auto-approve"]);
                let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lvsctl starts");
                let deadline = Instant::now() + Duration::from_secs(60);
                while !manifest.exists() {
                    assert!(Instant::now() < deadline, "the manifest is never written");
                    std::thread::yield_now();
                }
                child
            }
            text => apply_until(&laboratory, text),
        };
        signal(&child, Signal::KILL);
        child.wait().expect("it ends");
        if go_on {
            let report = laboratory.apply();
            assert_eq!(report["outcome"], "converged", "{report:#}");
            laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
        }
        laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
        essence(&empty).assert_equal(&essence(&laboratory.snapshot()), &format!("killed at {point:?}"));
        let foreign = texts(&laboratory.plan()["foreign"], "id");
        assert_eq!(foreign, Vec::<String>::new(), "killed at {point:?}");
    }
}

/// Killed between the first byte of a file and its place, a file with a password would stay for good.
fn half_written() {
    let laboratory = Laboratory::new(SITE);
    let folder = laboratory.root("d1").join("etc/keepalived");
    let temporary = || {
        let paths = walk(&folder).into_iter();
        paths
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
            .collect::<Vec<_>>()
    };
    // keepalived does not look at it yet, and so it stays what it is.
    let gate = Gate::new();
    let mut command = laboratory.command(&["apply", "--auto-approve"]);
    gate.put_before(&mut command);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lvsctl starts");
    eventually("a temporary file", || {
        assert!(child.try_wait().expect("a child").is_none(), "it has ended");
        !temporary().is_empty()
    });
    signal(&child, Signal::KILL);
    child.wait().expect("it ends");
    assert_eq!(temporary().len(), 1, "it was caught in the middle");
    gate.open();
    laboratory.apply();
    assert_eq!(temporary(), Vec::<std::path::PathBuf>::new());
    eventually("the server is in the table", || laboratory.run("d1", "ipvsadm -Sn").contains("-w 10"));
    assert!(fs::read_to_string(folder.join("keepalived.conf")).expect("the file").contains("fwmark 7"));
}
