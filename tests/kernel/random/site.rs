//! A topology as the tests know it. What it says in KDL is `writing`'s, what it means on each host `expected`'s.

use std::collections::BTreeMap;

use super::knobs::{Way, filled};
use super::writing::router_id;

/// Who holds a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// All directors, by VRRP.
    Failover,
    /// One director, by its index.
    Director(usize),
}

/// Whether a better director takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    Immediate,
    /// After so many seconds.
    After(u32),
    Never,
}

/// The failover of a family's VIPs.
#[derive(Clone, Debug)]
pub struct Failover {
    pub six: bool,
    pub name: String,
    pub version: u8,
    pub preemption: Preemption,
    pub unicast: bool,
    pub priorities: [u8; 2],
    /// The interval between adverts as it is written, if it is, and as keepalived takes it.
    pub interval: (Option<&'static str>, &'static str),
    /// The directors whose adverts come from an address that is written, and whether it stands in the director's braces.
    pub source: Option<(usize, bool)>,
    /// A password as it is written, and what it is.
    pub password: Option<(&'static str, &'static str)>,
    /// The synchronisation of connections.
    pub sync: Option<&'static Way>,
    /// Whether the VIPs have a hardware address of their own.
    pub virtual_mac: bool,
    /// A VIP that adverts do not name.
    pub unadvertised: Option<u8>,
    pub ways: Vec<&'static Way>,
}

/// A check of one server.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub way: &'static Way,
    /// A number in [`super::watch::TIMES`].
    pub times: usize,
    /// The port that is tried, if one is written.
    pub port: Option<u16>,
}

/// What a service's checks come to.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Weight, hysteresis and who is told, a number in [`super::watch::TOLD`].
    pub quorum: Option<(u32, u32, usize)>,
    /// The port of the sorry server, if one is written.
    pub sorry: Option<Option<u16>>,
    pub alpha: bool,
    pub omega: bool,
}

/// A server of a service.
#[derive(Clone, Debug)]
pub struct Server {
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub port: Option<u16>,
    /// `nat`, `fullnat`, `dr` or `tun`, and whether the server itself says so.
    pub method: (&'static str, bool),
    /// `ipip`, `gue` or `gre` if it is written, with a checksum or without.
    pub tunnel: Option<(&'static str, bool)>,
    pub by_address: bool,
    /// Its own check.
    pub check: Option<Check>,
    /// Who is told, a number in [`super::watch::TOLD`].
    pub told: usize,
}

/// A virtual service.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub protocol: &'static str,
    /// Port 0 stands alone, and for all.
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
    pub drain: Option<&'static str>,
    /// The check of all servers; it is the pool's if there is one.
    pub check: Option<Check>,
    /// `inhibit` or `remove`, if one is written.
    pub on_failure: Option<bool>,
    pub watch: Watch,
    /// Whether the servers stand in a pool.
    pub pooled: bool,
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
    /// The forwarding method that is written for all its servers, if one is.
    pub forwarding: Option<&'static str>,
    /// The delivery that is written, if one is.
    pub delivery: Option<&'static str>,
    pub interface: Option<&'static str>,
    pub label: Option<&'static str>,
    pub services: Vec<Service>,
}

/// A topology.
#[derive(Clone, Debug)]
pub struct Site {
    pub vips: Vec<Vip>,
    pub failovers: Vec<Failover>,
    /// Whether all failovers change their master together.
    pub grouped: bool,
    pub email: Option<&'static Way>,
    /// Whether the hosts stand in a file of their own.
    pub included: bool,
    /// Of the directors, then of the real servers that are logged in to.
    pub hosts: [Vec<Vec<&'static Way>>; 2],
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

/// The index of the real server that lvsctl never logs in to, and that does not exist.
pub const UNMANAGED: usize = 2;

/// The number of the sorry server, which does not exist either.
pub const SORRY: u16 = 16;

/// Returns the name of a real server.
pub fn server_name(index: usize) -> String {
    format!("w{}", index + 1)
}

/// Returns the address of a real server.
pub fn server_address(six: bool, index: usize) -> String {
    address(six, 11 + index as u16)
}

/// Returns an address of the laboratory's network of a family.
pub fn address(six: bool, number: u16) -> String {
    if six { format!("fd00:9::{number}") } else { format!("10.9.0.{number}") }
}

/// Returns the name of a family's failover.
pub fn failover_name(six: bool) -> &'static str {
    if six { "six" } else { "four" }
}

impl Failover {
    /// Returns the interface that keepalived makes for the VIPs' own hardware address, if they have one.
    pub fn virtual_interface(&self) -> Option<String> {
        let sort = if self.six { "vrrp6" } else { "vrrp" };
        self.virtual_mac.then(|| format!("{sort}.{}", router_id(self.six)))
    }

