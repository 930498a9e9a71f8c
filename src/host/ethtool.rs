//! What interfaces offload, over ethtool's netlink family: the program ethtool need not be installed for it.

use std::collections::BTreeMap;

use neli::consts::nl::NlmF;
use rustix::io::Errno;

use super::HostError;
use super::generic::{self, malformed};
use super::netlink::{ANSWER, Failure, Socket};
use crate::effect::wire::ethtool;
use crate::topology::Offload;

/// A connection to the family in one network namespace.
pub(super) struct Ethtool {
    socket: Socket,
    family: u16,
}

impl Ethtool {
    /// Connects in the calling thread's namespace.
    pub(super) fn open() -> Result<Self, HostError> {
        let doing = "ask the kernel for ethtool's interface";
        let (socket, family) = generic::open(ethtool::FAMILY).map_err(|trouble| trouble.error(doing, refused))?;
        Ok(Ethtool { socket, family })
    }

    /// Returns what an interface offloads; nothing if there is no such interface.
    pub(super) fn offloads(&mut self, device: &str) -> Result<BTreeMap<Offload, bool>, HostError> {
        let doing = format!("ask what {device} offloads");
        let mut read = Ok(BTreeMap::new());
        let question = ethtool::get_offloads(device).map_err(|error| malformed(&doing, &error))?;
        match self.socket.request(self.family, NlmF::empty(), &question, |answer| read = ethtool::offloads(answer)) {
            Err(Failure::Refused(Errno::NODEV)) => Ok(BTreeMap::new()),
            Err(failure) => Err(refused(&doing, failure)),
            Ok(()) => read.map_err(|error| malformed(&doing, &error)),
        }
    }

    /// Switches one of them.
    pub(super) fn set(&mut self, device: &str, offload: Offload, on: bool) -> Result<(), HostError> {
        let doing = format!("switch {offload} of {device} {}", if on { "on" } else { "off" });
        let change = ethtool::set_offload(device, offload, on).map_err(|error| malformed(&doing, &error))?;
        self.socket.request(self.family, NlmF::empty(), &change, |_| ()).map_err(|failure| refused(&doing, failure))?;
        // What an interface cannot do it leaves undone without a word.
        match self.offloads(device)?.get(&offload) {
            Some(now) if *now != on => Err(refused(&doing, Failure::Refused(Errno::OPNOTSUPP))),
            _ => Ok(()),
        }
    }
}

fn refused(doing: &str, failure: Failure) -> HostError {
    match failure {
        Failure::Silent => HostError::Timeout { doing: doing.into(), within: ANSWER },
        Failure::Refused(errno) => HostError::kernel(doing, errno, |errno| match errno {
            Errno::NODEV => Some("there is no such interface"),
            Errno::NOENT => Some("the kernel is older than 5.6, or was built without it"),
            Errno::OPNOTSUPP | Errno::INVAL => Some("the interface cannot do that"),
            _ => None,
        }),
    }
}
