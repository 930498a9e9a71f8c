//! What a host answers to a probe, and what it can do.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{DestinationConfig, DestinationKey, ServiceConfig, ServiceKey, SyncDaemonConfig};
use crate::topology::{Family, IpvsTimeout, MacAddress, Offload, SyncState, SysctlKey};

/// What a host says to a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Those of the modules asked for that are loaded or built in.
    Modules(Vec<String>),
    /// The parameters asked for; `None` for one that the host does not have.
    Sysctls(BTreeMap<SysctlKey, Option<String>>),
    /// Every interface, in the kernel's order.
    Links(Vec<Link>),
    /// The UDP ports at which packets come out of their envelopes, each with whether it expects Generic UDP Encapsulation;
    /// none if the module is not loaded.
    FouPorts(#[serde(with = "as_list")] BTreeMap<(Family, u16), bool>),
    /// The default routes of the main table, in the kernel's order.
    DefaultRoutes(Vec<LiveRoute>),
    /// The text of `iptables-save` for this family, empty if no table is there. Of its comments only those about a table
    /// that it cannot show are kept.
    Iptables(Family, String),
    /// The services in the kernel's order; empty if the module is not loaded.
    Ipvs(Vec<LiveService>),
    /// The timeouts of IPVS in seconds; empty if the module is not loaded.
    IpvsTimeouts(BTreeMap<IpvsTimeout, u32>),
    /// The daemons that synchronise connections; none if the module is not loaded.
    SyncDaemons(BTreeMap<SyncState, SyncDaemonConfig>),
    /// What an interface offloads; empty if there is no such interface.
    Offloads(String, BTreeMap<Offload, bool>),
    /// A file, or `None` if there is none.
    File(String, Option<FileState>),
    /// What a link names, empty for something that is no link, or `None` if there is nothing.
    Link(String, Option<String>),
    /// The state of keepalived.
    Daemon(DaemonState),
}

/// A map as a list of pairs, for keys that JSON cannot have.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

/// A file as it is. Its text may hold secrets that lvsctl does not know, so it is never shown as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// The mode bits without the file type, such as `0o600`.
    pub mode: u32,
    /// The content; bytes that are not UTF-8 are replaced.
    pub text: String,
}

impl fmt::Debug for FileState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FileState {{ mode: {:o}, {} bytes }}", self.mode, self.text.len())
    }
}

/// keepalived as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonState {
    /// The parent process, if it runs.
    pub pid: Option<u32>,
    /// The digest of the configuration that it has read, if that is known.
    pub configuration: Option<String>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The kernel's name.
    pub name: String,
    /// The hardware address, if it has one.
    pub mac: Option<MacAddress>,
    /// The sort, as the kernel calls it (`IFLA_INFO_KIND`), such as `ipip`; a network card has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Whether it is up (`IFF_UP`).
    #[serde(default)]
    pub is_up: bool,
    /// Its addresses in the kernel's order.
    pub addresses: Vec<LinkAddress>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkAddress {
    /// The address with its prefix.
    pub network: IpNet,
    /// The label, if it differs from the interface's name.
    pub label: Option<String>,
}

/// A default route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRoute {
    /// The family.
    pub family: Family,
    /// The gateway; `None` for a route that names an interface only.
    pub via: Option<IpAddr>,
    /// The interface's name.
    pub device: Option<String>,
    /// The metric (`RTA_PRIORITY`), lower is preferred.
    pub metric: u32,
}

/// A virtual service in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveService {
    /// Its identity.
    pub key: ServiceKey,
    /// Its configuration.
    pub config: ServiceConfig,
    /// Its destinations in the kernel's order.
    pub destinations: Vec<LiveDestination>,
}

/// A destination in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveDestination {
    /// Its identity.
    pub key: DestinationKey,
    /// Its configuration.
    pub config: DestinationConfig,
    /// Connections that carry data (`IPVS_DEST_ATTR_ACTIVE_CONNS`).
    pub active: u32,
    /// Connections that are closing or were never established (`IPVS_DEST_ATTR_INACT_CONNS`).
    pub inactive: u32,
}

/// Which iptables a host has; the two do not see each other's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IptablesVariant {
    /// The kernel's x_tables, `iptables-legacy`.
    Legacy,
    /// nf_tables behind the same commands, `iptables-nft`.
    Nft,
}

/// The programs by which a host restores its state after a reboot, each with the Debian package that holds it.
pub const BOOT_PROGRAMS: [(&str, &str); 6] = [
    ("awk", "mawk"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("ipvsadm", "ipvsadm"),
    ("modprobe", "kmod"),
    ("sysctl", "procps"),
];

/// What a host has, read before anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Which iptables is in use, if any is installed.
    pub iptables: Option<IptablesVariant>,
    /// Whether rules are in the kernel's x_tables as well, while nf_tables is in use: packets pass both.
    #[serde(default)]
    pub has_legacy_rules: bool,
    /// keepalived's version, such as `2.2.7`, if it is installed.
    pub keepalived: Option<String>,
    /// Whether systemd runs, and keepalived is its service.
    pub systemd: bool,
    /// Every interface with its hardware address and addresses.
    pub links: Vec<Link>,
    /// The binary logarithm of the size of IPVS's connection table, if the module is there.
    pub connection_table_bits: Option<u32>,
    /// The kernel's release, such as `6.1.0-18-amd64` (uname(2)).
    #[serde(default)]
    pub kernel: String,
    /// Those of [`BOOT_PROGRAMS`] that are not installed.
    #[serde(default)]
    pub missing_boot_programs: Vec<String>,
    /// Whether a default route of IPv6 came from a router's advertisement (`RTPROT_RA`), and goes when the host begins to
    /// forward.
    #[serde(default)]
    pub has_advertised_route: bool,
    /// The families with rules of policy routing beside the kernel's own (ip-rule(8)).
    #[serde(default)]
    pub policy_routing: Vec<Family>,
    /// The connection by which lvsctl, or the login in which it runs, is on the host.
    #[serde(default)]
    pub management: Option<Management>,
}

/// A connection that a change must not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Management {
    /// The host's address.
    pub address: IpAddr,
    /// The host's port.
    pub port: u16,
    /// The other side's address as the host sees it.
    pub client: Option<IpAddr>,
}

impl Capabilities {
    /// Returns the first two numbers of the kernel's release.
    pub fn kernel_version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.kernel.split(|character: char| !character.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// Returns the interface that holds an address.
    pub fn link_with(&self, address: IpAddr) -> Option<&Link> {
        self.links.iter().find(|link| link.addresses.iter().any(|held| held.network.addr() == address))
    }

    /// Returns an interface by its name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}
