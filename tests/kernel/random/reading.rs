//! Reads a host's kernel with the usual tools, and not with the code that is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use lvsctl::effect::{Answer, Probe};
use lvsctl::host::{Host, LocalHost};
use lvsctl::topology::Offload;

use super::configuration;
use super::rig::{Rig, rules, without_empty_tables};
use super::state::{ServiceState, State};
use crate::lab::Namespace;

/// The networks that failovers route to.
const FLOATING: [&str; 2] = ["203.0.113.0/24", "2001:db8:77::/48"];

/// How often a table is read that changes meanwhile.
const READINGS: usize = 20;

/// Reads a host.
pub fn read(rig: &Rig, name: &str, parameters: &BTreeMap<String, String>) -> State {
    let host = rig.host(name);
    let mut state = State::default();
    addresses(host, &mut state);
    let routes = routes(&host.proc_net("route"), &host.proc_net("ipv6_route")).into_iter();
    let defaults = routes.filter(|(network, _)| ["0.0.0.0/0", "::/0"].contains(&network.as_str()));
    state.routes.extend(defaults.map(|(_, gateway)| gateway));
    for program in ["iptables", "ip6tables"] {
        let saved = rules(host, program);
        chains(&saved, program, &mut state);
        let foreign = saved.lines().filter(|line| !line.contains("LVSCTL"));
        let foreign: String = foreign.map(|line| format!("{line}\n")).collect();
        state.foreign.insert(program.to_owned(), without_empty_tables(&foreign));
    }
    host.enter(|| {
        for name in parameters.keys().filter(|name| name.contains('.')) {
            let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).unwrap_or_default();
            state.parameters.insert(name.clone(), value.trim().replace('\t', " "));
        }
    });
    state.parameters.extend(tuned(host));
    // Which of the two daemons keepalived runs follows the master; 2.2.7 may keep both after a reload.
    if let (Some(wanted), Some(found)) = (parameters.get("daemons"), state.parameters.get_mut("daemons"))
        && wanted.starts_with('*')
    {
        let configs: BTreeSet<&str> = found.split("; ").filter_map(|daemon| Some(daemon.split_once(' ')?.1)).collect();
        *found = format!("* {}", configs.into_iter().collect::<Vec<_>>().join("; "));
    }
    let configuration = fs::read_to_string(host.root().join("etc/keepalived/keepalived.conf"));
    state.configuration = configuration::read(&configuration.unwrap_or_default());
    if has_services(host) {
        let (rules, listing) = table(host);
        services(&rules, &listing, &mut state);
    }
    state.keepalived = (has_keepalived(host), host.root().join("etc/keepalived/keepalived.conf").exists());
    state
}

/// Tells whether a host has virtual services, which are listed below three lines of titles.
pub fn has_services(host: &Namespace) -> bool {
    host.proc_net("ip_vs").lines().count() > 3
}

/// Returns the IPVS table as rules and as a listing of one moment: keepalived may take a server out at any time.
fn table(host: &Namespace) -> (String, String) {
    // A destination's address stands in both, in the order of the table.
    let named = |text: &str, before: &str| -> Vec<String> {
        let after = |line: &str| line.split_once(before)?.1.split(' ').next().map(str::to_owned);
        text.lines().filter_map(after).collect()
    };
    let mut last = String::new();
    for _ in 0..READINGS {
        let rules = host.run(&["ipvsadm", "-Sn"]);
        let listing = host.run(&["ipvsadm", "-Ln", "--thresholds"]);
        if named(&rules, " -r ") == named(&listing, "  -> ")[1..] {
            return (rules, listing);
        }
        last = rules;
    }
    panic!("{} has another table each time: {last}", host.name())
}

