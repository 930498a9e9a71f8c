//! Nothing of a rehearsal is left on the machine, however it ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything here is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// Returns how many of the kernel's processes name a folder in their arguments.
fn kernels(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap();
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    processes
        .map(|arguments| String::from_utf8_lossy(&arguments).into_owned())
        .filter(|arguments| arguments.starts_with("/usr/bin/linux.uml") && arguments.contains(folder))
        .count()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn rehearse(folder: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lvsctl"))
        .args(["rehearse", "examples/dr-loopback", "--requests", "1000000"])
        .args(more)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_rehearsal_leaves_no_process_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut rehearsal = rehearse(folder.path(), &[]);
    // More than one: the guest runs programs of its own by then.
    wait_until("the guest comes up", || kernels(folder.path()) > 4);
    rehearsal.kill().unwrap();
    rehearsal.wait().unwrap();
    wait_until("the guest's processes end", || kernels(folder.path()) == 0);
    wait_until("the work folder goes", || fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_rehearsal_that_takes_too_long_leaves_no_process_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut rehearsal = rehearse(folder.path(), &["--timeout", "8"]);
    let status = rehearsal.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    wait_until("the guest's processes end", || kernels(folder.path()) == 0);
    wait_until("the work folder goes", || fs::read_dir(folder.path()).unwrap().next().is_none());
}
