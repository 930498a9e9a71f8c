//! How far an apply is: the journals of its hosts, looked at whenever something is written there.

use std::fs::{self, Permissions};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, Signal};

/// How long an apply may go on before it has begun what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder of journals on a host.
const FOLDER: &str = "var/lib/lvsctl/journal";

/// Watches the journals of a site's hosts.
pub struct Watch {
    notices: OwnedFd,
    journals: Vec<PathBuf>,
}

/// How far an apply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// How many runs of effects were begun on all hosts.
    pub runs: usize,
    /// The host on which the last one was.
    pub host: usize,
}

impl Watch {
    /// Begins to watch hosts by their folders; the folders of journals are made so that they stay.
    pub fn new(roots: &[PathBuf]) -> Self {
        let notices = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify");
        let journals = roots.iter().map(|root| {
            let folder = root.join(FOLDER);
            fs::create_dir_all(&folder).expect("the folder of journals");
            fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("its mode");
            // A folder with something in it is not removed.
            fs::write(folder.join("kept"), "").expect("a file");
            let flags = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::DELETE;
            inotify::add_watch(&notices, &folder, flags).expect("a watch");
            folder.join("transaction")
        });
        let journals = journals.collect();
        Watch { notices, journals }
    }

    /// Tells whether an apply is open on a host.
    pub fn is_open(&self, host: usize) -> bool {
        self.journals[host].exists()
    }

    /// Waits until so many runs were begun and holds the processes that perform; `None` if the apply ends before.
    pub fn hold_at(&self, runs: usize, child: &mut Child) -> Option<(Reached, Held)> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = vec![0; self.journals.len()];
        loop {
            let now: Vec<usize> = self.journals.iter().map(begun).collect();
            let changed = (0..now.len()).rfind(|host| now[*host] > before[*host]);
            if let Some(host) = changed.filter(|_| now.iter().sum::<usize>() >= runs) {
                let held = self.hold();
                let runs = self.journals.iter().map(begun).sum();
                return Some((Reached { runs, host }, held));
            }
            before = now;
            if child.try_wait().expect("a child").is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "the apply stands still");
            self.await_notice();
        }
    }

    /// Counts the runs of an apply that nothing happens to.
    pub fn count(&self, child: &mut Child) -> usize {
        let mut most = vec![0; self.journals.len()];
        while child.try_wait().expect("a child").is_none() {
            for (most, journal) in most.iter_mut().zip(&self.journals) {
                *most = begun(journal).max(*most);
            }
            self.await_notice();
        }
        most.iter().sum()
    }

    fn await_notice(&self) {
        let mut polled = [PollFd::new(&self.notices, PollFlags::IN)];
        let within = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        // Whatever wakes it up, it looks.
        let _ = poll(&mut polled, Some(&within));
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut notices = inotify::Reader::new(&self.notices, &mut buffer);
        while notices.next().is_ok() {}
    }

    /// Stops the processes that perform, so that nothing goes on while something is made to go wrong.
    fn hold(&self) -> Held {
        let performers: Vec<Option<Pid>> = self.journals.iter().map(performer).collect();
        for pid in performers.iter().flatten() {
            let _ = rustix::process::kill_process(*pid, Signal::STOP);
        }
        Held { performers }
    }
}

/// The processes that perform, which stand still until this is dropped.
pub struct Held {
    performers: Vec<Option<Pid>>,
}

impl Held {
    /// Kills the one of a host.
    pub fn kill(&self, host: usize) {
        if let Some(pid) = self.performers[host] {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for pid in self.performers.iter().flatten() {
            let _ = rustix::process::kill_process(*pid, Signal::CONT);
        }
    }
}

fn begun(journal: &PathBuf) -> usize {
    fs::read_to_string(journal).unwrap_or_default().matches(" {\"intent\":").count()
}

/// Returns the process that a journal's first line names.
fn performer(journal: &PathBuf) -> Option<Pid> {
    let text = fs::read_to_string(journal).ok()?;
    let (_, head) = text.lines().next()?.split_once(' ')?;
    let head: serde_json::Value = serde_json::from_str(head).ok()?;
    Pid::from_raw(i32::try_from(head["head"]["performer"][0].as_i64()?).ok()?)
}
