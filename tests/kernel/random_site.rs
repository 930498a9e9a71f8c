//! Random topologies over a fixed set of hosts, as text that an operator could have written.
//!
//! Every value comes from a small pool, so that two topologies often differ in one knob of the same service: that is where
//! going from one to the other has to edit rather than to replace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// The hosts that random topologies are about: their names and addresses.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Each director's name, own address with prefix, namespace and root.
    pub directors: Vec<(String, String, String, String)>,
    /// The same of each real server.
    pub real_servers: Vec<(String, String, String, String)>,
    /// The first three octets of the network that all of them are in.
    pub network: String,
}

#[derive(Clone, Debug)]
struct Server {
    weight: u32,
    limits: Option<(u32, u32)>,
    port: Option<u16>,
}

#[derive(Clone, Debug)]
struct Service {
    protocol: &'static str,
    ports: BTreeSet<u16>,
    range: bool,
    marked: bool,
    scheduler: &'static str,
    flags: (bool, bool),
    persistence: Option<(u32, Option<u8>)>,
    servers: BTreeMap<usize, Server>,
    checked: bool,
    inhibit: bool,
}

#[derive(Clone, Debug)]
struct Vip {
    /// `None` is the failover, `Some` a director by index.
    holder: Option<usize>,
    nat: bool,
    delivery: &'static str,
    services: Vec<Service>,
}

/// A random topology.
#[derive(Clone, Debug)]
pub struct RandomSite {
    vips: BTreeMap<u8, Vip>,
    version: u8,
    preempt: bool,
    unicast: bool,
    priorities: (u8, u8),
    advert: u32,
    parameter: Option<bool>,
}

const SCHEDULERS: &[&str] = &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

fn server() -> impl Strategy<Value = Server> {
    (
        prop_oneof![3 => Just(1u32), 3 => 0u32..=200, 1 => Just(65535u32)],
        prop::option::weighted(0.2, (100u32..=1000, 0u32..=99)),
        prop::option::weighted(0.4, select(vec![80u16, 8000, 8080])),
    )
        .prop_map(|(weight, limits, port)| Server { weight, limits, port })
}

fn service(real_servers: usize) -> impl Strategy<Value = Service> {
    let indexes: Vec<usize> = (0..real_servers).collect();
    let servers = (subsequence(indexes, 1..=real_servers), vec(server(), real_servers))
        .prop_map(|(chosen, servers)| chosen.into_iter().zip(servers).collect::<BTreeMap<_, _>>());
    (
        (select(vec!["tcp", "tcp", "tcp", "udp", "sctp"]), prop::collection::btree_set(select(vec![80u16, 443, 53, 5060]), 1..=2)),
        (any::<bool>(), prop::bool::weighted(0.4)),
        (select(SCHEDULERS), any::<(bool, bool)>()),
        prop::option::weighted(0.4, (select(vec![60u32, 300, 3600]), prop::option::of(select(vec![8u8, 24, 30])))),
        servers,
        (prop::bool::weighted(0.3), any::<bool>()),
    )
        .prop_map(|((protocol, ports), (range, marked), (scheduler, flags), persistence, servers, (checked, inhibit))| {
            Service { protocol, ports, range, marked, scheduler, flags, persistence, servers, checked, inhibit }
        })
}

/// Returns the strategy for random topologies over `ground`.
pub fn random_site(directors: usize, real_servers: usize) -> impl Strategy<Value = RandomSite> {
    let vip = (
        prop::option::weighted(0.5, 0..directors),
        any::<bool>(),
        select(vec!["loopback", "redirect", "none"]),
        vec(service(real_servers), 0..=3),
    )
        .prop_map(|(holder, nat, delivery, services)| Vip { holder, nat, delivery, services });
    (
        btree_map(100u8..108, vip, 1..=4),
        (select(vec![2u8, 3]), any::<bool>(), any::<bool>()),
        select(vec![(100u8, 50u8), (50, 100), (200, 190)]),
        1u32..=2,
        any::<Option<bool>>(),
    )
        .prop_map(|(vips, (version, preempt, unicast), priorities, advert, parameter)| RandomSite {
            vips,
            version,
            preempt,
            unicast,
            priorities,
            advert,
            parameter,
        })
}

