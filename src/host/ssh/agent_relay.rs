//! Stands between libssh2 and the operator's agent, which is waited for as long as a login may take, and no longer.
//!
//! libssh2 waits for an agent without an end: for one that asks somebody who is not there (`ssh-add -c`), for a key that wants to be
//! touched, for one that hangs up over a question. Here it asks a thread of ours, which always answers, with a failure if need be.
//! The programs that other threads start inherit libssh2's own socket, which it does not mark to be closed; what they inherit leads
//! here and nowhere once the relay is dropped, and our socket to the agent is closed in them.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use super::key_agent::LONGEST;

/// `SSH_AGENT_FAILURE`, whole, and its number (draft-miller-ssh-agent, section 4.2).
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// Where libssh2 is to find its agent.
pub(super) struct Door {
    folder: TempDir,
    listener: UnixListener,
}

impl Door {
    /// Makes a place that nobody else can get to.
    pub(super) fn open() -> io::Result<Self> {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir()?;
        let listener = UnixListener::bind(folder.path().join(NAME))?;
        listener.set_nonblocking(true)?;
        Ok(Door { folder, listener })
    }

    /// Returns the socket's path.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Goes on with libssh2, which has connected, and takes what it asks to an agent until a deadline.
    pub(super) fn relay(self, agent: &Path, deadline: Instant) -> io::Result<Relay> {
        let (near, _) = self.listener.accept()?;
        let relay = Relay { near: near.try_clone()?, trouble: Arc::default() };
        let (agent, trouble) = (agent.to_owned(), Arc::clone(&relay.trouble));
        thread::Builder::new().name("lvsctl-agent".into()).spawn(move || carry(near, &agent, deadline, &trouble))?;
        Ok(relay)
    }
}

const NAME: &str = "agent";

/// Why an agent did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The deadline was over.
    Late,
    /// It would not, or is gone.
    Refused,
}

/// A connection of libssh2 to an agent; it ends when this is dropped.
pub(super) struct Relay {
    near: UnixStream,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Relay {
    /// Returns what went wrong first.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It ends the thread as well, which may still wait for a question.
        let _ = self.near.shutdown(Shutdown::Both);
    }
}

fn carry(mut near: UnixStream, agent: &Path, deadline: Instant, trouble: &Mutex<Option<Trouble>>) {
    let mut far = UnixStream::connect(agent).ok();
    while let Ok(question) = message(&mut near) {
        let asked = far.as_ref().map(|far| ask(&mut Until { far, deadline }, &question));
        let (answer, came_of) = match asked {
            Some(Ok(answer)) if answer != FAILURE => (answer, None),
            Some(Err(error)) if is_late(&error) => (FAILURE.to_vec(), Some(Trouble::Late)),
            Some(_) | None => (FAILURE.to_vec(), Some(Trouble::Refused)),
        };
        if let Some(came_of) = came_of {
            // What comes later would be taken for the answer to another question.
            far = None;
            trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(came_of);
        }
        if near.write_all(&answer).is_err() {
            return;
        }
    }
}

fn ask(far: &mut Until<'_>, question: &[u8]) -> io::Result<Vec<u8>> {
    far.write_all(question)?;
    message(far)
}

/// Reads a message with the length before it.
fn message(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let body = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if body > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = [&length[..], &vec![0; body]].concat();
    from.read_exact(message.split_at_mut(length.len()).1)?;
    Ok(message)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// An agent until a deadline, however little it says at a time.
struct Until<'a> {
    far: &'a UnixStream,
    deadline: Instant,
}

impl Until<'_> {
    fn left(&self) -> io::Result<std::time::Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.far.set_read_timeout(Some(self.left()?))?;
        self.far.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.far.set_write_timeout(Some(self.left()?))?;
        self.far.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.far.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Longer than anything here takes that does not hang.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Asks an agent twice through a relay and returns the answers with the trouble.
    fn asked(agent: impl FnOnce(UnixStream) + Send + 'static, within: Duration) -> (Vec<u8>, Option<Trouble>, Relay) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("real")).unwrap();
        thread::spawn(move || agent(listener.accept().unwrap().0));
        let door = Door::open().unwrap();
        let mut near = UnixStream::connect(door.path()).unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        let relay = door.relay(&folder.path().join("real"), Instant::now() + within).unwrap();
        near.write_all(&[0, 0, 0, 2, 13, 7]).unwrap();
        let answer = message(&mut near).unwrap();
        let trouble = relay.trouble();
        (answer, trouble, relay)
    }

    #[test]
    fn an_agent_is_heard_and_one_that_says_nothing_or_hangs_up_is_a_failure() {
        let answers = |mut agent: UnixStream| {
            assert_eq!(message(&mut agent).unwrap(), [0, 0, 0, 2, 13, 7]);
            agent.write_all(&[0, 0, 0, 2, 14, 9]).unwrap();
        };
        let (answer, trouble, _relay) = asked(answers, PATIENCE);
        assert_eq!((&answer[..], trouble), (&[0, 0, 0, 2, 14, 9][..], None));
        let refuses = |mut agent: UnixStream| agent.write_all(&FAILURE).unwrap();
        assert_eq!(asked(refuses, PATIENCE).1, Some(Trouble::Refused));
        let (answer, trouble, _relay) = asked(drop, PATIENCE);
        assert_eq!((&answer[..], trouble), (&FAILURE[..], Some(Trouble::Refused)));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let silent = move |agent: UnixStream| {
            let _ = held.recv();
            drop(agent);
        };
        let (answer, trouble, _relay) = asked(silent, Duration::from_millis(200));
        assert_eq!((&answer[..], trouble), (&FAILURE[..], Some(Trouble::Late)));
        drop(release);
    }

    #[test]
    fn what_somebody_has_inherited_of_libssh2_leads_nowhere_when_the_relay_is_dropped() {
        let door = Door::open().unwrap();
        let mut inherited = UnixStream::connect(door.path()).unwrap();
        inherited.set_read_timeout(Some(PATIENCE)).unwrap();
        drop(door.relay(Path::new("/nonexistent"), Instant::now() + PATIENCE).unwrap());
        assert_eq!(inherited.read(&mut [0]).unwrap(), 0, "the connection has ended");
    }
}
