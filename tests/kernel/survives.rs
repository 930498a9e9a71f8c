//! An apply that dies, hangs or runs out of disk: afterwards a site is as it was, or as it was to be, and says which.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::topology::HostName;
use rustix::process::{Pid, Signal};

use crate::carried;
use crate::commands::{SITE, essence};
use crate::laboratory::{Laboratory, Ran, Snapshot, eventually};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("survives::a_client_killed_at_every_second_step_goes_back", || killed_at_every_step(true)).within(180),
        test("survives::a_client_killed_at_every_other_step_is_repaired", || killed_at_every_step(false)).within(180),
        test("survives::a_stopped_client_is_taken_back_and_can_do_no_more", stopped).within(90),
        test("survives::a_command_that_takes_longer_than_the_window_is_no_death", slow).within(90),
        test("survives::a_watchdog_that_dies_ends_the_apply", without_watchdog).within(90),
        test("survives::a_full_disk_at_any_point", full_disk).within(300),
        test("survives::a_second_operator_waits", second_operator).within(90),
        test("survives::nobody_saws_off_the_branch", management_address).within(90),
        test("survives::a_failed_apply_leaves_no_journal", failed).within(90),
        test("survives::a_reboot_puts_files_back", before_reboot).then_after_reboot(after_reboot).within(120),
    ]
}

/// The window of the tests, the shortest that there is, and how long going back may take.
const WINDOW: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(5);

const CONFIRMED: &[&str] = &["apply", "--auto-approve", "--confirm", "5s"];

/// Returns the journals of both hosts.
fn journals(laboratory: &Laboratory) -> [PathBuf; 2] {
    ["d1", "w1"].map(|host| laboratory.root(host).join("var/lib/lvsctl/journal/transaction"))
}

/// Counts the runs of effects that were begun on both hosts.
fn intents(journals: &[PathBuf]) -> usize {
    let count = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default().matches(" {\"intent\":").count();
    journals.iter().map(count).sum()
}

fn is_open(laboratory: &Laboratory) -> bool {
    journals(laboratory).iter().any(|journal| journal.exists())
}

fn start(laboratory: &Laboratory, arguments: &[&str]) -> Child {
    let mut command = laboratory.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lvsctl starts")
}

/// Starts an apply and returns it as soon as so many runs were begun; `None` if it ended before.
fn apply_until(laboratory: &Laboratory, runs: usize) -> Option<Child> {
    let child = start(laboratory, CONFIRMED);
    until(&journals(laboratory), child, runs)
}

fn until(journals: &[PathBuf], mut child: Child, runs: usize) -> Option<Child> {
    await_runs(journals, &mut child, runs).then_some(child)
}

/// Waits until so many runs were begun; tells whether the apply goes on.
fn await_runs(journals: &[PathBuf], child: &mut Child, runs: usize) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    while intents(journals) < runs {
        assert!(Instant::now() < deadline, "the apply stands still");
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).expect("a process of ours");
}

/// Waits until both hosts have gone back, and returns how long that took.
fn await_back(laboratory: &Laboratory, since: Instant, what: &str) -> Duration {
    await_gone(|| is_open(laboratory), since, what)
}

