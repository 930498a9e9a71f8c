//! A guest in QEMU by software emulation, with a distribution's kernel.
//!
//! The kernel starts from an initial root that holds no more than this program, the libraries that it needs, and the
//! modules with which it can see the host's files: QEMU serves them read-only over 9p, and the work folder besides. The
//! rest is as in User Mode Linux. It runs as an ordinary user and without KVM, which virtual machines seldom have.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::distribution::DistributionKernel;
use super::init::GUEST_VARIABLE;
use super::kernel::{Start, about};
use super::vm::MachineError;

/// The program, of the package qemu-system-x86.
const QEMU: &str = "qemu-system-x86_64";

/// The file of the initial root that tells the first process what to do with it.
pub(super) const STAGE: &str = "/stage.json";

/// The names under which QEMU serves the host's files and the work folder.
pub(super) const ROOT_TAG: &str = "root";
pub(super) const WORK_TAG: &str = "work";

/// The modules without which the host's files cannot be seen, or not be written over.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// The folders of the initial root.
const FOLDERS: &[&str] = &["/proc", "/host", "/layer", "/dev", "/modules"];

/// What the guest's first process finds in the initial root.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stage {
    /// The modules to insert, in this order.
    pub insert: Vec<PathBuf>,
    /// The folder on the host that holds all the kernel's modules.
    pub modules: PathBuf,
}

/// Prepares a guest.
pub(super) fn prepare(
    kernel: &DistributionKernel,
    memory: u32,
    program: &Path,
    work: &Path,
) -> Result<Start, MachineError> {
    let initial = work.join("initial");
    write_initial_root(kernel, program, &initial)?;
    let mut arguments: Vec<OsString> = Vec::new();
    let mut option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        arguments.extend([OsString::from(name), value.as_ref().to_owned()]);
    };
    option("-accel", &"tcg,thread=single");
    option("-machine", &"q35");
    option("-cpu", &"qemu64");
    option("-m", &format!("{memory}M"));
    option("-display", &"none");
    option("-serial", &"stdio");
    option("-kernel", &kernel.image);
    option("-initrd", &initial);
    // The emulated processor is trusted for the first random numbers, else the guest waits for some. The test of the timer
    // counts its ticks, which come late where the host is busy.
    let quick = "quiet panic=-1 mitigations=off random.trust_cpu=on no_timer_check";
    option("-append", &format!("console=ttyS0 {quick} rdinit=/init {GUEST_VARIABLE}={}", work.display()));
    for (tag, path, access) in [(ROOT_TAG, Path::new("/"), ",readonly=on"), (WORK_TAG, work, "")] {
        // A comma ends a value, and two are one.
        let path = path.display().to_string().replace(',', ",,");
        option("-fsdev", &format!("local,id={tag},path={path},security_model=none,multidevs=remap{access}"));
        option("-device", &format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
    Ok(Start { program: PathBuf::from(QEMU), arguments, temporary: work.to_owned(), stays: false })
}

fn write_initial_root(kernel: &DistributionKernel, program: &Path, path: &Path) -> Result<(), MachineError> {
    let mut archive = Archive::new(BufWriter::new(File::create(path)?));
    FOLDERS.iter().try_for_each(|folder| archive.folder(folder))?;
    archive.file("/init", &read(program)?)?;
    let mut made: Vec<PathBuf> = Vec::new();
    for library in libraries(program)? {
        let mut parents: Vec<&Path> = library.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        parents.reverse();
        for folder in parents {
            if !made.iter().any(|one| one == folder) {
                archive.folder(&folder.to_string_lossy())?;
                made.push(folder.to_owned());
            }
        }
        archive.file(&library.to_string_lossy(), &read(&library)?)?;
    }
    let mut insert = Vec::new();
    for module in kernel.in_order(MODULES) {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let inside = format!("/modules/{name}");
        archive.file(&inside, &read(&module)?)?;
        insert.push(PathBuf::from(inside));
    }
    let modules = kernel.modules.canonicalize().map_err(about(&kernel.modules))?;
    let stage = serde_json::to_vec(&Stage { insert, modules }).map_err(io::Error::other)?;
    archive.file(STAGE, &stage)?;
    Ok(archive.finish()?)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(about(path))
}

/// Returns the files that the program's loader needs, itself included, as ldd(1) finds them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, MachineError> {
    let output = Command::new("ldd").arg(program).output().map_err(about(Path::new("ldd")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", or only the path of the loader; none for a static program.
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}
