//! keepalived as a daemon: by systemd where that runs, else started directly with files below the host's root.
//!
//! Which configuration it has read cannot be asked of it. A marker file notes it at every start and reload; without one
//! a process that is younger than the file has read the file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use super::HostError;
use super::files::Files;
use super::keepalived_check::without_passwords;
use super::process::{Process, wait_until};
use super::program;
use crate::effect::DaemonState;

const PROGRAM: &str = "keepalived";
const CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";
const PID: &str = "/run/keepalived.pid";
const VRRP: &str = "/run/keepalived_vrrp.pid";
const CHECKERS: &str = "/run/keepalived_checkers.pid";
const MARKER: &str = "/run/lvsctl-keepalived.loaded";
const LOG: &str = "/var/log/keepalived.log";

/// How long it may take to start, and to stop: it takes down one VIP and one service after the other.
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(20);

/// How long a child without its parent may take to give up its VIPs and services before it is killed.
const LEFTOVER: Duration = Duration::from_secs(5);

/// A configuration that needs neither of its children leaves it alone; this long is waited for one of them.
const CHILDREN: Duration = Duration::from_secs(2);

/// How much of the log's end is worth showing.
const LOG_TAIL: u64 = 4096;

/// keepalived on one host.
pub(super) struct Keepalived<'a> {
    /// Where its files are.
    pub(super) files: &'a Files,
    /// Whether it is a service of systemd.
    pub(super) systemd: bool,
}

