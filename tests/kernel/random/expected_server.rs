//! What a topology means on a real server, worked out anew and not by the compiler that is tested.

use std::collections::{BTreeMap, BTreeSet};

use super::expected::{entries, joined, listened, program};
use super::knobs::filled;
use super::rig::Rig;
use super::site::*;
use super::state::State;

/// Notes what is to be on a real server.
pub fn real_server(site: &Site, rig: &Rig, index: usize, state: &mut State) {
    let mut set = |name: String, value: &str| state.parameters.insert(name, value.to_owned());
    for vip in site.vips.iter().filter(|vip| !vip.six) {
        for (_, server) in vip.parts(index) {
            for interface in vip.device(server).into_iter().flat_map(|device| ["all", device]) {
                // The dummy interface is not there before, and its parameters are no others than those of all.
                if interface != "lvsctl0" {
                    set(format!("net.ipv4.conf.{interface}.arp_ignore"), "1");
                    set(format!("net.ipv4.conf.{interface}.arp_announce"), "2");
                }
            }
            for interface in vip.tunnel_end(server).into_iter().flat_map(|device| ["all", device]) {
                set(format!("net.ipv4.conf.{interface}.rp_filter"), "0");
            }
        }
    }
    let mut own = BTreeSet::new();
    for vip in &site.vips {
        for device in vip.parts(index).filter_map(|(_, server)| vip.device(server)) {
            let tail = match (vip.six, device) {
                (true, _) => "/128",
                (false, "lo") => "/32 lo:0",
                (false, _) => "/32",
            };
            own.insert(vip.number);
            state.addresses.insert(format!("{device} {}{tail}", vip.address()));
        }
    }
    let wrapped = |six: bool| {
        let mut parts = site.vips.iter().filter(|vip| vip.six == six).flat_map(|vip| vip.parts(index));
        parts.any(|(_, server)| server.tunnel.is_some_and(|(tunnel, _)| tunnel == "gue"))
    };
    let opened: Vec<&str> =
        [("udp", false), ("udp6", true)].into_iter().filter(|(_, six)| wrapped(*six)).map(|(name, _)| name).collect();
    state.parameters.insert("port 6080".to_owned(), opened.join(" "));
    let number = rig.ground.real_servers[index].number;
    for six in [false, true] {
        let vips = || site.vips.iter().filter(move |vip| vip.six == six);
        let length = if six { 128 } else { 32 };
        let (mut redirected, mut announced) = (BTreeSet::new(), BTreeSet::new());
        for vip in vips() {
            // Ports of one protocol share rules, whichever service they are of.
            let mut ports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
            for (service, server) in vip.parts(index) {
                if vip.delivery(server) == "redirect" {
                    ports.entry(service.protocol).or_default().extend(entries(service));
                }
                if server.method.0 == "tun" && service.protocol == "tcp" {
                    let size = segment(six, server);
                    announced.extend(listened(service, "sport").into_iter().map(|ports| {
                        let from = format!("-A LVSCTL-OUT -s {}/{length} {ports}", vip.address());
                        let from = if ports.contains("-m tcp") { from } else { format!("{from} -m tcp") };
                        format!("{from} --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {size}")
                    }));
                }
            }
            for (protocol, ports) in ports {
                let matches = joined(protocol, ports.into_iter().collect()).into_iter();
                redirected
                    .extend(matches.map(|to| format!("-A LVSCTL -d {}/{length} {to} -j REDIRECT", vip.address())));
            }
        }
        let chains =
            [("nat", "-A PREROUTING -j LVSCTL", redirected), ("mangle", "-A POSTROUTING -j LVSCTL-OUT", announced)];
        for (table, jump, rules) in chains.into_iter().filter(|(.., rules)| !rules.is_empty()) {
            let lines = [jump.to_owned()].into_iter().chain(rules).collect();
            state.chains.insert(format!("{} {table}", program(six)), lines);
        }
        let before = number.is_multiple_of(2).then(|| address(six, 200));
        let translated = vips().find(|vip| vip.parts(index).any(|(_, server)| server.method.0 == "nat"));
        state.routes.extend(translated.map(|vip| gateway(site, rig, vip, &own)).or(before));
    }
}

/// Returns the largest segment that fits: Ethernet without the envelope and the headers of the packet inside it.
fn segment(six: bool, server: &Server) -> u32 {
    let header = if six { 40 } else { 20 };
    let envelope = match server.tunnel {
        Some(("gue", _)) => 12,
        Some(("gre", false)) => 4,
        Some(("gre", true)) => 8,
        _ => 0,
    };
    1500 - header - envelope - header - 20
}

/// Returns what replies must pass: the lowest floating address that is not the server's own, or the director's.
fn gateway(site: &Site, rig: &Rig, vip: &Vip, own: &BTreeSet<u8>) -> String {
    let director = |index: usize| address(vip.six, rig.ground.directors[index].number.into());
    let failover = match vip.holder {
        Holder::Director(index) => return director(index),
        Holder::Failover => site.failovers.iter().find(|failover| failover.six == vip.six).expect("its failover"),
    };
    let floating = site.vips.iter().filter(|other| other.holder == vip.holder && other.six == vip.six);
    let lowest = floating.filter(|other| !own.contains(&other.number)).map(Vip::address).next();
    let further = || {
        let facts = failover.ways.iter().flat_map(|way| way.facts).filter(|fact| fact.starts_with("floating eth0 "));
        let addresses = facts.map(|fact| filled(fact.trim_start_matches("floating eth0 "), vip.six, &failover.name));
        addresses.map(|text| text.split('/').next().unwrap_or_default().to_owned()).next()
    };
    let preferred = usize::from(failover.priorities[1] > failover.priorities[0]);
    lowest.or_else(further).unwrap_or_else(|| director(preferred))
}
