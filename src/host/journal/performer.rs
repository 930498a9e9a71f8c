//! The process that performs a transaction, and how it is ended when the host goes back without it.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::place::boot;
use super::record::Head;
use crate::host::HostError;
use crate::host::process::{Process, wait_until};

/// How long an ended process may take to be gone.
const END: Duration = Duration::from_secs(5);

/// Returns what identifies this process: its number, and when it started in clock ticks.
pub(in crate::host) fn own() -> (u32, u64) {
    let pid = std::process::id();
    (pid, Process::started(pid).unwrap_or_default())
}

/// The variable by which the programs that a process runs are known when it is gone.
pub(in crate::host) const VARIABLE: &str = "LVSCTL_PERFORMER";

/// Returns what this process gives the programs that it runs as [`VARIABLE`].
pub(in crate::host) fn marker() -> (&'static str, String) {
    (VARIABLE, text(own()))
}

fn text((pid, started): (u32, u64)) -> String {
    format!("{pid}-{started}")
}

/// Tells whether the performer of a journal still runs. The numbers of another run of the kernel say nothing.
pub(in crate::host) fn is_running(head: &Head) -> bool {
    head.boot == boot() && Process::started(head.performer.0) == Some(head.performer.1)
}

/// Ends the programs that a performer left running when it was killed: one of these could go on and change the host later.
///
/// A daemon has a session of its own and is left alone, and so is what a performer runs that is alive.
pub(super) fn end_orphans(head: &Head) -> Result<(), HostError> {
    if head.boot != boot() || is_running(head) {
        return Ok(());
    }
    let variable = format!("{VARIABLE}={}", text(head.performer));
    let is_left = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        Process::session(pid) == Some(head.session)
            && environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
    };
    // Looked at again, now that the handle keeps the number from being another's.
    let left = processes().filter(|pid| is_left(*pid)).filter_map(|pid| Some((pid, handle(pid)?)));
    let left: Vec<_> = left.filter(|(pid, _)| is_left(*pid)).collect();
    for (_, orphan) in &left {
        // The only refusal left is that it has ended.
        let _ = pidfd_send_signal(orphan, Signal::KILL);
    }
    match wait_until(END, || left.iter().all(|(pid, _)| Process::started(*pid).is_none())) {
        true => Ok(()),
        false => Err(HostError::Timeout { doing: "end the programs that a dead apply left".into(), within: END }),
    }
}

/// Ends a process that hangs, with the programs that it runs: one of these could go on and change the host later.
///
/// A daemon has a session of its own and is left alone.
pub(super) fn end(head: &Head) -> Result<(), HostError> {
    let (pid, _) = head.performer;
    if !is_running(head) || pid == std::process::id() {
        return Ok(());
    }
    let performing = handle(pid);
    // Looked at again, now that the handle keeps the number from being another's.
    if !is_running(head) {
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
    match wait_until(END, || !is_running(head)) {
        true => Ok(()),
        false => Err(HostError::Timeout { doing: format!("end the process {pid}, which hangs"), within: END }),
    }
}

fn handle(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns the processes that a process started, and those that these did.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut place = 0;
    let all: Vec<(u32, u32)> = processes().filter_map(|child| Some((child, Process::parent(child)?))).collect();
    while let Some(parent) = found.get(place).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        place += 1;
    }
    found.split_off(1)
}
