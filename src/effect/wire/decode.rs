//! Answers from bytes, in canonical form.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use neli::FromBytesWithInput;
use neli::attr::AttrHandle;
use neli::consts::genl::{CtrlAttr, CtrlCmd, NlAttrType};
use neli::genl::{Genlmsghdr, Nlattr};
use neli::types::{Buffer, GenlBuffer};

use super::encode::{forwarding_number, protocol_number};
use super::{
    AF_INET, AF_INET6, Command, DaemonAttribute, DestinationAttribute, FORWARDING_MASK, Outer, ServiceAttribute,
    TUNNEL_GRE, TUNNEL_GUE, WireError, state_number,
};
use crate::effect::{
    DestinationConfig, DestinationKey, LiveDestination, ServiceConfig, ServiceFlags, ServiceKey, SyncDaemonConfig,
};
use crate::topology::{Family, Forwarding, IpvsTimeout, Protocol, SyncState, Tunnel};

type Message = Genlmsghdr<Command, Outer>;
type Handle<'a, T> = AttrHandle<'a, GenlBuffer<T, Buffer>, Nlattr<T, Buffer>>;

/// Decodes a service of a dump.
pub fn service(bytes: &[u8]) -> Result<(ServiceKey, ServiceConfig), WireError> {
    use ServiceAttribute as Attribute;
    let message = message(bytes)?;
    let attributes: Handle<'_, Attribute> = nested(&message, Outer::Service, "service")?;
    let family = family(number16(&attributes, Attribute::Family, "address family")?)?;
    let key = match optional(&attributes, Attribute::Mark) {
        Some(_) => ServiceKey::Mark { mark: number32(&attributes, Attribute::Mark, "mark")?, family },
        None => ServiceKey::Address {
            protocol: protocol(number16(&attributes, Attribute::Protocol, "protocol")?)?,
            address: address(payload(&attributes, Attribute::Address, "address")?, family)?,
            port: u16::from_be(number16(&attributes, Attribute::Port, "port")?),
        },
    };
    let flags = payload(&attributes, Attribute::Flags, "flags")?;
    let flags = flags.first_chunk::<4>().ok_or_else(|| odd("flags", flags))?;
    let flags = ServiceFlags(u32::from_ne_bytes(*flags) & !ServiceFlags::HASHED);
    let persistent = flags.has(ServiceFlags::PERSISTENT);
    let mask = number32(&attributes, Attribute::Netmask, "netmask")?;
    let config = ServiceConfig {
        scheduler: text(payload(&attributes, Attribute::Scheduler, "scheduler")?),
        flags,
        timeout: if persistent { number32(&attributes, Attribute::Timeout, "timeout")? } else { 0 },
        netmask: if persistent { prefix(mask, family) } else { family.host_prefix() },
        engine: optional(&attributes, Attribute::Engine).map(text).filter(|name| !name.is_empty()),
    };
    Ok((key, config))
}

/// Decodes a destination of a dump; a kernel that does not say its family means the service's.
pub fn destination(bytes: &[u8], service: Family) -> Result<LiveDestination, WireError> {
    use DestinationAttribute as Attribute;
    let message = message(bytes)?;
    let attributes: Handle<'_, Attribute> = nested(&message, Outer::Destination, "destination")?;
    let family = match optional(&attributes, Attribute::Family) {
        Some(_) => family(number16(&attributes, Attribute::Family, "address family")?)?,
        None => service,
    };
    let flags = number32(&attributes, Attribute::Forwarding, "forwarding method")?;
    let forwarding = forwarding(flags & FORWARDING_MASK)?;
    let tunnel = if forwarding == Forwarding::Tun { tunnel(&attributes)? } else { Tunnel::Ipip };
    Ok(LiveDestination {
        key: DestinationKey {
            address: address(payload(&attributes, Attribute::Address, "address")?, family)?,
            port: u16::from_be(number16(&attributes, Attribute::Port, "port")?),
        },
        config: DestinationConfig {
            forwarding,
            tunnel,
            weight: number32(&attributes, Attribute::Weight, "weight")?,
            upper: number32(&attributes, Attribute::Upper, "upper threshold")?,
            lower: number32(&attributes, Attribute::Lower, "lower threshold")?,
        },
        active: number32(&attributes, Attribute::Active, "active connections")?,
        inactive: number32(&attributes, Attribute::Inactive, "inactive connections")?,
    })
}

