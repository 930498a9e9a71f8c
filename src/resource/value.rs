//! How a thing on a host is, in canonical form: what is equal here has the same effect there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{BootContent, BootFile, ChainRule, Manifest};
use crate::effect::{DestinationConfig, ServiceConfig, SyncDaemonConfig};
use crate::topology::SecretText;

/// Who puts a virtual service into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Programmer {
    /// lvsctl, over netlink.
    Lvsctl,
    /// keepalived, which also owns weights and presence of checked destinations.
    Keepalived,
}

/// How a thing on a host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A module that is loaded or built in.
    Module,
    /// An interface.
    Link {
        /// The sort, as the kernel calls it (`IFLA_INFO_KIND`); a network card has none.
        sort: Option<String>,
        /// Whether it is up.
        is_up: bool,
    },
    /// A port of `fou`.
    FouPort {
        /// Whether it expects Generic UDP Encapsulation (`FOU_ENCAP_GUE`) rather than a bare packet.
        is_gue: bool,
    },
    /// A parameter's value, its words separated by single spaces.
    Sysctl(String),
    /// A timeout in seconds.
    Timeout(u32),
    /// Something that is on or off.
    Switch(bool),
    /// A daemon that synchronises connections.
    SyncDaemon(SyncDaemonConfig),
    /// An address.
    Address {
        /// The prefix length.
        prefix: u8,
        /// The label, if it differs from the interface's name.
        label: Option<String>,
    },
    /// A default route.
    DefaultRoute {
        /// The gateway; `None` for a live route that names an interface only.
        via: Option<IpAddr>,
    },
    /// A chain.
    Chain {
        /// Its rules in order.
        rules: Vec<ChainRule>,
        /// How often its hook jumps to it without a condition; 1 is wanted.
        jumps: usize,
    },
    /// A virtual service.
    IpvsService {
        /// Its configuration.
        config: ServiceConfig,
        /// Who programs it.
        programmer: Programmer,
    },
    /// A destination.
    IpvsDestination {
        /// Its configuration.
        config: DestinationConfig,
        /// Who programs it.
        programmer: Programmer,
    },
    /// A file.
    File {
        /// The content.
        text: SecretText,
        /// The mode bits.
        mode: u32,
    },
    /// The files that restore the host's state after a reboot, those of them that are there.
    BootFiles(BTreeMap<BootFile, BootContent>),
    /// A running keepalived.
    Daemon {
        /// The digest of the configuration that it has read, if that is known. Never shown: the file may hold a secret.
        #[serde(skip)]
        configuration: Option<String>,
    },
    /// The record of what lvsctl put on the host.
    Manifest(Manifest),
}
