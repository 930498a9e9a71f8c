//! The process that performs a transaction, and how it is ended when the host goes back without it.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::host::HostError;
use crate::host::process::{Process, wait_until};

/// How long an ended process may take to be gone.
const END: Duration = Duration::from_secs(5);

/// Returns what identifies this process: its number, and when it started in clock ticks.
pub(in crate::host) fn own() -> (u32, u64) {
    let pid = std::process::id();
    (pid, Process::started(pid).unwrap_or_default())
}

/// Tells whether a process still runs.
pub(in crate::host) fn is_running(performer: (u32, u64)) -> bool {
    Process::started(performer.0) == Some(performer.1)
}

/// Ends a process that hangs, with the programs that it runs: one of these could go on and change the host later.
///
/// A daemon has a session of its own and is left alone.
pub(super) fn end(performer: (u32, u64)) -> Result<(), HostError> {
    let (pid, _) = performer;
    if !is_running(performer) || pid == std::process::id() {
        return Ok(());
    }
    let performing = handle(pid);
    // Looked at again, now that the handle keeps the number from being another's.
    if !is_running(performer) {
        return Ok(());
    }
    // Held first, so that it starts nothing more while its children are looked for.
    let signal = |signal| performing.as_ref().map(|handle| pidfd_send_signal(handle, signal));
    signal(Signal::STOP);
    let session = Process::session(pid);
    let children = descendants(pid).into_iter().filter(|child| Process::session(*child) == session);
    let children: Vec<_> = children.filter_map(handle).collect();
    signal(Signal::KILL);
    for child in &children {
        // The only refusal left is that it has ended.
        let _ = pidfd_send_signal(child, Signal::KILL);
    }
    match wait_until(END, || !is_running(performer)) {
        true => Ok(()),
        false => Err(HostError::Timeout { doing: format!("end the process {pid}, which hangs"), within: END }),
    }
}

fn handle(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}

/// Returns the processes that a process started, and those that these did.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut place = 0;
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, Process::parent(child)?)))
        .collect();
    while let Some(parent) = found.get(place).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        place += 1;
    }
    found.split_off(1)
}
