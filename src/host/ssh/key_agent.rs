//! Which keys an agent holds (draft-miller-ssh-agent, sections 4.4 and 4.5).
//!
//! libssh2 asks it too, and signs through it, but would wait for ever for one that does not answer, such as one that was forwarded
//! over a connection that is gone.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::certificate::Certificate;
use super::wire::Wire;

/// How long the agent may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer (`AGENT_MAX_LEN` of OpenSSH).
pub(super) const LONGEST: usize = 256 * 1024;

/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENT_IDENTITIES_ANSWER`.
const REQUEST: u8 = 11;
const ANSWER: u8 = 12;

/// A key in an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The public key as it travels.
    pub(super) blob: Vec<u8>,
    pub(super) comment: String,
}

impl Held {
    /// Tells whether this is a key, or a certificate for it.
    pub(super) fn is_of(&self, key: Option<&[u8]>) -> bool {
        key.is_some_and(|key| {
            self.blob == key || Certificate::read(&self.blob).is_some_and(|certificate| certificate.key == key)
        })
    }
}

/// Asks for the keys; the error goes on from the agent's name.
pub(super) fn keys(socket: &Path) -> Result<Vec<Held>, String> {
    let asked = || -> std::io::Result<Vec<u8>> {
        let mut agent = UnixStream::connect(socket)?;
        agent.set_read_timeout(Some(PATIENCE))?;
        agent.set_write_timeout(Some(PATIENCE))?;
        agent.write_all(&[0, 0, 0, 1, REQUEST])?;
        let mut length = [0; 4];
        agent.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let mut answer = vec![0; length.min(LONGEST)];
        agent.read_exact(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().map_err(|error| format!("does not answer: {}", super::stream::plain(&error)))?;
    read(&answer).ok_or("answers with something else than keys".into())
}

fn read(answer: &[u8]) -> Option<Vec<Held>> {
    let mut wire = Wire(answer);
    let count = wire.byte().filter(|kind| *kind == ANSWER).and_then(|_| wire.number())?;
    let mut keys = Vec::new();
    for _ in 0..count {
        let blob = wire.bytes()?.to_vec();
        let comment = String::from_utf8_lossy(wire.bytes()?).into_owned();
        keys.push(Held { blob, comment });
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_a_short_answer_is_none() {
        let answer = [&[12, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8, 0, 0, 0, 1], &b"c"[..]].concat();
        assert_eq!(read(&answer).unwrap(), [Held { blob: vec![7, 8], comment: "c".into() }]);
        for length in 0..answer.len() {
            assert_eq!(read(answer.get(..length).unwrap()), None, "{length}");
        }
        assert_eq!(read(&[5]), None, "SSH_AGENT_FAILURE");
        assert_eq!(read(&[12, 255, 255, 255, 255]), None, "more keys than there are");
    }

    #[test]
    fn an_agent_that_is_not_there_is_said() {
        let why = keys(Path::new("/nonexistent/agent")).unwrap_err();
        assert!(why.starts_with("does not answer: No such file"), "{why}");
    }
}
