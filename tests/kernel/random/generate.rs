//! Random topologies over a fixed set of hosts.
//!
//! What proptest draws is loose ([`Draw`]): every value comes from a small pool, so that two topologies often differ in one
//! knob of the same service, which is where going from one to the other has to edit rather than to replace. [`Draw::site`]
//! turns it into a [`Site`] that the language accepts, and [`Draw::blend`] makes a near relative of another one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::site::{Check, Failover, Holder, Server, Service, Site, Vip};

/// The last numbers of the VIPs' addresses; from the second number on they are of IPv6.
const VIPS: (u8, u8, u8) = (100, 107, 110);

const SCHEDULERS: &[&str] = &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

/// What was drawn for a server of a service.
#[derive(Clone, Debug)]
struct ServerDraw {
    weight: u32,
    limits: Option<(u32, u32)>,
    port: Option<u16>,
}

#[derive(Clone, Debug)]
struct ServiceDraw {
    protocol: &'static str,
    ports: BTreeSet<u16>,
    range: bool,
    marked: bool,
    scheduler: (&'static str, bool, bool),
    persistence: Option<(u32, Option<u8>)>,
    /// The engine sip, single packets, and a SYN proxy, each where the rest admits it.
    knobs: (bool, bool, bool),
    servers: BTreeMap<usize, ServerDraw>,
    check: Option<bool>,
}

#[derive(Clone, Debug)]
struct VipDraw {
    holder: Holder,
    forwarding: &'static str,
    delivery: &'static str,
    services: Vec<ServiceDraw>,
}

/// A topology as it was drawn.
#[derive(Clone, Debug)]
pub struct Draw {
    vips: BTreeMap<u8, VipDraw>,
    /// Who may translate addresses, for a real server has one default route of each family.
    translator: Holder,
    failover: Failover,
    director_parameter: Option<bool>,
    server_parameter: Option<u32>,
}

fn holder(directors: usize) -> impl Strategy<Value = Holder> {
    prop_oneof![1 => Just(Holder::Failover), 1 => (0..directors).prop_map(Holder::Director)]
}

fn server() -> impl Strategy<Value = ServerDraw> {
    (
        prop_oneof![3 => Just(1u32), 3 => 0u32..=200, 1 => Just(0), 1 => Just(65535)],
        prop::option::weighted(0.2, (100u32..=1000, 0u32..=99)),
        prop::option::weighted(0.4, select(vec![80u16, 8000, 8080])),
    )
        .prop_map(|(weight, limits, port)| ServerDraw { weight, limits, port })
}

fn service(real_servers: usize) -> impl Strategy<Value = ServiceDraw> {
    let indexes: Vec<usize> = (0..real_servers).collect();
    let servers = (subsequence(indexes, 1..=real_servers), vec(server(), real_servers))
        .prop_map(|(chosen, servers)| chosen.into_iter().zip(servers).collect::<BTreeMap<_, _>>());
    let protocol = prop_oneof![3 => Just("tcp"), 1 => Just("udp"), 1 => Just("sctp")];
    (
        (protocol, btree_set(select(vec![80u16, 443, 53, 5060]), 1..=2)),
        (any::<bool>(), prop::bool::weighted(0.4)),
        (select(SCHEDULERS), any::<bool>(), any::<bool>()),
        prop::option::weighted(0.4, (select(vec![60u32, 300, 3600]), prop::option::of(select(vec![8u8, 24, 30])))),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        servers,
        prop::option::weighted(0.3, any::<bool>()),
    )
        .prop_map(|((protocol, ports), (range, marked), scheduler, persistence, knobs, servers, check)| {
            ServiceDraw { protocol, ports, range, marked, scheduler, persistence, knobs, servers, check }
        })
}

/// Returns the strategy for topologies of so many directors and real servers.
pub fn draw(directors: usize, real_servers: usize) -> impl Strategy<Value = Draw> {
    let vip = (
        holder(directors),
        select(vec!["nat", "nat", "fullnat", "dr", "dr", "tun"]),
        select(vec!["loopback", "redirect", "none", "tunnel", "dummy"]),
        vec(service(real_servers), 0..=3),
    )
        .prop_map(|(holder, forwarding, delivery, services)| VipDraw { holder, forwarding, delivery, services });
    let failover = (select(vec![2u8, 3, 3, 3]), any::<[bool; 3]>(), select(vec![(100, 50), (50, 100), (200, 190)]))
        .prop_map(|(version, [preempt, unicast, virtual_mac], priorities)| Failover {
            version,
            preempt,
            unicast,
            priorities,
            virtual_mac,
        });
    (
        btree_map(VIPS.0..VIPS.2, vip, 0..=4),
        holder(directors),
        failover,
        any::<Option<bool>>(),
        prop::option::of(select(vec![1000u32, 2000])),
    )
        .prop_map(|(vips, translator, failover, director_parameter, server_parameter)| Draw {
            vips,
            translator,
            failover,
            director_parameter,
            server_parameter,
        })
}

impl Draw {
    /// Returns this draw with about half of what differs taken from another one, down to single knobs.
    pub fn blend(&self, other: &Draw, coin: &mut dyn FnMut() -> bool) -> Draw {
        Draw {
            vips: blend_maps(&self.vips, &other.vips, coin, |one, two, coin| VipDraw {
                holder: pick(coin, one.holder, two.holder),
                forwarding: pick(coin, one.forwarding, two.forwarding),
                delivery: pick(coin, one.delivery, two.delivery),
                services: blend_services(&one.services, &two.services, coin),
            }),
            translator: pick(coin, self.translator, other.translator),
            failover: pick(coin, self.failover, other.failover),
            director_parameter: pick(coin, self.director_parameter, other.director_parameter),
            server_parameter: pick(coin, self.server_parameter, other.server_parameter),
        }
    }