impl Keepalived<'_> {
    /// Tells whether it runs, and which configuration it has read.
    pub(super) fn state(&self) -> Result<DaemonState, HostError> {
        let Some(process) = self.running()? else { return Ok(DaemonState::default()) };
        Ok(DaemonState { pid: Some(process.pid), configuration: self.configuration_of(&process)? })
    }

    /// Starts it and waits until it runs; one that runs already reads its configuration again.
    pub(super) fn start(&self, configuration: &str) -> Result<(), HostError> {
        if self.running()?.is_some() {
            return self.reload(configuration);
        }
        let doing = "start keepalived";
        let spawned = if self.systemd {
            self.systemctl(doing, "start")?;
            None
        } else {
            self.end_leftovers()?;
            Some(self.spawn(doing)?)
        };
        let process = self.started(doing, spawned)?;
        self.note(&process, configuration)
    }

    /// Makes it read its configuration again, which it does some time later.
    pub(super) fn reload(&self, configuration: &str) -> Result<(), HostError> {
        let doing = "reload keepalived";
        let process = self.running()?.ok_or_else(|| self.did_not(doing, "it does not run"))?;
        if self.systemd {
            self.systemctl(doing, "reload")?;
        } else {
            process.signal(Signal::HUP);
        }
        self.note(&process, configuration)
    }

    /// Stops it and waits until it is gone with its children, its VIPs and its services.
    pub(super) fn stop(&self) -> Result<(), HostError> {
        let doing = "stop keepalived";
        if let Some(process) = self.running()? {
            if self.systemd {
                self.systemctl(doing, "stop")?;
            } else {
                process.signal(Signal::TERM);
            }
            if !process.wait(STOP) {
                return Err(HostError::Timeout { doing: doing.into(), within: STOP });
            }
        }
        self.end_leftovers()?;
        self.files.remove(MARKER)
    }

    fn running(&self) -> Result<Option<Process>, HostError> {
        if !self.systemd {
            return Ok(Process::named_in(&self.files.locate(PID)?, PROGRAM));
        }
        let doing = "look for keepalived";
        let arguments: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"show", &"--property=MainPID", &"--value", &PROGRAM];
        let shown = program::succeed(doing, "systemctl", &arguments, None, START)?;
        Ok(shown.trim().parse().ok().filter(|pid| *pid != 0).and_then(|pid| Process::find(pid, PROGRAM)))
    }

    fn systemctl(&self, doing: &str, verb: &str) -> Result<(), HostError> {
        program::succeed(doing, "systemctl", &[&verb, &PROGRAM], None, START + STOP).map(drop)
    }

    /// Ends children whose parent was killed, so that they hold no VIP against the new ones.
    fn end_leftovers(&self) -> Result<(), HostError> {
        for pid_file in [VRRP, CHECKERS] {
            let place = self.files.locate(pid_file)?;
            if let Some(child) = Process::named_in(&place, PROGRAM) {
                child.signal(Signal::TERM);
                if !child.wait(LEFTOVER) {
                    child.signal(Signal::KILL);
                    child.wait(LEFTOVER);
                }
            }
            if !self.systemd {
                self.files.remove(pid_file)?;
            }
        }
        if self.systemd { Ok(()) } else { self.files.remove(PID) }
    }

    /// Starts it in a session of its own: it must outlive this process and its terminal. It does not fork, because a
    /// daemon of its own making has no way left to say what is wrong where no syslog listens.
    fn spawn(&self, doing: &str) -> Result<Child, HostError> {
        if program::find(PROGRAM).is_none() {
            return Err(program::missing(doing, PROGRAM));
        }
        let log = self.files.make_folder_of(LOG)?;
        let log = OpenOptions::new().create(true).write(true).truncate(true).mode(0o640).open(log);
        let log = log.map_err(|error| HostError::file("write", LOG, &error))?;
        let errors = log.try_clone().map_err(|error| HostError::file("write", LOG, &error))?;
        let mut command = program::command(doing, "setsid")?;
        command.args([PROGRAM, "--dont-fork", "--log-console", "--log-detail"]);
        for (option, path) in [("-f", CONFIGURATION), ("-p", PID), ("-r", VRRP), ("-c", CHECKERS)] {
            command.arg(option).arg(self.files.make_folder_of(path)?);
        }
        let child = command.current_dir("/").stdout(log).stderr(errors).spawn();
        child.map_err(|error| HostError::file("run", PROGRAM, &error))
    }

    /// Waits until it has said its number and started a child of its own, or has ended.
    fn started(&self, doing: &str, mut spawned: Option<Child>) -> Result<Process, HostError> {
        let mut ended = move || spawned.as_mut().and_then(|child| child.try_wait().ok().flatten()).map(program::ending);
        let mut ending = None;
        let mut process = None;
        wait_until(START, || {
            process = self.running().unwrap_or_default();
            ending = ended();
            process.is_some() || ending.is_some()
        });
        let has_child = || {
            let places = [VRRP, CHECKERS].map(|path| self.files.locate(path));
            places.iter().flatten().any(|place| Process::named_in(place, PROGRAM).is_some())
        };
        if let Some(process) = process {
            wait_until(CHILDREN, || !process.is_running() || has_child());
            if process.is_running() {
                return Ok(process);
            }
            ending = ended();
        }
        Err(self.did_not(doing, ending.as_deref().unwrap_or("no process that runs")))
    }

    fn did_not(&self, doing: &str, exit: &str) -> HostError {
        let text = if self.systemd { "see journalctl -u keepalived".into() } else { self.log_tail() };
        HostError::Program { doing: doing.into(), program: PROGRAM.into(), exit: exit.into(), text }
    }

    fn log_tail(&self) -> String {
        let tail = || {
            let mut file = File::open(self.files.locate(LOG).ok()?).ok()?;
            let length = file.metadata().ok()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL))).ok()?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL).read_to_end(&mut bytes).ok()?;
            Some(without_passwords(&String::from_utf8_lossy(&bytes)))
        };
        tail().unwrap_or_else(|| format!("nothing is in {LOG}"))
    }

    /// Notes which process has read which configuration, and what the file was like then.
    fn note(&self, process: &Process, configuration: &str) -> Result<(), HostError> {
        let there = fs::read(self.files.locate(CONFIGURATION)?).map(|bytes| digest(&bytes)).unwrap_or_default();
        let text = format!("{} {} {configuration} {there}\n", process.pid, process.started);
        self.files.write(MARKER, &text, 0o600, false, |_| Ok(()))
    }

    fn configuration_of(&self, process: &Process) -> Result<Option<String>, HostError> {
        let place = self.files.locate(CONFIGURATION)?;
        let there = || fs::read(&place).ok().map(|bytes| digest(&bytes));
        let marker = self.files.read(MARKER)?.map(|file| file.text).unwrap_or_default();
        if let [pid, started, configuration, then] = marker.split_whitespace().collect::<Vec<_>>()[..]
            && pid == process.pid.to_string()
            && started == process.started.to_string()
        {
            // Whoever has edited the file since may have had it read as well, and nothing tells.
            let is_as_it_was = there().is_some_and(|there| there == then);
            return Ok(is_as_it_was.then(|| configuration.to_owned()));
        }
        let changed = fs::metadata(&place).and_then(|data| data.modified()).ok();
        let unchanged = changed.zip(process.started_at()).is_some_and(|(changed, started)| changed < started);
        Ok(if unchanged { there() } else { None })
    }
}

/// Returns the digest by which a configuration is known: SHA-256 of its bytes in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
