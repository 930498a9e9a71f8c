//! The agent's own side: it reads requests, and answers each before it reads the next.

use std::io::{Read, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::frame::{self, FrameError, MAGIC};
use super::message::{Hello, PROTOCOL, Reply, Request, Sent};
use crate::host::Host;

/// How often an agent says that it is at work; a client gives up after a few times as long.
pub(super) const PULSE: Duration = Duration::from_secs(2);

/// Serves one client until it says that it is done, or is gone. The host, and with it the lock, is dropped at the end.
pub fn serve(mut host: Box<dyn Host>, mut input: impl Read, mut output: impl Write) -> Result<(), FrameError> {
    output.write_all(MAGIC)?;
    let hello =
        Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), process: std::process::id() };
    frame::write(&mut output, &hello)?;
    let (work, orders) = channel::<Request>();
    let (answer, answers) = channel::<Reply>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for request in orders {
                if answer.send(reply(host.as_mut(), request)).is_err() {
                    break;
                }
            }
        });
        let mut answered = 0;
        while let Some(request) = frame::read::<Request>(&mut input)? {
            if let Request::End { requests } = request {
                if requests != answered {
                    return Err(FrameError::Malformed(format!("{requests} requests, and {answered} were answered")));
                }
                return frame::write(&mut output, &Reply::Ended { requests });
            }
            if work.send(request).is_err() {
                return Err(FrameError::Ended);
            }
            let reply = loop {
                match answers.recv_timeout(PULSE) {
                    Ok(reply) => break reply,
                    Err(RecvTimeoutError::Timeout) => frame::write(&mut output, &Reply::Working)?,
                    Err(RecvTimeoutError::Disconnected) => return Err(FrameError::Ended),
                }
            };
            frame::write(&mut output, &reply)?;
            answered += 1;
        }
        // Whoever is gone without a word is not told anything.
        Err(FrameError::Ended)
    })
}

fn reply(host: &mut dyn Host, request: Request) -> Reply {
    match request {
        Request::Capabilities => Reply::Capabilities(host.capabilities()),
        Request::Probe(probe) => Reply::Answer(host.probe(&probe)),
        Request::Perform(sent) => {
            let effects: Vec<_> = sent.into_iter().map(Sent::effect).collect();
            Reply::Performed(host.perform_all(&effects))
        }
        Request::Lock => Reply::Locked(host.lock()),
        Request::End { requests } => Reply::Ended { requests },
    }
}
