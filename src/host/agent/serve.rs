//! The agent's own side: it reads requests, and answers each before the next is sent.
//!
//! Four threads: one reads, one works, one writes, and the one that serves says every so often that there is work going on, and
//! watches the clock; so it waits for nobody, not even for a client that does not take its answer. The client is heard by every
//! piece of a question that arrives and of an answer that it takes: on a slow line either takes longer than the window after
//! which a host takes an apply back. What was begun when the client went away is finished, but the agent does not wait for
//! that for long: with it goes the host's lock, and somebody else may be waiting for that.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::ear::{Attended, Ear};
use super::frame::{self, FrameError, MAGIC};
use super::message::{Hello, PROTOCOL, Reply, Request};
use crate::effect::Effect;
use crate::host::unmasked::Unmasked;
use crate::host::{Host, HostError, Reversible, in_runs};

/// The times by which an agent goes.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// How often it says that it is at work.
    pub pulse: Duration,
    /// How long it lives on without a word of its client, which may be cut off without anybody noticing.
    pub lost: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Rhythm { pulse: Duration::from_secs(2), lost: Duration::from_secs(30) }
    }
}

/// How long what was begun may go on when the client is gone.
const GRACE: Duration = Duration::from_secs(5);

enum Event {
    Heard(Result<Option<Request>, FrameError>),
    Done(Reply),
    Written(Result<(), FrameError>),
}

/// Serves one client until it says that it is done, is gone, or has not been heard for too long; `heard` is called whenever it
/// is heard, because what watches over the host must not take an agent at work for a client that lives.
pub fn serve(
    host: Box<dyn Host>,
    input: impl Read + Send + 'static,
    mut output: impl Write + Send + 'static,
    rhythm: Rhythm,
    heard: impl Fn() + Send + Sync + 'static,
) -> Result<(), FrameError> {
    output.write_all(MAGIC)?;
    let hello =
        Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), process: std::process::id() };
    frame::write(&mut output, &hello)?;
    let ear = Arc::new(Ear::new(heard));
    let (events, happened) = channel();
    let (orders, received) = channel();
    let (replies, answers) = channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let (done, flag) = (events.clone(), is_over.clone());
    thread::spawn(move || work(host, &received, &done, &flag));
    let (written, listens) = (events.clone(), ear.clone());
    thread::spawn(move || {
        for reply in answers {
            let result = frame::encode(&reply).and_then(|frame| Ok(listens.write(&mut output, &frame)?));
            if written.send(Event::Written(result)).is_err() {
                return;
            }
        }
    });
    let mut input = Attended::new(input, ear.clone());
    thread::spawn(move || {
        loop {
            let heard = frame::read(&mut input);
            let is_end = !matches!(heard, Ok(Some(_)));
            if events.send(Event::Heard(heard)).is_err() || is_end {
                return;
            }
        }
    });
    let mut desk = Desk { happened, orders, replies, is_working: false, is_leaving: false, unwritten: 0, answered: 0 };
    let result = desk.attend(rhythm, &|| ear.silence());
    is_over.store(true, Ordering::Relaxed);
    desk.finish();
    result
}

/// What the thread that serves knows.
struct Desk {
    happened: Receiver<Event>,
    orders: Sender<Request>,
    replies: Sender<Reply>,
    is_working: bool,
    /// Whether the client has said that it is done.
    is_leaving: bool,
    /// How many replies are under way.
    unwritten: usize,
    answered: u64,
}

