//! Frames: a length and as much JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// What the agent says first; no shell and no banner begins like this.
pub const MAGIC: &[u8; 16] = b"\x00lvsctl-agent\x00\xff\n";

/// The most bytes in one frame. The table of 100,000 destinations takes some 30 MiB.
pub const LIMIT: u32 = 128 << 20;

/// How much of a frame is read at a time, so that a length that lies costs no memory.
const CHUNK: u64 = 1 << 20;

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The other end is gone.
    #[error("the connection ended")]
    Ended,
    /// Nothing came in time.
    #[error("nothing was heard in time")]
    Silent,
    /// Something else was said than the magic.
    #[error("it says {0:?} where an agent would begin")]
    Noise(String),
    /// A frame is longer than [`LIMIT`].
    #[error("a frame of {0} bytes is longer than any may be")]
    TooLong(u64),
    /// A frame is not what it should be.
    #[error("a frame is malformed: {0}")]
    Malformed(String),
    /// The connection failed.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                FrameError::Ended
            }
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => FrameError::Silent,
            _ => FrameError::Io(error),
        }
    }
}

/// Makes a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let payload = serde_json::to_vec(message).map_err(|error| FrameError::Malformed(error.to_string()))?;
    let length = u32::try_from(payload.len()).ok().filter(|length| *length <= LIMIT);
    let length = length.ok_or(FrameError::TooLong(payload.len() as u64))?;
    Ok([&length.to_be_bytes(), payload.as_slice()].concat())
}

/// Writes a frame, and hands it on at once.
pub fn write<T: Serialize>(output: &mut impl Write, message: &T) -> Result<(), FrameError> {
    // One write: each of them may be a packet of its own.
    output.write_all(&encode(message)?)?;
    output.flush()?;
    Ok(())
}

/// Reads a frame; `None` if the other end is gone where a frame would begin.
pub fn read<T: DeserializeOwned>(input: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut head = [0; 4];
    let mut have = 0;
    while have < head.len() {
        match input.read(head.get_mut(have..).unwrap_or_default()) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Ended),
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_be_bytes(head);
    if length > LIMIT {
        return Err(FrameError::TooLong(length.into()));
    }
    let mut payload = Vec::new();
    let mut left = u64::from(length);
    while left > 0 {
        let part = input.take(left.min(CHUNK)).read_to_end(&mut payload)? as u64;
        if part == 0 {
            return Err(FrameError::Ended);
        }
        left -= part;
    }
    serde_json::from_slice(&payload).map(Some).map_err(|error| FrameError::Malformed(error.to_string()))
}
