//! What a topology means on a director, worked out anew and not by the compiler that is tested.

use std::collections::{BTreeMap, BTreeSet};

use super::configuration;
use super::expected_server::real_server;
use super::knobs::tuned;
use super::rig::{FOREIGN_LOOPBACK, Rig, Snapshot, foreign_address, mac, second_mac};
use super::site::*;
use super::state::{ServiceState, State};

/// Returns how a host is to be under a topology; `base` is how it was before the first one.
pub fn expected(site: &Site, rig: &Rig, base: &BTreeMap<String, Snapshot>, name: &str) -> State {
    let (is_director, index, place) = rig.places().find(|(.., place)| place.name == name).expect("a host");
    let base = &base[name];
    let mut state = State::default();
    state.addresses.extend([
        "lo 127.0.0.1/8".to_owned(),
        "lo ::1/128".to_owned(),
        format!("lo {FOREIGN_LOOPBACK}/32 lo:mine"),
        format!("eth0 {}/24", address(false, place.number.into())),
        format!("eth0 {}/64", address(true, place.number.into())),
        format!("eth0 {} eth0:mine", foreign_address(place.number)),
    ]);
    let parameters = PARAMETERS.iter().copied().chain(tuned());
    for name in parameters.filter(|name| name.contains('.')) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        if let Some(value) = base.get(&path) {
            state.parameters.insert(name.to_owned(), value.trim().replace('\t', " "));
        }
    }
    for name in tuned().filter(|name| !name.contains('.')) {
        state.parameters.insert(name.to_owned(), base.get(name).cloned().unwrap_or_default());
    }
    for program in ["iptables", "ip6tables"] {
        state.foreign.insert(program.to_owned(), base[&format!("{program}-save")].clone());
    }
    match is_director {
        true => Whole { site, rig, index }.director(&mut state),
        false => real_server(site, rig, index, &mut state),
    }
    let ways = site.hosts[usize::from(!is_director)].get(index);
    let facts = ways.into_iter().flatten().flat_map(|way| way.facts).filter_map(|fact| fact.split_once(" = "));
    state.parameters.extend(facts.map(|(name, value)| (name.to_owned(), value.to_owned())));
    state
}

/// The parameters that are looked at; where no topology says otherwise they are as before.
const PARAMETERS: &[&str] = &[
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.send_redirects",
    "net.ipv4.conf.eth0.send_redirects",
    "net.ipv4.conf.eth1.send_redirects",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.tunl0.rp_filter",
    "net.ipv4.conf.tunl0.arp_ignore",
    "net.ipv4.conf.tunl0.arp_announce",
    "net.ipv4.conf.gre0.rp_filter",
    "net.ipv4.conf.gre0.arp_ignore",
    "net.ipv4.conf.gre0.arp_announce",
    CONNECTION_TRACKING,
    LOOSE_TRACKING,
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.lo.arp_ignore",
    "net.ipv4.conf.eth0.arp_ignore",
    "net.ipv4.conf.all.arp_filter",
    "net.ipv4.conf.eth0.arp_filter",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.lo.arp_announce",
    "net.ipv4.conf.eth0.arp_announce",
];

const CONNECTION_TRACKING: &str = "net.ipv4.vs.conntrack";
const LOOSE_TRACKING: &str = "net.netfilter.nf_conntrack_tcp_loose";

struct Whole<'a> {
    site: &'a Site,
    rig: &'a Rig,
    index: usize,
}

