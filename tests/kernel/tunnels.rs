//! Tunnelling with packets: what comes out of a tunnel is accepted, answered past the director, and given up again.

use std::collections::BTreeMap;

use crate::commands::essence;
use crate::laboratory::{Laboratory, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("tunnels::packets_come_out_of_tunnels_of_both_families", packets_come_out_of_tunnels_of_both_families)
            .within(120),
        test("tunnels::a_strict_filter_of_all_interfaces_is_opened", a_strict_filter_of_all_interfaces_is_opened)
            .within(90),
        test("tunnels::envelopes_of_udp_and_gre_carry_packets", envelopes_of_udp_and_gre_carry_packets).within(200),
        test("tunnels::deliveries_take_over_from_each_other", deliveries_take_over_from_each_other).within(300),
    ]
}

/// One director, a real server in its network and one behind a router, both families.
const SITE: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "far" { address "10.2.0.12/24"; address "fd00:2::12/64"; }
real-server "hers" { address "10.2.0.13/24"; managed #false; }
vip "10.1.0.100" director="lb" forwarding="tun" {
    service "web" { listen "tcp" 80; scheduler "wrr"; server "near"; server "far"; server "hers" weight=2; }
    service "names" { listen "udp" 53; scheduler "rr"; server "near"; server "far"; }
}
vip "fd00:1::100" director="lb" forwarding="tun" {
    service "web6" { listen "tcp" 80; scheduler "rr"; server "near"; server "far"; }
}
"#;

fn spread(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn packets_come_out_of_tunnels_of_both_families() {
    let laboratory = Laboratory::new(SITE);
    // What a module brings stays with it, so it is there before.
    laboratory.run("lb", "modprobe -a ipip ip6_tunnel ip_vs ip_vs_rr ip_vs_wrr");
    for host in ["lb", "near", "far"] {
        laboratory.run(host, "mkdir -m 700 $ROOT/var/lib/lvsctl");
    }
    for host in ["near", "far"] {
        laboratory.run(host, "iptables -t mangle -S; ip6tables -t mangle -S");
    }
    let before = essence(&laboratory.snapshot());
    laboratory.apply();
    assert_eq!(laboratory.plan()["changes"].as_array().map(Vec::len), Some(0));
    assert_eq!(laboratory.serves("web", 100), spread(&[("near", 25), ("far", 25), ("hers", 50)]));
    assert_eq!(laboratory.serves("names", 40), spread(&[("near", 20), ("far", 20)]));
    assert_eq!(laboratory.serves("web6", 40), spread(&[("near", 20), ("far", 20)]));
    let received = laboratory.run("far", "sed -n 's/ *tunl0: *[0-9]* *\\([0-9]*\\) .*/\\1/p' /proc/net/dev");
    assert!(received.trim().parse::<u32>().unwrap() > 100, "they came through the tunnel: {received}");
    let chains = [("iptables", "-s 10.1.0.100/32", 1440), ("ip6tables", "-s fd00:1::100/128", 1400)];
    for (program, from, size) in chains {
        let rules = laboratory.run("near", &format!("{program} -t mangle -S LVSCTL-OUT -v"));
        let rule = rules.lines().find(|line| line.contains(&format!("--set-mss {size}"))).expect("the rule");
        assert!(rule.contains(from) && !rule.contains(" 0 0 "), "it met the answers: {rule}");
    }
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    let links = laboratory.run("near", "ip -brief link show up");
    assert!(!links.contains("tunl0") && !links.contains("ip6tnl0"), "{links}");
    before.assert_equal(&essence(&laboratory.snapshot()), "after a destroy");
}

fn a_strict_filter_of_all_interfaces_is_opened() {
    let laboratory = Laboratory::new(SITE);
    let strict = "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter";
    laboratory.run("near", strict);
    laboratory.run("far", strict);
    laboratory.apply();
    laboratory.serves("web", 40);
    // What somebody closes again is drift, and is seen.
    laboratory.run("near", strict);
    let plan = laboratory.plan();
    assert_eq!(texts(&plan["changes"], "id"), ["near/sysctl/net.ipv4.conf.all.rp_filter"]);
}

fn deliveries_take_over_from_each_other() {
    let way =
        |way: &str| SITE.replace("forwarding=\"tun\"", way).replace("10.2.0", "10.1.0").replace("fd00:2", "fd00:1");
    let ways = [
        "dr",
        "dr\" delivery=\"dummy",
        "tun",
        "tun\" delivery=\"dummy",
        "dr\" delivery=\"redirect",
        "tun\" delivery=\"loopback",
    ];
    let ways = ways.map(|way| format!("forwarding=\"{way}\""));
    let laboratory = Laboratory::new(&way(&ways[0]));
    for forwarding in ways.iter().chain([&ways[0]]) {
        println!("{forwarding}");
        laboratory.write(&way(forwarding));
        laboratory.apply();
        assert_eq!(laboratory.plan()["changes"].as_array().map(Vec::len), Some(0), "{forwarding}");
        for service in ["names", "web6"] {
            assert_eq!(laboratory.serves(service, 20), spread(&[("near", 10), ("far", 10)]), "{forwarding}");
        }
    }
    let left = laboratory.run("near", "ip -brief address");
    assert!(!left.contains("lvsctl0"), "{left}");
    assert!(left.lines().filter(|line| line.contains("10.1.0.100")).all(|line| line.starts_with("lo ")), "{left}");
}

/// The first server takes packets in GRE, the second in UDP.
fn wrapped(checksum: &str) -> String {
    let gue = format!("server \"far\" tunnel=\"gue\" tunnel-port=6080{checksum}");
    let site = SITE.replace("server \"near\";", "server \"near\" tunnel=\"gre\";");
    site.replace("server \"far\";", &format!("{gue};")).replace(" server \"hers\" weight=2;", "")
}

fn envelopes_of_udp_and_gre_carry_packets() {
    let laboratory = Laboratory::new(&wrapped(""));
    for checksum in ["", " checksum=#true"] {
        laboratory.write(&wrapped(checksum));
        laboratory.apply();
        assert!(texts(&laboratory.plan()["changes"], "id").is_empty(), "{checksum}");
        for service in ["web", "names", "web6"] {
            assert_eq!(laboratory.serves(service, 20), spread(&[("near", 10), ("far", 10)]), "{service}{checksum}");
        }
    }
    let table = laboratory.run("lb", "ipvsadm -Ln --tun-info");
    assert!(table.contains("gue") && table.contains("6080") && table.contains("gre"), "{table}");
    // keepalived takes them over, and lvsctl takes them back and changes them in place.
    let checked = wrapped("").replace("scheduler \"rr\";", "scheduler \"rr\"; check \"tcp\" port=80 interval=\"1s\";");
    laboratory.write(&checked);
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    laboratory.serves("web6", 20);
    // A port that somebody closes is drift, and is seen.
    laboratory.run("far", "ip fou del port 6080 -6");
    assert_eq!(texts(&laboratory.plan()["changes"], "id"), ["far/fou/ipv6/6080"]);
    laboratory.write(&SITE.replace(" server \"hers\" weight=2;", ""));
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    assert_eq!(laboratory.run("far", "ip fou show"), "");
    laboratory.serves("web", 20);
}
