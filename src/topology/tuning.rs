//! What the operator turns on a host beside its services: timeouts, the size of the connection table, offloading.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::OwnSyncDaemons;
use crate::source::{Span, Spanned};

/// A timeout after which IPVS forgets an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpvsTimeout {
    /// Of an established TCP connection.
    Tcp,
    /// Of a TCP connection that is being closed.
    TcpFin,
    /// Of a UDP exchange.
    Udp,
}

impl IpvsTimeout {
    /// Every timeout, in the order in which `ipvsadm --set` takes them.
    pub const ALL: [IpvsTimeout; 3] = [IpvsTimeout::Tcp, IpvsTimeout::TcpFin, IpvsTimeout::Udp];

    /// Returns the name that the language uses.
    pub fn as_str(self) -> &'static str {
        match self {
            IpvsTimeout::Tcp => "tcp",
            IpvsTimeout::TcpFin => "tcp-fin",
            IpvsTimeout::Udp => "udp",
        }
    }

    /// Returns the seconds with which the kernel starts (`tcp_timeouts` in `ip_vs_proto_tcp.c`, `udp_timeouts` in
    /// `ip_vs_proto_udp.c`).
    pub fn kernel_default(self) -> u32 {
        match self {
            IpvsTimeout::Tcp => 900,
            IpvsTimeout::TcpFin => 120,
            IpvsTimeout::Udp => 300,
        }
    }
}

impl fmt::Display for IpvsTimeout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Work that a network card, or the kernel on its behalf, does on several packets at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offload {
    /// Received packets are merged, and split again where they are forwarded.
    Gro,
    /// Packets that are sent are split late, by the kernel.
    Gso,
    /// Received packets are merged for good; what is merged cannot be forwarded.
    Lro,
}

impl Offload {
    /// Every kind of offloading.
    pub const ALL: [Offload; 3] = [Offload::Gro, Offload::Gso, Offload::Lro];

    /// Returns the name that the language and `ethtool -K` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Offload::Gro => "gro",
            Offload::Gso => "gso",
            Offload::Lro => "lro",
        }
    }

    /// Returns the kernel's own name (`netdev_features_strings` in `net/ethtool/common.c`).
    pub fn kernel_name(self) -> &'static str {
        match self {
            Offload::Gro => "rx-gro",
            Offload::Gso => "tx-generic-segmentation",
            Offload::Lro => "rx-lro",
        }
    }
}

impl fmt::Display for Offload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How an interface is to do offloading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offloads {
    /// The interface; `None` means the host's own.
    pub interface: Option<Spanned<String>>,
    /// What is switched on or off.
    pub switches: BTreeMap<Offload, Spanned<bool>>,
    /// The whole node.
    pub span: Span,
}

/// Everything that is turned on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Timeouts in seconds, those that are not the kernel's.
    pub timeouts: BTreeMap<IpvsTimeout, Spanned<u32>>,
    /// The binary logarithm of the size of IPVS's connection table.
    pub connection_table_bits: Option<Spanned<u8>>,
    /// Offloading, interface by interface.
    pub offloads: Vec<Offloads>,
    /// Synchronisation of connections without keepalived.
    pub sync_daemons: OwnSyncDaemons,
}
