//! Reads a host's kernel with the usual tools, and not with the code that is tested.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::rig::{Rig, steady};
use super::state::{ServiceState, State};
use crate::lab::Namespace;

/// How often a table is read that changes meanwhile.
const READINGS: usize = 20;

/// Reads a host.
pub fn read(rig: &Rig, name: &str, parameters: &BTreeMap<String, String>) -> State {
    let host = rig.host(name);
    let mut state = State::default();
    addresses(host, &mut state);
    state.routes.extend(gateways(&host.proc_net("route"), &host.proc_net("ipv6_route")));
    for program in ["iptables", "ip6tables"] {
        let saved = steady(&host.run(&[&format!("{program}-save")]));
        chains(&saved, program, &mut state);
        let foreign = saved.lines().filter(|line| !line.contains("LVSCTL"));
        state.foreign.insert(program.to_owned(), foreign.map(|line| format!("{line}\n")).collect());
    }
    host.enter(|| {
        for name in parameters.keys() {
            let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).unwrap_or_default();
            state.parameters.insert(name.clone(), value.trim().to_owned());
        }
    });
    if host.proc_net("ip_vs").lines().count() > 3 {
        let (rules, listing) = table(host);
        services(&rules, &listing, &mut state);
    }
    state.keepalived = (has_keepalived(host), host.root().join("etc/keepalived/keepalived.conf").exists());
    state
}

/// Returns the IPVS table as rules and as a listing of one moment: keepalived may take a server out at any time.
fn table(host: &Namespace) -> (String, String) {
    let rules = || host.run(&["ipvsadm", "-Sn"]);
    let mut before = rules();
    for _ in 0..READINGS {
        let listing = host.run(&["ipvsadm", "-Ln", "--thresholds"]);
        let after = rules();
        if before == after {
            return (after, listing);
        }
        before = after;
    }
    panic!("{} has another table each time: {before}", host.name())
}

/// Reads the addresses alone.
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

/// Returns the gateways of default routes out of `/proc/net/route` and `/proc/net/ipv6_route`.
fn gateways(four: &str, six: &str) -> Vec<String> {
    let mut found = Vec::new();
    for words in four.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        if let [_, "00000000", gateway, _, _, _, _, "00000000", ..] = words[..] {
            let gateway = u32::from_str_radix(gateway, 16).expect("a gateway");
            found.push(Ipv4Addr::from(gateway.to_ne_bytes()).to_string());
        }
    }
    for words in six.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        let [destination, "00", _, _, gateway, _, _, _, flags, _] = words[..] else { continue };
        // RTF_GATEWAY of include/uapi/linux/route.h; the others refuse what goes nowhere.
        let is_gateway = u32::from_str_radix(flags, 16).expect("flags") & 2 != 0;
        if is_gateway && destination.chars().all(|digit| digit == '0') {
            found.push(Ipv6Addr::from(u128::from_str_radix(gateway, 16).expect("a gateway")).to_string());
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
            if address["scope"] == "link" && address["family"] == "inet6" {
                continue;
            }
            let mut line = format!("{device} {}/{}", text(&address["local"]), address["prefixlen"]);
            if let Some(label) = address["label"].as_str().filter(|label| *label != device) {
                line += &format!(" {label}");
            }
            assert!(state.addresses.insert(line.clone()), "{line} is there twice");
        }
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
            let [server, method, "-w", weight, ..] = words[..] else { panic!("{line}") };
            let weight = weight.parse().expect("a weight");
            let before = service.destinations.insert(server.to_owned(), (method.to_owned(), weight));
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
