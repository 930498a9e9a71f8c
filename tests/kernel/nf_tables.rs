//! What differs with iptables-nft and a distribution's kernel, on small sites: emulation is slow.
//!
//! A rule must be written, read back as what it is, found by packets, restored after a reboot and taken away again; what the kernel
//! itself does (envelopes, translation of both ends, the SYN proxy) comes from modules of another version.

use std::collections::BTreeMap;

use crate::carried::{keep, put_back};
use crate::laboratory::{Laboratory, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("nf_tables::both_ends_are_translated", both_ends_are_translated).within(60).on_distribution_kernel(),
        test("nf_tables::a_syn_proxy_comes_and_goes", a_syn_proxy_comes_and_goes).within(60).on_distribution_kernel(),
        test("nf_tables::tunnels_carry_packets", tunnels_carry_packets).within(60).on_distribution_kernel(),
        test("nf_tables::rules_come_back_with_the_kernel", rules_are_written)
            .within(60)
            .on_distribution_kernel()
            .then_after_reboot(rules_come_back),
    ]
}

fn spread(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn changes(laboratory: &Laboratory) -> Vec<String> {
    texts(&laboratory.plan()["changes"], "id")
}

/// The second server is behind a router, and no route of it leads through the director.
const TRANSLATED: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "far" { address "10.2.0.12/24"; }
vip "10.1.0.100" director="lb" forwarding="fullnat" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "near" port=8080; server "far"; }
}
vip "fd00:1::100" director="lb" forwarding="fullnat" {
    service "six" { listen "tcp" 80; scheduler "rr"; server "near" port=8080; }
}
"#;

fn both_ends_are_translated() {
    let laboratory = Laboratory::new(TRANSLATED);
    laboratory.apply();
    assert_eq!(changes(&laboratory), Vec::<String>::new());
    laboratory.run("far", "iptables -I INPUT -s 10.1.0.1 -p tcp --dport 80; iptables -I INPUT -s 198.51.100.0/24");
    assert_eq!(laboratory.serves("web", 8), spread(&[("near", 4), ("far", 4)]));
    assert_eq!(laboratory.serves("six", 4), spread(&[("near", 4)]));
    let seen = laboratory.run("far", "iptables -vnxL INPUT");
    let packets: Vec<u32> =
        seen.lines().skip(2).map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert!(packets[0] == 0 && packets[1] >= 16, "no client and the director: {seen}");
    let rules = laboratory.run("lb", "nft list table ip nat; nft list table ip6 nat");
    assert_eq!(rules.matches("chain LVSCTL-OUT").count(), 2, "{rules}");
}

const PROXIED: &str = r#"
director "lb" { address "10.1.0.1/24"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; }
real-server "far" { address "10.1.0.12/24"; }
vip "10.1.0.100" director="lb" forwarding="nat" {
    service "web" { listen "tcp" 80; syn-proxy #true; scheduler "rr"; server "near" port=8080; server "far"; }
}
"#;

fn a_syn_proxy_comes_and_goes() {
    let laboratory = Laboratory::new(PROXIED);
    laboratory.apply();
    assert_eq!(changes(&laboratory), Vec::<String>::new());
    assert_eq!(laboratory.serves("web", 8), spread(&[("near", 4), ("far", 4)]));
    let counted = laboratory.run("lb", "iptables -t raw -vnxL LVSCTL; iptables -vnxL LVSCTL");
    for target in ["SYNPROXY", "CT notrack"] {
        let met = counted.lines().filter(|line| line.contains(target)).map(|line| line.split_whitespace().next());
        let met: Vec<u32> = met.map(|packets| packets.unwrap().parse().unwrap()).collect();
        assert!(!met.is_empty() && met.iter().all(|packets| *packets >= 8), "{target} opened them: {counted}");
    }
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    let left = laboratory.run("lb", "iptables-save; ipvsadm -Sn");
    assert!(!left.contains("LVSCTL") && !left.contains("10.1.0.100"), "{left}");
}

/// The first server takes packets in IP, the second in UDP.
const WRAPPED: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "far" { address "10.2.0.12/24"; address "fd00:2::12/64"; }
vip "10.1.0.100" director="lb" forwarding="tun" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "near"; server "far" tunnel="gue" tunnel-port=6080; }
}
vip "fd00:1::100" director="lb" forwarding="tun" {
    service "six" { listen "tcp" 80; scheduler "rr"; server "near"; server "far"; }
}
"#;

fn tunnels_carry_packets() {
    let laboratory = Laboratory::new(WRAPPED);
    laboratory.apply();
    assert_eq!(changes(&laboratory), Vec::<String>::new());
    for service in ["web", "six"] {
        assert_eq!(laboratory.serves(service, 8), spread(&[("near", 4), ("far", 4)]), "{service}");
    }
    // What the envelope takes is left out of the largest segment, by a rule that iptables-nft has to write and to read.
    let rules = laboratory.run("near", "iptables -t mangle -S LVSCTL-OUT -v");
    let rule = rules.lines().find(|line| line.contains("--set-mss 1440")).unwrap_or_else(|| panic!("{rules}"));
    assert!(!rule.contains(" 0 0 "), "it met the answers: {rule}");
}

/// Chains of every table that lvsctl writes to, without keepalived.
const RESTORED: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; address "fd00:1::11/64"; interface "eth0"; }
vip "10.1.0.100" director="lb" forwarding="dr" delivery="redirect" {
    service "marked" { listen "tcp" 80; listen "tcp" "8000-8010"; fwmark 7; scheduler "rr"; server "near"; }
}
vip "10.1.0.101" director="lb" forwarding="fullnat" {
    service "proxied" { listen "tcp" 80; syn-proxy #true; scheduler "rr"; server "near" port=8080; }
}
vip "fd00:1::100" director="lb" forwarding="dr" delivery="redirect" {
    service "six" { listen "tcp" 80; fwmark 9; scheduler "rr"; server "near"; }
}
"#;

const RESTORED_HOSTS: [&str; 2] = ["lb", "near"];

fn rules_are_written() {
    let laboratory = Laboratory::new(RESTORED);
    laboratory.apply();
    for host in RESTORED_HOSTS {
        keep(host, &laboratory.root(host));
    }
}

fn rules_come_back() {
    let laboratory = Laboratory::new(RESTORED);
    for host in RESTORED_HOSTS {
        put_back(host, &laboratory.root(host));
    }
    assert!(changes(&laboratory).len() > 10, "the kernel is empty");
    for host in RESTORED_HOSTS {
        laboratory.run(host, crate::boot::RESTORE);
    }
    assert_eq!(changes(&laboratory), Vec::<String>::new());
    for service in ["marked", "proxied", "six"] {
        laboratory.serves(service, 4);
    }
    let legacy = laboratory.run("lb", "iptables-legacy-save; ip6tables-legacy-save");
    assert!(!legacy.contains("LVSCTL"), "the rules are in nf_tables: {legacy}");
}
