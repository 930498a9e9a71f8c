//! The IPVS table with the checks of `ip_vs_ctl.c`, in the order in which the kernel makes them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustix::io::Errno;

use super::network::Network;
use crate::effect::{
    DestinationConfig, DestinationKey, IpvsCommand, LiveDestination, LiveService, ServiceConfig, ServiceFlags,
    ServiceKey, SyncDaemonConfig,
};
use crate::host::HostError;
use crate::host::genl::{daemon_meaning, describe, is_no_failure, meaning};
use crate::topology::{Family, Forwarding, IpvsTimeout, SyncState};

/// The schedulers of the kernel's own modules.
const SCHEDULERS: [&str; 13] = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

/// The persistence engines of the kernel's own modules.
const ENGINES: [&str; 1] = ["sip"];

/// The table, in the order in which services and destinations came.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) services: Vec<LiveService>,
    pub(super) timeouts: BTreeMap<IpvsTimeout, u32>,
    pub(super) daemons: BTreeMap<SyncState, SyncDaemonConfig>,
}

impl Default for Table {
    fn default() -> Self {
        let timeouts = IpvsTimeout::ALL.map(|timeout| (timeout, timeout.kernel_default()));
        Table { services: Vec::new(), timeouts: timeouts.into(), daemons: BTreeMap::new() }
    }
}

/// The longest message where none is said: what fits into an ordinary Ethernet frame.
const MAXLEN: u16 = 1464;

impl Table {
    /// Starts a daemon that synchronises connections.
    pub(super) fn start_daemon(
        &mut self,
        state: SyncState,
        config: &SyncDaemonConfig,
        network: &Network,
    ) -> Result<(), HostError> {
        let refused =
            |errno| Err(HostError::kernel(&format!("start the sync daemon as {state}"), errno, daemon_meaning));
        if self.daemons.contains_key(&state) {
            return refused(Errno::EXIST);
        }
        if !network.links.iter().any(|link| link.name == config.interface) {
            return refused(Errno::NODEV);
        }
        let maxlen = Some(config.maxlen.unwrap_or(MAXLEN));
        self.daemons.insert(state, SyncDaemonConfig { maxlen, ..config.clone() });
        Ok(())
    }

    /// Performs a command as the kernel does.
    pub(super) fn perform(&mut self, command: &IpvsCommand) -> Result<(), HostError> {
        let result = match command {
            IpvsCommand::NewService(key, config) => self.new_service(key, config),
            IpvsCommand::SetService(key, config) => self.set_service(key, config),
            IpvsCommand::DeleteService(key) => self.delete_service(key),
            IpvsCommand::NewDestination(key, server, config) => self.new_destination(key, server, config),
            IpvsCommand::SetDestination(key, server, config)
            | IpvsCommand::SetDestinationIfThere(key, server, config) => self.set_destination(key, server, config),
            // 0 keeps what is there (`ip_vs_set_timeout`).
            IpvsCommand::SetTimeout(_, 0) => Ok(()),
            IpvsCommand::SetTimeout(timeout, seconds) => {
                self.timeouts.insert(*timeout, *seconds);
                Ok(())
            }
            IpvsCommand::DeleteDestination(key, server) => self.delete_destination(key, server),
        };
        let result = match result {
            Err(errno) if is_no_failure(errno, command) => Ok(()),
            result => result,
        };
        result.map_err(|errno| HostError::kernel(&describe(command), errno, |errno| meaning(errno, Some(command))))
    }

    /// Returns a service.
    pub(super) fn find(&mut self, key: &ServiceKey) -> Option<&mut LiveService> {
        self.services.iter_mut().find(|service| service.key == *key)
    }

    /// Returns a destination.
    pub(super) fn destination(&mut self, key: &ServiceKey, server: &DestinationKey) -> Option<&mut LiveDestination> {
        self.find(key)?.destinations.iter_mut().find(|destination| destination.key == *server)
    }

