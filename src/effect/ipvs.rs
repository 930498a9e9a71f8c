//! The identity and the configuration of IPVS services and destinations, and the commands that change them.
//!
//! Identity and configuration are different types, because the kernel edits a configuration in place and cannot change an
//! identity (`ip_vs_edit_service`, `ip_vs_edit_dest` in `net/netfilter/ipvs/ip_vs_ctl.c`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::topology::{Family, Forwarding, IpvsTimeout, Protocol, Tunnel};

/// Identifies a virtual service: by protocol, address and port, or by firewall mark and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKey {
    /// A service that is keyed by address.
    Address {
        /// The protocol.
        protocol: Protocol,
        /// The VIP.
        address: IpAddr,
        /// The port; 0 is every port.
        port: u16,
    },
    /// A service that is keyed by a mark; the same mark may exist once a family.
    Mark {
        /// The mark, never 0.
        mark: u32,
        /// The family of the packets.
        family: Family,
    },
}

impl ServiceKey {
    /// Returns how many of a destination's connections are still in use. The kernel counts none of UDP as active: what it has an
    /// entry of is a flow that may go on. (`ip_vs_bind_dest` in `net/netfilter/ipvs/ip_vs_conn.c`.)
    pub fn in_use(&self, active: u32, inactive: u32) -> u32 {
        match self {
            ServiceKey::Address { protocol: Protocol::Udp, .. } => active.saturating_add(inactive),
            _ => active,
        }
    }

    /// Returns the family of the packets that the service takes.
    pub fn family(&self) -> Family {
        match self {
            ServiceKey::Address { address, .. } => Family::of(*address),
            ServiceKey::Mark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceKey::Address { protocol, address, port } => {
                write!(formatter, "{protocol}:{}", DestinationKey { address: *address, port: *port })
            }
            ServiceKey::Mark { mark, family: Family::Ipv4 } => write!(formatter, "fwm:{mark}"),
            ServiceKey::Mark { mark, family: Family::Ipv6 } => write!(formatter, "fwm6:{mark}"),
        }
    }
}

/// Identifies a destination within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DestinationKey {
    /// The real server's address.
    pub address: IpAddr,
    /// The real server's port.
    pub port: u16,
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(formatter, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(formatter, "[{address}]:{}", self.port),
        }
    }
}

/// The flags of a service, without the kernel's own "hashed" (`IP_VS_SVC_F_*` in `uapi/linux/ip_vs.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceFlags(pub u32);

impl ServiceFlags {
    /// `IP_VS_SVC_F_PERSISTENT`.
    pub const PERSISTENT: u32 = 0x1;
    /// `IP_VS_SVC_F_HASHED`, set by the kernel and never written.
    pub const HASHED: u32 = 0x2;
    /// `IP_VS_SVC_F_ONEPACKET`.
    pub const ONE_PACKET: u32 = 0x4;
    /// `IP_VS_SVC_F_SCHED1`: for `sh` and `mh` the fallback.
    pub const SCHED_1: u32 = 0x8;
    /// `IP_VS_SVC_F_SCHED2`: for `sh` and `mh` the source port.
    pub const SCHED_2: u32 = 0x10;

    /// Tells whether a flag is set.
    pub fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// What the kernel can change of a service in place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceConfig {
    /// The scheduler's name, at most 15 bytes.
    pub scheduler: String,
    /// The flags.
    pub flags: ServiceFlags,
    /// Persistence in seconds, 0 without it.
    pub timeout: u32,
    /// The prefix of the persistence mask; 32 or 128 where each client stands for itself.
    pub netmask: u8,
    /// The persistence engine, such as `sip`.
    pub engine: Option<String>,
}

/// What the kernel can change of a destination in place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DestinationConfig {
    /// How packets get there.
    pub forwarding: Forwarding,
    /// How they are wrapped under tunnelling; plain under any other method.
    #[serde(default, skip_serializing_if = "Tunnel::is_plain")]
    pub tunnel: Tunnel,
    /// The share; 0 admits no new connection.
    pub weight: u32,
    /// Connections at which the destination is taken out, 0 for no limit.
    pub upper: u32,
    /// Connections at which it is taken in again.
    pub lower: u32,
}

/// A daemon that synchronises connections; what is `None` is left to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SyncDaemonConfig {
    /// The interface of the multicast.
    pub interface: String,
    /// The sync id.
    pub id: u8,
    /// The multicast group.
    pub group: IpAddr,
    /// The UDP port.
    pub port: u16,
    /// The time to live of a message.
    pub ttl: u8,
    /// The longest message.
    pub maxlen: Option<u16>,
}

impl SyncDaemonConfig {
    /// The group where none is said (`IP_VS_SYNC_GROUP` in `ip_vs_sync.c`).
    pub const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
    /// The port where none is said (`IP_VS_SYNC_PORT`).
    pub const PORT: u16 = 8848;
    /// The time to live where none is said.
    pub const TTL: u8 = 1;
}

/// Changes the IPVS table; each is one generic netlink message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpvsCommand {
    /// `IPVS_CMD_NEW_SERVICE`; `EEXIST` if it is there.
    NewService(ServiceKey, ServiceConfig),
    /// `IPVS_CMD_SET_SERVICE`; `ESRCH` if it is not there.
    SetService(ServiceKey, ServiceConfig),
    /// `IPVS_CMD_DEL_SERVICE`, with all its destinations; `ESRCH` if it is not there.
    DeleteService(ServiceKey),
    /// `IPVS_CMD_NEW_DEST`; `EEXIST` if it is there, `ESRCH` without its service.
    NewDestination(ServiceKey, DestinationKey, DestinationConfig),
    /// `IPVS_CMD_SET_DEST`; `ENOENT` if it is not there.
    SetDestination(ServiceKey, DestinationKey, DestinationConfig),
    /// `IPVS_CMD_SET_DEST` of a destination that keepalived may take away at any moment; one that is gone stays gone.
    SetDestinationIfThere(ServiceKey, DestinationKey, DestinationConfig),
    /// `IPVS_CMD_SET_CONFIG` of one timeout, in seconds; the others stay.
    SetTimeout(IpvsTimeout, u32),
    /// `IPVS_CMD_DEL_DEST`; `ENOENT` if it is not there.
    DeleteDestination(ServiceKey, DestinationKey),
}
