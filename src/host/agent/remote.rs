//! The client's side: a host whose probes and effects an agent answers and performs.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use super::frame::{self, FrameError};
use super::message::{Hello, PROTOCOL, Reply, Request, Sent};
use super::opening::{Opening, listen};
use super::transport::{Timed, Transport};
use crate::effect::{Answer, Capabilities, Effect, Probe};
use crate::host::{Host, HostError};

/// How often an agent is told that its client is there: several times in the time after which it gives up
/// ([`super::Rhythm::lost`]).
const SIGN: Duration = Duration::from_secs(5);

/// How long an agent may take to end when it was told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// A host on the other end of a connection.
pub struct RemoteHost<T: Transport> {
    line: Arc<Mutex<Line<T>>>,
    hello: Hello,
    /// Dropped with the host, which ends the thread that gives signs.
    _signs: Sender<()>,
}

/// A connection, and what is known of its state.
struct Line<T: Transport> {
    transport: T,
    /// How long the next word of the agent may take.
    silence: Duration,
    /// Why nothing can be asked any more.
    broken: Option<HostError>,
    requests: u64,
}

impl<T: Transport + 'static> RemoteHost<T> {
    /// Hears who is there; nobody may be silent for longer than `silence`.
    pub fn greet(mut transport: T, silence: Duration) -> Result<Self, HostError> {
        match listen(&mut transport, silence, silence) {
            Ok(Opening::Agent(hello)) => RemoteHost::begin(transport, hello, silence),
            Ok(Opening::Said(said)) => Err(unreachable(&mut transport, &FrameError::Noise(said))),
            Err(error) => Err(unreachable(&mut transport, &error)),
        }
    }

    /// Goes on with an agent that has said who it is.
    pub(super) fn begin(transport: T, hello: Hello, silence: Duration) -> Result<Self, HostError> {
        if hello.protocol != PROTOCOL || hello.version != env!("CARGO_PKG_VERSION") {
            return Err(HostError::Unreachable {
                text: format!("its agent is of version {} and this lvsctl is not", hello.version),
            });
        }
        let line = Arc::new(Mutex::new(Line { transport, silence, broken: None, requests: 0 }));
        let (signs, over) = channel();
        let weak = Arc::downgrade(&line);
        thread::Builder::new()
            .name("lvsctl-signs".into())
            .spawn(move || {
                while over.recv_timeout(SIGN) == Err(RecvTimeoutError::Timeout) {
                    give_sign(&weak);
                }
            })
            .map_err(|error| HostError::Unreachable { text: error.to_string() })?;
        Ok(RemoteHost { line, hello, _signs: signs })
    }

    /// Returns what the agent said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Says that nothing more is wanted, and hears that everything was answered.
    pub fn end(self) -> Result<(), HostError> {
        self.line().end()
    }
}

impl<T: Transport> RemoteHost<T> {
    fn line(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport> Drop for RemoteHost<T> {
    fn drop(&mut self) {
        // Whoever wants the lock next need not wait until the agent has noticed by itself.
        let _ = self.line().end();
    }
}

impl<T: Transport> Line<T> {
    /// Asks, and waits for the answer as long as the agent is heard to be at work.
    fn ask(&mut self, request: &Request) -> Result<Reply, HostError> {
        self.ask_within(request, request.within())
    }

    fn ask_within(&mut self, request: &Request, within: Duration) -> Result<Reply, HostError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let mut timed = Timed::new(&mut self.transport, self.silence, within);
        let asked = frame::write(&mut timed, request).and_then(|()| {
            loop {
                match frame::read::<Reply>(&mut timed)?.ok_or(FrameError::Ended)? {
                    Reply::Working => frame::write(&mut timed, &Request::Alive)?,
                    reply => return Ok(reply),
                }
            }
        });
        self.requests += 1;
        // An answer may still be on its way: whatever is read next could be that of another question.
        asked.map_err(|error| self.give_up(&error))
    }

    fn end(&mut self) -> Result<(), HostError> {
        let requests = self.requests;
        let reply = self.ask_within(&Request::End { requests }, FAREWELL)?;
        self.broken = Some(HostError::Unreachable { text: "its agent has ended".into() });
        match reply {
            Reply::Ended { requests: answered } if answered == requests => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    fn give_up(&mut self, error: &FrameError) -> HostError {
        let error = unreachable(&mut self.transport, error);
        self.broken = Some(error.clone());
        error
    }

    fn unexpected(&mut self) -> HostError {
        let error = HostError::Unreachable { text: "its agent answered another question".into() };
        self.broken = Some(error.clone());
        error
    }
}

impl<T: Transport> Host for RemoteHost<T> {
    fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        let mut line = self.line();
        match line.ask(&Request::Capabilities)? {
            Reply::Capabilities(capabilities) => capabilities,
            _ => Err(line.unexpected()),
        }
    }

    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError> {
        let mut line = self.line();
        match line.ask(&Request::Probe(probe.clone()))? {
            Reply::Answer(answer) => answer,
            _ => Err(line.unexpected()),
        }
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        self.perform_all(vec![effect.clone()]).pop().unwrap_or(Err(HostError::NotTried))
    }

    fn perform_all(&mut self, effects: Vec<Effect>) -> Vec<Result<(), HostError>> {
        let length = effects.len();
        let mut line = self.line();
        let performed = match line.ask(&Request::Perform(effects.into_iter().map(Sent::from).collect())) {
            Ok(Reply::Performed(results)) if results.len() == length => Ok(results),
            Ok(_) => Err(line.unexpected()),
            Err(error) => Err(error),
        };
        performed.unwrap_or_else(|error| vec![Err(error); length])
    }

    fn lock(&mut self) -> Result<(), HostError> {
        let mut line = self.line();
        match line.ask(&Request::Lock)? {
            Reply::Locked(locked) => locked,
            _ => Err(line.unexpected()),
        }
    }
}

/// Tells an agent that its client is there, unless it is being asked something, which tells it as much.
fn give_sign<T: Transport>(line: &Weak<Mutex<Line<T>>>) {
    let Some(line) = line.upgrade() else { return };
    let mut line = match line.try_lock() {
        Ok(line) => line,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    if line.broken.is_some() {
        return;
    }
    let silence = line.silence;
    let mut timed = Timed::new(&mut line.transport, silence, silence);
    if let Err(error) = frame::write(&mut timed, &Request::Alive) {
        line.give_up(&error);
    }
}

/// Makes the error of an agent that cannot be talked to.
pub(super) fn unreachable<T: Transport + ?Sized>(transport: &mut T, error: &FrameError) -> HostError {
    let complaints = transport.complaints();
    let complaints = complaints.trim();
    let text = match complaints.is_empty() {
        true => error.to_string(),
        false => format!("{error}; it complains: {complaints}"),
    };
    HostError::Unreachable { text }
}
