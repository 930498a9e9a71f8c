//! The identities that one kind of resource needs of another for its requires edges.

use std::net::IpAddr;

use crate::effect::{DestinationKey, ServiceKey};
use crate::resource::{OWN_CHAIN_OUT, ResourceId, ResourceKey, Table};
use crate::source::Spanned;
use crate::topology::{Family, HostName, Listen, Server, Service, SysctlKey, Vip};

/// The chain that lvsctl owns in every table that it uses.
pub use crate::resource::OWN_CHAIN as CHAIN;

/// Names a module.
pub fn module(host: &HostName, name: &str) -> ResourceId {
    ResourceId::new(host, module_key(name))
}

/// Returns the identity of a module within its host.
pub fn module_key(name: &str) -> ResourceKey {
    ResourceKey::Module(name.replace('-', "_"))
}

/// Names the options of modules.
pub fn module_options(host: &HostName) -> ResourceId {
    ResourceId::new(host, ResourceKey::ModuleOptions)
}

/// Names an interface that lvsctl makes or brings up.
pub fn link(host: &HostName, device: &str) -> ResourceId {
    ResourceId::new(host, ResourceKey::Link(device.to_owned()))
}

/// Names a UDP port at which packets come out of their envelopes.
pub fn fou_port(host: &HostName, family: Family, port: u16) -> ResourceId {
    ResourceId::new(host, ResourceKey::FouPort { family, port })
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

/// Names lvsctl's chain for packets that go out.
pub fn chain_out(host: &HostName, family: Family, table: Table) -> ResourceId {
    ResourceId::new(host, ResourceKey::Chain { family, table, chain: OWN_CHAIN_OUT.to_owned() })
}

/// Names keepalived's configuration.
pub fn keepalived_configuration(host: &HostName) -> ResourceId {
    ResourceId::new(host, ResourceKey::KeepalivedConfiguration)
}

/// Names the running keepalived.
pub fn keepalived_daemon(host: &HostName) -> ResourceId {
    ResourceId::new(host, ResourceKey::KeepalivedDaemon)
}

/// Names a virtual service.
pub fn ipvs_service(host: &HostName, service: ServiceKey) -> ResourceId {
    ResourceId::new(host, ResourceKey::IpvsService(service))
}

/// Names a destination of a virtual service.
pub fn ipvs_destination(host: &HostName, service: ServiceKey, destination: DestinationKey) -> ResourceId {
    ResourceId::new(host, ResourceKey::IpvsDestination(service, destination))
}

/// Returns the identities that a service has in the kernel, each with the listen that it stands for.
///
/// With a mark that is one, with the first listen; without one every protocol and port is a service of its own.
pub fn service_keys<'a>(vip: &Vip, service: &'a Service) -> Vec<(ServiceKey, &'a Listen)> {
    let address = vip.address.value;
    match &service.fwmark {
        Some(mark) => {
            let key = ServiceKey::Mark { mark: mark.value, family: Family::of(address) };
            service.listens.first().map(|listen| (key, listen)).into_iter().collect()
        }
        None => service
            .listens
            .iter()
            .map(|listen| {
                (ServiceKey::Address { protocol: listen.protocol, address, port: listen.ports.first }, listen)
            })
            .collect(),
    }
}

/// Returns a server's identity as a destination of the service that a listen stands for.
///
/// Under a mark that is port 0, with which the kernel keeps the packet's own port, wherever no port is rewritten: under
/// direct routing and tunnelling always (keepalived 2.2 complains of any other), and where the mark covers several ports.
pub fn destination_key(service: &Service, listen: &Listen, server: &Server) -> DestinationKey {
    if service.fwmark.is_some() && !server.forwarding.translates() {
        return DestinationKey { address: server.address, port: 0 };
    }
    let listened = match (&service.fwmark, listen.ports.as_single()) {
        (None, _) => listen.ports.first,
        (Some(_), Some(port)) if service.listens.len() == 1 => port,
        (Some(_), _) => 0,
    };
    DestinationKey { address: server.address, port: server.port.map_or(listened, |port| port.value) }
}

/// Returns the identity of a service's sorry server as a destination of the service that a listen stands for.
pub fn sorry_key(service: &Service, listen: &Listen) -> Option<DestinationKey> {
    let sorry = service.supervision.sorry?;
    // It is reached as the service's first server is.
    let like = service.servers.first()?;
    let port = sorry.port.map(|port| Spanned::new(port, sorry.span));
    let server = Server { address: sorry.address, port, ..like.clone() };
    Some(destination_key(service, listen, &server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::*;
    use crate::topology::{Forwarding, PortRange, Protocol, Role};

    fn names(vip: &Vip, service: &Service) -> Vec<String> {
        let keys = service_keys(vip, service);
        keys.iter()
            .map(|(key, listen)| format!("{key} {}", destination_key(service, listen, &service.servers[0])))
            .collect()
    }

    fn site(listens: &[(Protocol, u16, u16)], mark: Option<u32>, port: Option<u16>) -> Vec<String> {
        let web = host(Role::RealServer, "web1", "10.0.0.2/24", None);
        let mut service = service("s", Protocol::Tcp, 80, vec![server(&web)]);
        service.listens = listens
            .iter()
            .map(|&(protocol, first, last)| Listen { protocol, ports: PortRange { first, last }, span: span() })
            .collect();
        service.fwmark = mark.map(at);
        service.servers[0].port = port.map(at);
        service.servers[0].forwarding = Forwarding::Nat;
        names(&vip("10.0.0.100", crate::topology::VipHolder::Director(at(HostName::new("lb"))), vec![]), &service)
    }

    #[test]
    fn every_listen_is_a_service_without_a_mark() {
        let listens = [(Protocol::Tcp, 80, 80), (Protocol::Udp, 53, 53)];
        assert_eq!(site(&listens, None, None), ["tcp:10.0.0.100:80 10.0.0.2:80", "udp:10.0.0.100:53 10.0.0.2:53"]);
        assert_eq!(site(&listens[..1], None, Some(8080)), ["tcp:10.0.0.100:80 10.0.0.2:8080"]);
    }

    #[test]
    fn a_mark_is_one_service_and_keeps_ports_that_differ() {
        assert_eq!(site(&[(Protocol::Tcp, 80, 80)], Some(7), None), ["fwm:7 10.0.0.2:80"]);
        assert_eq!(site(&[(Protocol::Tcp, 80, 80), (Protocol::Tcp, 443, 443)], Some(7), None), ["fwm:7 10.0.0.2:0"]);
        assert_eq!(site(&[(Protocol::Tcp, 8000, 8010)], Some(7), None), ["fwm:7 10.0.0.2:0"]);
        assert_eq!(site(&[(Protocol::Tcp, 8000, 8010)], Some(7), Some(90)), ["fwm:7 10.0.0.2:90"]);
    }

    #[test]
    fn a_mark_rewrites_no_port_under_direct_routing() {
        let topology = reference_site();
        let vip = topology.vips.values().next().unwrap();
        assert_eq!(names(vip, &vip.services[0]), ["fwm:1 10.4.1.151:0"]);
    }
}