/// Reads what may be tuned and is no parameter: IPVS's timeouts and daemons, offloads, and what its module is told.
pub fn tuned(host: &Namespace) -> BTreeMap<String, String> {
    let mut tuned = BTreeMap::new();
    if has_services(host) {
        let timeouts = host.run(&["ipvsadm", "-Ln", "--timeout"]);
        tuned.insert("timeouts".to_owned(), timeouts.rsplit(": ").next().unwrap_or_default().trim().to_owned());
        let daemons = host.run(&["ipvsadm", "-Ln", "--daemon"]);
        let daemons: Vec<&str> = daemons.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        tuned.insert("daemons".to_owned(), daemons.join("; "));
    }
    // The guest has no ethtool; the contract holds the reader that is taken in its place.
    let local = LocalHost::namespace(host.name(), host.root()).expect("the host");
    match { local }.probe(&Probe::Offloads("eth0".to_owned())) {
        Ok(Answer::Offloads(_, offloads)) => {
            let named = [("gro", Offload::Gro), ("gso", Offload::Gso), ("lro", Offload::Lro)];
            tuned.extend(named.map(|(name, offload)| {
                (format!("offload {name}"), offloads.get(&offload).is_some_and(|on| *on).to_string())
            }));
        }
        other => panic!("{other:?}"),
    }
    let options = fs::read_to_string(host.root().join("etc/modprobe.d/lvsctl.conf")).unwrap_or_default();
    // A tunnel's port is a socket of the kernel's own.
    let is_open = |name: &str| host.proc_net(name).lines().any(|line| line.contains(":17C0 "));
    let opened: Vec<&str> = ["udp", "udp6"].into_iter().filter(|name| is_open(name)).collect();
    tuned.insert("port 6080".to_owned(), opened.join(" "));
    tuned.insert("options".to_owned(), options.lines().filter(|line| !line.starts_with('#')).collect());
    tuned
}

/// Tells whether a host has an address or route of a floating text, without starting a program: this is asked often.
pub fn holds(host: &Namespace, floating: &str) -> bool {
    let words: Vec<&str> = floating.split([' ', '/']).collect();
    match words[..] {
        ["route", network, length, ..] => {
            let wanted = format!("{network}/{length}");
            let routes = routes(&host.proc_net("route"), &host.proc_net("ipv6_route"));
            routes.into_iter().any(|(network, _)| network == wanted)
        }
        [_, address, ..] => match address.parse() {
            Ok(IpAddr::V4(_)) => {
                let tree = host.proc_net("fib_trie");
                let lines: Vec<&str> = tree.lines().map(str::trim).collect();
                let leaf = format!("|-- {address}");
                lines.windows(2).any(|pair| pair[0] == leaf && pair[1] == "/32 host LOCAL")
            }
            Ok(IpAddr::V6(address)) => {
                let wanted = format!("{:032x}", u128::from(address));
                host.proc_net("if_inet6").lines().any(|line| line.starts_with(&wanted))
            }
            Err(error) => panic!("{floating}: {error}"),
        },
        _ => panic!("{floating}"),
    }
}

/// Reads the addresses and the routes that float alone.
pub fn read_addresses(rig: &Rig, name: &str) -> State {
    let mut state = State::default();
    addresses(rig.host(name), &mut state);
    state
}

/// Tells whether a process named keepalived is in the host's namespace.
pub fn has_keepalived(host: &Namespace) -> bool {
    let own = host.enter(|| fs::read_link("/proc/thread-self/ns/net")).expect("the namespace");
    let processes = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    processes
        .filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("keepalived")))
        .any(|path| fs::read_link(path.join("ns/net")).is_ok_and(|namespace| namespace == own))
}

/// Returns the networks and gateways of routes out of `/proc/net/route` and `/proc/net/ipv6_route`.
fn routes(four: &str, six: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for words in four.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        let [_, destination, gateway, _, _, _, _, mask, ..] = words[..] else { continue };
        let number = |text: &str| u32::from_str_radix(text, 16).expect("a number");
        let address = |text: &str| Ipv4Addr::from(number(text).to_ne_bytes());
        found.push((format!("{}/{}", address(destination), number(mask).count_ones()), address(gateway).to_string()));
    }
    for words in six.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        let [destination, length, _, _, gateway, _, _, _, flags, _] = words[..] else { continue };
        let address = |text: &str| Ipv6Addr::from(u128::from_str_radix(text, 16).expect("an address"));
        // RTF_GATEWAY of include/uapi/linux/route.h; the others refuse what goes nowhere.
        if u32::from_str_radix(flags, 16).expect("flags") & 2 != 0 {
            let length = u8::from_str_radix(length, 16).expect("a length");
            found.push((format!("{}/{length}", address(destination)), address(gateway).to_string()));
        }
    }
    found
}

