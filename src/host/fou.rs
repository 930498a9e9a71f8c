//! UDP ports at which packets come out of their envelopes, over the netlink family of `fou`.

use std::collections::BTreeMap;

use neli::consts::nl::NlmF;
use rustix::io::Errno;

use super::HostError;
use super::generic::{self, Trouble, malformed};
use super::netlink::{ANSWER, Failure, Socket};
use crate::effect::wire::{WireError, fou};
use crate::topology::Family;

/// The module that brings the family.
pub(super) const MODULE: &str = "fou";

/// A connection to the family in one network namespace.
pub(super) struct Fou {
    socket: Socket,
    family: u16,
}

impl Fou {
    /// Connects in the calling thread's namespace.
    pub(super) fn open() -> Result<Self, HostError> {
        let doing = "ask the kernel for the interface of fou";
        let (socket, family) = generic::open(fou::FAMILY).map_err(|trouble| trouble.error(doing, refused))?;
        Ok(Fou { socket, family })
    }

    /// Returns the ports, each with whether it expects Generic UDP Encapsulation.
    pub(super) fn ports(&mut self) -> Result<BTreeMap<(Family, u16), bool>, HostError> {
        let doing = "read the ports of fou";
        let question = fou::get_ports().map_err(|error| malformed(doing, &error))?;
        let ports = self.socket.dump(self.family, &question, |bytes| Ok(fou::port(bytes)?));
        Ok(ports.map_err(|trouble: Trouble| trouble.error(doing, refused))?.into_iter().collect())
    }

    /// Opens a port for Generic UDP Encapsulation.
    pub(super) fn add(&mut self, family: Family, port: u16) -> Result<(), HostError> {
        self.change(&format!("open the UDP port {port} for gue"), fou::add_port(family, port))
    }

    /// Closes a port.
    pub(super) fn remove(&mut self, family: Family, port: u16) -> Result<(), HostError> {
        self.change(&format!("close the UDP port {port}"), fou::delete_port(family, port))
    }

    fn change(&mut self, doing: &str, message: Result<Vec<u8>, WireError>) -> Result<(), HostError> {
        let message = message.map_err(|error| malformed(doing, &error))?;
        self.socket.request(self.family, NlmF::empty(), &message, |_| ()).map_err(|failure| refused(doing, failure))
    }
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
