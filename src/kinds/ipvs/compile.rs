//! Makes the services and destinations that every director which can hold a VIP has in its kernel.
//!
//! The values are those that the kernel dumps, so that equal things compare equal: no timeout and a mask of one address
//! where a service is not persistent.

use std::net::Ipv4Addr;

use crate::effect::{DestinationConfig, DestinationKey, ServiceConfig, ServiceFlags, ServiceKey};
use crate::kinds::{Site, delivery, ids};
use crate::resource::{Entry, Health, Programmer, Resource, ResourceId, ResourceKey, Table};
use crate::topology::{Family, Forwarding, Host, HostName, OnFailure, Role, Server, Service, SysctlKey, Vip};

/// Makes IPVS keep what it translates in connection tracking, so that iptables can change it further.
pub const CONNECTION_TRACKING: &str = "net/ipv4/vs/conntrack";

/// Makes connection tracking take a segment in mid-connection for a connection; a SYN proxy must see such ones as invalid.
pub const LOOSE_TRACKING: &str = "net/netfilter/nf_conntrack_tcp_loose";

/// Returns the entries of a director.
pub(super) fn entries(site: &Site<'_>, host: &Host) -> Vec<Entry> {
    if host.role != Role::Director || !host.managed {
        return Vec::new();
    }
    let name = &host.name.value;
    let mut entries = Vec::new();
    for vip in site.topology.vips_of(name) {
        for service in &vip.services {
            let programmer = programmer(service);
            let health = match service.on_failure {
                OnFailure::Remove => Health::Presence,
                OnFailure::Inhibit => Health::Weight,
            };
            for (key, listen) in ids::service_keys(vip, service) {
                let config = service_config(service, key.family());
                let scheduler = format!("ip_vs_{}", config.scheduler);
                let resource = Resource::IpvsService { config, programmer };
                let mut entry = Entry::new(ResourceKey::IpvsService(key), resource).origin(service.name.span);
                entry.drain = service.drain;
                entry = entry.requires(ids::module(name, "ip_vs")).requires(ids::module(name, &scheduler));
                if let Some(engine) = &service.engine {
                    entry = entry.requires(ids::module(name, &format!("ip_vs_pe_{engine}")));
                }
                if programmer == Programmer::Keepalived {
                    entry = entry.requires(ids::keepalived_daemon(name));
                }
                entries.push(entry);
                if let (Some(sorry), Programmer::Keepalived) = (ids::sorry_key(service, listen), programmer) {
                    entries.push(standby(name, service, key, sorry));
                }
                for server in &service.servers {
                    let destination = ids::destination_key(service, listen, server);
                    let resource = Resource::IpvsDestination { config: destination_config(server), programmer };
                    let mut entry = Entry::new(ResourceKey::IpvsDestination(key, destination), resource)
                        .origin(server.span)
                        .health(health)
                        .requires(ids::ipvs_service(name, key));
                    entry = delivery::requirements(site.topology, vip, server).into_iter().fold(entry, Entry::requires);
                    entry = beside(name, vip, service, server).into_iter().fold(entry, Entry::requires);
                    if programmer == Programmer::Keepalived {
                        entry = entry.requires(ids::keepalived_daemon(name));
                    }
                    entries.push(entry);
                }
            }
        }
    }
    entries
}

/// Returns the sorry server, which keepalived puts there with weight 1 while too few others are well.
fn standby(host: &HostName, service: &Service, key: ServiceKey, sorry: DestinationKey) -> Entry {
    let forwarding = service.servers.first().map_or(Forwarding::Nat, |server| server.forwarding);
    let config = DestinationConfig { forwarding, weight: 1, upper: 0, lower: 0, tunnel: crate::topology::Tunnel::Ipip };
    let resource = Resource::IpvsDestination { config, programmer: Programmer::Keepalived };
    Entry::new(ResourceKey::IpvsDestination(key, sorry), resource)
        .origin(service.supervision.sorry.map_or(service.name.span, |sorry| sorry.span))
        .health(Health::Standby)
        .requires(ids::ipvs_service(host, key))
        .requires(ids::keepalived_daemon(host))
}

/// Returns the identities of what a director needs beside the table itself before it may use a server.
fn beside(director: &HostName, vip: &Vip, service: &Service, server: &Server) -> Vec<ResourceId> {
    let family = Family::of(vip.address.value);
    let mut needed = Vec::new();
    if server.forwarding == Forwarding::FullNat {
        needed.push(ids::chain_out(director, family, Table::Nat));
    }
    if service.syn_proxy.is_some() {
        needed.extend([Table::Raw, Table::Filter].map(|table| ids::chain(director, family, table)));
        needed.push(ids::sysctl(director, SysctlKey::from_path(LOOSE_TRACKING)));
    }
    if server.forwarding == Forwarding::FullNat || service.syn_proxy.is_some() {
        needed.push(ids::sysctl(director, SysctlKey::from_path(CONNECTION_TRACKING)));
    }
    needed
}

/// Tells who puts a service into the kernel.
pub fn programmer(service: &Service) -> Programmer {
    if service.is_checked() { Programmer::Keepalived } else { Programmer::Lvsctl }
}

/// Returns the configuration of a service as the kernel dumps it.
pub fn service_config(service: &Service, family: Family) -> ServiceConfig {
    let mut flags = 0;
    if service.persistence.is_some() {
        flags |= ServiceFlags::PERSISTENT;
    }
    if service.one_packet {
        flags |= ServiceFlags::ONE_PACKET;
    }
    if service.scheduler.fallback {
        flags |= ServiceFlags::SCHED_1;
    }
    if service.scheduler.port {
        flags |= ServiceFlags::SCHED_2;
    }
    let timeout =
        service.persistence.map_or(0, |persistence| u32::try_from(persistence.timeout.as_secs()).unwrap_or(u32::MAX));
    let netmask = service.persistence.and_then(|persistence| persistence.netmask);
    ServiceConfig {
        scheduler: service.scheduler.name.clone(),
        flags: ServiceFlags(flags),
        timeout,
        netmask: netmask.unwrap_or(family.host_prefix()),
        engine: service.engine.clone(),
    }
}

/// Returns the configuration of a destination.
pub fn destination_config(server: &Server) -> DestinationConfig {
    DestinationConfig {
        forwarding: server.forwarding.in_kernel(),
        tunnel: server.tunnel,
        weight: server.weight,
        upper: server.upper,
        lower: server.lower,
    }
}

/// Makes a live configuration canonical: without persistence, timeout and mask have no effect.
pub(super) fn canonical(config: &ServiceConfig, family: Family) -> ServiceConfig {
    let flags = ServiceFlags(config.flags.0 & !ServiceFlags::HASHED);
    let engine = config.engine.clone().filter(|engine| !engine.is_empty());
    if flags.has(ServiceFlags::PERSISTENT) {
        return ServiceConfig { flags, engine, ..config.clone() };
    }
    ServiceConfig { flags, engine, timeout: 0, netmask: family.host_prefix(), scheduler: config.scheduler.clone() }
}

/// Returns an IPv4 prefix as a mask, such as 255.255.255.0 for 24.
pub fn dotted_mask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32_u32.saturating_sub(u32::from(prefix));
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}
