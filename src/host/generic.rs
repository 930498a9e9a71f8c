//! What the families of generic netlink have in common: how one is found, and in which ways an exchange fails.

use neli::consts::nl::{GenlId, NlmF};
use rustix::net::netlink;

use super::HostError;
use super::netlink::{Failure, Socket};
use crate::effect::wire::{self, WireError};

/// Why an exchange failed: the kernel refused, or its answer could not be read.
pub(super) enum Trouble {
    Failure(Failure),
    Wire(WireError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Failure(failure)
    }
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Self {
        Trouble::Wire(error)
    }
}

impl Trouble {
    /// Makes the error; `refused` says what a failure means to this family.
    pub(super) fn error(self, doing: &str, refused: impl FnOnce(&str, Failure) -> HostError) -> HostError {
        match self {
            Trouble::Failure(failure) => refused(doing, failure),
            Trouble::Wire(error) => malformed(doing, &error),
        }
    }
}

/// Opens a socket in the calling thread's namespace and asks for a family's number, which loads its module if need be.
pub(super) fn open(family: &str) -> Result<(Socket, u16), Trouble> {
    let mut socket = Socket::open(Some(netlink::GENERIC))?;
    let question = wire::get_family(family)?;
    let mut number = Err(WireError::Missing("family number"));
    socket.request(u16::from(GenlId::Ctrl), NlmF::empty(), &question, |answer| number = wire::family_number(answer))?;
    Ok((socket, number?))
}

/// Makes the error of a message that cannot be read or written.
pub(super) fn malformed(doing: &str, error: &WireError) -> HostError {
    HostError::Malformed { doing: doing.into(), text: error.to_string() }
}
