//! Commands and questions to bytes.

use std::net::IpAddr;

use neli::consts::genl::{Cmd, CtrlAttr, CtrlCmd};

use super::attributes::{self, Attributes};
use super::{
    AF_INET, AF_INET6, Command, DaemonAttribute, DestinationAttribute, Outer, ServiceAttribute, TUNNEL_GRE, TUNNEL_GUE,
    VERSION, WireError, state_number,
};
use crate::effect::{
    DestinationConfig, DestinationKey, IpvsCommand, ServiceConfig, ServiceFlags, ServiceKey, SyncDaemonConfig,
};
use crate::topology::{Family, Forwarding, Protocol, SyncState, Tunnel};

/// Encodes a change of the table.
pub fn command(command: &IpvsCommand) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    append_command(command, &mut bytes)?;
    Ok(bytes)
}

/// Encodes a change of the table behind other messages; after an error there is a part of it in the buffer.
pub fn append_command(command: &IpvsCommand, bytes: &mut Vec<u8>) -> Result<(), WireError> {
    let number = match command {
        IpvsCommand::NewService(..) => Command::NewService,
        IpvsCommand::SetService(..) => Command::SetService,
        IpvsCommand::DeleteService(_) => Command::DeleteService,
        IpvsCommand::NewDestination(..) => Command::NewDestination,
        IpvsCommand::SetDestination(..) | IpvsCommand::SetDestinationIfThere(..) => Command::SetDestination,
        IpvsCommand::SetTimeout(..) => Command::SetConfig,
        IpvsCommand::DeleteDestination(..) => Command::DeleteDestination,
    };
    let mut outer = attributes::begin(bytes, number, VERSION);
    match command {
        IpvsCommand::NewService(key, config) | IpvsCommand::SetService(key, config) => {
            service(&mut outer, key, Some(config))
        }
        IpvsCommand::DeleteService(key) => service(&mut outer, key, None),
        IpvsCommand::NewDestination(key, server, config)
        | IpvsCommand::SetDestination(key, server, config)
        | IpvsCommand::SetDestinationIfThere(key, server, config) => {
            service(&mut outer, key, None)?;
            destination(&mut outer, server, Some(config))
        }
        IpvsCommand::SetTimeout(timeout, seconds) => outer.put(Outer::from(*timeout), *seconds),
        IpvsCommand::DeleteDestination(key, server) => {
            service(&mut outer, key, None)?;
            destination(&mut outer, server, None)
        }
    }
}

/// Encodes the question for every service, to be sent as a dump.
pub fn get_services() -> Result<Vec<u8>, WireError> {
    message(Command::GetService, |_| Ok(()))
}

/// Encodes the question for one service; the kernel answers with it or with `ESRCH`.
pub fn get_service(key: &ServiceKey) -> Result<Vec<u8>, WireError> {
    message(Command::GetService, |outer| service(outer, key, None))
}

/// Encodes the question for the destinations of a service, to be sent as a dump.
pub fn get_destinations(key: &ServiceKey) -> Result<Vec<u8>, WireError> {
    message(Command::GetDestination, |outer| service(outer, key, None))
}

/// Encodes the question for the daemons, to be sent as a dump.
pub fn get_daemons() -> Result<Vec<u8>, WireError> {
    message(Command::GetDaemon, |_| Ok(()))
}

/// Encodes the start of a daemon.
pub fn new_daemon(state: SyncState, config: &SyncDaemonConfig) -> Result<Vec<u8>, WireError> {
    use DaemonAttribute as Kind;
    let group = match config.group {
        IpAddr::V4(_) => Kind::Group,
        IpAddr::V6(_) => Kind::Group6,
    };
    message(Command::NewDaemon, |outer| {
        outer.nest(Outer::Daemon, |inner| {
            inner.put(Kind::State, state_number(state))?;
            inner.put(Kind::Interface, config.interface.as_str())?;
            inner.put(Kind::Id, u32::from(config.id))?;
            inner.put(group, config.group)?;
            inner.put(Kind::Port, config.port)?;
            inner.put(Kind::TimeToLive, config.ttl)?;
            config.maxlen.map_or(Ok(()), |maxlen| inner.put(Kind::MaximumLength, maxlen))
        })
    })
}

/// Encodes the stop of a daemon.
pub fn delete_daemon(state: SyncState) -> Result<Vec<u8>, WireError> {
    message(Command::DeleteDaemon, |outer| {
        outer.nest(Outer::Daemon, |inner| inner.put(DaemonAttribute::State, state_number(state)))
    })
}

