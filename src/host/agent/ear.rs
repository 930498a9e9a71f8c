//! Hears the client by every piece that comes from it, or that it takes.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much is written at a time: over a line of 8 kB/s two seconds' worth, less than the shortest window.
const PIECE: usize = 16 << 10;

/// What finds room sooner than this went into a buffer, where it says nothing of the client.
const ROOM: Duration = Duration::from_millis(1);

/// When the client was heard last, and who is told of it.
pub(super) struct Ear {
    last: Mutex<Instant>,
    heard: Box<dyn Fn() + Send + Sync>,
}

impl Ear {
    /// Begins to listen to a client that has just been there.
    pub(super) fn new(heard: impl Fn() + Send + Sync + 'static) -> Self {
        Ear { last: Mutex::new(Instant::now()), heard: Box::new(heard) }
    }

    /// Returns how long the client has not been heard.
    pub(super) fn silence(&self) -> Duration {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Writes a frame. The client is heard where somebody had to take something before there was room for more, which
    /// is never said of what fits into one piece: that of a client that is gone goes into a buffer again and again.
    pub(super) fn write(&self, output: &mut impl Write, frame: &[u8]) -> io::Result<()> {
        for (number, piece) in frame.chunks(PIECE).enumerate() {
            let begun = Instant::now();
            output.write_all(piece)?;
            if number > 0 && begun.elapsed() >= ROOM {
                self.hear();
            }
        }
        output.flush()
    }

    fn hear(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        (self.heard)();
    }
}

/// What comes from the client.
pub(super) struct Attended<R> {
    input: R,
    ear: Arc<Ear>,
}

impl<R: Read> Attended<R> {
    /// Listens to what is read.
    pub(super) fn new(input: R, ear: Arc<Ear>) -> Self {
        Attended { input, ear }
    }
}

impl<R: Read> Read for Attended<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if count > 0 {
            self.ear.hear();
        }
        Ok(count)
    }
}
