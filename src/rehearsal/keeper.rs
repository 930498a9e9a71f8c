//! The process between lvsctl and the guest, which takes the guest down whatever happens to lvsctl.
//!
//! User Mode Linux is a tree of processes that make a session, and so a process group, of their own (it calls setsid(2)).
//! The keeper that starts them has a pipe as its standard input that only lvsctl holds open. When lvsctl ends, by return,
//! by Ctrl-C or by SIGKILL, the pipe closes: the keeper removes the work folder, kills the guest's group, and ends. The
//! same happens when the guest's first process dies and leaves others. No signal handler is needed.
//! The keeper is this same program, started under another name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::extended_state;
use super::kernel::Start;
use super::processor::{self, Processor};

/// The name under which this program is a keeper.
const NAME: &str = "lvsctl-rehearsal-keeper";

/// What stands for the number of its processor if the guest may run on all.
const EVERYWHERE: &str = "-";

/// What the name of every work folder begins with; the keeper removes no other.
pub const WORK_PREFIX: &str = "lvsctl-rehearsal-";

/// How long the keeper may take to take the guest down; one that is killed before it has would leave the guest behind.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks whether it has.
const POLL: Duration = Duration::from_millis(5);

/// A guest's processes on the host's side; dropping it ends them.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    _processor: Option<Processor>,
}

impl Keeper {
    /// Starts the keeper, which starts the guest; what both print goes to `console`.
    pub(super) fn start(start: &Start, work: &Path, console: &File) -> io::Result<Self> {
        // A guest that may run everywhere is only slower.
        let processor = if start.stays { Processor::take().ok() } else { None };
        let number =
            processor.as_ref().map_or_else(|| EVERYWHERE.to_owned(), |processor| processor.number().to_string());
        let child = Command::new("/proc/self/exe")
            .arg0(NAME)
            .arg(number)
            .arg(work)
            .arg(&start.program)
            .args(&start.arguments)
            .env("TMPDIR", &start.temporary)
            .stdin(Stdio::piped())
            .stdout(console.try_clone()?)
            .stderr(console.try_clone()?)
            .process_group(0)
            .spawn()?;
        Ok(Keeper { child, _processor: processor })
    }

    /// Tells whether the guest has ended, and how.
    pub fn ended(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        self.child.try_wait()
    }

    /// Closes the pipe, upon which the keeper takes the guest down and ends; one that does not is killed.
    fn kill(&mut self) {
        drop(self.child.stdin.take());
        let limit = Instant::now() + PATIENCE;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > limit {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the keeper's part if this process was started as one.
pub fn run_if_keeper() -> Option<i32> {
    let mut arguments = std::env::args_os();
    if arguments.next()? != NAME {
        return None;
    }
    let number = arguments.next()?.to_str().and_then(|number| number.parse().ok());
    let work = PathBuf::from(arguments.next()?);
    let kernel = arguments.next()?;
    if let Err(error) = extended_state::limit_if_needed() {
        eprintln!("The guest's use of ptrace cannot be limited: {error}");
    }
    if let Some(Err(error)) = number.map(processor::stay_on) {
        eprintln!("The guest cannot stay on one processor: {error}");
    }
    let spawned = Command::new(&kernel).args(arguments).stdin(Stdio::null()).spawn();
    let mut guest = match spawned {
        Ok(guest) => guest,
        Err(error) => {
            eprintln!("{} cannot be started: {error}", Path::new(&kernel).display());
            return Some(1);
        }
    };
    let group = Pid::from_child(&guest);
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        clear(&work);
        kill_guest(group);
        std::process::exit(1);
    });
    // The guest stays a zombie until its group is gone, so that its number cannot have been given away by then.
    let _ = rustix::process::waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    kill_guest(group);
    match guest.wait() {
        Ok(status) if status.success() => Some(0),
        _ => Some(1),
    }
}

/// Kills the guest's processes: its group, and its first process by itself in case it has no group yet.
fn kill_guest(guest: Pid) {
    let _ = rustix::process::kill_process_group(guest, Signal::KILL);
    let _ = rustix::process::kill_process(guest, Signal::KILL);
}

fn clear(work: &Path) {
    let is_ours = work.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WORK_PREFIX));
    if is_ours {
        let _ = fs::remove_dir_all(work);
    }
}
