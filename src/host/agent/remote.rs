//! The client's side: a host whose probes and effects an agent answers and performs.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::frame::{self, FrameError};
use super::message::{Hello, PROTOCOL, Reply, Request, Sent};
use super::serve::PULSE;
use crate::effect::{Answer, Capabilities, Effect, Probe};
use crate::host::{Host, HostError};

/// How long a client listens for the next word of an agent.
pub const SILENCE: Duration = PULSE.saturating_mul(5);

/// A connection to an agent; reading or writing fails with `TimedOut` after [`SILENCE`].
pub trait Transport: Read + Write + Send {
    /// Sets how long one read or write may take.
    fn set_timeout(&mut self, within: Duration) -> io::Result<()>;

    /// Returns what the far end said on its standard error so far.
    fn complaints(&mut self) -> String {
        String::new()
    }
}

/// A host on the other end of a connection.
pub struct RemoteHost<T: Transport> {
    transport: T,
    /// Why nothing can be asked any more.
    broken: Option<HostError>,
    requests: u64,
    hello: Hello,
}

impl<T: Transport> RemoteHost<T> {
    /// Hears who is there.
    pub fn greet(mut transport: T) -> Result<Self, HostError> {
        let heard = transport.set_timeout(SILENCE).map_err(FrameError::from).and_then(|()| {
            frame::read_magic(&mut transport)?;
            frame::read::<Hello>(&mut transport)?.ok_or(FrameError::Ended)
        });
        match heard {
            Ok(hello) if hello.protocol == PROTOCOL && hello.version == env!("CARGO_PKG_VERSION") => {
                Ok(RemoteHost { transport, broken: None, requests: 0, hello })
            }
            Ok(hello) => Err(HostError::Unreachable {
                text: format!("its agent is of version {} and this lvsctl is not", hello.version),
            }),
            Err(error) => Err(unreachable(&mut transport, &error)),
        }
    }

    /// Returns what the agent said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Says that nothing more is wanted, and hears that everything was answered.
    pub fn end(mut self) -> Result<(), HostError> {
        let requests = self.requests;
        match self.ask(&Request::End { requests })? {
            Reply::Ended { requests: answered } if answered == requests => Ok(()),
            reply => Err(self.unexpected(&reply)),
        }
    }

    /// Asks, and waits for the answer as long as the agent is heard to be at work.
    fn ask(&mut self, request: &Request) -> Result<Reply, HostError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let asked = frame::write(&mut self.transport, request).and_then(|()| {
            loop {
                match frame::read::<Reply>(&mut self.transport)?.ok_or(FrameError::Ended)? {
                    Reply::Working => {}
                    reply => return Ok(reply),
                }
            }
        });
        self.requests += 1;
        asked.map_err(|error| {
            let error = unreachable(&mut self.transport, &error);
            // An answer may still be on its way: whatever is read next could be that of another question.
            self.broken = Some(error.clone());
            error
        })
    }

    fn unexpected(&mut self, reply: &Reply) -> HostError {
        let _ = reply;
        let error = HostError::Unreachable { text: "its agent answered another question".into() };
        self.broken = Some(error.clone());
        error
    }
}

impl<T: Transport> Host for RemoteHost<T> {
    fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        match self.ask(&Request::Capabilities)? {
            Reply::Capabilities(capabilities) => capabilities,
            reply => Err(self.unexpected(&reply)),
        }
    }

    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError> {
        match self.ask(&Request::Probe(probe.clone()))? {
            Reply::Answer(answer) => answer,
            reply => Err(self.unexpected(&reply)),
        }
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        self.perform_all(std::slice::from_ref(effect)).pop().unwrap_or(Err(HostError::NotTried))
    }

    fn perform_all(&mut self, effects: &[Effect]) -> Vec<Result<(), HostError>> {
        let performed = match self.ask(&Request::Perform(effects.iter().map(Sent::from).collect())) {
            Ok(Reply::Performed(results)) if results.len() == effects.len() => Ok(results),
            Ok(reply) => Err(self.unexpected(&reply)),
            Err(error) => Err(error),
        };
        performed.unwrap_or_else(|error| vec![Err(error); effects.len()])
    }

    fn lock(&mut self) -> Result<(), HostError> {
        match self.ask(&Request::Lock)? {
            Reply::Locked(locked) => locked,
            reply => Err(self.unexpected(&reply)),
        }
    }
}

fn unreachable(transport: &mut impl Transport, error: &FrameError) -> HostError {
    let complaints = transport.complaints();
    let complaints = complaints.trim();
    let text = match complaints.is_empty() {
        true => error.to_string(),
        false => format!("{error}; it complains: {complaints}"),
    };
    HostError::Unreachable { text }
}
