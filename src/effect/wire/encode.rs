//! Commands and questions to bytes.

use std::net::IpAddr;

use neli::consts::genl::{Cmd, CtrlAttr, CtrlCmd, NlAttrType};
use neli::types::Buffer;

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
    message(Command::GetService, Vec::new())
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
    message(Command::GetDaemon, Vec::new())
}

/// Encodes the start of a daemon.
pub fn new_daemon(state: SyncState, config: &SyncDaemonConfig) -> Result<Vec<u8>, WireError> {
    use DaemonAttribute as Kind;
    let group = match config.group {
        IpAddr::V4(_) => Kind::Group,
        IpAddr::V6(_) => Kind::Group6,
    };
    let mut inner = vec![
        attribute(Kind::State, state_number(state))?,
        attribute(Kind::Interface, config.interface.as_str())?,
        attribute(Kind::Id, u32::from(config.id))?,
        attribute(group, octets(config.group))?,
        attribute(Kind::Port, config.port)?,
        attribute(Kind::TimeToLive, config.ttl)?,
    ];
    if let Some(maxlen) = config.maxlen {
        inner.push(attribute(Kind::MaximumLength, maxlen)?);
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
    message(Command::GetConfig, Vec::new())
}

/// Encodes the question for the version, which changes nothing and always succeeds: the end of a batch.
pub fn get_info() -> Result<Vec<u8>, WireError> {
    message(Command::GetInfo, Vec::new())
}

/// Encodes the question for the number that the kernel gave a family; it loads the module if there is one.
pub fn get_family(name: &str) -> Result<Vec<u8>, WireError> {
    message(CtrlCmd::Getfamily, vec![attribute(CtrlAttr::FamilyName, name)?])
}

/// Puts the header of generic netlink (`struct genlmsghdr`) in front of attributes.
fn message<C: Cmd>(command: C, outer: Vec<Attribute>) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![command.into(), VERSION, 0, 0];
    outer.iter().for_each(|attribute| bytes.extend_from_slice(&attribute.0));
    Ok(bytes)
}

fn service(key: &ServiceKey, config: Option<&ServiceConfig>) -> Result<Attribute, WireError> {
    use ServiceAttribute as Kind;
    let mut inner = vec![attribute(Kind::Family, family(key.family()))?];
    match key {
        ServiceKey::Address { protocol, address, port } => inner.extend([
            attribute(Kind::Protocol, protocol_number(*protocol))?,
            attribute(Kind::Address, octets(*address))?,
            attribute(Kind::Port, port.to_be())?,
        ]),
        ServiceKey::Mark { mark, .. } => inner.push(attribute(Kind::Mark, *mark)?),
    }
    if let Some(config) = config {
        let persistent = config.flags.has(ServiceFlags::PERSISTENT);
        let prefix = if persistent { config.netmask } else { key.family().host_prefix() };
        inner.extend([
            attribute(Kind::Scheduler, config.scheduler.as_str())?,
            attribute(Kind::Flags, flags(config.flags))?,
            attribute(Kind::Timeout, if persistent { config.timeout } else { 0 })?,
            attribute(Kind::Netmask, netmask(key.family(), prefix))?,
        ]);
        if let Some(engine) = &config.engine {
            inner.push(attribute(Kind::Engine, engine.as_str())?);
        }
    }
    nest(Outer::Service, &inner)
}

fn destination(key: &DestinationKey, config: Option<&DestinationConfig>) -> Result<Attribute, WireError> {
    use DestinationAttribute as Kind;
    let mut inner = vec![
        attribute(Kind::Address, octets(key.address))?,
        attribute(Kind::Port, key.port.to_be())?,
        attribute(Kind::Family, family(Family::of(key.address)))?,
    ];
    if let Some(config) = config {
        inner.extend([
            attribute(Kind::Forwarding, forwarding_number(config.forwarding))?,
            attribute(Kind::Weight, config.weight)?,
            attribute(Kind::Upper, config.upper)?,
            attribute(Kind::Lower, config.lower)?,
        ]);
        // An older kernel knows no other form than the plain one, and no attribute for it.
        match config.tunnel {
            Tunnel::Ipip => {}
            Tunnel::Gue { port, flags } => inner.extend([
                attribute(Kind::TunnelType, TUNNEL_GUE)?,
                attribute(Kind::TunnelPort, port.to_be())?,
                attribute(Kind::TunnelFlags, flags)?,
            ]),
            Tunnel::Gre { flags } => {
                inner.extend([attribute(Kind::TunnelType, TUNNEL_GRE)?, attribute(Kind::TunnelFlags, flags)?])
            }
        }
    }
    nest(Outer::Destination, &inner)
}

/// An attribute with its header (`struct nlattr`), filled up to a multiple of four.
///
/// The bytes are laid down here: neli's builders make a buffer for each attribute and copy it into the one around it.
struct Attribute(Vec<u8>);

/// `NLA_F_NESTED` of `uapi/linux/netlink.h`.
const NESTED: u16 = 1 << 15;

/// What an attribute can hold.
trait Payload {
    fn append(&self, bytes: &mut Vec<u8>);
}

impl Payload for u8 {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.push(*self);
    }
}

impl Payload for u16 {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_ne_bytes());
    }
}

impl Payload for u32 {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_ne_bytes());
    }
}

/// A string ends in a NUL.
impl Payload for &str {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
        bytes.push(0);
    }
}

impl Payload for Buffer {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_ref());
    }
}

/// Attributes within an attribute.
impl Payload for &[Attribute] {
    fn append(&self, bytes: &mut Vec<u8>) {
        self.iter().for_each(|attribute| bytes.extend_from_slice(&attribute.0));
    }
}

fn attribute<T: NlAttrType>(kind: T, payload: impl Payload) -> Result<Attribute, WireError> {
    numbered(kind.into(), payload)
}

fn numbered(kind: u16, payload: impl Payload) -> Result<Attribute, WireError> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    payload.append(&mut bytes);
    // The length leaves the filling out.
    let length = u16::try_from(bytes.len()).map_err(|_| WireError::Broken("an attribute is too long".to_owned()))?;
    bytes.splice(..2, length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(Attribute(bytes))
}

fn nest(kind: Outer, inner: &[Attribute]) -> Result<Attribute, WireError> {
    numbered(u16::from(kind) | NESTED, inner)
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
