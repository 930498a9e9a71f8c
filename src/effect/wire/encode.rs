//! Commands and questions to bytes.

use std::io::Cursor;
use std::net::IpAddr;

use neli::consts::genl::{Cmd, CtrlAttr, CtrlCmd, NlAttrType};
use neli::genl::{AttrTypeBuilder, GenlmsghdrBuilder, Nlattr, NlattrBuilder};
use neli::types::{Buffer, GenlBuffer};
use neli::{Size, ToBytes};

use super::{
    AF_INET, AF_INET6, Command, DaemonAttribute, DestinationAttribute, Outer, ServiceAttribute, VERSION, WireError,
    state_number,
};
use crate::effect::{
    DestinationConfig, DestinationKey, IpvsCommand, ServiceConfig, ServiceFlags, ServiceKey, SyncDaemonConfig,
};
use crate::topology::{Family, Forwarding, Protocol, SyncState};

type Attributes<T> = Vec<Nlattr<T, Buffer>>;

/// Encodes a change of the table.
pub fn command(command: &IpvsCommand) -> Result<Vec<u8>, WireError> {
    let (number, outer) = match command {
        IpvsCommand::NewService(key, config) => (Command::NewService, vec![service(key, Some(config))?]),
        IpvsCommand::SetService(key, config) => (Command::SetService, vec![service(key, Some(config))?]),
        IpvsCommand::DeleteService(key) => (Command::DeleteService, vec![service(key, None)?]),
        IpvsCommand::NewDestination(key, server, config) => {
            (Command::NewDestination, vec![service(key, None)?, destination(server, Some(config))?])
        }
        IpvsCommand::SetDestination(key, server, config) | IpvsCommand::SetDestinationIfThere(key, server, config) => {
            (Command::SetDestination, vec![service(key, None)?, destination(server, Some(config))?])
        }
        IpvsCommand::SetTimeout(timeout, seconds) => {
            (Command::SetConfig, vec![attribute(Outer::from(*timeout), *seconds)?])
        }
        IpvsCommand::DeleteDestination(key, server) => {
            (Command::DeleteDestination, vec![service(key, None)?, destination(server, None)?])
        }
    };
    message(number, outer)
}

/// Encodes the question for every service, to be sent as a dump.
pub fn get_services() -> Result<Vec<u8>, WireError> {
    message::<_, Outer>(Command::GetService, Vec::new())
}

/// Encodes the question for one service; the kernel answers with it or with `ESRCH`.
pub fn get_service(key: &ServiceKey) -> Result<Vec<u8>, WireError> {
    message(Command::GetService, vec![service(key, None)?])
}

/// Encodes the question for the destinations of a service, to be sent as a dump.
pub fn get_destinations(key: &ServiceKey) -> Result<Vec<u8>, WireError> {
    message(Command::GetDestination, vec![service(key, None)?])
}

/// Encodes the question for the daemons, to be sent as a dump.
pub fn get_daemons() -> Result<Vec<u8>, WireError> {
    message::<_, Outer>(Command::GetDaemon, Vec::new())
}

/// Encodes the start of a daemon.
pub fn new_daemon(state: SyncState, config: &SyncDaemonConfig) -> Result<Vec<u8>, WireError> {
    use DaemonAttribute as Attribute;
    let group = match config.group {
        IpAddr::V4(_) => Attribute::Group,
        IpAddr::V6(_) => Attribute::Group6,
    };
    let mut inner = vec![
        attribute(Attribute::State, state_number(state))?,
        attribute(Attribute::Interface, config.interface.as_str())?,
        attribute(Attribute::Id, u32::from(config.id))?,
        attribute(group, octets(config.group))?,
        attribute(Attribute::Port, config.port)?,
        attribute(Attribute::TimeToLive, config.ttl)?,
    ];
    if let Some(maxlen) = config.maxlen {
        inner.push(attribute(Attribute::MaximumLength, maxlen)?);
    }
    message(Command::NewDaemon, vec![nest(Outer::Daemon, &inner)?])
}

/// Encodes the stop of a daemon.
pub fn delete_daemon(state: SyncState) -> Result<Vec<u8>, WireError> {
    let inner = [attribute(DaemonAttribute::State, state_number(state))?];
    message(Command::DeleteDaemon, vec![nest(Outer::Daemon, &inner)?])
}

/// Encodes the question for the timeouts.
pub fn get_timeouts() -> Result<Vec<u8>, WireError> {
    message::<_, Outer>(Command::GetConfig, Vec::new())
}

/// Encodes the question for the version, which changes nothing and always succeeds: the end of a batch.
pub fn get_info() -> Result<Vec<u8>, WireError> {
    message::<_, Outer>(Command::GetInfo, Vec::new())
}

