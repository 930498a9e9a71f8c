//! The lock that keeps two applies off one host.
//!
//! It is held by the open file (flock(2)) and so goes with the process that took it, however that ends: a dead holder's lock
//! is free. What the file says of its holder is only for whoever finds it taken.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::files::Files;
use super::session::Pauses;
use super::{HostError, Operator};
use crate::source::plain::one_line;

/// Where the lock is.
const PATH: &str = "/run/lvsctl.lock";

/// The file's mode: whoever may read a file may lock it, and so keep everybody else off the host.
const MODE: u32 = 0o600;

/// How much of what the file says is read, in bytes.
const LONGEST: u64 = 4096;

/// What the file says.
#[derive(Serialize, Deserialize)]
struct Holder {
    process: u32,
    /// In seconds since 1970.
    since: u64,
    operator: Operator,
}

/// A lock that is held; it is let go of with this.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that is being started has the file open too until it is executed, and would keep the lock for so long. One
        // that cannot be released goes with the process.
        let _ = self.0.unlock();
    }
}

/// Takes the lock, waiting for its holder at most so long, or names who has it.
pub(super) fn take(files: &Files, operator: &Operator, patience: Duration) -> Result<Lock, HostError> {
    let failed = |error: &std::io::Error| HostError::file("lock", PATH, error);
    let place = files.make_folder_of(PATH)?;
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(place);
    let mut file = opened.map_err(|error| failed(&error))?;
    // An earlier build made one that everybody may read.
    file.set_permissions(Permissions::from_mode(MODE)).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + patience;
    let mut pauses = Pauses::default();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(HostError::Locked { holder: holder(&mut file) });
        }
        std::thread::sleep(pauses.next().min(left));
    }
    let mut lock = Lock(file);
    let file = &mut lock.0;
    let holder = Holder { process: std::process::id(), since: now(), operator: operator.clone() };
    let text = serde_json::to_string(&holder).unwrap_or_default();
    // One write, so that nobody reads a half.
    let noted =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(format!("{text}\n").as_bytes()));
    noted.map_err(|error| failed(&error))?;
    Ok(lock)
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(LONGEST).read_to_string(&mut text));
    match read.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok()) {
        Some(Holder { process, since, operator }) => {
            let age = now().saturating_sub(since);
            one_line(&format!("process {process}, {operator}, for {}", ago(age)), usize::MAX)
        }
        None => "a process that has not said its number".into(),
    }
}

/// Says how long something has been, in its largest unit.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator() -> Operator {
        Operator { user: "alice".into(), from: "desk".into(), command: "lvsctl apply".into() }
    }

    #[test]
    fn the_second_taker_is_told_who_was_first_and_a_dropped_lock_is_free() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let take = |patience| take(&files, &operator(), Duration::from_millis(patience));
        let first = take(0).unwrap();
        let HostError::Locked { holder } = take(0).unwrap_err() else { panic!("not taken") };
        let start = format!("process {}, lvsctl apply by alice@desk, for ", std::process::id());
        assert!(holder.starts_with(&start), "{holder}");
        let begun = Instant::now();
        take(60).unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(60));
        drop(first);
        take(0).unwrap();
    }

    #[test]
    fn what_still_has_the_file_open_keeps_no_lock() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let first = take(&files, &operator(), Duration::ZERO).unwrap();
        let forked = first.0.try_clone().unwrap();
        drop(first);
        take(&files, &operator(), Duration::ZERO).unwrap();
        drop(forked);
    }

    #[test]
    fn nobody_else_may_open_the_file_also_where_an_earlier_build_made_it() {
        let root = tempfile::tempdir().unwrap();
        let (files, place) = (Files::new(root.path()), root.path().join("run/lvsctl.lock"));
        let mode = || std::fs::metadata(&place).unwrap().permissions().mode() & 0o777;
        drop(take(&files, &operator(), Duration::ZERO).unwrap());
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&place, Permissions::from_mode(0o644)).unwrap();
        drop(take(&files, &operator(), Duration::ZERO).unwrap());
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn who_waits_gets_the_lock_when_its_holder_has_gone() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let first = take(&files, &operator(), Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| take(&files, &operator(), Duration::from_secs(30)));
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_file_of_somebody_else_is_no_holder() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let first = take(&files, &operator(), Duration::ZERO).unwrap();
        std::fs::write(root.path().join("run/lvsctl.lock"), "\u{1b}[31m{").unwrap();
        let refused = take(&files, &operator(), Duration::ZERO).unwrap_err();
        assert!(refused.to_string().ends_with("a process that has not said its number"), "{refused}");
        drop(first);
    }
}
