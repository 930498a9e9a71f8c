//! From a draw to a topology that the language accepts: what does not go together gives way.

use std::collections::{BTreeMap, BTreeSet};

use super::generate::{CheckDraw, Draw, FailoverDraw, ServerDraw, ServiceDraw, VIPS, VipDraw, WatchDraw};
use super::knobs::{self, DIRECTOR, FAILOVER, OWN_SYNC_DAEMON, REAL_SERVER, SYNC_DAEMON, WEIGHTED, ways};
use super::site::*;
use super::watch::CHECKS;

/// Passwords as they are written, and what they are; the first is looked up.
pub const PASSWORDS: [(&str, &str); 2] = [("(env)\"RANDOM_PASSWORD\"", "cbrt3245"), ("\"k8.P-2x\"", "k8.P-2x")];

impl Draw {
    /// Returns the topology that this draw stands for.
    pub fn site(&self) -> Site {
        let mut vips: Vec<Vip> = self.vips.iter().map(|(octet, vip)| vip.resolve(*octet, self.translator)).collect();
        let mut failovers = Vec::new();
        let floats = |six: bool| vips.iter().any(|vip| vip.six == six && vip.holder == Holder::Failover);
        let grouped = self.grouped && floats(false) && floats(true);
        for (six, drawn) in [false, true].into_iter().zip(&self.failovers).filter(|(six, _)| floats(*six)) {
            let mut failover = drawn.resolve(six, &vips, self.email.is_some());
            if grouped {
                let first = &self.failovers[0];
                failover.preemption = first.preemption();
                failover.priorities = first.priorities();
                failover.ways.retain(|way| WEIGHTED.iter().all(|weighted| way.kdl != weighted.kdl));
            }
            // The kernel has one daemon in each direction.
            if failovers.iter().any(|one: &Failover| one.sync.is_some()) {
                failover.sync = None;
            }
            failovers.push(failover);
        }
        // An interface that keepalived makes has another name than the label begins with.
        for vip in vips.iter_mut().filter(|vip| vip.holder == Holder::Failover) {
            vip.label = vip.label.filter(|_| !failovers.iter().any(|one| one.six == vip.six && one.virtual_mac));
        }
        let synced = failovers.iter().any(|failover| failover.sync.is_some());
        let directors = self.directors.iter().map(|turns| {
            let mut turns = turns.clone();
            if synced {
                turns.remove(&OWN_SYNC_DAEMON);
            }
            ways(DIRECTOR, &turns)
        });
        Site {
            failovers,
            grouped,
            email: self.email.and_then(|way| knobs::EMAIL.get(way)),
            included: self.included,
            hosts: [directors.collect(), self.real_servers.iter().map(|turns| ways(REAL_SERVER, turns)).collect()],
            vips,
        }
    }
}

impl FailoverDraw {
    fn preemption(&self) -> Preemption {
        [Preemption::Immediate, Preemption::Never, Preemption::After(1), Preemption::Immediate][self.preemption]
    }

    fn priorities(&self) -> [u8; 2] {
        if self.swapped { [60, 110] } else { [110, 60] }
    }

    fn resolve(&self, six: bool, vips: &[Vip], mails: bool) -> Failover {
        let version = if six { 3 } else { self.version };
        let mut ways = ways(FAILOVER, &self.turns);
        ways.retain(|way| mails || !way.kdl.starts_with("email"));
        ways.extend(WEIGHTED.first().filter(|_| self.weighted));
        let held = vips.iter().filter(|vip| vip.six == six && vip.holder == Holder::Failover);
        let held: Vec<u8> = held.map(|vip| vip.number).collect();
        Failover {
            six,
            name: failover_name(six).to_owned(),
            version,
            preemption: self.preemption(),
            unicast: self.unicast,
            priorities: self.priorities(),
            interval: match (self.interval, version) {
                (0, _) => (None, "1"),
                (_, 2) => (Some("1s"), "1"),
                (1, _) => (Some("200ms"), "0.2"),
                _ => (Some("500ms"), "0.5"),
            },
            source: self.source,
            password: self.password.filter(|_| version == 2).map(|literal| PASSWORDS[usize::from(literal)]),
            sync: self.sync.and_then(|way| SYNC_DAEMON.get(way)),
            virtual_mac: self.virtual_mac,
            unadvertised: held.last().copied().filter(|_| self.hidden && held.len() > 1),
            ways,
        }
    }
}

