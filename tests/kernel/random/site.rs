//! A topology as the tests know it: what it says in KDL, and on which hosts. What it means there is `expected`'s.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Who holds a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// All directors, by VRRP.
    Failover,
    /// One director, by its index.
    Director(usize),
}

/// How the failovers work; there is one for each address family that needs it.
#[derive(Clone, Copy, Debug)]
pub struct Failover {
    pub version: u8,
    pub preempt: bool,
    pub unicast: bool,
    pub priorities: (u8, u8),
    pub virtual_mac: bool,
}

/// A server of a service.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub port: Option<u16>,
}

/// A TCP check, which makes the service keepalived's.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub port: u16,
    pub inhibit: bool,
}

/// A virtual service.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub protocol: &'static str,
    pub ports: Vec<u16>,
    pub range: Option<(u16, u16)>,
    pub mark: Option<u32>,
    pub scheduler: &'static str,
    /// `fallback` and `port`.
    pub flags: (bool, bool),
    pub persistence: Option<(u32, Option<u8>)>,
    /// The engine sip; with persistence only.
    pub sip: bool,
    pub one_packet: bool,
    pub syn_proxy: bool,
    pub check: Option<Check>,
    /// By the real server's index.
    pub servers: BTreeMap<usize, Server>,
}

/// A VIP.
#[derive(Clone, Debug)]
pub struct Vip {
    /// The last number of its address.
    pub number: u8,
    /// Whether it is of IPv6.
    pub six: bool,
    pub holder: Holder,
    /// `nat`, `fullnat`, `dr` or `tun`.
    pub forwarding: &'static str,
    pub delivery: &'static str,
    pub services: Vec<Service>,
}

/// A topology.
#[derive(Clone, Debug)]
pub struct Site {
    pub vips: Vec<Vip>,
    pub failover: Failover,
    /// A kernel parameter of the directors.
    pub director_parameter: Option<bool>,
    /// A kernel parameter of the real servers.
    pub server_parameter: Option<u32>,
}

/// A host of the laboratory.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    /// The last number of its addresses.
    pub number: u8,
    pub namespace: String,
    pub root: String,
}

/// The hosts that topologies are about.
#[derive(Clone, Debug)]
pub struct Ground {
    pub directors: Vec<Place>,
    pub real_servers: Vec<Place>,
}

/// Returns an address of the laboratory's network of a family.
pub fn address(six: bool, number: u8) -> String {
    if six { format!("fd00:9::{number}") } else { format!("10.9.0.{number}") }
}

/// The kernel parameter that a topology may set on directors.
pub const DIRECTOR_PARAMETER: &str = "net.ipv4.vs.expire_nodest_conn";

/// The kernel parameter that a topology may set on real servers.
pub const SERVER_PARAMETER: &str = "net.core.somaxconn";

impl Vip {
    pub fn address(&self) -> String {
        address(self.six, self.number)
    }

    /// Tells whether addresses are translated.
    pub fn translates(&self) -> bool {
        matches!(self.forwarding, "nat" | "fullnat")
    }

    /// Returns the interface of a real server that holds the VIP, if one does.
    pub fn device(&self) -> Option<&'static str> {
        match (self.delivery, self.six) {
            _ if self.translates() => None,
            ("loopback", _) => Some("lo"),
            ("dummy", _) => Some("lvsctl0"),
            ("tunnel", false) => Some("tunl0"),
            ("tunnel", true) => Some("ip6tnl0"),
            _ => None,
        }
    }

    /// Tells whether a director can hold it.
    pub fn is_on(&self, director: usize) -> bool {
        matches!(self.holder, Holder::Failover) || self.holder == Holder::Director(director)
    }
}