/// Decodes a daemon of a dump; what a kernel before 4.3 does not say is as it always was there.
pub fn daemon(bytes: &[u8]) -> Result<(SyncState, SyncDaemonConfig), WireError> {
    use DaemonAttribute as Attribute;
    let message = message(bytes)?;
    let attributes: Handle<'_, Attribute> = nested(&message, Outer::Daemon, "daemon")?;
    let number = number32(&attributes, Attribute::State, "daemon state")?;
    let state = SyncState::ALL.into_iter().find(|state| state_number(*state) == number);
    let id = number32(&attributes, Attribute::Id, "sync id")?;
    let group = match (optional(&attributes, Attribute::Group6), optional(&attributes, Attribute::Group)) {
        (Some(octets), _) => address(octets, Family::Ipv6)?,
        (None, Some(octets)) => address(octets, Family::Ipv4)?,
        (None, None) => SyncDaemonConfig::GROUP,
    };
    let short = |attribute, name| match optional(&attributes, attribute) {
        Some(_) => number16(&attributes, attribute, name).map(Some),
        None => Ok(None),
    };
    let config = SyncDaemonConfig {
        interface: text(payload(&attributes, Attribute::Interface, "interface of the daemon")?),
        id: u8::try_from(id).map_err(|_| WireError::Unknown("sync id", id.to_string()))?,
        group,
        port: short(Attribute::Port, "port of the daemon")?.unwrap_or(SyncDaemonConfig::PORT),
        ttl: optional(&attributes, Attribute::TimeToLive)
            .and_then(|payload| payload.first().copied())
            .unwrap_or(SyncDaemonConfig::TTL),
        maxlen: short(Attribute::MaximumLength, "length of messages")?,
    };
    Ok((state.ok_or_else(|| WireError::Unknown("daemon state", number.to_string()))?, config))
}

/// Decodes the timeouts, in seconds; a kernel without a protocol leaves its timeouts out.
pub fn timeouts(bytes: &[u8]) -> Result<BTreeMap<IpvsTimeout, u32>, WireError> {
    let message = message(bytes)?;
    let attributes = message.attrs().get_attr_handle();
    let there = IpvsTimeout::ALL.into_iter().filter(|timeout| optional(&attributes, Outer::from(*timeout)).is_some());
    there.map(|timeout| Ok((timeout, number32(&attributes, Outer::from(timeout), "timeout")?))).collect()
}

/// Decodes the number that the kernel gave the family.
pub fn family_number(bytes: &[u8]) -> Result<u16, WireError> {
    let message = Genlmsghdr::<CtrlCmd, CtrlAttr>::from_bytes_with_input(&mut Cursor::new(bytes), bytes.len())
        .map_err(|error| WireError::Broken(error.to_string()))?;
    number16(&message.attrs().get_attr_handle(), CtrlAttr::FamilyId, "family number")
}

fn message(bytes: &[u8]) -> Result<Message, WireError> {
    Message::from_bytes_with_input(&mut Cursor::new(bytes), bytes.len())
        .map_err(|error| WireError::Broken(error.to_string()))
}

fn nested<'a, T: NlAttrType>(
    message: &'a Message,
    outer: Outer,
    name: &'static str,
) -> Result<Handle<'a, T>, WireError> {
    let found = message.attrs().iter().find(|attribute| *attribute.nla_type().nla_type() == outer);
    let outer = found.ok_or(WireError::Missing(name))?;
    outer.get_attr_handle().map_err(|error| WireError::Broken(error.to_string()))
}