impl VipDraw {
    fn resolve(&self, octet: u8, translator: Holder) -> Vip {
        let six = octet >= VIPS.1;
        // A real server has one default route.
        let possible = |method: &'static str| match method {
            "nat" if self.holder != translator => "dr",
            other => other,
        };
        let forwarding = possible(self.forwarding.0);
        let delivery = match (forwarding, self.delivery) {
            ("nat" | "fullnat", _) => None,
            // What comes out of a tunnel cannot be redirected.
            ("tun", Some("redirect")) => Some("tunnel"),
            (_, delivery) => delivery,
        };
        let method = |own: Option<&'static str>| match (own.map_or(forwarding, possible), delivery) {
            ("tun", Some("redirect")) => "dr",
            (method, _) => method,
        };
        let mut taken = BTreeSet::new();
        let services = self.services.iter().enumerate().filter_map(|(number, service)| {
            let mut ports: Vec<u16> = service.ports.iter().copied().collect();
            if service.extent.0 && service.persistence.is_some() {
                ports = vec![0];
            }
            ports.retain(|port| taken.insert((service.protocol, *port)));
            let is_empty = ports.is_empty() || service.servers.is_empty();
            (!is_empty).then(|| service.resolve(octet, number, ports, &method, self.forwarding.1))
        });
        let services = services.collect();
        Vip {
            number: octet,
            six,
            holder: self.holder,
            forwarding: self.forwarding.1.then_some(forwarding),
            delivery,
            interface: self.place.and_then(|place| [Some("eth1"), Some("eth0"), None][place]),
            label: Some("eth0:v").filter(|_| self.place == Some(2) && !six),
            services,
        }
    }
}

impl ServiceDraw {
    fn resolve(
        &self,
        octet: u8,
        number: usize,
        ports: Vec<u16>,
        method: &dyn Fn(Option<&'static str>) -> &'static str,
        is_said: bool,
    ) -> Service {
        let (sip, one_packet, syn_proxy) = self.knobs;
        let is_udp = self.protocol == "udp";
        let (_, range, marked) = self.extent;
        let every = ports == [0];
        let mark = marked.then(|| u32::from(octet) * 10 + number as u32);
        let start = 20000 + number as u16 * 10;
        let check = |drawn: CheckDraw| {
            let way = &CHECKS[drawn.0];
            let has_port = !matches!(way.facts.first(), Some(&("PING_CHECK" | "MISC_CHECK")));
            let written = every || mark.is_some() || drawn.1.is_multiple_of(2);
            let port = ports.first().copied().filter(|port| *port != 0).unwrap_or(80);
            Check { way, times: drawn.1, port: Some(port).filter(|_| has_port && written) }
        };
        let mut servers: BTreeMap<usize, Server> = self
            .servers
            .iter()
            .map(|(index, server)| (*index, server.resolve(*index, method(server.method), is_said, every, &check)))
            .collect();
        let check = self.check.map(check);
        let is_checked = check.is_some() || servers.values().any(|server| server.check.is_some());
        if !is_checked {
            servers.values_mut().for_each(|server| server.told = 0);
        }
        // keepalived wants a total weight of at least 1.
        if is_checked && servers.values().all(|server| server.weight == 0) {
            servers.values_mut().for_each(|server| server.weight = 1);
        }
        let translates = servers.values().all(Server::is_translated);
        let total = servers.values().map(|server| server.weight).sum();
        let first = servers.values().next().is_some_and(Server::is_translated);
        Service {
            name: format!("s{number}"),
            protocol: self.protocol,
            range: (range && mark.is_some() && !every).then_some((start, start + 5)),
            mark,
            scheduler: self.scheduler.0,
            flags: match self.scheduler {
                ("sh" | "mh", fallback, port) => (fallback, port),
                _ => (false, false),
            },
            persistence: self.persistence,
            sip: sip && is_udp && self.persistence.is_some(),
            one_packet: one_packet && is_udp,
            syn_proxy: syn_proxy && translates && !marked && self.protocol == "tcp" && !every,
            drain: self.drain,
            check,
            on_failure: self.on_failure.filter(|_| is_checked),
            watch: if is_checked { self.watch.resolve(total, first && !every) } else { Watch::default() },
            pooled: self.pooled,
            servers,
            ports,
        }
    }
}

impl WatchDraw {
    fn resolve(&self, total: u32, maps_ports: bool) -> Watch {
        let quorum = self.quorum.map(|(hysteresis, told)| {
            let weight = (total / 2).max(1);
            let hysteresis = if hysteresis { (weight - 1).min(total - weight).min(3) } else { 0 };
            (weight, hysteresis, told)
        });
        let sorry = self.sorry.map(|port| Some(8080).filter(|_| port && maps_ports));
        Watch { quorum, sorry, alpha: self.alpha, omega: self.omega }
    }
}

impl ServerDraw {
    fn resolve(
        &self,
        index: usize,
        method: &'static str,
        is_said: bool,
        every: bool,
        check: &dyn Fn(CheckDraw) -> Check,
    ) -> Server {
        let (upper, lower) = self.limits.unwrap_or_default();
        let translates = matches!(method, "nat" | "fullnat");
        // The end that lvsctl brings up drops what carries a checksum.
        let possible = |(tunnel, checksum)| (tunnel, checksum && (tunnel != "gre" || index == UNMANAGED));
        Server {
            weight: self.weight,
            upper,
            lower,
            port: self.port.filter(|_| translates && !every),
            method: (method, self.method.is_some() || !is_said),
            tunnel: self.tunnel.filter(|_| method == "tun").map(possible),
            by_address: self.by_address,
            check: self.check.map(check),
            told: self.told,
        }
    }
}