/// Encodes the question for the timeouts.
pub fn get_timeouts() -> Result<Vec<u8>, WireError> {
    message(Command::GetConfig, |_| Ok(()))
}

/// Encodes the question for the version, which changes nothing and always succeeds: the end of a batch.
pub fn get_info() -> Result<Vec<u8>, WireError> {
    message(Command::GetInfo, |_| Ok(()))
}

/// Encodes the question for the number that the kernel gave a family; it loads the module if there is one.
pub fn get_family(name: &str) -> Result<Vec<u8>, WireError> {
    message(CtrlCmd::Getfamily, |outer| outer.put(CtrlAttr::FamilyName, name))
}

fn message(
    command: impl Cmd,
    outer: impl FnOnce(&mut Attributes<'_>) -> Result<(), WireError>,
) -> Result<Vec<u8>, WireError> {
    attributes::message(command, VERSION, outer)
}

fn service(outer: &mut Attributes<'_>, key: &ServiceKey, config: Option<&ServiceConfig>) -> Result<(), WireError> {
    use ServiceAttribute as Kind;
    outer.nest(Outer::Service, |inner| {
        inner.put(Kind::Family, family(key.family()))?;
        match key {
            ServiceKey::Address { protocol, address, port } => {
                inner.put(Kind::Protocol, protocol_number(*protocol))?;
                inner.put(Kind::Address, *address)?;
                inner.put(Kind::Port, port.to_be())?;
            }
            ServiceKey::Mark { mark, .. } => inner.put(Kind::Mark, *mark)?,
        }
        let Some(config) = config else { return Ok(()) };
        let persistent = config.flags.has(ServiceFlags::PERSISTENT);
        let prefix = if persistent { config.netmask } else { key.family().host_prefix() };
        inner.put(Kind::Scheduler, config.scheduler.as_str())?;
        inner.put(Kind::Flags, flags(config.flags))?;
        inner.put(Kind::Timeout, if persistent { config.timeout } else { 0 })?;
        inner.put(Kind::Netmask, netmask(key.family(), prefix))?;
        config.engine.as_ref().map_or(Ok(()), |engine| inner.put(Kind::Engine, engine.as_str()))
    })
}

fn destination(
    outer: &mut Attributes<'_>,
    key: &DestinationKey,
    config: Option<&DestinationConfig>,
) -> Result<(), WireError> {
    use DestinationAttribute as Kind;
    outer.nest(Outer::Destination, |inner| {
        inner.put(Kind::Address, key.address)?;
        inner.put(Kind::Port, key.port.to_be())?;
        inner.put(Kind::Family, family(Family::of(key.address)))?;
        let Some(config) = config else { return Ok(()) };
        inner.put(Kind::Forwarding, forwarding_number(config.forwarding))?;
        inner.put(Kind::Weight, config.weight)?;
        inner.put(Kind::Upper, config.upper)?;
        inner.put(Kind::Lower, config.lower)?;
        // An older kernel knows no other form than the plain one, and no attribute for it.
        match config.tunnel {
            Tunnel::Ipip => Ok(()),
            Tunnel::Gue { port, flags } => {
                inner.put(Kind::TunnelType, TUNNEL_GUE)?;
                inner.put(Kind::TunnelPort, port.to_be())?;
                inner.put(Kind::TunnelFlags, flags)
            }
            Tunnel::Gre { flags } => {
                inner.put(Kind::TunnelType, TUNNEL_GRE)?;
                inner.put(Kind::TunnelFlags, flags)
            }
        }
    })
}

fn family(family: Family) -> u16 {
    match family {
        Family::Ipv4 => AF_INET,
        Family::Ipv6 => AF_INET6,
    }
}

/// The numbers of IANA's protocol registry.
pub(super) fn protocol_number(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

/// `IP_VS_CONN_F_MASQ` and its neighbours.
pub(super) fn forwarding_number(forwarding: Forwarding) -> u32 {
    match forwarding {
        Forwarding::Nat | Forwarding::FullNat => 0,
        Forwarding::Local => 1,
        Forwarding::Tun => 2,
        Forwarding::Dr => 3,
        Forwarding::Bypass => 4,
    }
}

/// `struct ip_vs_flags`: the flags, and which of them the message speaks about, here all.
fn flags(flags: ServiceFlags) -> [u32; 2] {
    [flags.0 & !ServiceFlags::HASHED, u32::MAX]
}

/// A mask in network byte order for IPv4, a prefix length for IPv6 (`ip_vs_genl_parse_service`).
fn netmask(family: Family, prefix: u8) -> u32 {
    match family {
        Family::Ipv4 => u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0).to_be(),
        Family::Ipv6 => prefix.into(),
    }
}
