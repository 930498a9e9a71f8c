//! A guest in User Mode Linux: the kernel is a program, and its root is the host's own through hostfs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::extended_state;
use super::init::GUEST_VARIABLE;
use super::kernel::{Start, with_path};
use super::vm::{MachineError, first_fit};

/// Where the package user-mode-linux puts the kernel.
const KERNEL: &str = "/usr/bin/linux.uml";

/// Prepares a guest.
pub(super) fn prepare(memory: u32, program: &Path, work: &Path) -> Result<Start, MachineError> {
    let temporary = memory_folder(memory)?;
    // A link keeps spaces in the program's path out of the kernel's command line.
    std::os::unix::fs::symlink(program, work.join("init"))?;
    Ok(Start { program: PathBuf::from(KERNEL), arguments: command_line(memory, work), temporary, stays: true })
}

/// Returns the kernel's arguments; the kernel makes the ones that it does not know its first process's environment.
fn command_line(memory: u32, work: &Path) -> Vec<OsString> {
    let fixed = ["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1", "umid=guest"];
    let console = ["con=null", "con0=null,fd:1"];
    let mut arguments: Vec<OsString> = fixed.into_iter().chain(console).map(OsString::from).collect();
    arguments.push(format!("mem={memory}M").into());
    arguments.extend(extended_state::kernel_argument());
    arguments.push(with_path("uml_dir", work));
    arguments.push(with_path("init", &work.join("init")));
    arguments.push(with_path(GUEST_VARIABLE, work));
    arguments
}

/// Returns the first folder in which the guest can map its memory: User Mode Linux needs one without `noexec`, and a full
/// one kills it.
fn memory_folder(mebibytes: u32) -> Result<PathBuf, MachineError> {
    first_fit([PathBuf::from("/dev/shm"), std::env::temp_dir(), PathBuf::from("/var/tmp")], |folder| {
        let mounted = rustix::fs::statvfs(folder).ok()?;
        if mounted.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Some("is mounted with noexec");
        }
        let free = mounted.f_bavail.saturating_mul(mounted.f_frsize) >> 20;
        (free < u64::from(mebibytes)).then_some("has too little room")
    })
}