fn optional<'a, T: NlAttrType + PartialEq>(attributes: &'a Handle<'_, T>, kind: T) -> Option<&'a [u8]> {
    let found = attributes.iter().find(|attribute| *attribute.nla_type().nla_type() == kind);
    found.map(|attribute| attribute.nla_payload().as_ref())
}

fn payload<'a, T: NlAttrType + PartialEq>(
    attributes: &'a Handle<'_, T>,
    kind: T,
    name: &'static str,
) -> Result<&'a [u8], WireError> {
    optional(attributes, kind).ok_or(WireError::Missing(name))
}

fn number16<T: NlAttrType + PartialEq>(
    attributes: &Handle<'_, T>,
    kind: T,
    name: &'static str,
) -> Result<u16, WireError> {
    let bytes = payload(attributes, kind, name)?;
    bytes.try_into().map(u16::from_ne_bytes).map_err(|_| odd(name, bytes))
}

fn number32<T: NlAttrType + PartialEq>(
    attributes: &Handle<'_, T>,
    kind: T,
    name: &'static str,
) -> Result<u32, WireError> {
    let bytes = payload(attributes, kind, name)?;
    bytes.try_into().map(u32::from_ne_bytes).map_err(|_| odd(name, bytes))
}

fn odd(name: &'static str, bytes: &[u8]) -> WireError {
    WireError::Unknown(name, format!("{} bytes", bytes.len()))
}

fn family(number: u16) -> Result<Family, WireError> {
    match number {
        AF_INET => Ok(Family::Ipv4),
        AF_INET6 => Ok(Family::Ipv6),
        other => Err(WireError::Unknown("address family", other.to_string())),
    }
}

fn protocol(number: u16) -> Result<Protocol, WireError> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .find(|protocol| protocol_number(*protocol) == number)
        .ok_or_else(|| WireError::Unknown("protocol", number.to_string()))
}

fn forwarding(number: u32) -> Result<Forwarding, WireError> {
    [Forwarding::Nat, Forwarding::Local, Forwarding::Tun, Forwarding::Dr, Forwarding::Bypass]
        .into_iter()
        .find(|forwarding| forwarding_number(*forwarding) == number)
        .ok_or_else(|| WireError::Unknown("forwarding method", number.to_string()))
}

/// How packets are wrapped; a kernel that does not say knows IP in IP only.
fn tunnel(attributes: &Handle<'_, DestinationAttribute>) -> Result<Tunnel, WireError> {
    use DestinationAttribute as Attribute;
    let Some(kind) = optional(attributes, Attribute::TunnelType).and_then(<[u8]>::first) else {
        return Ok(Tunnel::Ipip);
    };
    let flags = || number16(attributes, Attribute::TunnelFlags, "tunnel's flags");
    match *kind {
        0 => Ok(Tunnel::Ipip),
        TUNNEL_GUE => {
            let port = u16::from_be(number16(attributes, Attribute::TunnelPort, "tunnel's port")?);
            Ok(Tunnel::Gue { port, flags: flags()? })
        }
        TUNNEL_GRE => Ok(Tunnel::Gre { flags: flags()? }),
        other => Err(WireError::Unknown("tunnel's type", other.to_string())),
    }
}

/// An address of either family fills 16 bytes in a dump (`union nf_inet_addr`), of which IPv4 uses the first four.
fn address(bytes: &[u8], family: Family) -> Result<IpAddr, WireError> {
    let address = match family {
        Family::Ipv4 => bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        Family::Ipv6 => bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
    };
    address.ok_or_else(|| odd("address", bytes))
}

fn prefix(mask: u32, family: Family) -> u8 {
    let length = match family {
        Family::Ipv4 => u32::from_be(mask).leading_ones(),
        Family::Ipv6 => mask.min(128),
    };
    u8::try_from(length).unwrap_or(family.host_prefix())
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}