fn json(host: &Namespace, command: &[&str]) -> Vec<Value> {
    let text = host.run(command);
    let value: Value = serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text }).expect("JSON");
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn addresses(host: &Namespace, state: &mut State) {
    for link in json(host, &["ip", "-j", "address"]) {
        let device = text(&link["ifname"]);
        for address in link["addr_info"].as_array().into_iter().flatten() {
            // The end of a tunnel makes some out of every other address, and calls them by the scope of that.
            if text(&address["local"]).starts_with("fe80:") {
                continue;
            }
            let mut line = format!("{device} {}/{}", text(&address["local"]), address["prefixlen"]);
            if let Some(label) = address["label"].as_str().filter(|label| *label != device) {
                line += &format!(" {label}");
            }
            assert!(state.addresses.insert(line.clone()), "{line} is there twice");
        }
    }
    let (four, six) = (host.proc_net("route"), host.proc_net("ipv6_route"));
    for (network, gateway) in
        routes(&four, &six).into_iter().filter(|(network, _)| FLOATING.contains(&network.as_str()))
    {
        state.addresses.insert(format!("route {network} via {gateway}"));
    }
}

/// Notes lvsctl's chains, the jump first, then the peers' rules, then the others sorted: their order has no effect.
fn chains(saved: &str, program: &str, state: &mut State) {
    for table in saved.split("*").skip(1) {
        let name = table.lines().next().unwrap_or_default();
        let mut lines: Vec<String> = table
            .lines()
            .filter(|line| line.contains("LVSCTL") && !line.starts_with(':'))
            .map(with_small_letters)
            .collect();
        let rank = |line: &str| match line {
            line if !line.starts_with("-A LVSCTL") => 0,
            line if line.ends_with("-j RETURN") => 1,
            line if line.ends_with("-j DROP") => 3,
            _ => 2,
        };
        // A mark before a peer's rule, or a jump behind a foreign one, would be another order.
        let in_order = lines.iter().filter(|line| line.starts_with("-A LVSCTL")).is_sorted_by_key(|line| rank(line));
        let is_first = |jump: &String| {
            let hook = jump.split(" -j ").next().unwrap_or_default();
            table.lines().find(|line| line.starts_with(hook)) == Some(jump)
        };
        let hooked =
            lines.iter().any(|line| rank(line) == 0) && lines.iter().filter(|line| rank(line) == 0).all(is_first);
        let declared = table.contains("\n:LVSCTL ");
        lines.sort_by_key(|line| (rank(line).min(2), line.clone()));
        if !lines.is_empty() || declared {
            if !in_order || !hooked {
                lines.push(format!("in this order: {table}"));
            }
            state.chains.insert(format!("{program} {name}"), lines);
        }
    }
}

/// Puts hardware addresses into one notation.
fn with_small_letters(line: &str) -> String {
    let mut before = "";
    let words = line.split(' ').map(|word| {
        let is_address = std::mem::replace(&mut before, word) == "--mac-source";
        if is_address { word.to_lowercase() } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn services(rules: &str, listing: &str, state: &mut State) {
    for line in rules.lines() {
        let (name, rest) = match line.strip_prefix("-A ") {
            Some(rule) => rule.split_once(" -s ").expect("a scheduler"),
            None => line.strip_prefix("-a ").and_then(|rule| rule.split_once(" -r ")).expect("a rule"),
        };
        let service = state.services.entry(name.to_owned()).or_default();
        if line.starts_with("-a ") {
            let words: Vec<&str> = rest.split(' ').collect();
            let [server, method, "-w", weight, ref wrapped @ ..] = words[..] else { panic!("{line}") };
            let weight = weight.parse().expect("a weight");
            let method = [&[method], wrapped].concat().join(" ");
            let before = service.destinations.insert(server.to_owned(), (method, weight));
            assert_eq!(before, None, "{line} is there twice");
        }
    }
    // The rules say neither the schedulers' flags nor thresholds.
    let mut current = String::new();
    for line in listing.lines().skip(3) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["->", server, upper, lower, ..] => {
                let service = state.services.get_mut(&current).expect("a service");
                let destination = service.destinations.get_mut(server).expect("a destination");
                destination.0 += &format!(" {upper} {lower}");
            }
            ["FWM", mark, "IPv6", ref way @ ..] => current = noted(&format!("-f {mark} -6"), way, state),
            ["FWM", mark, ref way @ ..] => current = noted(&format!("-f {mark}"), way, state),
            ["TCP", name, ref way @ ..] => current = noted(&format!("-t {name}"), way, state),
            ["UDP", name, ref way @ ..] => current = noted(&format!("-u {name}"), way, state),
            ["SCTP", name, ref way @ ..] => current = noted(&format!("--sctp-service {name}"), way, state),
            _ => panic!("{line}"),
        }
    }
}

fn noted(name: &str, way: &[&str], state: &mut State) -> String {
    let service: &mut ServiceState = state.services.get_mut(name).unwrap_or_else(|| panic!("{name}"));
    service.way = way.join(" ");
    name.to_owned()
}