    fn new_service(&mut self, key: &ServiceKey, config: &ServiceConfig) -> Result<(), Errno> {
        if self.find(key).is_some() {
            return Err(Errno::EXIST);
        }
        let config = checked_service(key, config)?;
        self.services.push(LiveService { key: *key, config, destinations: Vec::new() });
        Ok(())
    }

    fn set_service(&mut self, key: &ServiceKey, config: &ServiceConfig) -> Result<(), Errno> {
        let service = self.find(key).ok_or(Errno::SRCH)?;
        service.config = checked_service(key, config)?;
        Ok(())
    }

    fn delete_service(&mut self, key: &ServiceKey) -> Result<(), Errno> {
        let place = self.services.iter().position(|service| service.key == *key).ok_or(Errno::SRCH)?;
        self.services.remove(place);
        Ok(())
    }

    fn new_destination(
        &mut self,
        key: &ServiceKey,
        server: &DestinationKey,
        config: &DestinationConfig,
    ) -> Result<(), Errno> {
        let service = self.find(key).ok_or(Errno::SRCH)?;
        check_family(key, server, config)?;
        check_ranges(config)?;
        if service.destinations.iter().any(|destination| destination.key == *server) {
            return Err(Errno::EXIST);
        }
        check_address(server.address)?;
        service.destinations.push(LiveDestination { key: *server, config: config.clone(), active: 0, inactive: 0 });
        Ok(())
    }

    fn set_destination(
        &mut self,
        key: &ServiceKey,
        server: &DestinationKey,
        config: &DestinationConfig,
    ) -> Result<(), Errno> {
        self.find(key).ok_or(Errno::SRCH)?;
        check_family(key, server, config)?;
        check_ranges(config)?;
        self.destination(key, server).ok_or(Errno::NOENT)?.config = config.clone();
        Ok(())
    }

    fn delete_destination(&mut self, key: &ServiceKey, server: &DestinationKey) -> Result<(), Errno> {
        let service = self.find(key).ok_or(Errno::SRCH)?;
        let place = service.destinations.iter().position(|destination| destination.key == *server);
        service.destinations.remove(place.ok_or(Errno::NOENT)?);
        Ok(())
    }
}

/// Returns what the table holds after a service was written.
fn checked_service(key: &ServiceKey, config: &ServiceConfig) -> Result<ServiceConfig, Errno> {
    if !SCHEDULERS.contains(&config.scheduler.as_str()) {
        return Err(Errno::NOENT);
    }
    if config.engine.as_ref().is_some_and(|engine| !ENGINES.contains(&engine.as_str())) {
        return Err(Errno::NOENT);
    }
    let flags = ServiceFlags(config.flags.0 & !ServiceFlags::HASHED);
    if !flags.has(ServiceFlags::PERSISTENT) {
        let netmask = key.family().host_prefix();
        return Ok(ServiceConfig { flags, timeout: 0, netmask, ..config.clone() });
    }
    if key.family() == Family::Ipv6 && !(1..=128).contains(&config.netmask) {
        return Err(Errno::INVAL);
    }
    Ok(ServiceConfig { flags, netmask: config.netmask.min(key.family().host_prefix()), ..config.clone() })
}

/// Only a tunnel leads from one family to the other.
fn check_family(key: &ServiceKey, server: &DestinationKey, config: &DestinationConfig) -> Result<(), Errno> {
    let same = Family::of(server.address) == key.family();
    if same || config.forwarding == Forwarding::Tun { Ok(()) } else { Err(Errno::INVAL) }
}

fn check_ranges(config: &DestinationConfig) -> Result<(), Errno> {
    let is_good = i32::try_from(config.weight).is_ok() && config.lower <= config.upper;
    if is_good { Ok(()) } else { Err(Errno::RANGE) }
}

/// A destination is this machine or another one, and not many.
fn check_address(address: IpAddr) -> Result<(), Errno> {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_multicast() || address.is_unspecified() || is_broadcast { Err(Errno::INVAL) } else { Ok(()) }
}
