//! What a topology means on each host, worked out anew and not by the compiler that is tested.

use std::collections::{BTreeMap, BTreeSet};

use super::rig::{FOREIGN_LOOPBACK, Rig, Snapshot, foreign_address, mac};
use super::site::{DIRECTOR_PARAMETER, Holder, SERVER_PARAMETER, Server, Service, Site, Vip, address};
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
        format!("eth0 {}/24", address(false, place.number)),
        format!("eth0 {}/64", address(true, place.number)),
        format!("eth0 {} eth0:mine", foreign_address(place.number)),
    ]);
    for name in PARAMETERS {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        if let Some(value) = base.get(&path) {
            state.parameters.insert((*name).to_owned(), value.trim().to_owned());
        }
    }
    for program in ["iptables", "ip6tables"] {
        state.foreign.insert(program.to_owned(), base[&format!("{program}-save")].clone());
    }
    let whole = Whole { site, rig, index };
    match is_director {
        true => whole.director(&mut state),
        false => whole.real_server(&mut state),
    }
    state
}

/// The parameters that are looked at; where no topology says otherwise they are as before.
const PARAMETERS: &[&str] = &[
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.send_redirects",
    "net.ipv4.conf.eth0.send_redirects",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.tunl0.rp_filter",
    "net.ipv4.conf.tunl0.arp_ignore",
    "net.ipv4.conf.tunl0.arp_announce",
    CONNECTION_TRACKING,
    LOOSE_TRACKING,
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.lo.arp_ignore",
    "net.ipv4.conf.eth0.arp_ignore",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.lo.arp_announce",
    "net.ipv4.conf.eth0.arp_announce",
    DIRECTOR_PARAMETER,
    SERVER_PARAMETER,
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
        if let Some(on) = self.site.director_parameter {
            set(DIRECTOR_PARAMETER, if on { "1" } else { "0" });
        }
        let vips = || self.site.vips.iter().filter(|vip| vip.is_on(self.index));
        if vips().any(|vip| vip.six && !vip.services.is_empty()) {
            set("net.ipv6.conf.all.forwarding", "1");
        }
        if vips().any(|vip| !vip.six && vip.forwarding == "nat" && !vip.services.is_empty()) {
            set("net.ipv4.conf.all.send_redirects", "0");
            set("net.ipv4.conf.eth0.send_redirects", "0");
        }
        if vips().any(|vip| vip.services.iter().any(|service| service.syn_proxy)) {
            set(LOOSE_TRACKING, "0");
            set(CONNECTION_TRACKING, "1");
        }
        if vips().any(|vip| vip.forwarding == "fullnat" && !vip.services.is_empty()) {
            set(CONNECTION_TRACKING, "1");
        }
        for vip in vips() {
            let text = format!("eth0 {}/{}", vip.address(), if vip.six { 128 } else { 32 });
            match vip.holder {
                Holder::Failover => state.floating.insert(text),
                Holder::Director(_) => state.addresses.insert(text),
            };
        }
        let floats = self.site.vips.iter().any(|vip| vip.holder == Holder::Failover);
        let checks = vips().flat_map(|vip| &vip.services).any(|service| service.check.is_some());
        state.keepalived = (floats || checks, floats || checks);
        for six in [false, true] {
            self.marks(six, state);
            self.beside_services(six, state);
        }
        let service = |way: &str, destinations: &[(&str, &str, u32)]| ServiceState {
            way: way.to_owned(),
            checked: false,
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
        let vips = || self.site.vips.iter().filter(|vip| vip.six == six && vip.is_on(self.index));
        let marked = || vips().flat_map(|vip| vip.services.iter().map(move |service| (vip, service)));
        let mut rules = Vec::new();
        for (vip, service) in marked() {
            let Some(mark) = service.mark else { continue };
            let (protocol, length) = (service.protocol, if six { 128 } else { 32 });
            let to = format!("-A LVSCTL -d {}/{length} -i eth0 -p {protocol}", vip.address());
            let mark = format!("-j MARK --set-xmark 0x{mark:x}/0xffffffff");
            rules.extend(matched(protocol, listened(service)).into_iter().map(|ports| format!("{to} {ports} {mark}")));
        }
        if rules.is_empty() {
            return;
        }
        rules.sort();
        let shared = marked().any(|(vip, service)| service.mark.is_some() && vip.holder == Holder::Failover);
        let peer = shared.then(|| {
            let number = self.rig.ground.directors[1 - self.index].number;
            format!("-A LVSCTL -m mac --mac-source {} -j RETURN", mac(number))
        });
        let lines = ["-A PREROUTING -j LVSCTL".to_owned()].into_iter().chain(peer).chain(rules).collect();
        state.chains.insert(format!("{} mangle", program(six)), lines);
    }

    /// Notes the rules for sources and for connections that the director opens.
    fn beside_services(&self, six: bool, state: &mut State) {
        let length = if six { 128 } else { 32 };
        let (mut sources, mut untracked, mut opened) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for vip in self.site.vips.iter().filter(|vip| vip.six == six && vip.is_on(self.index)) {
            let address_of_vip = vip.address();
            for service in &vip.services {
                let protocol = service.protocol;
                for ports in listened(service) {
                    for (index, server) in service.servers.iter().filter(|_| vip.forwarding == "fullnat") {
                        let real = address(six, self.rig.ground.real_servers[*index].number);
                        let port = server.port.map_or(ports.clone(), |port| port.to_string());
                        sources.insert(format!(
                            "-A LVSCTL-OUT -d {real}/{length} -p {protocol} -m {protocol} --dport {port} -m ipvs --vaddr {address_of_vip} -j MASQUERADE"
                        ));
                    }
                    if service.syn_proxy {
                        let to = format!("-A LVSCTL -d {address_of_vip}/{length} -p tcp -m tcp --dport {ports}");
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
            Some(mark) => {
                let only = service.ports.first().filter(|_| service.ports.len() == 1 && service.range.is_none());
                let port = only.copied().filter(|_| vip.translates());
                vec![(format!("-f {mark}{}", if vip.six { " -6" } else { "" }), port)]
            }
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
        for (key, port) in keys {
            let destination = |(index, server): (&usize, &Server)| {
                let real = address(vip.six, self.rig.ground.real_servers[*index].number);
                let port = server.port.or(port).unwrap_or(0);
                let method = match vip.forwarding {
                    "dr" => "-g",
                    "tun" => "-i",
                    _ => "-m",
                };
                (socket(&real, port), (format!("{method} {} {}", server.upper, server.lower), server.weight))
            };
            let destinations = service.servers.iter().map(destination).collect();
            state
                .services
                .insert(key, ServiceState { way: way(vip, service), checked: service.check.is_some(), destinations });
        }
    }

    fn real_server(&self, state: &mut State) {
        let server = &self.rig.ground.real_servers[self.index];
        let mut set = |name: &str, value: &str| state.parameters.insert(name.to_owned(), value.to_owned());
        if let Some(value) = self.site.server_parameter {
            set(SERVER_PARAMETER, &value.to_string());
        }
        let serving = |vip: &&Vip| vip.services.iter().any(|service| service.servers.contains_key(&self.index));
        let vips = || self.site.vips.iter().filter(serving);
        let own: BTreeSet<String> = vips().filter(|vip| vip.device().is_some()).map(|vip| vip.address()).collect();
        for vip in vips().filter(|vip| !vip.six) {
            for interface in vip.device().into_iter().flat_map(|device| ["all", device]) {
                // The dummy interface is not there before, and its parameters are no others than those of all.
                if interface != "lvsctl0" {
                    set(&format!("net.ipv4.conf.{interface}.arp_ignore"), "1");
                    set(&format!("net.ipv4.conf.{interface}.arp_announce"), "2");
                }
            }
            if vip.forwarding == "tun" || vip.device() == Some("tunl0") {
                set("net.ipv4.conf.all.rp_filter", "0");
                set("net.ipv4.conf.tunl0.rp_filter", "0");
            }
        }
        for vip in vips() {
            let Some(device) = vip.device() else { continue };
            let tail = match (vip.six, device) {
                (true, _) => "/128",
                (false, "lo") => "/32 lo:0",
                (false, _) => "/32",
            };
            state.addresses.insert(format!("{device} {}{tail}", vip.address()));
        }
        for six in [false, true] {
            let mut rules = Vec::new();
            let redirected = |vip: &&Vip| vip.six == six && !vip.translates() && vip.delivery == "redirect";
            for vip in vips().filter(redirected) {
                // Ports of one protocol share rules, whichever service they are of.
                let mut ports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
                for service in vip.services.iter().filter(|service| service.servers.contains_key(&self.index)) {
                    ports.entry(service.protocol).or_default().extend(listened(service));
                }
                let length = if six { 128 } else { 32 };
                for (protocol, ports) in ports {
                    let to = format!("-A LVSCTL -d {}/{length} -p {protocol}", vip.address());
                    let matches = matched(protocol, ports.into_iter().collect()).into_iter();
                    rules.extend(matches.map(|ports| format!("{to} {ports} -j REDIRECT")));
                }
            }
            if !rules.is_empty() {
                rules.sort();
                rules.insert(0, "-A PREROUTING -j LVSCTL".to_owned());
                state.chains.insert(format!("{} nat", program(six)), rules);
            }
            self.segments(six, &vips().collect::<Vec<_>>(), state);
            let before = (server.number.is_multiple_of(2)).then(|| address(six, 200));
            let translated = vips().find(|vip| vip.six == six && vip.forwarding == "nat");
            let gateway = translated.map(|vip| self.gateway(vip, &own));
            state.routes.extend(gateway.or(before));
        }
    }

    /// Notes the rules that announce segments which fit into a tunnel.
    fn segments(&self, six: bool, vips: &[&Vip], state: &mut State) {
        let (length, size) = if six { (128, 1400) } else { (32, 1440) };
        let mut rules = BTreeSet::new();
        for vip in vips.iter().filter(|vip| vip.six == six && vip.forwarding == "tun") {
            let served = vip.services.iter().filter(|service| service.servers.contains_key(&self.index));
            for ports in served.filter(|service| service.protocol == "tcp").flat_map(listened) {
                let from = format!("-A LVSCTL-OUT -s {}/{length} -p tcp -m tcp --sport {ports}", vip.address());
                rules.insert(format!("{from} --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {size}"));
            }
        }
        if !rules.is_empty() {
            let lines = ["-A POSTROUTING -j LVSCTL-OUT".to_owned()].into_iter().chain(rules).collect();
            state.chains.insert(format!("{} mangle", program(six)), lines);
        }
    }

    /// Returns what replies must pass: the lowest floating address that is not the server's own, or the director's.
    fn gateway(&self, vip: &Vip, own: &BTreeSet<String>) -> String {
        let directors = &self.rig.ground.directors;
        match vip.holder {
            Holder::Director(index) => address(vip.six, directors[index].number),
            Holder::Failover => {
                let floating = self.site.vips.iter().filter(|other| other.holder == vip.holder && other.six == vip.six);
                let mut floating = floating.map(Vip::address).filter(|address| !own.contains(address));
                floating.next().expect("the VIP itself is translated and therefore not the server's")
            }
        }
    }
}

fn program(six: bool) -> &'static str {
    if six { "ip6tables" } else { "iptables" }
}

fn socket(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn listened(service: &Service) -> Vec<String> {
    let range = service.range.map(|(first, last)| format!("{first}:{last}"));
    service.ports.iter().map(u16::to_string).chain(range).collect()
}

/// Returns how iptables matches ports: up to fifteen in one rule, where a range counts twice.
fn matched(protocol: &str, mut ports: Vec<String>) -> Vec<String> {
    ports.sort_by_key(|ports| ports.split(':').map(|end| end.parse::<u16>().unwrap_or_default()).collect::<Vec<_>>());
    let mut rules: Vec<(usize, Vec<String>)> = Vec::new();
    for entry in ports {
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
        [one] => format!("-m {protocol} --dport {one}"),
        several => format!("-m multiport --dports {}", several.join(",")),
    };
    rules.into_iter().map(|(_, rule)| text(rule)).collect()
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
