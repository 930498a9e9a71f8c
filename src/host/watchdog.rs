//! The dead-man switch: a process of its own on the host that takes a transaction back if nobody confirms it in time.
//!
//! It is armed before the first change. Bytes in a pipe tell it that the client lives; when none came for the window, or the
//! performer has gone and no new one can come, it waits for the rest of the window and then reverts, unless the
//! journal is no longer there. It has a session of its own and keeps no descriptor, so that neither a terminal, nor a
//! connection, nor the process that started it takes it along; where systemd runs, it has a scope of its own, so that the end of a
//! login does not end it either (`KillUserProcesses=` in logind.conf(5)).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::files::Files;
use super::journal::{Attempts, Journal, PROGRAM, revert, watch};
use super::process::wait_until;
use super::session::Session;
use super::{Armed, Cause, HostError, program};

/// The hidden command.
const COMMAND: &str = "watchdog";

/// What it says when it watches.
const ARMED: &[u8] = b"armed\n";

/// How long it may take to say so.
const START: Duration = Duration::from_secs(10);

/// How often a client that is on the host itself says that it lives.
const BEAT: Duration = Duration::from_secs(1);

/// How often the watchdog looks whether the journal is still there.
const TICK: Duration = Duration::from_millis(200);

/// How long a watchdog without a journal may take to end.
const END: Duration = Duration::from_secs(3);

/// Tells the watchdog of a host that the client lives. Without a watchdog it tells nobody.
#[derive(Clone, Default)]
pub struct Heart(Arc<Mutex<Option<ChildStdin>>>);

impl Heart {
    /// Tells it.
    pub fn beat(&self) {
        beat(&self.0);
    }

    fn set(&self, pipe: Option<ChildStdin>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pipe;
    }

    /// Goes on telling it, for as long as this process and the host's connection live.
    fn go_on(&self) {
        let heart: Weak<_> = Arc::downgrade(&self.0);
        thread::spawn(move || {
            while heart.upgrade().is_some_and(|heart| beat(&heart)) {
                thread::sleep(BEAT);
            }
        });
    }
}

/// Tells whether there is a watchdog still.
fn beat(pipe: &Mutex<Option<ChildStdin>>) -> bool {
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    let written = pipe.as_mut().map(|pipe| pipe.write(&[0]));
    match written {
        // A pipe that is full has told enough.
        Some(Err(error)) => error.kind() == std::io::ErrorKind::WouldBlock,
        Some(Ok(_)) => true,
        None => false,
    }
}

/// A watchdog that was armed by this process.
pub(super) struct Watch {
    child: Child,
    heart: Heart,
}

/// What a watchdog is to watch.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The folder that stands for `/`.
    pub root: PathBuf,
    /// Whether that is the machine itself.
    pub is_machine: bool,
    /// The transaction.
    pub id: String,
    /// How long it waits after the last sign of life.
    pub window: Duration,
}

impl Watch {
    /// Arms a watchdog in the caller's network namespace; it watches when this returns.
    ///
    /// With `beats_itself` this process is the client, and tells by itself that it lives.
    pub(super) fn arm(
        watched: &Watched,
        systemd: bool,
        heart: &Heart,
        beats_itself: bool,
    ) -> Result<(Self, Armed), HostError> {
        let (watch, armed) = in_scope_or_not(systemd.then_some(|| Self::start(scope(watched), heart)), || {
            Self::start(Ok(plain(watched)), heart)
        })?;
        if beats_itself {
            heart.go_on();
        }
        Ok((watch, armed))
    }

    fn start(command: Result<Command, HostError>, heart: &Heart) -> Result<Self, HostError> {
        let doing = "arm the watchdog";
        let failed = |error: std::io::Error| HostError::file("run", "lvsctl watchdog", &error);
        let mut command = command?;
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (pipe, said, wrong) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let first = first_line(said);
        match first.recv_timeout(START) {
            Ok(line) if line == ARMED => {}
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                let mut text = String::new();
                let _ = wrong.map(|mut wrong| wrong.read_to_string(&mut text));
                let exit = "no sign that it watches".to_owned();
                return Err(HostError::Program { doing: doing.into(), program: "lvsctl".into(), exit, text });
            }
        }
        if let Some(pipe) = &pipe {
            // A watchdog that is held up must not hold up anybody else.
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK).map_err(|errno| failed(errno.into()))?;
        }
        heart.set(pipe);
        heart.beat();
        Ok(Watch { child, heart: heart.clone() })
    }

    /// Tells whether it still watches.
    pub(super) fn is_awake(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end of a watchdog that has nothing to watch any more.
    pub(super) fn end(mut self) {
        self.heart.set(None);
        wait_until(END, || !self.is_awake());
    }
}

