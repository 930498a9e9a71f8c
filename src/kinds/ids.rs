//! The identities that one kind of resource needs of another for its requires edges.

use std::net::IpAddr;

use crate::resource::{ResourceId, ResourceKey, Table};
use crate::topology::{Family, HostName, SysctlKey};

/// The chain that lvsctl owns in every table that it uses.
pub const CHAIN: &str = "LVSCTL";

/// Names a module.
pub fn module(host: &HostName, name: &str) -> ResourceId {
    ResourceId::new(host, ResourceKey::Module(name.replace('-', "_")))
}

/// Names a kernel parameter.
pub fn sysctl(host: &HostName, key: SysctlKey) -> ResourceId {
    ResourceId::new(host, ResourceKey::Sysctl(key))
}

/// Names an address on an interface.
pub fn address(host: &HostName, device: &str, address: IpAddr) -> ResourceId {
    ResourceId::new(host, ResourceKey::Address { device: device.to_owned(), address })
}

/// Names the default route.
pub fn default_route(host: &HostName, family: Family) -> ResourceId {
    ResourceId::new(host, ResourceKey::DefaultRoute(family))
}

/// Names lvsctl's chain in a table.
pub fn chain(host: &HostName, family: Family, table: Table) -> ResourceId {
    ResourceId::new(host, ResourceKey::Chain { family, table, chain: CHAIN.to_owned() })
}

/// Names keepalived's configuration.
pub fn keepalived_configuration(host: &HostName) -> ResourceId {
    ResourceId::new(host, ResourceKey::KeepalivedConfiguration)
}

/// Names the running keepalived.
pub fn keepalived_daemon(host: &HostName) -> ResourceId {
    ResourceId::new(host, ResourceKey::KeepalivedDaemon)
}
