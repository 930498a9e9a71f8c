//! The IPVS table over generic netlink.
//!
//! Asking the kernel for the family's number loads the module, so a probe asks only where the module is there already.
//! In a batch nothing is transactional: the kernel goes on after a refusal, and each refusal is given to its command.

use std::collections::BTreeMap;

use neli::consts::nl::NlmF;
use rustix::io::Errno;

use super::HostError;
use super::generic::{self, Trouble, malformed};
use super::netlink::{ANSWER, BATCH, Failure, Socket};
use crate::effect::wire::{self, WireError};
use crate::effect::{IpvsCommand, LiveDestination, LiveService, ServiceConfig, ServiceKey, SyncDaemonConfig};
use crate::topology::{IpvsTimeout, SyncState};

/// How long the thread of a new daemon is given: the kernel never answers who stops it before it has run.
const FIRST_BREATH: std::time::Duration = std::time::Duration::from_millis(500);

/// The IPVS table of one network namespace.
pub(super) struct Table {
    socket: Socket,
    family: u16,
}

impl Table {
    /// Opens the table of the calling thread's namespace, and loads the module if need be.
    pub(super) fn open() -> Result<Self, HostError> {
        let doing = "open the IPVS table";
        let (socket, family) = generic::open(wire::FAMILY).map_err(|trouble| trouble.error(doing, unnamed))?;
        Ok(Table { socket, family })
    }

    /// Returns every service with its destinations.
    pub(super) fn read(&mut self) -> Result<Vec<LiveService>, HostError> {
        let doing = "read the IPVS table";
        let question = wire::get_services().map_err(|error| malformed(doing, &error))?;
        let services = self
            .socket
            .dump(self.family, &question, |bytes| Ok(wire::service(bytes)?))
            .map_err(|trouble: Trouble| trouble.error(doing, unnamed))?;
        services.into_iter().map(|(key, config)| self.with_destinations(key, config)).collect()
    }

    /// Returns the timeouts in seconds.
    pub(super) fn timeouts(&mut self) -> Result<BTreeMap<IpvsTimeout, u32>, HostError> {
        let doing = "read the timeouts of IPVS";
        let question = wire::get_timeouts().map_err(|error| malformed(doing, &error))?;
        let mut timeouts = Ok(BTreeMap::new());
        self.socket
            .request(self.family, NlmF::empty(), &question, |answer| timeouts = wire::timeouts(answer))
            .map_err(|failure| refused(doing, failure, None))?;
        timeouts.map_err(|error| malformed(doing, &error))
    }

    /// Returns the daemons that synchronise connections.
    pub(super) fn daemons(&mut self) -> Result<BTreeMap<SyncState, SyncDaemonConfig>, HostError> {
        let doing = "read the sync daemons";
        let question = wire::get_daemons().map_err(|error| malformed(doing, &error))?;
        let daemons = self.socket.dump(self.family, &question, |bytes| Ok(wire::daemon(bytes)?));
        Ok(daemons.map_err(|trouble: Trouble| trouble.error(doing, unnamed))?.into_iter().collect())
    }

    /// Starts a daemon, and waits until its thread has begun to run.
    pub(super) fn start_daemon(&mut self, state: SyncState, config: &SyncDaemonConfig) -> Result<(), HostError> {
        let doing = format!("start the sync daemon as {state} on {}", config.interface);
        self.control(&doing, wire::new_daemon(state, config), None)?;
        std::thread::sleep(FIRST_BREATH);
        Ok(())
    }

    /// Stops a daemon; one that keepalived has stopped by itself is fine.
    pub(super) fn stop_daemon(&mut self, state: SyncState) -> Result<(), HostError> {
        self.control(&format!("stop the sync daemon as {state}"), wire::delete_daemon(state), Some(Errno::SRCH))
    }

    fn control(
        &mut self,
        doing: &str,
        message: Result<Vec<u8>, WireError>,
        is_fine: Option<Errno>,
    ) -> Result<(), HostError> {
        let message = message.map_err(|error| malformed(doing, &error))?;
        self.socket.request(self.family, NlmF::empty(), &message, |_| ()).or_else(|failure| match failure {
            Failure::Refused(errno) if Some(errno) == is_fine => Ok(()),
            Failure::Refused(errno) => Err(HostError::kernel(doing, errno, daemon_meaning)),
            Failure::Silent => Err(refused(doing, failure, None)),
        })
    }

    /// Returns one service with its destinations, if it is there.
    pub(super) fn find(&mut self, key: &ServiceKey) -> Result<Option<LiveService>, HostError> {
        let doing = format!("read {key} in the IPVS table");
        let question = wire::get_service(key).map_err(|error| malformed(&doing, &error))?;
        let mut found = None;
        match self.socket.request(self.family, NlmF::empty(), &question, |bytes| found = Some(wire::service(bytes))) {
            Err(Failure::Refused(Errno::SRCH)) => return Ok(None),
            other => other.map_err(|failure| refused(&doing, failure, None))?,
        }
        match found {
            Some(Ok((key, config))) => self.with_destinations(key, config).map(Some),
            Some(Err(error)) => Err(malformed(&doing, &error)),
            None => Ok(None),
        }
    }

