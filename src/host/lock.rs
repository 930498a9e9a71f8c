//! The lock that keeps two applies off one host.
//!
//! It is held by the open file and so goes with the process that took it, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::HostError;
use super::files::Files;

const PATH: &str = "/run/lvsctl.lock";

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

/// Takes the lock, or names who has it.
pub(super) fn take(files: &Files) -> Result<Lock, HostError> {
    let failed = |error: &std::io::Error| HostError::file("lock", PATH, error);
    let place = files.make_folder_of(PATH)?;
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(place);
    let mut file = opened.map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(HostError::Locked { holder: holder(&mut file) }),
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    let mut lock = Lock(file);
    let file = &mut lock.0;
    let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(|error| failed(&error))?;
    Ok(lock)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "a process that has not said its number".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_is_told_who_was_first_and_a_dropped_lock_is_free() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let first = take(&files).unwrap();
        let holder = format!("process {}", std::process::id());
        assert_eq!(take(&files).unwrap_err(), HostError::Locked { holder });
        drop(first);
        take(&files).unwrap();
    }

    #[test]
    fn what_still_has_the_file_open_keeps_no_lock() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let first = take(&files).unwrap();
        let forked = first.0.try_clone().unwrap();
        drop(first);
        take(&files).unwrap();
        drop(forked);
    }
}
