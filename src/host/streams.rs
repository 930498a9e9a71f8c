//! The three pipes of a program that runs, and its end, all waited for at once by the thread that runs it.
//!
//! A program that prints much before it has read all of its input would stand still if they were served one after the other. A
//! survey runs many short programs, so none of them gets threads of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How often a program is asked for its end where the kernel (before 5.3) cannot tell of it.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(20);

/// How much is read or written at once: what a pipe holds.
const PIECE: usize = 65536;

/// What came of serving a program.
pub(super) struct Served {
    /// How it ended; `None` if it had to be ended.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// Whether its standard output was read to the end.
    pub(super) is_complete: bool,
}

/// Serves a program until it has ended and its output is read, and ends it when it takes longer than `within`. What it
/// started may hold its output open for good: that is read for `rest` more.
pub(super) fn serve(child: &mut Child, input: Option<&str>, within: Duration, rest: Duration) -> io::Result<Served> {
    let mut input = Input { pipe: descriptor(child.stdin.take())?, text: input.unwrap_or_default().as_bytes() };
    let mut output = Output { pipe: descriptor(child.stdout.take())?, ..Output::default() };
    let mut errors = Output { pipe: descriptor(child.stderr.take())?, ..Output::default() };
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok();
    let mut deadline = Instant::now() + within;
    let mut status = None;
    loop {
        if status.is_none() {
            status = child.try_wait()?;
            if status.is_some() {
                deadline = Instant::now() + rest;
                // Nobody reads on.
                input.pipe = None;
            }
        }
        let is_read = output.pipe.is_none() && errors.pipe.is_none();
        let is_late = Instant::now() >= deadline;
        if status.is_some() && (is_read || is_late) {
            break;
        }
        if is_late {
            child.kill()?;
            child.wait()?;
            break;
        }
        input.write();
        output.read();
        errors.read();
        let is_awaited = end.as_ref().filter(|_| status.is_none());
        let mut left = deadline.saturating_duration_since(Instant::now());
        if status.is_none() && is_awaited.is_none() {
            left = left.min(BETWEEN_QUESTIONS);
        }
        wait(
            &[(&input.pipe, PollFlags::OUT), (&output.pipe, PollFlags::IN), (&errors.pipe, PollFlags::IN)],
            is_awaited,
            left,
        )?;
    }
    Ok(Served { status, stdout: output.bytes, stderr: errors.bytes, is_complete: output.is_complete })
}

/// Waits until one of the pipes is ready, the process has ended, or the time is over.
fn wait(pipes: &[(&Option<OwnedFd>, PollFlags)], end: Option<&OwnedFd>, within: Duration) -> io::Result<()> {
    let pipes = pipes.iter().filter_map(|(pipe, ready)| Some((pipe.as_ref()?.as_fd(), *ready)));
    let end = end.map(|end| (end.as_fd(), PollFlags::IN));
    let mut awaited: Vec<PollFd<'_>> =
        pipes.chain(end).map(|(pipe, ready): (BorrowedFd<'_>, _)| PollFd::from_borrowed_fd(pipe, ready)).collect();
    let within = Timespec::try_from(within).ok();
    match poll(&mut awaited, within.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes a pipe, and makes it say when it would have to wait.
fn descriptor(pipe: Option<impl Into<OwnedFd>>) -> io::Result<Option<OwnedFd>> {
    let Some(pipe) = pipe.map(Into::into) else { return Ok(None) };
    ioctl_fionbio(&pipe, true)?;
    Ok(Some(pipe))
}

/// What a program reads.
struct Input<'a> {
    pipe: Option<OwnedFd>,
    text: &'a [u8],
}

impl Input<'_> {
    /// Writes as much as there is room for. A program that does not read its input to the end says why by its exit status.
    fn write(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let piece = self.text.get(..PIECE).unwrap_or(self.text);
        match if piece.is_empty() { Ok(0) } else { rustix::io::write(pipe, piece) } {
            Ok(written) => self.text = self.text.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => self.text = &[],
        }
        if self.text.is_empty() {
            self.pipe = None;
        }
    }
}

/// What a program prints.
#[derive(Default)]
struct Output {
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
    is_complete: bool,
}

impl Output {
    /// Reads what is there, and lets go of a pipe that is closed. What was read before an error is worth showing.
    fn read(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut piece = [0; 8192];
        match rustix::io::read(pipe, &mut piece) {
            Ok(0) => (self.pipe, self.is_complete) = (None, true),
            Ok(length) => self.bytes.extend(piece.get(..length).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.pipe = None,
        }
    }
}