/// Encodes the question for the number that the kernel gave a family; it loads the module if there is one.
pub fn get_family(name: &str) -> Result<Vec<u8>, WireError> {
    message(CtrlCmd::Getfamily, vec![attribute(CtrlAttr::FamilyName, name)?])
}

fn message<C: Cmd + Size, T: NlAttrType + Size>(command: C, outer: Attributes<T>) -> Result<Vec<u8>, WireError> {
    let attributes: GenlBuffer<T, Buffer> = outer.into_iter().collect();
    let message = GenlmsghdrBuilder::default()
        .cmd(command)
        .version(VERSION)
        .attrs(attributes)
        .build()
        .map_err(|error| WireError::Broken(error.to_string()))?;
    let mut bytes = Cursor::new(Vec::with_capacity(message.padded_size()));
    message.to_bytes(&mut bytes).map_err(|error| WireError::Broken(error.to_string()))?;
    Ok(bytes.into_inner())
}

fn service(key: &ServiceKey, config: Option<&ServiceConfig>) -> Result<Nlattr<Outer, Buffer>, WireError> {
    use ServiceAttribute as Attribute;
    let mut inner = vec![attribute(Attribute::Family, family(key.family()))?];
    match key {
        ServiceKey::Address { protocol, address, port } => inner.extend([
            attribute(Attribute::Protocol, protocol_number(*protocol))?,
            attribute(Attribute::Address, octets(*address))?,
            attribute(Attribute::Port, port.to_be())?,
        ]),
        ServiceKey::Mark { mark, .. } => inner.push(attribute(Attribute::Mark, *mark)?),
    }
    if let Some(config) = config {
        let persistent = config.flags.has(ServiceFlags::PERSISTENT);
        let prefix = if persistent { config.netmask } else { key.family().host_prefix() };
        inner.extend([
            attribute(Attribute::Scheduler, config.scheduler.as_str())?,
            attribute(Attribute::Flags, flags(config.flags))?,
            attribute(Attribute::Timeout, if persistent { config.timeout } else { 0 })?,
            attribute(Attribute::Netmask, netmask(key.family(), prefix))?,
        ]);
        if let Some(engine) = &config.engine {
            inner.push(attribute(Attribute::Engine, engine.as_str())?);
        }
    }
    nest(Outer::Service, &inner)
}

fn destination(key: &DestinationKey, config: Option<&DestinationConfig>) -> Result<Nlattr<Outer, Buffer>, WireError> {
    use DestinationAttribute as Attribute;
    let mut inner = vec![
        attribute(Attribute::Address, octets(key.address))?,
        attribute(Attribute::Port, key.port.to_be())?,
        attribute(Attribute::Family, family(Family::of(key.address)))?,
    ];
    if let Some(config) = config {
        inner.extend([
            attribute(Attribute::Forwarding, forwarding_number(config.forwarding))?,
            attribute(Attribute::Weight, config.weight)?,
            attribute(Attribute::Upper, config.upper)?,
            attribute(Attribute::Lower, config.lower)?,
        ]);
    }
    nest(Outer::Destination, &inner)
}

fn attribute<T: NlAttrType + Size, P: Size + ToBytes>(kind: T, payload: P) -> Result<Nlattr<T, Buffer>, WireError> {
    let kind =
        AttrTypeBuilder::default().nla_type(kind).build().map_err(|error| WireError::Broken(error.to_string()))?;
    NlattrBuilder::default()
        .nla_type(kind)
        .nla_payload(payload)
        .build()
        .map_err(|error| WireError::Broken(error.to_string()))
}

fn nest<T: NlAttrType>(kind: Outer, inner: &[Nlattr<T, Buffer>]) -> Result<Nlattr<Outer, Buffer>, WireError> {
    inner.iter().try_fold(attribute(kind, Buffer::new())?, |outer, inner| {
        outer.nest(inner).map_err(|error| WireError::Broken(error.to_string()))
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
        Forwarding::Nat => 0,
        Forwarding::Local => 1,
        Forwarding::Tun => 2,
        Forwarding::Dr => 3,
        Forwarding::Bypass => 4,
    }
}

fn octets(address: IpAddr) -> Buffer {
    Buffer::from(match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

/// `struct ip_vs_flags`: the flags, and which of them the message speaks about, here all.
fn flags(flags: ServiceFlags) -> Buffer {
    let value = flags.0 & !ServiceFlags::HASHED;
    Buffer::from([value.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat())
}

/// A mask in network byte order for IPv4, a prefix length for IPv6 (`ip_vs_genl_parse_service`).
fn netmask(family: Family, prefix: u8) -> u32 {
    match family {
        Family::Ipv4 => u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0).to_be(),
        Family::Ipv6 => prefix.into(),
    }
}
