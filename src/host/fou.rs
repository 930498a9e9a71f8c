//! UDP ports at which packets come out of their envelopes, over the netlink family of `fou`.

use std::collections::BTreeMap;

use neli::consts::nl::{GenlId, NlmF};
use rustix::io::Errno;
use rustix::net::netlink;

use super::HostError;
use super::netlink::{ANSWER, Failure, Socket};
use crate::effect::wire::{self, WireError, fou};
use crate::topology::Family;

/// The module that brings the family.
pub(super) const MODULE: &str = "fou";

/// A connection to the family in one network namespace.
pub(super) struct Fou {
    socket: Socket,
    family: u16,
}

/// Why a dump failed: the kernel refused, or its answer could not be read.
enum Trouble {
    Failure(Failure),
    Wire(WireError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Failure(failure)
    }
}

impl Fou {
    /// Connects in the calling thread's namespace.
    pub(super) fn open() -> Result<Self, HostError> {
        let doing = "ask the kernel for the interface of fou";
        let mut socket = Socket::open(Some(netlink::GENERIC)).map_err(|failure| refused(doing, failure))?;
        let question = wire::get_family(fou::FAMILY).map_err(|error| malformed(doing, &error))?;
        let mut family = Err(WireError::Missing("family number"));
        socket
            .request(u16::from(GenlId::Ctrl), NlmF::empty(), &question, |answer| family = wire::family_number(answer))
            .map_err(|failure| refused(doing, failure))?;
        Ok(Fou { socket, family: family.map_err(|error| malformed(doing, &error))? })
    }

    /// Returns the ports, each with whether it expects Generic UDP Encapsulation.
    pub(super) fn ports(&mut self) -> Result<BTreeMap<(Family, u16), bool>, HostError> {
        let doing = "read the ports of fou";
        let read = |bytes: &[u8]| fou::port(bytes).map_err(Trouble::Wire);
        match self.socket.dump(self.family, &fou::get_ports(), read) {
            Ok(ports) => Ok(ports.into_iter().collect()),
            Err(Trouble::Failure(failure)) => Err(refused(doing, failure)),
            Err(Trouble::Wire(error)) => Err(malformed(doing, &error)),
        }
    }

    /// Opens a port for Generic UDP Encapsulation.
    pub(super) fn add(&mut self, family: Family, port: u16) -> Result<(), HostError> {
        self.change(&format!("open the UDP port {port} for gue"), &fou::add_port(family, port))
    }

    /// Closes a port.
    pub(super) fn remove(&mut self, family: Family, port: u16) -> Result<(), HostError> {
        self.change(&format!("close the UDP port {port}"), &fou::delete_port(family, port))
    }

    fn change(&mut self, doing: &str, message: &[u8]) -> Result<(), HostError> {
        self.socket.request(self.family, NlmF::empty(), message, |_| ()).map_err(|failure| refused(doing, failure))
    }
}

fn malformed(doing: &str, error: &WireError) -> HostError {
    HostError::Malformed { doing: doing.into(), text: error.to_string() }
}

fn refused(doing: &str, failure: Failure) -> HostError {
    match failure {
        Failure::Silent => HostError::Timeout { doing: doing.into(), within: ANSWER },
        Failure::Refused(errno) => HostError::kernel(doing, errno, |errno| match errno {
            Errno::NOENT => Some("the kernel has no module fou"),
            Errno::ADDRINUSE => Some("another program has the port"),
            Errno::INVAL => Some("the port is not open"),
            _ => None,
        }),
    }
}