    /// Returns every draw that lacks one thing of this one, the largest first.
    pub fn simpler(&self) -> Vec<Draw> {
        let mut all = Vec::new();
        for octet in self.vips.keys() {
            let mut less = self.clone();
            less.vips.remove(octet);
            all.push(less);
        }
        for (octet, vip) in &self.vips {
            for number in 0..vip.services.len() {
                let mut less = self.clone();
                less.vips.get_mut(octet).expect("this VIP").services.remove(number);
                all.push(less);
            }
        }
        all
    }

    /// Returns the topology that this draw stands for.
    pub fn site(&self) -> Site {
        Site {
            vips: self.vips.iter().map(|(octet, vip)| vip.resolve(*octet, self.translator)).collect(),
            failover: self.failover,
            director_parameter: self.director_parameter,
            server_parameter: self.server_parameter,
        }
    }
}

fn pick<T>(coin: &mut dyn FnMut() -> bool, one: T, two: T) -> T {
    if coin() { one } else { two }
}

fn blend_maps<K: Ord + Clone, V: Clone>(
    one: &BTreeMap<K, V>,
    two: &BTreeMap<K, V>,
    coin: &mut dyn FnMut() -> bool,
    blend: impl Fn(&V, &V, &mut dyn FnMut() -> bool) -> V,
) -> BTreeMap<K, V> {
    let keys: BTreeSet<&K> = one.keys().chain(two.keys()).collect();
    let mut blended = BTreeMap::new();
    for key in keys {
        let value = match (one.get(key), two.get(key)) {
            (Some(one), Some(two)) => Some(blend(one, two, coin)),
            (one, two) => one.or(two).filter(|_| coin()).cloned(),
        };
        blended.extend(value.map(|value| (key.clone(), value)));
    }
    blended
}

fn blend_services(one: &[ServiceDraw], two: &[ServiceDraw], coin: &mut dyn FnMut() -> bool) -> Vec<ServiceDraw> {
    let numbered = |services: &[ServiceDraw]| services.iter().cloned().enumerate().collect::<BTreeMap<_, _>>();
    let blend = |one: &ServiceDraw, two: &ServiceDraw, coin: &mut dyn FnMut() -> bool| {
        let of_ports = pick(coin, one, two);
        ServiceDraw {
            protocol: of_ports.protocol,
            ports: of_ports.ports.clone(),
            range: pick(coin, one.range, two.range),
            marked: pick(coin, one.marked, two.marked),
            scheduler: pick(coin, one.scheduler, two.scheduler),
            persistence: pick(coin, one.persistence, two.persistence),
            knobs: pick(coin, one.knobs, two.knobs),
            servers: blend_maps(&one.servers, &two.servers, coin, |one, two, coin| pick(coin, one, two).clone()),
            check: pick(coin, one.check, two.check),
        }
    };
    blend_maps(&numbered(one), &numbered(two), coin, blend).into_values().collect()
}

impl VipDraw {
    fn resolve(&self, octet: u8, translator: Holder) -> Vip {
        // A real server has one default route, and what comes out of a tunnel cannot be redirected.
        let forwarding = match self.forwarding {
            "nat" if self.holder != translator => "dr",
            other => other,
        };
        let delivery = match (forwarding, self.delivery) {
            ("tun", "redirect") => "tunnel",
            (_, delivery) => delivery,
        };
        let mut taken = BTreeSet::new();
        let services = self.services.iter().enumerate().filter_map(|(number, service)| {
            let free = |port: &u16| taken.insert((service.protocol, *port));
            let ports: Vec<u16> = service.ports.iter().copied().filter(free).collect();
            let is_empty = ports.is_empty() || service.servers.is_empty();
            (!is_empty).then(|| service.resolve(octet, number, ports, forwarding))
        });
        Vip {
            number: octet,
            six: octet >= VIPS.1,
            holder: self.holder,
            forwarding,
            delivery,
            services: services.collect(),
        }
    }
}

impl ServiceDraw {
    fn resolve(&self, octet: u8, number: usize, ports: Vec<u16>, forwarding: &str) -> Service {
        let nat = matches!(forwarding, "nat" | "fullnat");
        let (sip, one_packet, syn_proxy) = self.knobs;
        let is_udp = self.protocol == "udp";
        let mark = self.marked.then(|| u32::from(octet) * 10 + number as u32);
        let start = 20000 + number as u16 * 10;
        let check = self.check.filter(|_| self.protocol == "tcp").map(|inhibit| Check { port: ports[0], inhibit });
        let mut servers: BTreeMap<usize, Server> = self
            .servers
            .iter()
            .map(|(index, server)| {
                let (upper, lower) = server.limits.unwrap_or_default();
                let port = server.port.filter(|_| nat);
                (*index, Server { weight: server.weight, upper, lower, port })
            })
            .collect();
        // keepalived wants a total weight of at least 1.
        if check.is_some() && servers.values().all(|server| server.weight == 0) {
            servers.values_mut().for_each(|server| server.weight = 1);
        }
        Service {
            name: format!("s{number}"),
            protocol: self.protocol,
            range: (self.range && mark.is_some()).then_some((start, start + 5)),
            mark,
            ports,
            scheduler: self.scheduler.0,
            flags: match self.scheduler {
                ("sh" | "mh", fallback, port) => (fallback, port),
                _ => (false, false),
            },
            persistence: self.persistence,
            sip: sip && is_udp && self.persistence.is_some(),
            one_packet: one_packet && is_udp,
            syn_proxy: syn_proxy && nat && !self.marked && self.protocol == "tcp",
            check,
            servers,
        }
    }
}