fn await_gone(is_open: impl Fn() -> bool, since: Instant, what: &str) -> Duration {
    while is_open() {
        assert!(since.elapsed() < WINDOW + BACK, "{what}: not taken back after {:?}", since.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    since.elapsed()
}

/// What is left of a journal is what the next plan tells; the numbers of processes are never the same.
fn essence_without_journal(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = essence(snapshot);
    snapshot.0.retain(|key, _| !key.contains("/lvsctl/journal/") && !key.contains(" file run/"));
    snapshot
}

/// How many sites stand side by side, so that most of the waiting is done at once.
const PARTS: usize = 4;

/// One of the sites.
struct Part<'a> {
    laboratory: &'a Laboratory,
    number: usize,
    hosts: [String; 2],
    topology: PathBuf,
}

impl<'a> Part<'a> {
    /// Returns the topology of a site of its own.
    fn text(number: usize) -> String {
        let mut text = SITE.replace("10.0.0.", &format!("10.0.{number}."));
        for name in ["d1", "w1", "checked", "static"] {
            text = text.replace(&format!("\"{name}\""), &format!("\"{name}-{number}\""));
        }
        text
    }

    fn new(laboratory: &'a Laboratory, number: usize) -> Self {
        let hosts = ["d1", "w1"].map(|host| format!("{host}-{number}"));
        let topology = laboratory.write_part(&format!("part-{number}.kdl"), &Part::text(number));
        Part { laboratory, number, hosts, topology }
    }

    fn journals(&self) -> [PathBuf; 2] {
        self.hosts.each_ref().map(|host| self.laboratory.root(host).join("var/lib/lvsctl/journal/transaction"))
    }

    fn is_open(&self) -> bool {
        self.journals().iter().any(|journal| journal.exists())
    }

    fn snapshot(&self) -> Snapshot {
        let is_own = |name: &HostName| self.hosts.iter().any(|host| host == name.as_str());
        essence_without_journal(&self.laboratory.snapshot_of(is_own))
    }

    fn lvsctl(&self, arguments: &[&str]) -> Ran {
        self.laboratory.command_for(&self.topology, arguments).output().expect("lvsctl starts").into()
    }

    /// Kills an apply as soon as so many runs were begun; `None` if it came to its end before.
    fn killed_at(&self, runs: usize, arguments: &[&str]) -> Option<Instant> {
        for _ in 0..TRIES {
            let mut command = self.laboratory.command_for(&self.topology, arguments);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lvsctl starts");
            if await_runs(&self.journals(), &mut child, runs) {
                signal(&child, Signal::KILL);
                let killed = Instant::now();
                child.wait().expect("it ends");
                return Some(killed);
            }
            if child.wait().expect("it ends").success() {
                return None;
            }
            // On a machine that has no time for it even a client that lives is not heard within the shortest window.
        }
        panic!("the machine is too busy for this test");
    }
}

/// How often an apply is started that the machine leaves no time.
const TRIES: usize = 5;

/// After every second run of effects the watchdogs are left to it, and after the others the next apply comes at once.
fn killed_at_every_step(goes_back: bool) {
    let all: String = (1..=PARTS).map(Part::text).collect();
    let laboratory = Laboratory::new(&all);
    let tally: Mutex<(usize, Duration)> = Mutex::default();
    thread::scope(|scope| {
        for number in 1..=PARTS {
            let (laboratory, tally) = (&laboratory, &tally);
            scope.spawn(move || {
                let part = Part::new(laboratory, number);
                let (count, slowest) = killed_at_some_steps(&part, goes_back);
                let mut tally = tally.lock().expect("no panic");
                *tally = (tally.0 + count, tally.1.max(slowest));
            });
        }
    });
    let (count, slowest) = tally.into_inner().expect("no panic");
    let what = if goes_back { "went back" } else { "were repaired by the next one" };
    println!("{count} applies {what}, the slowest went back after {slowest:?}");
    assert!(count > 5, "only {count} runs were seen");
}

/// Kills applies of one site at its share of the steps; returns how many there were, and how long the slowest took.
fn killed_at_some_steps(part: &Part<'_>, goes_back: bool) -> (usize, Duration) {
    let empty = part.snapshot();
    let end = (!goes_back).then(|| {
        part.lvsctl(&["apply", "--auto-approve"]).expect(0);
        let end = part.snapshot();
        part.lvsctl(&["destroy", "--auto-approve"]).expect(0);
        end
    });
    let (mut count, mut slowest) = (0, Duration::ZERO);
    let mut runs = 2 * part.number - usize::from(!goes_back);
    // Only where the watchdogs are awaited is the window short.
    let patient = ["apply", "--auto-approve", "--confirm", "1m"];
    let arguments = if goes_back { CONFIRMED } else { &patient };
    while let Some(killed) = part.killed_at(runs, arguments) {
        let what = format!("killed at run {runs}");
        if !part.is_open() {
            // It had just confirmed.
            break;
        }
        match &end {
            None => {
                slowest = slowest.max(await_gone(|| part.is_open(), killed, &what));
                let planned = part.lvsctl(&["plan"]).expect(0);
                assert!(planned.stderr.contains("apply-taken-back"), "{}", planned.stderr);
                empty.assert_equal(&part.snapshot(), &what);
            }
            Some(end) => {
                let applied = part.lvsctl(&patient).expect(0);
                let told = "was taken back, because it did not end";
                assert!(applied.stderr.contains(told), "{what}: {}", applied.stderr);
                part.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
                end.assert_equal(&part.snapshot(), &what);
                part.lvsctl(&["destroy", "--auto-approve"]).expect(0);
            }
        }
        count += 1;
        runs += 2 * PARTS;
    }
    (count, slowest)
}

/// A client that is held up for longer than the window finds, when it goes on, that it is too late.
fn stopped() {
    let laboratory = Laboratory::new(&format!("{SITE}policy {{ confirm \"5s\" }}\n"));
    let empty = laboratory.snapshot();
    let child = start(&laboratory, &["apply", "--auto-approve"]);
    let mut child = until(&journals(&laboratory), child, 6).expect("an apply that works");
    signal(&child, Signal::STOP);
    await_back(&laboratory, Instant::now(), "stopped");
    signal(&child, Signal::CONT);
    let code = child.wait().expect("it ends").code();
    // One that was stopped in the middle of something is ended, because nobody knows what it would do next.
    assert!(matches!(code, None | Some(1 | 5..=7)), "{code:?}");
    essence_without_journal(&empty).assert_equal(&essence_without_journal(&laboratory.snapshot()), "stopped");
    let report = laboratory.apply();
    assert_eq!(report["outcome"], "converged", "{report:#}");
}

/// Puts a program in front of another one, by a script that ends in `exec "$REAL" "$@"`.
fn in_front_of(program: &str, script: &str) -> PathBuf {
    let folder = Path::new("/run/operator/bin");
    fs::create_dir_all(folder).expect("a folder");
    let real = ["/usr/sbin", "/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
    let real = real.iter().find(|path| path.exists()).expect("the program");
    let place = folder.join(program);
    let text = format!("#!/bin/sh\nREAL={}\n{script}\nexec \"$REAL\" \"$@\"\n", real.display());
    fs::write(&place, text).expect("a script");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("its mode");
    place
}

fn with_own_programs(laboratory: &Laboratory, arguments: &[&str]) -> Ran {
    let mut command = laboratory.command(arguments);
    command.env("PATH", "/run/operator/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.output().expect("lvsctl starts").into()
}

fn slow() {
    let laboratory = Laboratory::new(SITE);
    let place = in_front_of("keepalived", "case \"$*\" in *-t*) sleep 9;; esac");
    let begun = Instant::now();
    with_own_programs(&laboratory, CONFIRMED).expect(0);
    assert!(begun.elapsed() > WINDOW + Duration::from_secs(3), "the program was not slow");
    fs::remove_file(place).expect("the script");
    assert!(!is_open(&laboratory), "it was confirmed");
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
}

/// Returns the watchdogs of all hosts.
fn watchdogs() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_watchdog = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"lvsctl\0watchdog\0")
    };
    pids.filter(is_watchdog).filter_map(Pid::from_raw).collect()
}

