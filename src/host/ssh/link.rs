//! libssh2 that never blocks: a call that has to wait is repeated when the socket is ready, until a deadline.
//!
//! A blocking libssh2 can wait for ever, for instance while the far side is blocked on a full standard error. Here every wait
//! is a poll(2) with a deadline. A call that could not send all of its packet must be repeated before any other one is made,
//! or libssh2 would mix the packets up; [`Link::attempt`] sees to that.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use ssh2::{BlockDirections, ErrorCode, Session};

use super::stream::{Socket, Stream};

/// `LIBSSH2_ERROR_EAGAIN` of libssh2.h: the call has to wait for the socket.
const AGAIN: ErrorCode = ErrorCode::Session(-37);

/// How long the socket is waited for before a sign of life is due.
const PAUSE: Duration = Duration::from_secs(5);

/// How often the far side hears from us while we wait for it, in seconds.
const SIGN_OF_LIFE: u32 = 10;

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The deadline was over.
    Late,
    /// libssh2 or the system says so.
    Said(String),
}

/// What a call may say that is to be repeated.
pub(super) trait WouldBlock {
    fn would_block(&self) -> bool;

    /// Returns what is wrong, without numbers.
    fn words(&self) -> String;
}

impl WouldBlock for ssh2::Error {
    fn would_block(&self) -> bool {
        self.code() == AGAIN
    }

    fn words(&self) -> String {
        self.message().to_owned()
    }
}

impl WouldBlock for io::Error {
    fn would_block(&self) -> bool {
        self.kind() == io::ErrorKind::WouldBlock
    }

    fn words(&self) -> String {
        super::stream::plain(self)
    }
}

/// A session of libssh2 and the connection that it runs over.
pub(super) struct Link {
    pub(super) session: Session,
    pub(super) stream: Stream,
}

impl Link {
    /// Makes a session that does not block.
    pub(super) fn new(stream: Stream) -> Result<Self, ssh2::Error> {
        let mut session = Session::new()?;
        session.set_blocking(false);
        session.set_tcp_stream(stream.socket.clone());
        session.set_keepalive(false, SIGN_OF_LIFE);
        Ok(Link { session, stream })
    }

    /// Returns the socket.
    pub(super) fn socket(&self) -> &Socket {
        &self.stream.socket
    }

    /// Makes a call and repeats it until it has ended.
    pub(super) fn complete<T, E: WouldBlock>(
        &self,
        deadline: Instant,
        mut call: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Failure> {
        loop {
            if let Some(value) = self.attempt(deadline, &mut call)? {
                return Ok(value);
            }
            self.wait(deadline)?;
        }
    }

    /// Makes a call; `None` means that it waits for the far side, and that another call may be made meanwhile.
    pub(super) fn attempt<T, E: WouldBlock>(
        &self,
        deadline: Instant,
        mut call: impl FnMut() -> Result<T, E>,
    ) -> Result<Option<T>, Failure> {
        loop {
            match call() {
                Ok(value) => return Ok(Some(value)),
                Err(error) if !error.would_block() => return Err(Failure::Said(error.words())),
                Err(_) => match self.session.block_directions() {
                    BlockDirections::Outbound | BlockDirections::Both => self.ready(deadline)?,
                    BlockDirections::Inbound | BlockDirections::None => return Ok(None),
                },
            }
        }
    }

    /// Waits until the far side says something, and lets it hear from us meanwhile.
    pub(super) fn wait(&self, deadline: Instant) -> Result<(), Failure> {
        // Before the login libssh2 takes this for nothing to do; an error shows in the call that is waited for.
        if self.session.authenticated() {
            self.attempt(deadline, || self.session.keepalive_send().map(drop))?;
        }
        self.ready(deadline)
    }

    fn ready(&self, deadline: Instant) -> Result<(), Failure> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(Failure::Late);
        }
        let events = match self.session.block_directions() {
            BlockDirections::Outbound | BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
            BlockDirections::Inbound | BlockDirections::None => PollFlags::IN,
        };
        let pause = remaining.min(PAUSE);
        let timeout = Timespec {
            tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(pause.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(self.socket(), events)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(Failure::Said(error.to_string())),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A good-bye that is sent at once or not at all.
        let _ = self.session.disconnect(None, "done", None);
        self.socket().cut();
    }
}