/// Starts a watchdog in a scope of systemd's; where that fails, without one, which is said.
fn in_scope_or_not<T>(
    scoped: Option<impl FnOnce() -> Result<T, HostError>>,
    plain: impl FnOnce() -> Result<T, HostError>,
) -> Result<(T, Armed), HostError> {
    let warning = match scoped.map(|start| start()) {
        Some(Ok(watch)) => return Ok((watch, Armed::default())),
        Some(Err(error)) => Some(format!(
            "the watchdog has no scope of systemd's, and where logind ends what a user has left (KillUserProcesses=yes) it \
             ends with the login: {error}"
        )),
        None => None,
    };
    Ok((plain()?, Armed { warning }))
}

fn arguments(watched: &Watched) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = vec![COMMAND.into(), "--root".into(), watched.root.clone().into()];
    arguments.extend(["--id".into(), watched.id.clone().into(), "--window".into()]);
    arguments.push(format!("{}ms", watched.window.as_millis()).into());
    arguments.extend(watched.is_machine.then(|| "--machine".into()));
    arguments
}

/// This very program, under its own name.
fn plain(watched: &Watched) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("lvsctl").args(arguments(watched));
    program::with_plain_environment(&mut command);
    command
}

/// The copy of this program that is beside the journal, in a scope of systemd's.
fn scope(watched: &Watched) -> Result<Command, HostError> {
    let mut command = program::command("arm the watchdog", "systemd-run")?;
    let unit = format!("--unit=lvsctl-watchdog-{}", watched.id);
    command.args(["--scope", "--quiet", "--collect", &unit, "--", PROGRAM]).args(arguments(watched));
    Ok(command)
}

fn first_line(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (line, received) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What is not said to the end is nothing.
        let _ = pipe.map(|pipe| pipe.take(ARMED.len() as u64).read_to_end(&mut bytes));
        let _ = line.send(bytes);
    });
    received
}

/// Is the watchdog: watches until the transaction is over, one way or the other.
pub fn serve(watched: &Watched) -> Result<(), HostError> {
    detach();
    let files = Files::new(&watched.root);
    let _watching = watch(&files, END)?;
    let Some(journal) = Journal::open(&files)? else { return Ok(()) };
    if journal.glance()?.head.transaction.id != watched.id {
        return Ok(());
    }
    let heard = signs_of_life();
    // Whoever armed it is told and not heard of any more.
    let _ = std::io::stdout().write_all(ARMED).and_then(|()| std::io::stdout().flush());
    be_silent();
    let mut deadline = Instant::now() + watched.window;
    while Instant::now() < deadline && journal.is_in_place() {
        let left = deadline.saturating_duration_since(Instant::now()).min(TICK);
        match heard.recv_timeout(left) {
            Ok(()) => deadline = Instant::now() + watched.window,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(left),
        }
    }
    if !journal.is_in_place() {
        return Ok(());
    }
    drop(journal);
    let mut session = Session::new(&watched.root, watched.is_machine);
    revert(&mut session, &watched.id, Cause::Unconfirmed, Attempts::Many).map(drop)
}

/// Leaves the session, the folder and the memory pressure of whoever started this process.
fn detach() {
    // Only a leader cannot, and it has one of its own.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    // The last to go when memory is short (proc_pid_oom_score_adj(5)).
    let _ = fs::write(Path::new("/proc/self/oom_score_adj"), "-1000");
}

/// Closes what is left of standard output and standard error, which may belong to a connection.
fn be_silent() {
    if let Ok(nowhere) = File::options().write(true).open("/dev/null") {
        // A pipe that stays open keeps nobody but this process waiting.
        let _ = rustix::stdio::dup2_stdout(&nowhere);
        let _ = rustix::stdio::dup2_stderr(&nowhere);
    }
}

fn signs_of_life() -> Receiver<()> {
    let (signs, heard) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().lock().read(&mut buffer), Ok(1..)) {
            if signs.send(()).is_err() {
                return;
            }
        }
    });
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_without_a_scope_is_told_of() {
        let refused = || Err(HostError::Malformed { doing: "arm the watchdog".into(), text: "no bus".into() });
        let (name, armed) = in_scope_or_not(Some(refused), || Ok("plain")).unwrap();
        assert!(name == "plain" && armed.warning.is_some_and(|text| text.contains("no bus")));
        assert_eq!(in_scope_or_not(Some(|| Ok("scope")), refused), Ok(("scope", Armed::default())));
        let none: Option<fn() -> Result<&'static str, HostError>> = None;
        assert_eq!(in_scope_or_not(none, || Ok("plain")), Ok(("plain", Armed::default())), "no systemd, no word of it");
        assert!(in_scope_or_not(Some(refused), refused).is_err());
    }
}
