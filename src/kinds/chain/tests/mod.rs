mod compile;
mod golden;
mod meaning;
mod restore;
mod round_trip;

use super::*;
use crate::kinds::ids::CHAIN;
use crate::resource::{PortMatch, RuleTarget};
use crate::topology::{PortRange, Protocol};

/// Names lvsctl's chain.
fn own(family: Family, table: Table) -> ResourceKey {
    ResourceKey::Chain { family, table, chain: CHAIN.into() }
}

/// Makes a rule for TCP to one port of an address.
fn rule(destination: &str, port: u16, target: RuleTarget) -> ChainRule {
    let ports = PortMatch { protocol: Protocol::Tcp, ports: Some(PortRange::single(port)) };
    ChainRule::Known {
        destination: Some(destination.parse().unwrap()),
        interface: None,
        ports: Some(ports),
        mac_source: None,
        target,
    }
}