impl Whole<'_> {
    fn director(&self, state: &mut State) {
        let mut set = |name: &str, value: &str| state.parameters.insert(name.to_owned(), value.to_owned());
        set("net.ipv4.ip_forward", "1");
        let vips = || self.site.vips_on(self.index);
        let methods = |vip: &Vip| -> BTreeSet<&'static str> {
            vip.services.iter().flat_map(|service| service.servers.values()).map(|server| server.method.0).collect()
        };
        if vips().any(|vip| vip.six && !vip.services.is_empty()) {
            set("net.ipv6.conf.all.forwarding", "1");
        }
        for vip in vips().filter(|vip| !vip.six && methods(vip).contains("nat")) {
            for device in ["all", vip.interface()] {
                set(&format!("net.ipv4.conf.{device}.send_redirects"), "0");
            }
        }
        if vips().any(|vip| vip.services.iter().any(|service| service.syn_proxy)) {
            set(LOOSE_TRACKING, "0");
            set(CONNECTION_TRACKING, "1");
        }
        if vips().any(|vip| methods(vip).contains("fullnat")) {
            set(CONNECTION_TRACKING, "1");
        }
        for failover in self.site.failovers.iter().filter(|failover| failover.virtual_mac) {
            set("net.ipv4.conf.all.arp_ignore", "1");
            if !failover.six {
                set("net.ipv4.conf.all.rp_filter", "0");
                set("net.ipv4.conf.eth0.arp_ignore", "1");
                set("net.ipv4.conf.eth0.arp_filter", "1");
            }
        }
        for vip in vips() {
            let label = vip.label.map(|label| format!(" {label}")).unwrap_or_default();
            let device = self.site.virtual_interface(vip).unwrap_or_else(|| vip.interface().to_owned());
            let text = format!("{device} {}/{}{label}", vip.address(), if vip.six { 128 } else { 32 });
            match vip.holder {
                Holder::Failover => state.floating.insert(text),
                Holder::Director(_) => state.addresses.insert(text),
            };
        }
        for failover in &self.site.failovers {
            let facts = failover.ways.iter().flat_map(|way| way.facts);
            let floating = facts.filter_map(|fact| fact.strip_prefix("floating "));
            state.floating.extend(floating.map(|fact| failover.filled(fact)));
            if let Some([device, rest]) = failover.sync.map(|way| way.facts) {
                let number = |name: &str, usual: &str| {
                    let mut words = rest.split(' ').skip_while(|word| *word != name);
                    words.nth(1).unwrap_or(usual).replace("$id", &super::writing::router_id(failover.six).to_string())
                };
                let [id, maxlen, group, port, ttl] =
                    [("id", ""), ("maxlen", "1472"), ("group", "224.0.0.81"), ("port", "8848"), ("ttl", "1")]
                        .map(|(name, usual)| number(name, usual));
                let daemon = format!(
                    "sync daemon (mcast={device}, syncid={id}, maxlen={maxlen}, group={group}, port={port}, ttl={ttl})"
                );
                // Which of the two it is follows the master.
                state.parameters.insert("daemons".to_owned(), format!("* {daemon}"));
            }
        }
        state.configuration = configuration::expected(self.site, self.rig, self.index);
        let is_needed = !state.configuration.is_empty();
        state.keepalived = (is_needed, is_needed);
        for six in [false, true] {
            self.marks(six, state);
            self.beside_services(six, state);
        }
        let service = |way: &str, destinations: &[(&str, &str, u32)]| ServiceState {
            way: way.to_owned(),
            checked: None,
            sorry: None,
            destinations: destinations
                .iter()
                .map(|(name, method, weight)| ((*name).to_owned(), ((*method).to_owned(), *weight)))
                .collect(),
        };
        state.services.insert("-t 10.9.9.9:99".into(), service("wlc", &[("10.9.0.99:99", "-g 0 0", 7)]));
        state.services.insert("-f 77".into(), service("sh (sh-port)", &[]));
        for vip in vips() {
            for service in &vip.services {
                self.services(vip, service, state);
            }
        }
    }

    fn marks(&self, six: bool, state: &mut State) {
        let vips = || self.site.vips_on(self.index).filter(|vip| vip.six == six);
        let marked = || vips().flat_map(|vip| vip.services.iter().map(move |service| (vip, service)));
        let mut rules = Vec::new();
        for (vip, service) in marked() {
            let Some(mark) = service.mark else { continue };
            for ports in joined(service.protocol, entries(service)) {
                rules.push(format!(
                    "-A LVSCTL -d {}/{} -i {} {ports} -j MARK --set-xmark 0x{mark:x}/0xffffffff",
                    vip.address(),
                    if six { 128 } else { 32 },
                    self.site.virtual_interface(vip).as_deref().unwrap_or(vip.interface()),
                ));
            }
        }
        if rules.is_empty() {
            return;
        }
        rules.sort();
        let shared = marked().filter(|(vip, service)| service.mark.is_some() && vip.holder == Holder::Failover);
        let number = self.rig.ground.directors[1 - self.index].number;
        let peer: BTreeSet<String> = shared
            .map(|(vip, _)| if vip.interface() == "eth1" { second_mac(number) } else { mac(number) })
            .map(|mac| format!("-A LVSCTL -m mac --mac-source {mac} -j RETURN"))
            .collect();
        let lines = ["-A PREROUTING -j LVSCTL".to_owned()].into_iter().chain(peer).chain(rules).collect();
        state.chains.insert(format!("{} mangle", program(six)), lines);
    }

    /// Notes the rules for sources and for connections that the director opens.
    fn beside_services(&self, six: bool, state: &mut State) {
        let length = if six { 128 } else { 32 };
        let (mut sources, mut untracked, mut opened) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for vip in self.site.vips_on(self.index).filter(|vip| vip.six == six) {
            let address_of_vip = vip.address();
            for service in &vip.services {
                let protocol = service.protocol;
                for ports in listened(service, "dport") {
                    for (index, server) in service.servers.iter().filter(|(_, server)| server.method.0 == "fullnat") {
                        let real = server_address(six, *index);
                        let own = |port: u16| format!("-p {protocol} -m {protocol} --dport {port}");
                        let to = server.port.map_or(ports.clone(), own);
                        sources.insert(format!(
                            "-A LVSCTL-OUT -d {real}/{length} {to} -m ipvs --vaddr {address_of_vip} -j MASQUERADE"
                        ));
                    }
                    if service.syn_proxy {
                        let to = format!("-A LVSCTL -d {address_of_vip}/{length} {ports}");
                        let size = if six { 1440 } else { 1460 };
                        untracked.insert(format!("{to} --tcp-flags FIN,SYN,RST,ACK SYN -j CT --notrack"));
                        opened.insert(format!("{to} -m conntrack --ctstate INVALID -j DROP"));
                        opened.insert(format!(
                            "{to} -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss {size}"
                        ));
                    }
                }
            }
        }
        let chains = [
            ("nat", "-A POSTROUTING -j LVSCTL-OUT", sources),
            ("raw", "-A PREROUTING -j LVSCTL", untracked),
            ("filter", "-A INPUT -j LVSCTL", opened),
        ];
        for (table, jump, rules) in chains.into_iter().filter(|(.., rules)| !rules.is_empty()) {
            let lines = [jump.to_owned()].into_iter().chain(rules).collect();
            state.chains.insert(format!("{} {table}", program(six)), lines);
        }
    }

    fn services(&self, vip: &Vip, service: &Service, state: &mut State) {
        let keys: Vec<(String, Option<u16>)> = match service.mark {
            Some(mark) => vec![(format!("-f {mark}{}", if vip.six { " -6" } else { "" }), service.only_port())],
            None => service
                .ports
                .iter()
                .map(|port| {
                    let option = match service.protocol {
                        "tcp" => "-t",
                        "udp" => "-u",
                        _ => "--sctp-service",
                    };
                    (format!("{option} {}", socket(&vip.address(), *port)), Some(*port))
                })
                .collect(),
        };
        for (key, listened) in keys {
            let port_of = |server: &Server, own: Option<u16>| match (service.mark, server.is_translated()) {
                (Some(_), false) => 0,
                _ => own.or(listened).unwrap_or(0),
            };
            let destination = |(index, server): (&usize, &Server)| {
                let real = server_address(vip.six, *index);
                let way = format!("{}{} {} {}", method(server), wrapped(server), server.upper, server.lower);
                (socket(&real, port_of(server, server.port)), (way, server.weight))
            };
            let first = service.first();
            let sorry = service.watch.sorry.map(|port| socket(&address(vip.six, SORRY), port_of(first, port)));
            let health = service.is_checked().then_some(service.on_failure == Some(true));
            let destinations = service.servers.iter().map(destination).collect();
            state.services.insert(key, ServiceState { way: way(vip, service), checked: health, sorry, destinations });
        }
    }
}

