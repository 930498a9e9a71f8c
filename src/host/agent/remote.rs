//! The client's side: a host whose probes and effects an agent answers and performs.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use super::frame::{self, FrameError};
use super::message::{ANSWER, Hello, PROTOCOL, Reply, Request, time_of};
use super::opening::{Opening, listen};
use super::transport::{Timed, Transport};
use crate::effect::{Answer, Capabilities, Effect, Probe};
use crate::host::{Armed, Host, HostError, Operator, Reversible, TakenBack, Transaction, Transactions};
use crate::source::plain::one_line;

/// How often an agent is told that its client is there: several times in the time after which it gives up
/// ([`super::Rhythm::lost`]), and in the shortest window after which a host takes an apply back.
const SIGN: Duration = Duration::from_secs(2);

/// How much of what an agent complains of is repeated.
const COMPLAINTS: usize = 500;

/// How long an agent may take to end when it was told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long it may take to take a transaction back: as many effects as one has, each of which may call a program.
const REVERSION: Duration = Duration::from_secs(1800);

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
                text: format!(
                    "its agent is of version {} and this lvsctl is not",
                    one_line(&hello.version, COMPLAINTS)
                ),
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
    /// Asks, and waits for the answer for as long as the agent is heard to be at work, and no longer than `within`.
    fn ask(&mut self, request: &Request, within: Duration) -> Result<Reply, HostError> {
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
        let reply = self.ask(&Request::End { requests }, FAREWELL)?;
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

impl<T: Transport> RemoteHost<T> {
    /// Asks for something, and takes out of the reply what was asked for.
    fn ask<R>(
        &self,
        request: &Request,
        within: Duration,
        take: impl FnOnce(Reply) -> Option<R>,
    ) -> Result<R, HostError> {
        let mut line = self.line();
        let reply = line.ask(request, within)?;
        take(reply).ok_or_else(|| line.unexpected())
    }

    fn ask_for_done(&self, request: &Request, within: Duration) -> Result<(), HostError> {
        self.ask(request, within, |reply| match reply {
            Reply::Done(done) => Some(done),
            _ => None,
        })?
    }

    fn ask_for_results(&self, request: &Request, within: Duration, length: usize) -> Vec<Result<(), HostError>> {
        let performed = self.ask(request, within, |reply| match reply {
            Reply::Performed(results) if results.len() == length => Some(results),
            _ => None,
        });
        performed.unwrap_or_else(|error| vec![Err(error); length])
    }
}

impl<T: Transport> Host for RemoteHost<T> {
    fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        self.ask(&Request::Capabilities, ANSWER, |reply| match reply {
            Reply::Capabilities(capabilities) => Some(capabilities),
            _ => None,
        })?
    }

    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError> {
        self.ask(&Request::Probe(probe.clone()), ANSWER, |reply| match reply {
            Reply::Answer(answer) => Some(answer),
            _ => None,
        })?
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        self.perform_all(vec![effect.clone()]).pop().unwrap_or(Err(HostError::NotTried))
    }

    fn perform_all(&mut self, effects: Vec<Effect>) -> Vec<Result<(), HostError>> {
        self.ask_for_results(&Request::perform(&effects), time_of(&effects), effects.len())
    }

    fn lock(&mut self, operator: &Operator, patience: Duration) -> Result<(), HostError> {
        let request = Request::Lock { operator: operator.clone(), patience };
        self.ask_for_done(&request, ANSWER.saturating_add(patience))
    }

    fn transactions(&mut self) -> Result<Transactions, HostError> {
        self.ask(&Request::Transactions, ANSWER, |reply| match reply {
            Reply::Transactions(transactions) => Some(transactions),
            _ => None,
        })?
    }

    fn begin(&mut self, transaction: &Transaction) -> Result<Armed, HostError> {
        self.ask(&Request::Begin(transaction.clone()), ANSWER, |reply| match reply {
            Reply::Armed(armed) => Some(armed),
            _ => None,
        })?
    }

    fn perform_reversibly(&mut self, steps: Vec<Reversible>) -> Vec<Result<(), HostError>> {
        let within = time_of(steps.iter().map(|step| &step.effect));
        self.ask_for_results(&Request::perform_reversibly(&steps), within, steps.len())
    }

    fn beat(&mut self) -> Result<(), HostError> {
        self.ask_for_done(&Request::Beat, ANSWER)
    }

    fn confirm(&mut self, id: &str) -> Result<(), HostError> {
        self.ask_for_done(&Request::Confirm(id.to_owned()), ANSWER)
    }

    fn revert(&mut self, id: &str) -> Result<TakenBack, HostError> {
        self.ask(&Request::Revert(id.to_owned()), REVERSION, |reply| match reply {
            Reply::TakenBack(taken_back) => Some(taken_back),
            _ => None,
        })?
    }

    fn close(&mut self, id: &str) -> Result<(), HostError> {
        self.ask_for_done(&Request::Close(id.to_owned()), ANSWER)
    }

    fn forget(&mut self) -> Result<(), HostError> {
        self.ask_for_done(&Request::Forget, ANSWER)
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
    let complaints = one_line(&complaints, COMPLAINTS);
    let text = match complaints.is_empty() {
        true => error.to_string(),
        false => format!("{error}; it complains: {complaints}"),
    };
    HostError::Unreachable { text }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use super::*;

    /// An agent that ends, and complains.
    struct Complaining;

    impl Read for Complaining {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Write for Complaining {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Transport for Complaining {
        fn set_timeout(&mut self, _within: Duration) -> io::Result<()> {
            Ok(())
        }

        fn complaints(&mut self) -> String {
            format!("\u{1b}[2J\nsudo: no\u{9b}31m {}", "x".repeat(10_000))
        }
    }

    #[test]
    fn what_an_agent_complains_of_does_nothing_to_a_terminal() {
        let error = RemoteHost::greet(Complaining, Duration::from_secs(1)).map(drop).unwrap_err().to_string();
        assert!(error.contains("it complains: [2J sudo: no 31m xxx"), "{error}");
        assert!(error.len() < 600 && !error.contains(['\u{1b}', '\u{9b}', '\n']), "{error:?}");
    }
}
