//! The first words from the far side: an agent's, those of the commands that start one, or noise.

use std::io::Read;
use std::time::Duration;

use super::frame::{self, FrameError, MAGIC};
use super::message::Hello;
use super::transport::{Timed, Transport};

/// What the commands that start an agent begin with when they have something to say.
pub(super) const WORD: &[u8] = b"lvsctl-start ";

/// The most of such a line that is read, and how much is quoted of noise.
const LINE: usize = 4096;
const QUOTED: u64 = 160;

/// How long noise is listened to: it ends an attempt anyway.
const NOISE: Duration = Duration::from_millis(300);

/// Who or what spoke first.
#[derive(Debug)]
pub(super) enum Opening {
    /// An agent.
    Agent(Hello),
    /// The commands that start one, with the rest of their line.
    Said(String),
}

/// Listens until it is clear who is there.
pub(super) fn listen<T: Transport + ?Sized>(
    transport: &mut T,
    silence: Duration,
    within: Duration,
) -> Result<Opening, FrameError> {
    let mut read = Vec::new();
    let mut timed = Timed::new(transport, silence, within);
    loop {
        let mut byte = [0];
        timed.read_exact(&mut byte)?;
        read.extend(byte);
        if read == MAGIC {
            return frame::read(&mut timed)?.map(Opening::Agent).ok_or(FrameError::Ended);
        }
        if read == WORD {
            return Ok(Opening::Said(line(&mut timed)?));
        }
        if !MAGIC.starts_with(&read) && !WORD.starts_with(&read) {
            // What follows may tell the operator more, but is not worth an error of its own.
            let _ = Timed::new(transport, NOISE, NOISE).take(QUOTED).read_to_end(&mut read);
            return Err(FrameError::Noise(String::from_utf8_lossy(&read).trim_end().to_owned()));
        }
    }
}

fn line(input: &mut impl Read) -> Result<String, FrameError> {
    let mut line = Vec::new();
    // Byte by byte, because what follows the line is somebody else's to read.
    while line.len() < LINE {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
