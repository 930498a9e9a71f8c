//! Directors and real servers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{HostName, SecretReference, SysctlKey, Tuning};
use crate::source::Spanned;

/// What a host does in the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Balances: holds VIPs and IPVS tables.
    Director,
    /// Serves.
    RealServer,
}

/// The hardware address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl FromStr for MacAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets: Vec<u8> = text
            .split(':')
            .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten())
            .collect::<Option<_>>()
            .unwrap_or_default();
        octets.try_into().map(MacAddress).map_err(|_| format!("{text:?} is not six hexadecimal octets with colons"))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// The interface on which clients reach a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name for it, at most 15 bytes (`IFNAMSIZ`).
    pub name: Spanned<String>,
    /// Its hardware address, read from the live host if absent.
    pub mac: Option<Spanned<MacAddress>>,
}

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// This machine.
    Local,
    /// A network namespace of this machine, whose files lie below a folder of their own.
    Namespace {
        /// The name below `/run/netns`.
        name: String,
        /// The folder that holds the host's `etc/`, `var/` and `run/`.
        root: String,
    },
    /// Another machine, over SSH.
    Ssh {
        /// The name that OpenSSH would be given.
        host: String,
        /// The remote user.
        user: Option<String>,
        /// The remote port.
        port: Option<u16>,
        /// The private key's file.
        identity: Option<String>,
        /// The fingerprint of the only key that the host may have, as `SHA256:…`.
        host_key: Option<String>,
        /// Whether to become root with sudo.
        become_root: bool,
        /// Where the password is that `sudo` asks for.
        become_password: Option<Spanned<SecretReference>>,
    },
}

/// A director or a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The host's name.
    pub name: Spanned<HostName>,
    /// What it does.
    pub role: Role,
    /// Its addresses with their prefixes; the first is its own (a director's DIP).
    pub addresses: Vec<Spanned<IpNet>>,
    /// Where clients arrive; `None` means the interface that holds the first address on the live host.
    pub interface: Option<Interface>,
    /// How it is reached.
    pub connection: Spanned<Connection>,
    /// Whether lvsctl logs in to it.
    pub managed: bool,
    /// Kernel parameters that the operator asks for.
    pub sysctls: BTreeMap<SysctlKey, Spanned<String>>,
    /// What else the operator turns there.
    pub tuning: Tuning,
}

impl Host {
    /// Returns the host's own address in the network that holds `address`, if it has one.
    pub fn address_near(&self, address: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().find(|network| network.contains(&address)).map(|network| network.addr())
    }

    /// Tells whether an address is one of the host's declared ones.
    pub fn declares(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|network| network.addr() == address)
    }
}