    fn with_destinations(&mut self, key: ServiceKey, config: ServiceConfig) -> Result<LiveService, HostError> {
        let destinations = self.destinations(&key)?;
        Ok(LiveService { key, config, destinations })
    }

    /// Returns the destinations of a service, none if it is not there.
    pub(super) fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<LiveDestination>, HostError> {
        let failed = |trouble: Trouble| trouble.error(&format!("read the destinations of {key}"), unnamed);
        let question = wire::get_destinations(key).map_err(|error| failed(Trouble::Wire(error)))?;
        self.socket.dump(self.family, &question, |bytes| Ok(wire::destination(bytes, key.family())?)).map_err(failed)
    }

    /// Performs commands in order; every one is tried, whatever became of those before it.
    pub(super) fn perform(&mut self, commands: &[&IpvsCommand]) -> Vec<Result<(), HostError>> {
        let sentinel = match wire::get_info() {
            Ok(sentinel) => sentinel,
            Err(error) => return vec![Err(malformed("encode IPVS commands", &error)); commands.len()],
        };
        let mut results = Vec::with_capacity(commands.len());
        for batch in commands.chunks(BATCH) {
            let ended = self.socket.batch(self.family, batch, &sentinel, |command, bytes| {
                wire::append_command(command, bytes).map_err(Trouble::from)
            });
            results.extend(batch.iter().zip(ended).map(|(command, result)| match result {
                Err(Trouble::Failure(Failure::Refused(errno))) if is_no_failure(errno, command) => Ok(()),
                result => result.map_err(|trouble| {
                    trouble.error(&describe(command), |doing, failure| refused(doing, failure, Some(command)))
                }),
            }));
        }
        results
    }
}

/// Says what a failure means that is of no command.
fn unnamed(doing: &str, failure: Failure) -> HostError {
    refused(doing, failure, None)
}

fn refused(doing: &str, failure: Failure, command: Option<&IpvsCommand>) -> HostError {
    match failure {
        Failure::Silent => HostError::Timeout { doing: doing.into(), within: ANSWER },
        Failure::Refused(errno) => HostError::kernel(doing, errno, |errno| meaning(errno, command)),
    }
}

/// Tells whether a refusal says no more than that a destination is gone which may be.
pub(super) fn is_no_failure(errno: Errno, command: &IpvsCommand) -> bool {
    matches!(command, IpvsCommand::SetDestinationIfThere(..)) && matches!(errno, Errno::NOENT | Errno::SRCH)
}

/// Says what a number means for a command (`ip_vs_genl_set_cmd` in `net/netfilter/ipvs/ip_vs_ctl.c`).
pub(super) fn meaning(errno: Errno, command: Option<&IpvsCommand>) -> Option<&'static str> {
    use IpvsCommand as Command;
    let Some(command) = command else {
        return (errno == Errno::NOENT).then_some("the kernel has no module ip_vs");
    };
    Some(match (errno, command) {
        (Errno::EXIST, Command::NewService(..)) => "the service is there already",
        (Errno::EXIST, _) => "the destination is there already",
        (Errno::INVAL, Command::SetTimeout(..)) => "the timeout is longer than the kernel can count",
        (Errno::SRCH, _) => "the service is not there",
        (Errno::NOENT, Command::NewService(..) | Command::SetService(..)) => {
            "the kernel does not have this scheduler or persistence engine"
        }
        (Errno::NOENT, _) => "the destination is not there",
        (Errno::RANGE, Command::NewService(..) | Command::SetService(..)) => "a name is longer than the kernel takes",
        (Errno::RANGE, _) => "the weight is above 2147483647, or the lower threshold above the upper one",
        (Errno::INVAL, Command::NewDestination(..)) => {
            "the address is neither local nor that of another machine, or the families differ"
        }
        (Errno::INVAL, _) => "the kernel refuses this combination of values",
        (Errno::NOBUFS, _) => "answers were lost, and what became of it is not known",
        _ => return None,
    })
}

/// Says what a number means for a daemon (`start_sync_thread` in `net/netfilter/ipvs/ip_vs_sync.c`).
pub(super) fn daemon_meaning(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EXIST => "a daemon of that state runs already",
        Errno::SRCH => "no daemon of that state runs",
        Errno::NODEV => "there is no such interface",
        Errno::INVAL => "the kernel refuses these values, or a service has servers of both address families",
        Errno::ADDRNOTAVAIL => "the interface has no address of the group's family",
        _ => return None,
    })
}

/// Says what a command does, as an infinitive.
pub(super) fn describe(command: &IpvsCommand) -> String {
    match command {
        IpvsCommand::NewService(key, _) => format!("add the service {key}"),
        IpvsCommand::SetService(key, _) => format!("change the service {key}"),
        IpvsCommand::DeleteService(key) => format!("delete the service {key}"),
        IpvsCommand::NewDestination(key, server, _) => format!("add the destination {server} to {key}"),
        IpvsCommand::SetDestination(key, server, _) | IpvsCommand::SetDestinationIfThere(key, server, _) => {
            format!("change the destination {server} of {key}")
        }
        IpvsCommand::SetTimeout(timeout, seconds) => format!("set the timeout {timeout} to {seconds} s"),
        IpvsCommand::DeleteDestination(key, server) => format!("delete the destination {server} of {key}"),
    }
}
