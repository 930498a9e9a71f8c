//! A program on the other side: its standard input and output as a stream, its standard error kept aside.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::link::{Failure, Link};
use crate::host::{HostError, agent};

/// How much of a program's standard error is kept: its beginning, which names the cause.
const KEPT: usize = 16 * 1024;

/// How much of standard error is read before standard output has its turn again.
const TURN: usize = 64 * 1024;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its exit status; also 0 where the far side never told, so that a protocol needs a word of its own for its end.
    pub status: i32,
    /// The signal that ended it, such as `KILL`.
    pub signal: Option<String>,
}

/// A program that runs on the other side.
///
/// Reading reads its standard output and writing writes its standard input. Whichever is done, its standard error is read as
/// well, so that no program stands still because that is full. A read or write that makes no progress in time fails with
/// [`io::ErrorKind::TimedOut`]; a connection that was cut is an error too, and never an end of the output.
pub struct SshChannel {
    // Closed before the link is.
    channel: Channel,
    link: Arc<Link>,
    timeout: Duration,
    complaints: Vec<u8>,
    left_out: usize,
}

impl SshChannel {
    /// Starts a program through the login shell.
    pub(super) fn start(link: &Arc<Link>, command: &str, within: Duration) -> Result<Self, Failure> {
        let deadline = Instant::now() + within;
        let mut channel = link.complete(deadline, || link.session.channel_session())?;
        link.complete(deadline, || channel.exec(command))?;
        let complaints = Vec::new();
        Ok(SshChannel { channel, link: Arc::clone(link), timeout: within, complaints, left_out: 0 })
    }

    /// Sets how long one read or write may take.
    pub fn set_timeout(&mut self, within: Duration) -> io::Result<()> {
        self.timeout = within;
        Ok(())
    }

    /// Returns what the program said on its standard error so far, or the beginning of it.
    pub fn complaints(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_millis(100);
        // What can no longer be read is not there to be shown, and some programs never end complaining.
        while matches!(self.listen(deadline), Ok(1..)) && Instant::now() < deadline {}
        let mut text = String::from_utf8_lossy(&self.complaints).into_owned();
        if self.left_out > 0 {
            text.push_str(&format!(" … and {} bytes more", self.left_out));
        }
        text
    }

    /// Ends the program's standard input.
    pub fn close_input(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.timeout;
        let channel = &mut self.channel;
        self.link.complete(deadline, || channel.send_eof()).map_err(late)
    }

    /// Waits for the program's end, whatever it still says.
    pub fn finish(mut self) -> io::Result<Ending> {
        let mut rest = [0; 8192];
        while self.read(&mut rest)? > 0 {}
        let deadline = Instant::now() + self.timeout;
        let channel = &mut self.channel;
        self.link.complete(deadline, || channel.close()).map_err(late)?;
        self.link.complete(deadline, || channel.wait_close()).map_err(late)?;
        let status = self.channel.exit_status().map_err(io::Error::from)?;
        let signal = self.channel.exit_signal().map_err(io::Error::from)?.exit_signal;
        Ok(Ending { status, signal })
    }

    /// Reads some of what the program says on its standard error; returns how much.
    fn listen(&mut self, deadline: Instant) -> Result<usize, Failure> {
        let mut buffer = [0; 8192];
        let mut heard = 0;
        while heard < TURN {
            let mut stream = self.channel.stderr();
            match self.link.attempt(deadline, || stream.read(&mut buffer))? {
                None | Some(0) => break,
                Some(length) => {
                    heard += length;
                    let room = KEPT.saturating_sub(self.complaints.len()).min(length);
                    self.complaints.extend_from_slice(buffer.get(..room).unwrap_or_default());
                    self.left_out += length - room;
                }
            }
        }
        Ok(heard)
    }
}

impl Read for SshChannel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let deadline = Instant::now() + self.timeout;
        loop {
            let channel = &mut self.channel;
            let read = self.link.attempt(deadline, || channel.read(buffer)).map_err(late)?;
            if let Some(length @ 1..) = read {
                return Ok(length);
            }
            // What is not read of standard error hides the end of the output.
            let heard = self.listen(deadline).map_err(late)?;
            match (read, heard) {
                (Some(_), 0) if self.channel.eof() => return Ok(0),
                (_, 1..) if Instant::now() < deadline => {}
                _ => self.link.wait(deadline).map_err(late)?,
            }
        }
    }
}

impl Write for SshChannel {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let deadline = Instant::now() + self.timeout;
        loop {
            let channel = &mut self.channel;
            if let Some(length @ 1..) = self.link.attempt(deadline, || channel.write(buffer)).map_err(late)? {
                return Ok(length);
            }
            if self.listen(deadline).map_err(late)? == 0 || Instant::now() >= deadline {
                self.link.wait(deadline).map_err(late)?;
            }
        }
    }

    /// Does nothing: libssh2 sends at once, and its own flush throws away what was not read yet.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl agent::Transport for SshChannel {
    fn set_timeout(&mut self, within: Duration) -> io::Result<()> {
        SshChannel::set_timeout(self, within)
    }

    fn complaints(&mut self) -> String {
        SshChannel::complaints(self)
    }
}

/// Makes the error of a read or write.
fn late(failure: Failure) -> io::Error {
    match failure {
        Failure::Late => io::Error::new(io::ErrorKind::TimedOut, "the far side said nothing in time"),
        Failure::Said(text) => io::Error::new(io::ErrorKind::ConnectionAborted, text),
    }
}

impl Failure {
    /// Makes the error of a host.
    pub(super) fn into_error(self, doing: &str, within: Duration) -> HostError {
        match self {
            Failure::Late => HostError::Timeout { doing: doing.to_owned(), within },
            Failure::Said(text) => {
                HostError::Unreachable { text: format!("cannot {doing}: {}", super::printable(&text)) }
            }
        }
    }
}
