//! Which disposable kernel a guest runs, and what each of them needs from the host.
//!
//! Both boot this very program as their first process, see the host's files read-only, and talk through the work folder;
//! from there on a guest does not care. They differ in what the kernel can: User Mode Linux has no IPv4 family of
//! nf_tables, the distribution's kernel under emulation has, and its user space is slow. To add a kernel: a variant, a
//! file beside [`super::user_mode`] and [`super::emulated`], and, if it finds the host's files otherwise, an arm in
//! [`super::init`].

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::distribution::DistributionKernel;
use super::vm::MachineError;
use super::{emulated, user_mode};

/// A kernel that can be thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// User Mode Linux: processes of an ordinary user.
    UserMode,
    /// A distribution's kernel in QEMU, by software emulation.
    Distribution(DistributionKernel),
}

/// A program to start, which is the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where its temporary files go.
    pub temporary: PathBuf,
    /// Whether it runs fastest on one processor.
    pub stays: bool,
}

impl Kernel {
    /// Prepares a guest with so many mebibytes of memory; `program` is its first process, and `work` its work folder.
    pub(super) fn prepare(&self, memory: u32, program: &Path, work: &Path) -> Result<Start, MachineError> {
        match self {
            Kernel::UserMode => user_mode::prepare(memory, program, work),
            Kernel::Distribution(kernel) => emulated::prepare(kernel, memory, program, work),
        }
    }

    /// Returns what usually keeps a guest of this kind from running.
    pub(super) fn usual_cause(&self) -> &'static str {
        match self {
            Kernel::UserMode => {
                "User Mode Linux needs ptrace, which some containers forbid; else the console says more"
            }
            Kernel::Distribution(_) => "Emulation needs QEMU's device virtio-9p; else the console says more",
        }
    }
}

/// Returns `NAME=path`.
pub(super) fn with_path(name: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(format!("{name}="));
    argument.push(path);
    argument
}

/// Names the file in an error about it.
pub(super) fn about(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
