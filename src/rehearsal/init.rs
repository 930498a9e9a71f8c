//! The guest's side of a disposable kernel: its first process, and the worker that it starts.
//!
//! The first process lays a writable memory file system over the host's read-only root, so that every program finds the
//! folders that it writes to and nothing reaches the host; it mounts what a system needs, starts this program once more
//! as the worker, buries whatever dies (daemons become its children), and powers off when the worker is gone. The work
//! itself is an [`Entry`] that the program hands in.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::mount::MountFlags;
use rustix::process::WaitOptions;
use rustix::system::RebootCommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::base::Base;
use super::channel::{GuestEnd, Message};
use super::{extended_state, keeper};

/// The variable that the kernel's command line puts into the first process's environment: the host's work folder.
pub const GUEST_VARIABLE: &str = "LVSCTL_GUEST";

/// The name under which this program is the worker.
const WORKER_NAME: &str = "lvsctl-guest-worker";

/// Where the guest sees the work folder.
pub(super) const WORK: &str = "/run/lvsctl-work";

/// The folders that programs write to and that must exist, whatever the host has.
const FOLDERS: &[&str] = &["/run/netns", "/run/lock", "/run/lab", "/lib/modules", "/root", "/var/log", "/var/lib"];

/// What a program does in the guest; the text of an error reaches the host.
pub type Entry = fn(&Guest) -> Result<(), String>;

/// The worker's connection to the host.
#[derive(Clone, Debug)]
pub struct Guest {
    channel: GuestEnd,
}

impl Guest {
    /// Returns what the host asks for.
    pub fn request<Request: DeserializeOwned>(&self) -> Result<Request, String> {
        self.channel.request()
    }

    /// Tells the host something.
    pub fn emit<Event: Serialize>(&self, event: Event) -> Result<(), String> {
        self.channel.send(&Message::Event(event)).map_err(|error| format!("The host cannot be told: {error}"))
    }
}

/// Does what this process was started for if it is a keeper, a guest's first process or its worker, and does not return
/// then; to be called first thing in `main`.
pub fn run_if_init(entry: Entry) {
    if let Some(code) = keeper::run_if_keeper() {
        std::process::exit(code);
    }
    if let Some(work) = std::env::var_os(GUEST_VARIABLE)
        && std::process::id() == 1
    {
        // What is printed is on the console, which the host shows if the work does not come to its end.
        if let Err(error) = first_process(Path::new(&work)) {
            eprintln!("{error}");
        }
        let _ = rustix::system::reboot(RebootCommand::PowerOff);
        std::process::exit(1);
    }
    if std::env::args_os().next().is_some_and(|name| name == WORKER_NAME) && is_guest() {
        let guest = Guest { channel: GuestEnd::new(WORK) };
        let error = entry(&guest).err();
        let sent = guest.channel.send(&Message::<()>::Finished { error });
        std::process::exit(i32::from(sent.is_err()));
    }
}

/// Tells whether this process runs in a disposable kernel; what must never touch the host asks this first.
///
/// No other kernel is given the variable when it is booted, and nobody can change what it was given.
pub fn is_guest() -> bool {
    let begins = |word: &str| word.strip_prefix(GUEST_VARIABLE).is_some_and(|rest| rest.starts_with('='));
    fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.split_whitespace().any(begins))
}

fn first_process(work: &Path) -> Result<(), String> {
    let base = Base::find()?;
    base.enter()?;
    for folder in FOLDERS {
        fs::create_dir_all(folder).map_err(|error| format!("{folder} cannot be made: {error}"))?;
    }
    fs::create_dir_all(WORK).map_err(|error| format!("{WORK} cannot be made: {error}"))?;
    base.mount_work(work)?;
    let channel = GuestEnd::new(WORK);
    prepare_system(base.iptables())?;
    channel.send(&Message::<()>::Booted { milliseconds: uptime().as_millis() as u64 }).map_err(|e| e.to_string())?;
    worker()
}

fn prepare_system(iptables: &str) -> Result<(), String> {
    extended_state::hide_in_guest()?;
    fs::create_dir_all("/dev/pts").map_err(|error| format!("/dev/pts cannot be made: {error}"))?;
    mount("devpts", "/dev/pts", MountFlags::empty(), "")?;
    rustix::system::sethostname(b"rehearsal").map_err(|error| format!("The host name cannot be set: {error}"))?;
    // Which iptables works is the kernel's matter, whatever the host means by the name.
    for name in ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"] {
        let link = Path::new("/usr/sbin").join(name);
        let _ = fs::remove_file(&link);
        symlink(iptables, &link).map_err(|error| format!("{} cannot be set: {error}", link.display()))?;
    }
    // Nobody waits for a name server that the guest cannot reach.
    for (file, text) in [("/etc/hosts", "127.0.0.1 localhost rehearsal\n"), ("/etc/resolv.conf", "")] {
        let _ = fs::remove_file(file);
        fs::write(file, text).map_err(|error| format!("{file} cannot be written: {error}"))?;
    }
    let status = Command::new("/bin/ip").args(["link", "set", "lo", "up"]).env("PATH", PATH).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("The loopback interface cannot be set up: {other:?}")),
    }
}

/// Where the guest's programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the worker and waits for every process until the worker itself is gone.
fn worker() -> Result<(), String> {
    let child = Command::new("/proc/self/exe")
        .arg0(WORKER_NAME)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("TMPDIR", "/tmp")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("The guest's work cannot be started: {error}"))?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == child.id() => {
                return match status.exit_status() {
                    Some(0) => Ok(()),
                    _ => Err(format!("The guest's work ended without a result: {status:?}")),
                };
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("The guest's work cannot be waited for: {error}")),
        }
    }
}

pub(super) fn mount(kind: &str, target: &str, flags: MountFlags, data: &str) -> Result<(), String> {
    let data = std::ffi::CString::new(data).map_err(|error| error.to_string())?;
    rustix::mount::mount(kind, target, kind, flags, Some(data.as_c_str()))
        .map_err(|error| format!("{kind} cannot be mounted on {target}: {error}"))
}

fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    Duration::from_secs_f64(seconds)
}