impl Desk {
    fn attend(&mut self, rhythm: Rhythm, silence: &dyn Fn() -> Duration) -> Result<(), FrameError> {
        loop {
            match self.happened.recv_timeout(rhythm.pulse.min(rhythm.lost)) {
                // It hangs up as soon as it has the last word.
                Ok(Event::Heard(_)) if self.is_leaving => {}
                Ok(Event::Heard(heard)) => self.take(heard?.ok_or(FrameError::Ended)?)?,
                Ok(Event::Done(reply)) => {
                    self.is_working = false;
                    self.answered += 1;
                    self.say(reply)?;
                }
                Ok(Event::Written(written)) => {
                    written?;
                    self.unwritten -= 1;
                    if self.is_leaving && self.unwritten == 0 {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.is_working && self.unwritten == 0 => self.say(Reply::Working)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(FrameError::Ended),
            }
            if silence() > rhythm.lost {
                return Err(FrameError::Silent);
            }
        }
    }

    fn take(&mut self, request: Request) -> Result<(), FrameError> {
        match request {
            Request::Alive => Ok(()),
            _ if self.is_working => Err(FrameError::Malformed("a question before the last one was answered".into())),
            Request::End { requests } if requests == self.answered => {
                self.is_leaving = true;
                self.say(Reply::Ended { requests })
            }
            Request::End { requests } => {
                let text = format!("{requests} requests, and {} were answered", self.answered);
                Err(FrameError::Malformed(text))
            }
            request => {
                self.is_working = true;
                self.orders.send(request).map_err(|_| FrameError::Ended)
            }
        }
    }

    fn say(&mut self, reply: Reply) -> Result<(), FrameError> {
        self.unwritten += 1;
        self.replies.send(reply).map_err(|_| FrameError::Ended)
    }

    /// Waits until what was begun is done, but not for long.
    fn finish(&self) {
        if !self.is_working {
            return;
        }
        let deadline = Instant::now() + GRACE;
        loop {
            match self.happened.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Heard(_) | Event::Written(_)) => {}
                Ok(Event::Done(_)) | Err(_) => return,
            }
        }
    }
}

/// Works until nobody orders anything any more, and then lets go of the host.
fn work(mut host: Box<dyn Host>, orders: &Receiver<Request>, answers: &Sender<Event>, is_over: &AtomicBool) {
    for request in orders {
        let reply = reply(host.as_mut(), request, is_over);
        if answers.send(Event::Done(reply)).is_err() {
            return;
        }
    }
}

fn reply(host: &mut dyn Host, request: Request, is_over: &AtomicBool) -> Reply {
    let is_over = || is_over.load(Ordering::Relaxed);
    match request {
        Request::Capabilities => Reply::Capabilities(host.capabilities()),
        Request::Probe(probe) => Reply::Answer(host.probe(&probe)),
        Request::Perform(unmasked) => {
            let effects: Vec<Effect> = unmasked.into_iter().map(Unmasked::effect).collect();
            Reply::Performed(in_runs(&effects, |run| match is_over() {
                true => vec![Err(HostError::NotTried); run.len()],
                false => host.perform_all(run.to_vec()),
            }))
        }
        Request::PerformReversibly(unmasked) => {
            let (effects, undos): (Vec<_>, Vec<_>) =
                unmasked.into_iter().map(|(effect, undo)| (effect.effect(), undo.undo())).unzip();
            let mut undos = undos.into_iter();
            Reply::Performed(in_runs(&effects, |run| match is_over() {
                true => vec![Err(HostError::NotTried); run.len()],
                false => {
                    let steps = run.iter().cloned().zip(&mut undos).map(|(effect, undo)| Reversible { effect, undo });
                    host.perform_reversibly(steps.collect())
                }
            }))
        }
        Request::Lock { operator, patience } => Reply::Done(host.lock(&operator, patience)),
        Request::Transactions => Reply::Transactions(host.transactions()),
        Request::Begin(transaction) => Reply::Armed(host.begin(&transaction)),
        Request::Beat => Reply::Done(host.beat()),
        Request::Confirm(id) => Reply::Done(host.confirm(&id)),
        Request::Revert(id) => Reply::TakenBack(host.revert(&id)),
        Request::Close(id) => Reply::Done(host.close(&id)),
        Request::Forget => Reply::Done(host.forget()),
        // Neither gets here: the desk answers them.
        Request::Alive | Request::End { .. } => Reply::Working,
    }
}
