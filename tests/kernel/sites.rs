//! The whole path on real sites: every example is planned, applied, asked and failed over.

use std::fs;
use std::path::PathBuf;

use lvsctl::cli::files::DiskReader;
use lvsctl::rehearsal::live::LiveConverger;
use lvsctl::rehearsal::phases::Rehearsal;
use lvsctl::rehearsal::report::Report;

use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("sites::the_reference_site_serves_and_fails_over", the_reference_site_serves_and_fails_over).within(120),
        test("sites::nf_tables_carries_a_site", nf_tables_carries_a_site).within(120).on_distribution_kernel(),
        test("sites::tunnels_serve_and_fail_over_over_ipv6", tunnels_serve_and_fail_over_over_ipv6).within(120),
        test("sites::direct_routing_serves_over_ipv6", direct_routing_serves_over_ipv6).within(90),
        test("sites::translation_serves_and_fails_over_over_ipv6", translation_serves_and_fails_over_over_ipv6)
            .within(120),
        test("sites::one_director_translates_in_every_way", one_director_translates_in_every_way).within(240),
        test("sites::every_other_example_serves", every_other_example_serves).within(400),
    ]
}

/// Marks on the directors and redirections on the real servers, over both families and without TLS, which takes an
/// emulated processor too long.
const MARKED: &str = r#"
director "lb01" { address "10.4.1.181/24"; address "2001:db8::181/64"; interface "eth0" mac="52:54:00:06:b2:98"; }
director "lb02" { address "10.4.1.182/24"; address "2001:db8::182/64"; interface "eth0" mac="52:54:00:36:d0:a8"; }
real-server "web1" { address "10.4.1.151/24"; address "2001:db8::151/64"; interface "eth0"; }
real-server "web2" { address "10.4.1.152/24"; address "2001:db8::152/64"; interface "eth0"; }
failover "ext" {
    director "lb01" priority=100
    director "lb02" priority=50
    virtual-router-id 125
    interface "eth0"
}
failover "six" {
    director "lb01" priority=100
    director "lb02" priority=50
    virtual-router-id 126
    interface "eth0"
    version 3
}
vip "10.4.1.190" failover="ext" forwarding="dr" delivery="redirect" {
    service "web" {
        listen "tcp" 80
        fwmark 1
        scheduler "wrr"
        check "tcp" interval="2s"
        server "web1" weight=3
        server "web2" weight=1
    }
}
vip "2001:db8::190" failover="six" forwarding="dr" delivery="redirect" {
    service "web6" {
        listen "tcp" 80
        fwmark 2
        scheduler "rr"
        server "web1"
        server "web2"
    }
}
"#;

struct Inline;

impl lvsctl::document::ReadSource for Inline {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(MARKED.to_owned())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

fn nf_tables_carries_a_site() {
    let loaded = lvsctl::topology::load("marked.kdl", &Inline);
    let topology = loaded.topology.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let rehearsal = Rehearsal { topology: &topology, path: "marked.kdl", requests: 20 };
    let report = rehearsal.run(&mut LiveConverger, &mut |line| println!("{line}")).expect("a report");
    assert!(report.passed, "{:?}", report.failures);
    assert_eq!(report.convergence.replan.total(), 0);
    let spreads: Vec<Vec<u32>> =
        report.services.iter().map(|service| service.spread.values().copied().collect()).collect();
    assert_eq!(spreads, [[15, 5], [10, 10]]);
    let rules = crate::lab::within("host-lb01", &["nft", "list", "table", "ip", "mangle"]);
    assert!(rules.contains("LVSCTL"), "the rules are in nf_tables: {rules}");
    let rules = crate::lab::within("host-lb01", &["iptables-legacy-save"]);
    assert!(!rules.contains("LVSCTL"), "and nowhere else: {rules}");
}

const REFERENCE: &str = "examples/dr-fwmark-redirect";

const NAT: &str = "examples/nat-static";

fn rehearse(path: &str) -> Report {
    let loaded = lvsctl::topology::load(path, &DiskReader);
    let topology = loaded.topology.unwrap_or_else(|| panic!("{path}: {:?}", loaded.problems));
    let rehearsal = Rehearsal { topology: &topology, path, requests: 100 };
    let report = rehearsal.run(&mut LiveConverger, &mut |line| println!("{line}")).expect("a report");
    assert!(report.passed, "{path}: {:?}", report.failures);
    assert_eq!(report.convergence.replan.total(), 0);
    report
}

fn the_reference_site_serves_and_fails_over() {
    let report = rehearse(REFERENCE);
    let [failover] = report.failovers.as_slice() else { panic!("{:?}", report.failovers) };
    assert!(failover.taken_over_by.is_some());
    for traffic in report.services.iter().chain(&failover.services) {
        assert_eq!((traffic.requests, traffic.answered), (100, 100), "{traffic:?}");
        assert!(traffic.spread.values().all(|count| *count == 50), "{traffic:?}");
    }
    assert_eq!(report.services.len(), 2);
    assert_eq!(failover.services.len(), 2);
}

fn one_director_translates_in_every_way() {
    let report = rehearse(NAT);
    let by_service = |name: &str| {
        let service = report.services.iter().find(|service| service.service == name).expect("the service");
        service.spread.values().copied().collect::<Vec<_>>()
    };
    for even in ["plain", "fullnat", "tunnelled", "proxied", "direct"] {
        assert_eq!(by_service(even), [50, 50], "{even}");
    }
    for sticky in ["one", "shop", "all"] {
        let spread = by_service(sticky);
        assert!(spread == [100, 0] || spread == [0, 100], "{sticky}: {spread:?}");
    }
    assert_eq!(report.services.len(), 11);
}

fn every_other_example_serves() {
    let folders = fs::read_dir("examples").expect("the examples").map(|entry| entry.expect("an example").path());
    let others: Vec<PathBuf> =
        folders.filter(|path| ![REFERENCE, NAT].contains(&path.to_str().expect("a name"))).collect();
    assert!(!others.is_empty());
    for path in others {
        rehearse(path.to_str().expect("a name"));
        crate::lab::clear();
    }
}

/// Rehearses an example after its addresses became those of IPv6.
fn rehearse_over_ipv6(example: &str, replaced: &[(&str, &str)]) -> Report {
    let text = fs::read_to_string(format!("examples/{example}/topology.kdl")).expect("the example");
    let text = replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in {example}");
        text.replace(from, to)
    });
    let path = format!("/run/{example}-6.kdl");
    fs::write(&path, text).expect("the topology");
    rehearse(&path)
}

fn tunnels_serve_and_fail_over_over_ipv6() {
    let replaced = [("192.168.2.", "fd00:168:2::"), ("/24", "/64"), ("auth-pass (env)\"VRRP_PASS\"", "version 3")];
    let report = rehearse_over_ipv6("tun-sync", &replaced);
    assert_eq!(report.failovers.len(), 1);
}

fn direct_routing_serves_over_ipv6() {
    let report = rehearse_over_ipv6("dr-loopback", &[("192.168.11.", "fd00:168:11::"), ("/23", "/64")]);
    assert_eq!(report.services.len(), 6);
}

fn translation_serves_and_fails_over_over_ipv6() {
    let replaced = [("192.0.2.", "fd00:192:2::"), ("10.20.0.", "fd00:20::"), ("/24", "/64")];
    let report = rehearse_over_ipv6("nat-failover", &replaced);
    assert_eq!(report.failovers.len(), 1);
}
