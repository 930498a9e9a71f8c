//! Boots a disposable kernel ([`Kernel`]) with this very program as its first process.
//!
//! The guest's root is the host's own, read-only, so there is no image and the guest runs exactly the programs that are
//! installed. A private work folder carries a request in and lines of JSON out ([`super::channel`]). The guest is a
//! handful of ordinary processes of an ordinary user: it cannot change anything of the host that the user could not, and
//! it ends with the [`Keeper`]. What happens inside is [`super::init`].

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::channel::{HostEnd, Message};
use super::keeper::{Keeper, WORK_PREFIX};
use super::kernel::Kernel;

/// How often the host looks for lines from the guest.
const POLL: Duration = Duration::from_millis(10);

/// How long a guest may take to power off once its work is done.
const POWER_OFF: Duration = Duration::from_secs(2);

/// How many lines of the console an error shows.
const CONSOLE_LINES: usize = 40;

/// How a guest is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its kernel.
    pub kernel: Kernel,
    /// Its memory in mebibytes.
    pub memory: u32,
    /// When to give up.
    pub timeout: Duration,
}

/// What a guest left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// From the start of the kernel to the guest's first process.
    pub boot: Duration,
    /// From the start to the end of the work.
    pub total: Duration,
    /// Everything that was printed on its console.
    pub console: String,
}

/// A guest that did not do its work.
#[derive(Debug, Error)]
pub enum MachineError {
    /// The host could not prepare or start it.
    #[error("The guest could not be started: {0}")]
    Start(#[from] io::Error),
    /// No folder of the host can hold the guest's memory or its files.
    #[error("No folder is fit for the guest: {0}")]
    Folder(String),
    /// It sent something that was not understood.
    #[error("The guest sent what was not understood: {0}")]
    Garbled(String),
    /// It took too long.
    #[error("The guest did not finish within {} s; the end of its console:\n{console}", timeout.as_secs())]
    TimedOut {
        /// The limit.
        timeout: Duration,
        /// The last lines of its console.
        console: String,
    },
    /// It ended before its work did.
    #[error("The guest ended before its work was done; the end of its console:\n{console}")]
    Died {
        /// The last lines of its console.
        console: String,
        /// What is usually the cause.
        usual_cause: &'static str,
    },
    /// Its work failed.
    #[error("{message}")]
    Failed {
        /// Why.
        message: String,
        /// The last lines of its console.
        console: String,
    },
}

impl MachineError {
    /// Returns what to try next, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            MachineError::Folder(_) => Some("Set TMPDIR to a folder with a short path, room, and no noexec".to_owned()),
            MachineError::TimedOut { .. } => Some("Allow more time with --timeout".to_owned()),
            MachineError::Died { usual_cause, .. } => Some((*usual_cause).to_owned()),
            _ => None,
        }
    }
}

impl Machine {
    /// Boots a guest, gives it a request, hands on its events and waits for its end.
    pub fn run<Request: Serialize, Event: DeserializeOwned>(
        &self,
        request: &Request,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Outcome, MachineError> {
        let work = tempfile::Builder::new().prefix(WORK_PREFIX).tempdir_in(work_folder()?)?;
        let mut lines = HostEnd::create(work.path(), request)?;
        let program = std::env::current_exe()?;
        let start = self.kernel.prepare(self.memory, &program, work.path())?;
        let console_path = work.path().join("console");
        let console = File::create(&console_path)?;
        let started = Instant::now();
        let mut keeper = Keeper::start(&start, work.path(), &console)?;

        let read_console = || String::from_utf8_lossy(&fs::read(&console_path).unwrap_or_default()).into_owned();
        let mut boot = Duration::ZERO;
        let error = 'running: loop {
            let ended = keeper.ended()?.is_some();
            for message in lines.receive::<Event>().map_err(MachineError::Garbled)? {
                match message {
                    Message::Booted { milliseconds } => boot = Duration::from_millis(milliseconds),
                    Message::Event(event) => on_event(event),
                    Message::Finished { error } => break 'running error,
                }
            }
            if ended {
                let console = last_lines(&read_console());
                return Err(MachineError::Died { console, usual_cause: self.kernel.usual_cause() });
            }
            if started.elapsed() > self.timeout {
                return Err(MachineError::TimedOut { timeout: self.timeout, console: last_lines(&read_console()) });
            }
            std::thread::sleep(POLL);
        };
        let total = started.elapsed();
        // A moment for the guest to power off by itself, so that its console is complete.
        let limit = Instant::now() + POWER_OFF;
        while keeper.ended()?.is_none() && Instant::now() < limit {
            std::thread::sleep(POLL);
        }
        drop(keeper);
        let console = read_console();
        match error {
            None => Ok(Outcome { boot, total, console }),
            Some(message) => Err(MachineError::Failed { message, console: last_lines(&console) }),
        }
    }
}

/// Returns the first folder that can hold the files: the guest's kernel starts its first process from there, after it
/// has mounted a `/dev` of its own, and the path is a word of its command line, 2048 bytes long (`COMMAND_LINE_SIZE`).
fn work_folder() -> Result<PathBuf, MachineError> {
    first_fit([std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")], |folder| {
        let is_word = |path: &str| path.len() <= 400 && !path.contains(|c: char| c.is_whitespace() || c == '"');
        if !folder.to_str().is_some_and(is_word) {
            return Some("has a path that the kernel's command line cannot carry");
        }
        folder.starts_with("/dev").then_some("is hidden in the guest")
    })
}

/// Returns the first folder that can be written and is not unfit; the error says why each is.
pub(super) fn first_fit(
    folders: [PathBuf; 3],
    unfit: impl Fn(&Path) -> Option<&'static str>,
) -> Result<PathBuf, MachineError> {
    let mut refused = Vec::new();
    for folder in folders {
        let Ok(folder) = folder.canonicalize() else { continue };
        let written = || tempfile::tempfile_in(&folder).is_err().then_some("cannot be written");
        match unfit(&folder).or_else(written) {
            None => return Ok(folder),
            Some(reason) => refused.push(format!("{} {reason}", folder.display())),
        }
    }
    Err(MachineError::Folder(refused.join(", ")))
}

fn last_lines(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines.get(lines.len().saturating_sub(CONSOLE_LINES)..).unwrap_or_default().join("\n")
}
