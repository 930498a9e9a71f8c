//! The guest's side: runs what it is asked to, each test in a process of its own.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::rehearsal::init::{Guest, is_guest};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::declared::{DISTRIBUTION, Test};
use super::{SLACK, SOAK_VARIABLE};
use crate::carried::{self, Carried};
use crate::lab;

/// The variable that names the one test that a process runs.
pub const TEST_VARIABLE: &str = "LVSCTL_KERNEL_TEST";

/// The variable that says that a test goes on in a guest that was booted again.
const REBOOTED_VARIABLE: &str = "LVSCTL_KERNEL_TEST_REBOOTED";

/// What a guest is asked to do.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) names: Vec<String>,
    pub(super) folder: PathBuf,
    pub(super) variables: Vec<(String, String)>,
    /// What the tests kept before the guest was booted again; `None` in the first one.
    pub(super) rebooted: Option<Vec<Carried>>,
}

/// What became of a test.
#[derive(Serialize, Deserialize)]
pub(super) struct Finished {
    pub(super) name: String,
    pub(super) failure: Option<String>,
    pub(super) output: String,
    pub(super) milliseconds: u64,
    /// What it kept for the next guest.
    pub(super) carried: Vec<Carried>,
}

/// Returns the name of the test that this process runs, without the kernel.
pub fn running() -> String {
    let name = std::env::var(TEST_VARIABLE).expect("the test's name");
    name.strip_prefix(DISTRIBUTION).map(str::to_owned).unwrap_or(name)
}

/// Runs the asked-for tests one after the other, each in a process of its own.
pub fn run_in_guest(guest: &Guest, tests: fn(Option<u64>) -> Vec<Test>) -> Result<(), String> {
    let request: Request = guest.request()?;
    let soak = request.variables.iter().find(|(name, _)| name == SOAK_VARIABLE);
    let tests = tests(soak.and_then(|(_, value)| value.parse().ok()));
    for name in &request.names {
        let test = tests.iter().find(|test| test.name == name).ok_or_else(|| format!("No test is named {name}"))?;
        let started = Instant::now();
        if let Some(kept) = &request.rebooted {
            carried::given(kept);
        }
        let (failure, output) = run_process(test, &request)?;
        lab::clear();
        let milliseconds = started.elapsed().as_millis() as u64;
        let carried = carried::taken();
        guest.emit(Finished { name: name.clone(), failure, output, milliseconds, carried })?;
    }
    Ok(())
}

/// Runs the one test that this process was started for, if it was.
pub fn run_if_test(tests: &[Test]) {
    let Ok(name) = std::env::var(TEST_VARIABLE) else { return };
    assert!(is_guest(), "kernel tests run in a disposable kernel only");
    let test = tests.iter().find(|test| test.name == name).expect("the test that was asked for");
    match test.after_reboot.filter(|_| std::env::var_os(REBOOTED_VARIABLE).is_some()) {
        Some(run) => run(),
        None => (test.run)(),
    }
    std::process::exit(0);
}

fn run_process(test: &Test, request: &Request) -> Result<(Option<String>, String), String> {
    let path = format!("/tmp/{}.output", test.name.replace(['/', ':'], "_"));
    let output = File::create(&path).map_err(|error| error.to_string())?;
    let mut child = Command::new("/proc/self/exe")
        .env(TEST_VARIABLE, test.name)
        .envs(request.variables.iter().cloned())
        .envs(request.rebooted.iter().map(|_| (REBOOTED_VARIABLE, "1")))
        .current_dir(&request.folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(|error| error.to_string())?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    let limit = Instant::now() + test.deadline * SLACK;
    let failure = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => break None,
            Some(status) => break Some(format!("the test ended with {status}")),
            None if Instant::now() > limit => {
                let group = Pid::from_child(&child);
                rustix::process::kill_process_group(group, Signal::KILL).map_err(|error| error.to_string())?;
                child.wait().map_err(|error| error.to_string())?;
                break Some(format!("the test did not end within {} s", (test.deadline * SLACK).as_secs()));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    Ok((failure, String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned()))
}
