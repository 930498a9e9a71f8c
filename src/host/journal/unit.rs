//! A unit of systemd that takes an open journal back when the host comes up again, and a copy of this program for it.
//!
//! It is there only while a transaction is open on a machine that systemd runs. It comes before whatever reads the files
//! that an apply may have changed; systemd reads such a unit when it starts, so nothing has to be told to it now.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::host::files::Files;
use crate::host::{HostError, program};

/// The copy of this program.
pub(in crate::host) const PROGRAM: &str = "/var/lib/lvsctl/journal/lvsctl";
/// The unit.
const UNIT: &str = "/etc/systemd/system/lvsctl-recover.service";
/// What makes systemd start it.
const ENABLEMENT: &str = "/etc/systemd/system/sysinit.target.wants/lvsctl-recover.service";

/// How often, and at what distance, a copy that somebody still has open for writing is tried.
const ATTEMPTS: u32 = 1500;
const PAUSE: Duration = Duration::from_millis(20);

/// What the unit says.
const TEXT: &str = "\
[Unit]
Description=Take back what lvsctl was doing when this host went down
DefaultDependencies=no
RequiresMountsFor=/var/lib/lvsctl /etc
After=local-fs.target
Before=sysinit.target systemd-sysctl.service lvsctl-restore.service keepalived.service
Conflicts=shutdown.target
Before=shutdown.target
ConditionPathExists=/var/lib/lvsctl/journal/transaction

[Service]
Type=oneshot
ExecStart=/var/lib/lvsctl/journal/lvsctl recover
TimeoutStartSec=120

[Install]
WantedBy=sysinit.target
";

/// Puts the unit and the program there, on the disk.
pub(in crate::host) fn install(files: &Files) -> Result<(), HostError> {
    let failed = |path: &'static str| move |error: io::Error| HostError::file("write", path, &error);
    let program = files.make_folder_of(PROGRAM)?;
    copy_program(&program).map_err(failed(PROGRAM))?;
    try_to_run(&program)?;
    files.write(UNIT, TEXT, 0o644, false, |_| Ok(()))?;
    let place = files.make_folder_of(ENABLEMENT)?;
    match symlink(UNIT, &place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(ENABLEMENT)(error)),
        _ => flush_folder(&place).map_err(failed(ENABLEMENT)),
    }
}

/// Takes them away; what is not there is fine.
pub(super) fn remove(files: &Files) -> Result<(), HostError> {
    for path in [ENABLEMENT, UNIT, PROGRAM] {
        match fs::remove_file(files.locate(path)?) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(HostError::file("remove", path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn copy_program(place: &Path) -> io::Result<()> {
    // A program that runs cannot be written to, but its name can be given to another one.
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o700).open(place)?;
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    copy.sync_all()?;
    flush_folder(place)
}

/// Runs the copy once: a folder that nothing may be executed from would show only when it is too late.
fn try_to_run(place: &Path) -> Result<(), HostError> {
    for attempt in 0..ATTEMPTS {
        let mut command = Command::new(place);
        program::with_plain_environment(&mut command);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(_) => return Ok(()),
            // Another thread started a program while the copy was open, which has not got rid of it yet.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && attempt + 1 < ATTEMPTS => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => {
                let text = format!("{error}, so that nothing would take the apply back after a reboot (noexec?)");
                return Err(HostError::Io { doing: "run".into(), path: PROGRAM.into(), text });
            }
        }
    }
    Ok(())
}

fn flush_folder(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_be_run_is_told_before_it_is_needed() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("lvsctl");
        fs::copy("/proc/self/exe", &place).unwrap();
        try_to_run(&place).unwrap();
        // What a file system that is mounted noexec answers as well.
        fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let refused = try_to_run(&place).unwrap_err();
        assert!(matches!(&refused, HostError::Io { text, .. } if text.contains("noexec")), "{refused}");
    }

    #[test]
    fn the_unit_comes_before_whatever_reads_the_files_and_goes_without_a_trace() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        install(&files).unwrap();
        install(&files).unwrap();
        let unit = fs::read_to_string(root.path().join(UNIT.trim_start_matches('/'))).unwrap();
        let before = unit.lines().find(|line| line.starts_with("Before=")).unwrap();
        for reader in ["systemd-sysctl.service", "lvsctl-restore.service", "keepalived.service"] {
            assert!(before.contains(reader), "{before}");
        }
        assert_eq!(files.read_link(ENABLEMENT).unwrap().as_deref(), Some(UNIT));
        let program = root.path().join(PROGRAM.trim_start_matches('/'));
        assert_eq!(fs::metadata(&program).unwrap().len(), fs::metadata("/proc/self/exe").unwrap().len());
        remove(&files).unwrap();
        remove(&files).unwrap();
        assert!(!program.exists() && files.read(UNIT).unwrap().is_none());
        assert_eq!(files.read_link(ENABLEMENT).unwrap(), None);
    }
}