impl RandomSite {
    /// Writes the topology down.
    pub fn to_kdl(&self, ground: &Ground) -> String {
        let mut out = String::new();
        for (kind, hosts) in [("director", &ground.directors), ("real-server", &ground.real_servers)] {
            for (name, address, namespace, root) in hosts {
                let _ = writeln!(out, "{kind} {name:?} {{\n    address {address:?}\n    interface \"eth0\"");
                let _ = writeln!(out, "    netns {namespace:?} root={root:?}");
                if let (Some(parameter), "director") = (self.parameter, kind) {
                    let _ = writeln!(out, "    sysctl \"net.ipv4.vs.expire_nodest_conn\" {}", u8::from(parameter));
                }
                out.push_str("}\n");
            }
        }
        let failover = self.vips.values().any(|vip| vip.holder.is_none());
        if failover {
            let _ = writeln!(out, "failover \"main\" {{");
            for ((name, ..), priority) in ground.directors.iter().zip([self.priorities.0, self.priorities.1]) {
                let _ = writeln!(out, "    director {name:?} priority={priority}");
            }
            let _ = writeln!(out, "    virtual-router-id 61\n    version {}", self.version);
            let _ = writeln!(out, "    advert-interval \"{}s\"\n    preempt #{}", self.advert, self.preempt);
            let _ = writeln!(out, "    unicast #{}\n}}", self.unicast);
        }
        for (octet, vip) in &self.vips {
            self.vip(&mut out, ground, *octet, vip);
        }
        out
    }

    fn vip(&self, out: &mut String, ground: &Ground, octet: u8, vip: &Vip) {
        let address = format!("{}.{octet}", ground.network);
        // One default route a real server: masquerading belongs to the first director.
        let (holder, nat) = match vip.holder {
            Some(index) if vip.nat => (Some(&ground.directors[index.min(0)].0), true),
            Some(index) => (Some(&ground.directors[index].0), false),
            None => (None, false),
        };
        let holder = holder.map_or("failover=\"main\"".to_owned(), |name| format!("director={name:?}"));
        let way = match nat {
            true => "forwarding=\"nat\"".to_owned(),
            false => format!("forwarding=\"dr\" delivery={:?}", vip.delivery),
        };
        let _ = writeln!(out, "vip \"{address}\" {holder} {way} {{");
        let mut taken = BTreeSet::new();
        for (number, service) in vip.services.iter().enumerate() {
            let ports: Vec<u16> =
                service.ports.iter().copied().filter(|port| taken.insert((service.protocol, *port))).collect();
            if let Some(first) = ports.first() {
                service.write(out, ground, number, *first, &ports, nat, octet);
            }
        }
        out.push_str("}\n");
    }
}

impl Service {
    #[allow(clippy::too_many_arguments)]
    fn write(&self, out: &mut String, ground: &Ground, number: usize, first: u16, ports: &[u16], nat: bool, octet: u8) {
        let _ = writeln!(out, "    service \"s{number}\" {{");
        for port in ports {
            let _ = writeln!(out, "        listen {:?} {port}", self.protocol);
        }
        if self.marked {
            if self.range {
                let start = 20000 + u32::from(first % 100) * 10 + number as u32;
                let _ = writeln!(out, "        listen {:?} \"{start}-{}\"", self.protocol, start + 5);
            }
            let _ = writeln!(out, "        fwmark {}", u32::from(octet) * 10 + number as u32);
        }
        let flags = match self.scheduler {
            "sh" | "mh" => format!(" fallback=#{} port=#{}", self.flags.0, self.flags.1),
            _ => String::new(),
        };
        let _ = writeln!(out, "        scheduler {:?}{flags}", self.scheduler);
        if let Some((timeout, netmask)) = self.persistence {
            let netmask = netmask.map(|netmask| format!(" netmask={netmask}")).unwrap_or_default();
            let _ = writeln!(out, "        persistence \"{timeout}s\"{netmask}");
        }
        let checked = self.checked && self.protocol == "tcp";
        if checked {
            let _ = writeln!(out, "        check \"tcp\" port={first} interval=\"1s\" timeout=\"1s\" retries=1");
            let _ = writeln!(out, "        on-failure {:?}", if self.inhibit { "inhibit" } else { "remove" });
        }
        for (index, server) in &self.servers {
            let mut text = format!("        server {:?} weight={}", ground.real_servers[*index].0, server.weight);
            if let Some((upper, lower)) = server.limits {
                let _ = write!(text, " upper={upper} lower={lower}");
            }
            if let (Some(port), true, false) = (server.port, nat, self.marked) {
                let _ = write!(text, " port={port}");
            }
            let _ = writeln!(out, "{text}");
        }
        out.push_str("    }\n");
    }
}
