//! A thread that enters a network namespace once and then does whatever it is handed.
//!
//! A namespace belongs to a thread, and so do the sockets, the parameters below /proc/sys/net and the programs that the
//! thread opens, reads and starts. Entering is for good, which is why the thread is the worker's own.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::HostError;
use super::session::Session;
use super::watchdog::Heart;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// A thread with a session of its own, which ends when the worker is dropped.
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread in a namespace below `/run/netns`, or in this process's own. With a heart the client is not this
    /// process, and says by that heart that it lives.
    pub(super) fn start(root: &Path, namespace: Option<&str>, heart: Option<Heart>) -> Result<Self, HostError> {
        let entrance = namespace.map(open_namespace).transpose()?;
        let (jobs, received) = channel::<Job>();
        let (entered, has_entered) = channel();
        let root = root.to_owned();
        let work = move || {
            let result = entrance.as_ref().map_or(Ok(()), |entrance| {
                move_into_link_name_space(entrance.as_fd(), Some(LinkNameSpaceType::Network))
            });
            let is_inside = result.is_ok();
            if entered.send(result).is_err() || !is_inside {
                return;
            }
            let mut session = Session::new(&root, entrance.is_none());
            if let Some(heart) = heart {
                session = session.with_client_elsewhere(heart);
            }
            received.iter().for_each(|job| job(&mut session));
        };
        let thread = thread::Builder::new().name("lvsctl-host".into()).spawn(work);
        let thread = thread.map_err(|error| HostError::Unreachable { text: error.to_string() })?;
        match has_entered.recv() {
            Ok(Ok(())) => Ok(Worker { jobs: Some(jobs), thread: Some(thread) }),
            Ok(Err(errno)) => Err(HostError::kernel("enter the network namespace", errno, |_| None)),
            Err(_) => Err(gone()),
        }
    }

    /// Does something on the thread and waits for what comes of it.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<T, HostError> {
        let (answer, answered) = channel();
        let job: Job = Box::new(move |session| {
            // Nobody is left to tell if the caller has gone.
            let _ = answer.send(work(session));
        });
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        answered.recv().map_err(|_| gone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        // A thread that panicked has said so already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn gone() -> HostError {
    HostError::Unreachable { text: "the thread that works on it has ended".into() }
}

fn open_namespace(name: &str) -> Result<File, HostError> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(HostError::Unreachable { text: format!("{name:?} is no name of a network namespace") });
    }
    File::open(Path::new("/run/netns").join(name)).map_err(|error| HostError::Unreachable {
        text: format!("there is no network namespace {name} in /run/netns: {error}"),
    })
}
