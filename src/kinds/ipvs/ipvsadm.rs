//! Services and destinations as ipvsadm(8) writes them, for `ipvsadm -R` and for views.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::dotted_mask;
use crate::effect::{DestinationConfig, DestinationKey, ServiceConfig, ServiceFlags, ServiceKey};
use crate::resource::{HostState, Programmer, Resource, ResourceKey};
use crate::topology::{Family, Forwarding, Protocol, Tunnel};

/// Returns a service's identity, such as `-t 10.0.0.1:80` or `-f 1 -6`.
pub fn service(key: ServiceKey) -> String {
    match key {
        ServiceKey::Address { protocol, address, port } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", socket(address, port))
        }
        ServiceKey::Mark { mark, family: Family::Ipv4 } => format!("-f {mark}"),
        ServiceKey::Mark { mark, family: Family::Ipv6 } => format!("-f {mark} -6"),
    }
}

/// Returns a service's configuration, such as `-s wrr -p 300 -M 255.255.255.0`.
pub fn service_options(config: &ServiceConfig, family: Family) -> String {
    let mut text = format!("-s {}", config.scheduler);
    if config.flags.has(ServiceFlags::PERSISTENT) {
        let _ = write!(text, " -p {}", config.timeout);
        match family {
            _ if config.netmask == family.host_prefix() => {}
            Family::Ipv4 => _ = write!(text, " -M {}", dotted_mask(config.netmask)),
            Family::Ipv6 => _ = write!(text, " -M {}", config.netmask),
        }
    }
    if let Some(engine) = &config.engine {
        let _ = write!(text, " --pe {engine}");
    }
    if config.flags.has(ServiceFlags::ONE_PACKET) {
        text.push_str(" -o");
    }
    let flags: Vec<String> = [(ServiceFlags::SCHED_1, "fallback", "flag-1"), (ServiceFlags::SCHED_2, "port", "flag-2")]
        .into_iter()
        .filter(|(flag, _, _)| config.flags.has(*flag))
        .map(|(_, name, other)| match config.scheduler.as_str() {
            scheduler @ ("sh" | "mh") => format!("{scheduler}-{name}"),
            _ => other.to_owned(),
        })
        .collect();
    if !flags.is_empty() {
        let _ = write!(text, " -b {}", flags.join(","));
    }
    text
}

/// Returns a destination's identity, such as `-r 10.0.0.2:8080`.
pub fn destination(key: DestinationKey) -> String {
    format!("-r {}", socket(key.address, key.port))
}

/// Returns a destination's configuration, such as `-m -w 100 -x 50`.
pub fn destination_options(config: &DestinationConfig) -> String {
    let method = match config.forwarding {
        Forwarding::Nat | Forwarding::FullNat => "-m",
        Forwarding::Tun => "-i",
        Forwarding::Dr | Forwarding::Local | Forwarding::Bypass => "-g",
    };
    let wrapped = match config.tunnel {
        Tunnel::Ipip => String::new(),
        Tunnel::Gue { port, flags } => format!(" --tun-type gue --tun-port {port}{}", checksum(flags)),
        Tunnel::Gre { flags } => format!(" --tun-type gre{}", checksum(flags)),
    };
    let mut text = format!("{method}{wrapped} -w {}", config.weight);
    if config.upper > 0 {
        let _ = write!(text, " -x {}", config.upper);
    }
    if config.lower > 0 {
        let _ = write!(text, " -y {}", config.lower);
    }
    text
}

fn checksum(flags: u16) -> &'static str {
    match flags {
        Tunnel::CHECKSUM => " --tun-csum",
        0 => " --tun-nocsum",
        _ => " --tun-remcsum",
    }
}

/// Returns the lines for `ipvsadm -R` that make the services that lvsctl itself programs.
pub fn rules(state: &HostState) -> String {
    let mut text = String::new();
    for (key, entry) in state {
        match (key, &entry.resource) {
            (ResourceKey::IpvsService(key), Resource::IpvsService { config, programmer: Programmer::Lvsctl }) => {
                let _ = writeln!(text, "-A {} {}", service(*key), service_options(config, key.family()));
            }
            (
                ResourceKey::IpvsDestination(key, to),
                Resource::IpvsDestination { config, programmer: Programmer::Lvsctl },
            ) => {
                let _ = writeln!(text, "-a {} {} {}", service(*key), destination(*to), destination_options(config));
            }
            _ => {}
        }
    }
    text
}

fn socket(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(scheduler: &str, flags: u32) -> ServiceConfig {
        let flags = ServiceFlags(flags);
        ServiceConfig { scheduler: scheduler.into(), flags, timeout: 300, netmask: 24, engine: None }
    }

    #[test]
    fn identities_are_those_of_ipvsadm() {
        let key =
            |protocol, address: &str, port| ServiceKey::Address { protocol, address: address.parse().unwrap(), port };
        assert_eq!(service(key(Protocol::Tcp, "10.0.0.1", 80)), "-t 10.0.0.1:80");
        assert_eq!(service(key(Protocol::Udp, "fd00::1", 53)), "-u [fd00::1]:53");
        assert_eq!(service(key(Protocol::Sctp, "10.0.0.1", 9)), "--sctp-service 10.0.0.1:9");
        assert_eq!(service(ServiceKey::Mark { mark: 7, family: Family::Ipv6 }), "-f 7 -6");
        assert_eq!(destination(DestinationKey { address: "fd00::2".parse().unwrap(), port: 0 }), "-r [fd00::2]:0");
    }

    #[test]
    fn options_say_only_what_has_an_effect() {
        assert_eq!(service_options(&config("rr", 0), Family::Ipv4), "-s rr");
        assert_eq!(service_options(&config("wrr", 1), Family::Ipv4), "-s wrr -p 300 -M 255.255.255.0");
        assert_eq!(service_options(&config("mh", 0x19), Family::Ipv6), "-s mh -p 300 -M 24 -b mh-fallback,mh-port");
        let whole = ServiceConfig { netmask: 32, engine: Some("sip".into()), ..config("sh", 0x15) };
        assert_eq!(service_options(&whole, Family::Ipv4), "-s sh -p 300 --pe sip -o -b sh-port");
        assert_eq!(service_options(&config("rr", 0x18), Family::Ipv4), "-s rr -b flag-1,flag-2");
        let limits = DestinationConfig {
            forwarding: Forwarding::Tun,
            tunnel: Default::default(),
            weight: 0,
            upper: 9,
            lower: 3,
        };
        assert_eq!(destination_options(&limits), "-i -w 0 -x 9 -y 3");
    }
}
