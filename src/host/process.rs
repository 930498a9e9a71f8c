//! A running daemon that a pid file names, told apart from whatever process has that number now.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that was there when it was looked at.
#[derive(Debug)]
pub(super) struct Process {
    /// Its number.
    pub(super) pid: u32,
    /// When it started, in clock ticks after the machine did: with the number, what no other process shares.
    pub(super) started: u64,
    handle: OwnedFd,
}

impl Process {
    /// Finds the process that a pid file names, if it runs the program and is in the caller's network namespace.
    pub(super) fn named_in(pid_file: &Path, program: &str) -> Option<Self> {
        Process::find(fs::read_to_string(pid_file).ok()?.trim().parse().ok()?, program)
    }

    /// Finds a process by its number, if it runs the program and is in the caller's network namespace.
    pub(super) fn find(pid: u32, program: &str) -> Option<Self> {
        // The handle comes first: whatever has the number later, the handle stays with what was looked at.
        let handle = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        let (name, started) = look(pid)?;
        // A daemon's children may have longer names, which the kernel cuts at 15 bytes.
        let same_program = name.starts_with(program);
        (same_program && shares_network(pid)).then_some(Process { pid, started, handle })
    }

    /// Tells whether it still runs; one that has ended and was not yet reaped does not.
    pub(super) fn is_running(&self) -> bool {
        look(self.pid).is_some_and(|(_, started)| started == self.started)
    }

    /// Sends a signal; one that is gone is fine.
    pub(super) fn signal(&self, signal: Signal) {
        // The only refusal left is that it has ended.
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// Waits until it has ended and tells whether it has.
    pub(super) fn wait(&self, within: Duration) -> bool {
        wait_until(within, || !self.is_running())
    }

    /// Returns when the process of a number started, in clock ticks after the machine did; `None` if it does not run.
    pub(super) fn started(pid: u32) -> Option<u64> {
        look(pid).map(|(_, started)| started)
    }

    /// Returns the session of the process of a number.
    pub(super) fn session(pid: u32) -> Option<u32> {
        field(pid, SESSION)
    }

    /// Returns the parent of the process of a number.
    pub(super) fn parent(pid: u32) -> Option<u32> {
        field(pid, PARENT)
    }

    /// Returns when it started, as files tell time.
    pub(super) fn started_at(&self) -> Option<SystemTime> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
        let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
        let started = Duration::from_millis(self.started.checked_mul(1000)? / u64::from(ticks));
        let age = Duration::try_from_secs_f64(uptime).ok()?.saturating_sub(started);
        SystemTime::now().checked_sub(age)
    }
}

/// Asks again and again, at growing distances, until something is so or the time is over; tells whether it is so.
pub(super) fn wait_until(within: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(2);
    loop {
        if is_so() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The places of two fields of proc_pid_stat(5), counted from the one that follows the state (fields 4 and 6).
const PARENT: usize = 0;
const SESSION: usize = 2;

fn field(pid: u32, place: usize) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(place + 1)?.parse().ok()
}

/// Returns a running process's name and start (proc_pid_stat(5), fields 2, 3 and 22).
fn look(pid: u32) -> Option<(String, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = (stat.split_once('(')?.1).rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then(|| (name.to_owned(), started))
}

fn shares_network(pid: u32) -> bool {
    let theirs = fs::read_link(format!("/proc/{pid}/ns/net"));
    match (theirs, fs::read_link("/proc/thread-self/ns/net")) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        // A plain user may not look at root's processes, and then cannot have entered a namespace either.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_number_name_and_start() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        // A started program has its name a moment later.
        assert!(wait_until(Duration::from_secs(60), || Process::find(child.id(), "sleep").is_some()));
        let running = Process::find(child.id(), "sleep").unwrap();
        assert!(running.is_running());
        assert!(Process::find(child.id(), "keepalived").is_none());
        let age = SystemTime::now().duration_since(running.started_at().unwrap()).unwrap_or_default();
        assert!(age < Duration::from_secs(300), "{age:?}");
        running.signal(Signal::TERM);
        assert!(running.wait(Duration::from_secs(60)), "an ended process counts as gone before it is reaped");
        child.wait().unwrap();
        assert!(Process::find(child.id(), "sleep").is_none());
    }
}