    /// Puts names, addresses and interfaces into a text: `$on` is where an address is that names no interface, and `$dev` says
    /// so in keepalived.conf, where it has to be said.
    pub fn filled(&self, text: &str) -> String {
        let made = self.virtual_interface();
        let said = if made.is_some() { "" } else { " dev eth0" };
        let text = filled(text, self.six, &self.name);
        text.replace("$dev", said).replace("$on", made.as_deref().unwrap_or("eth0"))
    }
}

impl Server {
    /// Tells whether addresses are translated on the way to it.
    pub fn is_translated(&self) -> bool {
        matches!(self.method.0, "nat" | "fullnat")
    }
}

impl Service {
    /// Returns the check of a server.
    pub fn check_of<'a>(&'a self, server: &'a Server) -> Option<&'a Check> {
        server.check.as_ref().or(self.check.as_ref())
    }

    /// Tells whether any server is checked, which makes the service keepalived's.
    pub fn is_checked(&self) -> bool {
        self.servers.values().any(|server| self.check_of(server).is_some())
    }

    /// Returns the first server in the order in which they are written.
    pub fn first(&self) -> &Server {
        self.servers.values().next().expect("a service has servers")
    }

    /// Returns the one port that all servers get, if it is one.
    pub fn only_port(&self) -> Option<u16> {
        self.ports.first().copied().filter(|port| self.ports.len() == 1 && self.range.is_none() && *port != 0)
    }
}

impl Vip {
    pub fn address(&self) -> String {
        address(self.six, u16::from(self.number))
    }

    /// Returns the directors' interface for it.
    pub fn interface(&self) -> &'static str {
        self.interface.unwrap_or("eth0")
    }

    /// Returns how a server comes to accept packets for the VIP.
    pub fn delivery(&self, server: &Server) -> &'static str {
        match server.method.0 {
            "dr" => self.delivery.unwrap_or("loopback"),
            "tun" => self.delivery.unwrap_or("tunnel"),
            _ => "none",
        }
    }

    /// Returns the interface of a server at which packets come out of a tunnel, if one is needed.
    pub fn tunnel_end(&self, server: &Server) -> Option<&'static str> {
        let is_needed = server.method.0 == "tun" || self.delivery(server) == "tunnel";
        is_needed.then_some(match (server.tunnel, self.six) {
            (Some(("gre", _)), false) => "gre0",
            (Some(("gre", _)), true) => "ip6gre0",
            (_, false) => "tunl0",
            (_, true) => "ip6tnl0",
        })
    }

    /// Returns the interface of a server that holds the VIP, if one does.
    pub fn device(&self, server: &Server) -> Option<&'static str> {
        match self.delivery(server) {
            "loopback" => Some("lo"),
            "dummy" => Some("lvsctl0"),
            "tunnel" => self.tunnel_end(server),
            _ => None,
        }
    }

    /// Tells whether a director can hold it.
    pub fn is_on(&self, director: usize) -> bool {
        matches!(self.holder, Holder::Failover) || self.holder == Holder::Director(director)
    }

    /// Returns the services with each server that is the real server of an index.
    pub fn parts(&self, index: usize) -> impl Iterator<Item = (&Service, &Server)> {
        self.services.iter().filter_map(move |service| Some((service, service.servers.get(&index)?)))
    }
}

impl Site {
    /// Returns the interface on which a VIP is, if keepalived makes it.
    pub fn virtual_interface(&self, vip: &Vip) -> Option<String> {
        let floats = vip.holder == Holder::Failover && vip.interface.is_none();
        let failover = self.failovers.iter().find(|failover| floats && failover.six == vip.six)?;
        failover.virtual_interface()
    }

    /// Returns the VIPs that a director can hold.
    pub fn vips_on(&self, director: usize) -> impl Iterator<Item = &Vip> {
        self.vips.iter().filter(move |vip| vip.is_on(director))
    }
}