fn without_watchdog() {
    let laboratory = Laboratory::new(SITE);
    let empty = laboratory.snapshot();
    let mut child = apply_until(&laboratory, 4).expect("an apply that works");
    signal(&child, Signal::STOP);
    let watching = watchdogs();
    assert_eq!(watching.len(), 2, "one a host");
    for pid in watching {
        rustix::process::kill_process(pid, Signal::KILL).expect("a watchdog");
    }
    signal(&child, Signal::CONT);
    let code = child.wait().expect("it ends").code();
    assert!(matches!(code, Some(1 | 6)), "{code:?}");
    essence_without_journal(&empty).assert_equal(&essence_without_journal(&laboratory.snapshot()), "without watchdogs");
    laboratory.apply();
}

/// The disk of the director is full at first, and has room for a little more each time.
fn full_disk() {
    let laboratory = Laboratory::new(SITE);
    let empty = laboratory.snapshot();
    let folder = laboratory.root("d1").join("var/lib/lvsctl");
    fs::create_dir_all(&folder).expect("a folder");
    let (mut tries, mut refused) = (0, 0);
    loop {
        tries += 1;
        assert!(tries < 60, "it never has enough");
        // One page of it is always taken.
        let size = format!("size={}k", 4 * (tries + 1));
        lab_mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &folder);
        fs::write(folder.join("filler"), [0_u8; 4096]).expect("a page");
        let ran = laboratory.lvsctl(&["apply", "--auto-approve"]);
        let is_done = ran.code == Some(0);
        if !is_done {
            refused += 1;
            assert!(matches!(ran.code, Some(1 | 6)), "{tries}: {}\n{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains("No space left") || ran.stderr.contains("No space left"), "{}", ran.stdout);
        } else {
            laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
            lab_mount(&["-o", "remount,size=1m"], &folder);
            laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
        }
        rustix::mount::unmount(&folder, rustix::mount::UnmountFlags::empty()).expect("it is unmounted");
        let what = format!("with room for {tries} pages");
        essence_without_journal(&empty).assert_equal(&essence_without_journal(&laboratory.snapshot()), &what);
        if is_done {
            break;
        }
    }
    println!("{refused} applies did not have enough room");
    assert!(refused > 2, "the disk was never full in the middle");
}

