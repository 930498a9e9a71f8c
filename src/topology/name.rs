//! Names that more than one layer uses.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names a host of the topology; cheap to copy, because every resource identity carries one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Makes a name; what a name may hold is checked where it is read.
    pub fn new(name: &str) -> Self {
        HostName(name.into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4, `AF_INET`.
    Ipv4,
    /// IPv6, `AF_INET6`.
    Ipv6,
}

impl Family {
    /// Returns the family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }

    /// Returns the length of a prefix that holds one address: 32 or 128.
    pub fn host_prefix(self) -> u8 {
        match self {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        })
    }
}

/// Names a kernel parameter.
///
/// Kept with slashes, as the path below `/proc/sys`, because an interface's name may hold a dot; shown in the notation of
/// sysctl(8), in which dots and slashes change places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SysctlKey(Arc<str>);

impl SysctlKey {
    /// Makes a key from the path below `/proc/sys`, such as `net/ipv4/ip_forward`.
    pub fn from_path(path: &str) -> Self {
        SysctlKey(path.into())
    }

    /// Makes a key from sysctl(8)'s notation, in which the first of `.` and `/` is the separator.
    pub fn from_dotted(name: &str) -> Self {
        match name.find(['.', '/']).and_then(|at| name[at..].chars().next()) {
            Some('.') => SysctlKey(swap(name).into()),
            _ => SysctlKey(name.into()),
        }
    }

    /// Returns the key of an interface's parameter below `net/ipv4/conf`.
    pub fn interface(interface: &str, parameter: &str) -> Self {
        SysctlKey(format!("net/ipv4/conf/{interface}/{parameter}").into())
    }

    /// Returns the path below `/proc/sys`.
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SysctlKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&swap(&self.0))
    }
}

fn swap(name: &str) -> String {
    name.chars()
        .map(|character| match character {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect()
}