fn method(server: &Server) -> &'static str {
    match server.method.0 {
        "dr" => "-g",
        "tun" => "-i",
        _ => "-m",
    }
}

/// Returns how packets are wrapped as ipvsadm prints it.
fn wrapped(server: &Server) -> String {
    let checksum = |checksum: bool| if checksum { "--tun-csum" } else { "--tun-nocsum" };
    match server.tunnel {
        Some(("gue", on)) => format!(" --tun-type gue --tun-port 6080 {}", checksum(on)),
        Some(("gre", on)) => format!(" --tun-type gre {}", checksum(on)),
        _ if server.method.0 == "tun" => " --tun-type ipip".to_owned(),
        _ => String::new(),
    }
}

pub fn program(six: bool) -> &'static str {
    if six { "ip6tables" } else { "iptables" }
}

fn socket(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Returns the ports and ranges that a service listens to, as iptables writes them; 0 is every port.
pub fn entries(service: &Service) -> Vec<String> {
    let range = service.range.map(|(first, last)| format!("{first}:{last}"));
    service.ports.iter().map(u16::to_string).chain(range).collect()
}

/// Returns what matches the packets that a service listens to, a match for each port or range.
pub fn listened(service: &Service, end: &str) -> Vec<String> {
    let protocol = service.protocol;
    let one = |ports: String| match ports.as_str() {
        "0" => format!("-p {protocol}"),
        ports => format!("-p {protocol} -m {protocol} --{end} {ports}"),
    };
    entries(service).into_iter().map(one).collect()
}

/// Returns how marks and redirections match ports: up to fifteen in one rule, where a range counts twice.
pub fn joined(protocol: &str, mut entries: Vec<String>) -> Vec<String> {
    let every = entries.iter().any(|ports| ports == "0").then(|| format!("-p {protocol}"));
    entries.retain(|ports| ports != "0");
    entries.sort_by_key(|ports| ports.split(':').map(|end| end.parse::<u16>().unwrap_or_default()).collect::<Vec<_>>());
    let mut rules: Vec<(usize, Vec<String>)> = Vec::new();
    for entry in entries {
        let counts = entry.split(':').count();
        match rules.last_mut() {
            Some((taken, rule)) if *taken + counts <= 15 => {
                *taken += counts;
                rule.push(entry);
            }
            _ => rules.push((counts, vec![entry])),
        }
    }
    let text = |rule: Vec<String>| match rule.as_slice() {
        [one] => format!("-p {protocol} -m {protocol} --dport {one}"),
        several => format!("-p {protocol} -m multiport --dports {}", several.join(",")),
    };
    every.into_iter().chain(rules.into_iter().map(|(_, rule)| text(rule))).collect()
}

/// Returns scheduler, flags and persistence as ipvsadm prints them.
fn way(vip: &Vip, service: &Service) -> String {
    let mut text = service.scheduler.to_owned();
    let names = [("fallback", service.flags.0), ("port", service.flags.1)];
    let flags: Vec<String> =
        names.iter().filter(|(_, on)| *on).map(|(name, _)| format!("{}-{name}", service.scheduler)).collect();
    if !flags.is_empty() {
        text += &format!(" ({})", flags.join(","));
    }
    if let Some((timeout, netmask)) = service.persistence {
        text += &format!(" persistent {timeout}");
        text += &match (vip.six, netmask) {
            (_, None) => String::new(),
            (true, Some(prefix)) => format!(" mask {prefix}"),
            (false, Some(prefix)) => format!(" mask {}", std::net::Ipv4Addr::from(u32::MAX << (32 - prefix))),
        };
        if service.sip {
            text += " pe sip";
        }
    }
    if service.one_packet {
        text += " ops";
    }
    text
}
