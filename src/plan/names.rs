//! What the operator calls the virtual services and the real servers that a plan is about.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::effect::ServiceKey;
use crate::kinds::ids;
use crate::source::Span;
use crate::topology::{HostName, Topology};

/// A virtual service as the topology has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// The VIP that it is part of.
    pub vip: IpAddr,
    /// Its name.
    pub name: String,
    /// What it listens on, such as `tcp/80`.
    pub listens: Vec<String>,
}

/// The names that a topology gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Virtual services by what identifies them in the kernel.
    pub services: BTreeMap<ServiceKey, ServiceName>,
    /// Where each VIP is declared.
    pub vips: BTreeMap<IpAddr, Span>,
    /// Hosts by their addresses.
    pub hosts: BTreeMap<IpAddr, HostName>,
}

impl Names {
    /// Collects the names of a topology.
    pub fn of(topology: &Topology) -> Self {
        let mut names = Names::default();
        for (vip, service) in topology.services() {
            for (key, listen) in ids::service_keys(vip, service) {
                let listens = match service.fwmark {
                    Some(_) => service.listens.iter().collect(),
                    None => vec![listen],
                };
                let listens = listens.into_iter().map(|listen| format!("{}/{}", listen.protocol, listen.ports));
                let (vip, name) = (vip.address.value, service.name.value.clone());
                names.services.insert(key, ServiceName { vip, name, listens: listens.collect() });
            }
        }
        names.vips = topology.vips.values().map(|vip| (vip.address.value, vip.address.span)).collect();
        for host in topology.hosts.values() {
            names.hosts.extend(host.addresses.iter().map(|network| (network.addr(), host.name.value.clone())));
        }
        names
    }
}
