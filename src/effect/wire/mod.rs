//! The IPVS messages of generic netlink as bytes: what a command is on the wire, and what a dump says in canonical form.
//!
//! Pure, so that it can be tested on any bytes; a host sends and receives. The numbers are those of
//! `uapi/linux/ip_vs.h`, in which only new ones are ever added. A message here starts with the generic netlink header;
//! the netlink header in front of it belongs to whoever sends.
//!
//! Canonical means: the kernel's own flag "hashed" is gone, a netmask is a prefix, and a service without persistence has
//! no timeout and the netmask of a single client, whatever the kernel remembers of earlier times.

mod attributes;
mod decode;
mod encode;
pub mod ethtool;
pub mod fou;
mod reading;
#[cfg(test)]
mod tests;

use neli::consts::genl::{Cmd, NlAttrType};
use neli::neli_enum;
use thiserror::Error;

use crate::topology::{IpvsTimeout, SyncState};

pub use decode::{daemon, destination, family_number, service, timeouts};
pub use encode::{
    append_command, command, delete_daemon, get_daemons, get_destinations, get_family, get_info, get_service,
    get_services, get_timeouts, new_daemon,
};

/// The name under which the kernel registers the family (`IPVS_GENL_NAME`).
pub const FAMILY: &str = "IPVS";

/// The family's version (`IPVS_GENL_VERSION`), and that of the controller which knows the families.
const VERSION: u8 = 1;

/// `AF_INET` and `AF_INET6` of `linux/socket.h`, which are the same on every architecture.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `IP_VS_CONN_F_FWD_MASK`: the bits of the connection flags that say how packets are forwarded.
const FORWARDING_MASK: u32 = 0x7;

/// `IP_VS_CONN_F_TUNNEL_TYPE_GUE` and `_GRE`; 0 is IP in IP.
const TUNNEL_GUE: u8 = 1;
const TUNNEL_GRE: u8 = 2;

/// A message that could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// An attribute that every such message has is not there.
    #[error("the attribute {0} is missing")]
    Missing(&'static str),
    /// An attribute holds what nobody knows.
    #[error("the attribute {0} holds {1}")]
    Unknown(&'static str, String),
    /// The bytes are no message.
    #[error("{0}")]
    Broken(String),
}

/// `IPVS_CMD_*`, those that lvsctl sends or receives.
#[neli_enum(serialized_type = "u8")]
pub(crate) enum Command {
    NewService = 1,
    SetService = 2,
    DeleteService = 3,
    GetService = 4,
    NewDestination = 5,
    SetDestination = 6,
    DeleteDestination = 7,
    GetDestination = 8,
    NewDaemon = 9,
    DeleteDaemon = 10,
    GetDaemon = 11,
    SetConfig = 12,
    GetConfig = 13,
    GetInfo = 15,
}
impl Cmd for Command {}

/// `IPVS_CMD_ATTR_*`: the outermost attributes.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum Outer {
    Service = 1,
    Destination = 2,
    Daemon = 3,
    TimeoutTcp = 4,
    TimeoutTcpFin = 5,
    TimeoutUdp = 6,
}
impl NlAttrType for Outer {}

impl From<IpvsTimeout> for Outer {
    fn from(timeout: IpvsTimeout) -> Self {
        match timeout {
            IpvsTimeout::Tcp => Outer::TimeoutTcp,
            IpvsTimeout::TcpFin => Outer::TimeoutTcpFin,
            IpvsTimeout::Udp => Outer::TimeoutUdp,
        }
    }
}

/// `IPVS_SVC_ATTR_*`.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum ServiceAttribute {
    Family = 1,
    Protocol = 2,
    Address = 3,
    Port = 4,
    Mark = 5,
    Scheduler = 6,
    Flags = 7,
    Timeout = 8,
    Netmask = 9,
    Engine = 11,
}
impl NlAttrType for ServiceAttribute {}

/// `IPVS_DAEMON_ATTR_*`.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum DaemonAttribute {
    State = 1,
    Interface = 2,
    Id = 3,
    MaximumLength = 4,
    Group = 5,
    Group6 = 6,
    Port = 7,
    TimeToLive = 8,
}
impl NlAttrType for DaemonAttribute {}

/// `IP_VS_STATE_MASTER` and `IP_VS_STATE_BACKUP`.
fn state_number(state: SyncState) -> u32 {
    match state {
        SyncState::Master => 1,
        SyncState::Backup => 2,
    }
}

/// `IPVS_DEST_ATTR_*`.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum DestinationAttribute {
    Address = 1,
    Port = 2,
    Forwarding = 3,
    Weight = 4,
    Upper = 5,
    Lower = 6,
    Active = 7,
    Inactive = 8,
    Family = 11,
    TunnelType = 13,
    TunnelPort = 14,
    TunnelFlags = 15,
}
impl NlAttrType for DestinationAttribute {}
