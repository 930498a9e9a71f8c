//! Which thing on a host a resource is.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::effect::{DestinationKey, ServiceKey};
use crate::topology::{Family, IpvsTimeout, Offload, SyncState, SysctlKey};

/// The dummy interface that lvsctl makes where VIPs are to be on one.
pub const OWN_INTERFACE: &str = "lvsctl0";

/// The chain that lvsctl owns in every table that it uses, for packets that come in.
pub const OWN_CHAIN: &str = "LVSCTL";

/// The one for packets that go out.
pub const OWN_CHAIN_OUT: &str = "LVSCTL-OUT";

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Where marks are set.
    Mangle,
    /// Where addresses are translated.
    Nat,
    /// Where packets are kept out of connection tracking.
    Raw,
    /// Where packets for the host itself are let in.
    Filter,
}

impl Table {
    /// Every table, in the order in which a packet that comes in meets them.
    pub const ALL: [Table; 4] = [Table::Raw, Table::Mangle, Table::Nat, Table::Filter];

    /// Returns the built-in chain from which a chain of this table is jumped to.
    pub fn hook(self, chain: &str) -> &'static str {
        match (self, chain) {
            (Table::Filter, _) => "INPUT",
            (_, OWN_CHAIN_OUT) => "POSTROUTING",
            _ => "PREROUTING",
        }
    }

    /// Returns the name that iptables uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Table::Mangle => "mangle",
            Table::Nat => "nat",
            Table::Raw => "raw",
            Table::Filter => "filter",
        }
    }
}

/// Identifies a thing within its host; the order is that of listings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKey {
    /// A kernel module, with underscores.
    Module(String),
    /// An interface that lvsctl makes or brings up.
    Link(String),
    /// A UDP port at which packets come out of their envelopes (`fou`, ip-fou(8)).
    FouPort {
        /// The family of the envelopes.
        family: Family,
        /// The port.
        port: u16,
    },
    /// A kernel parameter.
    Sysctl(SysctlKey),
    /// A timeout of IPVS.
    IpvsTimeout(IpvsTimeout),
    /// The options of modules.
    ModuleOptions,
    /// Something that an interface offloads.
    Offload {
        /// The interface's name.
        device: String,
        /// Which one.
        offload: Offload,
    },
    /// A daemon that synchronises connections.
    SyncDaemon(SyncState),
    /// An address on an interface.
    Address {
        /// The interface's name.
        device: String,
        /// The address.
        address: IpAddr,
    },
    /// The default route.
    DefaultRoute(Family),
    /// A chain of iptables with its rules and the jump to it from the built-in chain that [`Table::hook`] names.
    Chain {
        /// `iptables` or `ip6tables`.
        family: Family,
        /// The table.
        table: Table,
        /// The chain's name.
        chain: String,
    },
    /// The rules of a chain that go later than its new ones come; only a plan has such a thing.
    ChainRemainder {
        /// `iptables` or `ip6tables`.
        family: Family,
        /// The table.
        table: Table,
        /// The chain's name.
        chain: String,
    },
    /// A virtual service of IPVS.
    IpvsService(ServiceKey),
    /// A destination of a virtual service.
    IpvsDestination(ServiceKey, DestinationKey),
    /// keepalived's configuration file.
    KeepalivedConfiguration,
    /// The running keepalived.
    KeepalivedDaemon,
    /// The files that restore the host's state after a reboot.
    BootFiles,
    /// The record of what lvsctl put on the host.
    Manifest,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceKey::Module(name) => write!(formatter, "module/{name}"),
            ResourceKey::Link(device) => write!(formatter, "link/{device}"),
            ResourceKey::FouPort { family, port } => write!(formatter, "fou/{family}/{port}"),
            ResourceKey::Sysctl(key) => write!(formatter, "sysctl/{key}"),
            ResourceKey::IpvsTimeout(timeout) => write!(formatter, "ipvs/timeout/{timeout}"),
            ResourceKey::ModuleOptions => formatter.write_str("module-options"),
            ResourceKey::Offload { device, offload } => write!(formatter, "offload/{device}/{offload}"),
            ResourceKey::SyncDaemon(state) => write!(formatter, "sync-daemon/{state}"),
            ResourceKey::Address { device, address } => write!(formatter, "address/{device}/{address}"),
            ResourceKey::DefaultRoute(family) => write!(formatter, "route/default-{family}"),
            ResourceKey::Chain { family, table, chain } => {
                write!(formatter, "{}/{}/{chain}", program(*family), table.as_str())
            }
            ResourceKey::ChainRemainder { family, table, chain } => {
                write!(formatter, "{}/{}/{chain}/old-rules", program(*family), table.as_str())
            }
            ResourceKey::IpvsService(service) => write!(formatter, "ipvs/{service}"),
            ResourceKey::IpvsDestination(service, destination) => write!(formatter, "ipvs/{service}/{destination}"),
            ResourceKey::KeepalivedConfiguration => formatter.write_str("keepalived/configuration"),
            ResourceKey::KeepalivedDaemon => formatter.write_str("keepalived/daemon"),
            ResourceKey::BootFiles => formatter.write_str("boot-files"),
            ResourceKey::Manifest => formatter.write_str("manifest"),
        }
    }
}

fn program(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}