impl Site {
    /// Returns the interface of a VIP on a director; keepalived makes one for a virtual hardware address.
    pub fn interface(&self, vip: &Vip) -> &'static str {
        match (self.failover.virtual_mac && vip.holder == Holder::Failover, vip.six) {
            (false, _) => "eth0",
            (true, false) => "vrrp.61",
            (true, true) => "vrrp6.62",
        }
    }

    /// Writes the topology down.
    pub fn to_kdl(&self, ground: &Ground) -> String {
        let mut out = String::new();
        for (kind, places) in [("director", &ground.directors), ("real-server", &ground.real_servers)] {
            for place in places {
                let (four, six) = (address(false, place.number), address(true, place.number));
                let _ =
                    writeln!(out, "{kind} {:?} {{\n    address \"{four}/24\"\n    address \"{six}/64\"", place.name);
                let _ = writeln!(out, "    interface \"eth0\"\n    netns {:?} root={:?}", place.namespace, place.root);
                let parameter = match kind {
                    "director" => self.director_parameter.map(|on| (DIRECTOR_PARAMETER, u32::from(on))),
                    _ => self.server_parameter.map(|value| (SERVER_PARAMETER, value)),
                };
                if let Some((name, value)) = parameter {
                    let _ = writeln!(out, "    sysctl {name:?} {value}");
                }
                out.push_str("}\n");
            }
        }
        for six in [false, true] {
            if self.vips.iter().any(|vip| vip.six == six && vip.holder == Holder::Failover) {
                self.failover(&mut out, ground, six);
            }
        }
        self.vips.iter().for_each(|vip| vip.write(&mut out, ground));
        out
    }

    fn failover(&self, out: &mut String, ground: &Ground, six: bool) {
        let Failover { version, preempt, unicast, priorities, virtual_mac } = self.failover;
        let version = if six { 3 } else { version };
        let _ = writeln!(out, "failover \"{}\" {{", failover_name(six));
        for (place, priority) in ground.directors.iter().zip([priorities.0, priorities.1]) {
            // The two families prefer different directors.
            let priority = if six { 255 - priority } else { priority };
            let _ = writeln!(out, "    director {:?} priority={priority}", place.name);
        }
        let _ = writeln!(out, "    virtual-router-id {}\n    version {version}", 61 + u8::from(six));
        let _ = writeln!(out, "    advert-interval \"{}\"", if version == 3 { "200ms" } else { "1s" });
        let _ = writeln!(out, "    preempt #{preempt}\n    unicast #{unicast}\n    virtual-mac #{virtual_mac}\n}}");
    }
}

fn failover_name(six: bool) -> &'static str {
    if six { "six" } else { "four" }
}

impl Vip {
    fn write(&self, out: &mut String, ground: &Ground) {
        let holder = match self.holder {
            Holder::Failover => format!("failover={:?}", failover_name(self.six)),
            Holder::Director(index) => format!("director={:?}", ground.directors[index].name),
        };
        let way = match self.translates() {
            true => format!("forwarding={:?}", self.forwarding),
            false => format!("forwarding={:?} delivery={:?}", self.forwarding, self.delivery),
        };
        let _ = writeln!(out, "vip \"{}\" {holder} {way} {{", self.address());
        self.services.iter().for_each(|service| service.write(out, ground));
        out.push_str("}\n");
    }
}

impl Service {
    fn write(&self, out: &mut String, ground: &Ground) {
        let _ = writeln!(out, "    service {:?} {{", self.name);
        for port in &self.ports {
            let _ = writeln!(out, "        listen {:?} {port}", self.protocol);
        }
        if let Some((first, last)) = self.range {
            let _ = writeln!(out, "        listen {:?} \"{first}-{last}\"", self.protocol);
        }
        if let Some(mark) = self.mark {
            let _ = writeln!(out, "        fwmark {mark}");
        }
        let (fallback, port) = self.flags;
        let flags = if fallback || port { format!(" fallback=#{fallback} port=#{port}") } else { String::new() };
        let _ = writeln!(out, "        scheduler {:?}{flags}", self.scheduler);
        if let Some((timeout, netmask)) = self.persistence {
            let netmask = netmask.map(|netmask| format!(" netmask={netmask}")).unwrap_or_default();
            let engine = if self.sip { " engine=\"sip\"" } else { "" };
            let _ = writeln!(out, "        persistence \"{timeout}s\"{netmask}{engine}");
        }
        for (knob, on) in [("one-packet", self.one_packet), ("syn-proxy", self.syn_proxy)] {
            if on {
                let _ = writeln!(out, "        {knob} #true");
            }
        }
        if let Some(check) = self.check {
            let check_port = check.port;
            let _ = writeln!(out, "        check \"tcp\" port={check_port} interval=\"1s\" timeout=\"1s\" retries=0");
            let _ = writeln!(out, "        on-failure {:?}", if check.inhibit { "inhibit" } else { "remove" });
        }
        for (index, server) in &self.servers {
            let place = &ground.real_servers[*index];
            let _ = write!(out, "        server {:?} weight={}", place.name, server.weight);
            if server.upper > 0 {
                let _ = write!(out, " upper={} lower={}", server.upper, server.lower);
            }
            if let Some(port) = server.port {
                let _ = write!(out, " port={port}");
            }
            out.push('\n');
        }
        out.push_str("    }\n");
    }
}
