//! What carries the bytes between client and agent, and how long one waits for them.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// A connection to an agent; reading or writing fails with `TimedOut` or `WouldBlock` after the time that was set.
pub trait Transport: Read + Write + Send {
    /// Sets how long one read or write may take.
    fn set_timeout(&mut self, within: Duration) -> io::Result<()>;

    /// Returns what the far end said on its standard error so far.
    fn complaints(&mut self) -> String {
        String::new()
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn set_timeout(&mut self, within: Duration) -> io::Result<()> {
        (**self).set_timeout(within)
    }

    fn complaints(&mut self) -> String {
        (**self).complaints()
    }
}

/// A transport with two limits: for the silence before the next byte, and for all of an exchange, because an agent that
/// says a byte now and then is never silent.
pub(super) struct Timed<'a, T: Transport + ?Sized> {
    transport: &'a mut T,
    silence: Duration,
    until: Instant,
}

impl<'a, T: Transport + ?Sized> Timed<'a, T> {
    /// Begins an exchange that may take so long.
    pub(super) fn new(transport: &'a mut T, silence: Duration, within: Duration) -> Self {
        Timed { transport, silence, until: Instant::now() + within }
    }

    fn begin(&mut self) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.transport.set_timeout(left.min(self.silence))
    }
}

impl<T: Transport + ?Sized> Read for Timed<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.begin()?;
        self.transport.read(buffer)
    }
}

impl<T: Transport + ?Sized> Write for Timed<'_, T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.begin()?;
        self.transport.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begin()?;
        self.transport.flush()
    }
}
