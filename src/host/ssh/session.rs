//! A login on a host whose key was verified.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ssh2::MethodType;

use super::authentication;
use super::channel::SshChannel;
use super::config::Endpoint;
use super::host_key::{Judge, Key, Verdict};
use super::link::{Failure, Link, WouldBlock};
use super::stream::{Socket, Stream};
use super::{Patience, Target};
use crate::host::{HostError, agent};

/// How long after its deadline a handshake is cut that does not look at the time.
const GRACE: Duration = Duration::from_millis(500);

/// Somebody logged in on a host. It is left when the session and the programs that it started are dropped.
pub struct SshSession {
    link: Arc<Link>,
    endpoint: Endpoint,
    host_key: String,
    answer: Duration,
}

/// Ends a session from another thread.
#[derive(Clone, Debug)]
pub struct Canceller(Socket);

impl Canceller {
    /// Cuts the connection: whatever waits for the host goes on with an error at once.
    pub fn cancel(&self) {
        self.0.cut();
    }
}

impl SshSession {
    /// Reaches a host, verifies its key and logs in.
    pub fn open(target: &Target, patience: &Patience) -> Result<Self, HostError> {
        let endpoint = Endpoint::of(target)?;
        let mut judge = Judge::new(&endpoint, target.host_key.as_deref())?;
        let (link, host_key) = loop {
            let link = shake_hands(&endpoint, &judge, patience)?;
            let (blob, _) = link.session.host_key().ok_or_else(|| no_key(&endpoint))?;
            match judge.verdict(Key::read(blob))? {
                Verdict::Trusted(fingerprint) => break (link, fingerprint),
                // It may have another key, which the next handshake asks for.
                Verdict::AskForAnother => {}
            }
        };
        authentication::log_in(&link, &endpoint, patience.login)?;
        Ok(SshSession { link: Arc::new(link), endpoint, host_key, answer: patience.answer })
    }

    /// Starts a program; the far side gives the command to the login shell of the user.
    ///
    /// The command must be made of constants: nothing of a topology may be a part of it.
    pub fn run(&mut self, command: &str) -> Result<SshChannel, HostError> {
        let within = self.answer;
        SshChannel::start(&self.link, command, within)
            .map_err(|failure| failure.into_error(&format!("start a program on {}", self.endpoint.host), within))
    }

    /// Returns the fingerprint of the host's key, as `SHA256:…`.
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Returns the user that is logged in.
    pub fn user(&self) -> &str {
        &self.endpoint.user
    }

    /// Returns what ends the session from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.link.socket().clone())
    }
}

/// Cuts a connection after some time, unless it is dropped before.
///
/// libssh2 skips what comes before a server's greeting, and does not come back from that as long as there is more.
struct CutAfter(#[expect(dead_code, reason = "dropping it is what ends the thread's wait")] Sender<()>);

impl CutAfter {
    fn start(socket: &Socket, within: Duration) -> Self {
        let socket = socket.clone();
        let (sender, dropped) = channel::<()>();
        thread::spawn(move || {
            if dropped.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
                socket.cut();
            }
        });
        CutAfter(sender)
    }
}

/// Connects and exchanges keys; nothing is known of the host then but that it holds its key.
fn shake_hands(endpoint: &Endpoint, judge: &Judge<'_>, patience: &Patience) -> Result<Link, HostError> {
    let begun = Instant::now();
    let stream = Stream::open(endpoint, patience.connect)?;
    let made = Link::new(stream).and_then(|link| {
        link.session.method_pref(MethodType::HostKey, &judge.methods())?;
        Ok(link)
    });
    let mut link = made.map_err(|error| Failure::Said(error.words()).into_error("begin a session", Duration::ZERO))?;
    let within = match link.stream.proxy {
        // It connects first, and does not tell when it has.
        Some(_) => patience.handshake + endpoint.connect_timeout.unwrap_or(patience.connect),
        None => patience.handshake,
    };
    let mut session = link.session.clone();
    let shaken = {
        let _end = CutAfter::start(link.socket(), within.saturating_sub(begun.elapsed()) + GRACE);
        link.complete(begun + within, || session.handshake())
    };
    match shaken {
        Ok(()) => Ok(link),
        Err(failure) => {
            let doing = format!("exchange keys with {} port {}", endpoint.host, endpoint.port);
            let error = failure.into_error(&doing, within);
            link.socket().cut();
            Err(match (link.stream.proxy.as_mut(), error) {
                (Some(proxy), error) => {
                    HostError::Unreachable { text: format!("{}; {}", because(&error), proxy.account()) }
                }
                (None, error) => judge.without_common_key(error),
            })
        }
    }
}

/// Returns an error's text without the words that every unreachable host's has.
fn because(error: &HostError) -> String {
    match error {
        HostError::Unreachable { text } => text.clone(),
        other => other.to_string(),
    }
}

fn no_key(endpoint: &Endpoint) -> HostError {
    HostError::Unreachable { text: format!("{} port {} showed no key", endpoint.host, endpoint.port) }
}

impl agent::Session for SshSession {
    fn run(&mut self, command: &str) -> Result<Box<dyn agent::Transport>, HostError> {
        SshSession::run(self, command).map(|channel| Box::new(channel) as Box<dyn agent::Transport>)
    }

    fn user(&self) -> &str {
        SshSession::user(self)
    }
}