fn lab_mount(arguments: &[&str], folder: &Path) {
    let done = std::process::Command::new("mount").args(arguments).arg(folder).status().expect("mount starts");
    assert!(done.success(), "mount {arguments:?}");
}

fn second_operator() {
    let laboratory = Laboratory::new(SITE);
    let mut first = apply_until(&laboratory, 3).expect("an apply that works");
    signal(&first, Signal::STOP);
    let refused = laboratory.lvsctl(&["apply", "--auto-approve"]).expect(1);
    let holder = format!("process {}, lvsctl apply by ", first.id());
    assert!(refused.stderr.contains(&holder), "{}", refused.stderr);
    let mut second = start(&laboratory, &["apply", "--auto-approve", "--lock-timeout", "60s"]);
    eventually("the second one waits", || {
        fs::read_to_string(format!("/proc/{}/wchan", second.id())).is_ok()
            && second.try_wait().expect("a child").is_none()
    });
    signal(&first, Signal::CONT);
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    assert_eq!(second.wait().expect("it ends").code(), Some(0), "it went on when the first one had ended");
}

fn failed() {
    let laboratory = Laboratory::new(SITE);
    let empty = laboratory.snapshot();
    in_front_of("keepalived", "case \"$*\" in *-t*) echo 'Unknown keyword' >&2; exit 5;; esac");
    let ran = with_own_programs(&laboratory, CONFIRMED).expect(6);
    assert!(ran.stdout.contains("Unknown keyword"), "{}", ran.stdout);
    assert!(!is_open(&laboratory));
    essence(&empty).assert_equal(&essence(&laboratory.snapshot()), "keepalived refused the file");
    assert!(!laboratory.lvsctl(&["plan"]).stderr.contains("was taken back"), "the report has told it");
}

/// The site is there; an apply that changes keepalived's file dies, and with it the host.
fn before_reboot() {
    let laboratory = Laboratory::new(SITE);
    laboratory.apply();
    let conf = laboratory.root("d1").join("etc/keepalived/keepalived.conf");
    let before = fs::read_to_string(&conf).expect("the file");
    laboratory.write(&SITE.replace("weight=10", "weight=20").replace("fwmark 7", "fwmark 8"));
    let mut child = start(&laboratory, CONFIRMED);
    eventually("the file is written", || fs::read_to_string(&conf).is_ok_and(|text| text != before));
    signal(&child, Signal::KILL);
    child.wait().expect("it ends");
    for watchdog in watchdogs() {
        rustix::process::kill_process(watchdog, Signal::KILL).expect("a watchdog");
    }
    assert!(is_open(&laboratory));
    fs::write(laboratory.root("d1").join("etc/before"), before).expect("a note");
    for host in ["d1", "w1"] {
        carried::keep(host, &laboratory.root(host));
    }
}

fn after_reboot() {
    let laboratory = Laboratory::new(SITE);
    for host in ["d1", "w1"] {
        let root = laboratory.root(host);
        carried::put_back(host, &root);
        let mut command = laboratory.command_without_topology(&["recover", "--root"]);
        let ran: Ran = command.arg(&root).output().expect("lvsctl starts").into();
        let ran = ran.expect(0);
        let told = if host == "d1" { "the host went down before it was confirmed" } else { "No apply is open" };
        assert!(ran.stderr.contains(told), "{host}: {}", ran.stderr);
    }
    let read = |path: &str| fs::read_to_string(laboratory.root("d1").join(path)).expect("a file");
    assert_eq!(read("etc/keepalived/keepalived.conf"), read("etc/before"));
    assert!(!is_open(&laboratory));
    let report = laboratory.apply();
    assert_eq!(report["outcome"], "converged", "{report:#}");
}

/// Whoever is logged in by an address is not cut off, unless they say so.
fn management_address() {
    let laboratory = Laboratory::new(SITE);
    let logged_in = |arguments: &[&str]| -> Ran {
        let mut command = laboratory.command(arguments);
        command.env("SSH_CONNECTION", "192.0.2.9 50000 10.0.0.100 22").output().expect("lvsctl starts").into()
    };
    laboratory.apply();
    let before = laboratory.snapshot();
    let refused = logged_in(&["destroy", "--auto-approve"]).expect(3);
    let told = "10.0.0.100 on d1, the address of this connection, is taken from eth0";
    assert!(
        refused.stderr.contains(told) && refused.stderr.contains("--allow management-address"),
        "{}",
        refused.stderr
    );
    before.assert_equal(&laboratory.snapshot(), "it was refused");
    logged_in(&["destroy", "--auto-approve", "--allow", "management-address"]).expect(0);
    logged_in(&["apply", "--auto-approve"]).expect(0);
}
