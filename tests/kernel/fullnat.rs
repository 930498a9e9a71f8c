//! Translation of both ends with packets: the real server sees the director's address and needs no route to it.

use std::collections::BTreeMap;

use crate::laboratory::{Laboratory, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("fullnat::servers_see_the_director_in_both_families", servers_see_the_director_in_both_families)
            .within(120),
        test("fullnat::a_syn_proxy_stands_before_nat_and_fullnat", a_syn_proxy_stands_before_nat_and_fullnat)
            .within(120),
        test("fullnat::every_packet_and_every_call_for_itself", every_packet_and_every_call_for_itself).within(120),
        test("fullnat::what_somebody_takes_away_comes_back", what_somebody_takes_away_comes_back).within(90),
    ]
}

/// The second server is behind a router, and neither has a route that leads through the director.
const SITE: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "far" { address "10.2.0.12/24"; address "fd00:2::12/64"; }
vip "10.1.0.100" director="lb" forwarding="fullnat" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "near" port=8080; server "far"; }
    service "names" { listen "udp" 53; listen "udp" 5353; fwmark 7; scheduler "rr"; server "near"; server "far"; }
}
vip "fd00:1::100" director="lb" forwarding="fullnat" {
    service "web6" { listen "tcp" 80; scheduler "rr"; server "near" port=8080; server "far"; }
}
vip "10.1.0.101" director="lb" {
    service "mixed" {
        listen "tcp" 80
        scheduler "rr"
        server "near" forwarding="dr"
        server "far" forwarding="fullnat" port=8081
    }
}
"#;

fn even(count: u32) -> BTreeMap<String, u32> {
    [("near".to_owned(), count), ("far".to_owned(), count)].into()
}

fn servers_see_the_director_in_both_families() {
    let laboratory = Laboratory::new(SITE);
    // What a module brings stays as it is, so the module is there before.
    laboratory.run("lb", "modprobe ip_vs");
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    let count = "iptables -I INPUT -s 10.1.0.1 -p tcp --dport 80; iptables -I INPUT -s 198.51.100.0/24
        ip6tables -I INPUT -s fd00:1::1 -p tcp --dport 80; ip6tables -I INPUT -s 2001:db8:ffff::/64";
    laboratory.run("far", count);
    for service in ["web", "names", "web6", "mixed"] {
        assert_eq!(laboratory.serves(service, 20), even(10), "{service}");
    }
    for program in ["iptables", "ip6tables"] {
        let seen = laboratory.run("far", &format!("{program} -vnxL INPUT"));
        let packets: Vec<u32> =
            seen.lines().skip(2).map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
        assert!(packets[0] == 0 && packets[1] >= 40, "no client and the director: {seen}");
    }
    let chain = laboratory.run("lb", "iptables -t nat -S LVSCTL-OUT");
    assert!(
        !chain.contains("10.1.0.101 -j") || !chain.contains("-d 10.1.0.11/32 -p tcp -m tcp --dport 80 "),
        "{chain}"
    );
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    let left = laboratory.run("lb", "iptables-save; ip6tables-save; cat /proc/sys/net/ipv4/vs/conntrack");
    assert!(!left.contains("LVSCTL") && left.ends_with("0\n"), "{left}");
}

fn what_somebody_takes_away_comes_back() {
    let laboratory = Laboratory::new(SITE);
    laboratory.apply();
    laboratory.run("lb", "iptables -t nat -D POSTROUTING -j LVSCTL-OUT; echo 0 > /proc/sys/net/ipv4/vs/conntrack");
    assert_eq!(
        texts(&laboratory.plan()["changes"], "id"),
        ["lb/sysctl/net.ipv4.vs.conntrack", "lb/iptables/nat/LVSCTL-OUT"]
    );
    laboratory.apply();
    assert_eq!(laboratory.serves("web", 20), even(10));
}

const PROXIED: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "far" { address "10.1.0.12/24"; address "fd00:1::12/64"; }
vip "10.1.0.100" director="lb" forwarding="nat" {
    service "nat" { listen "tcp" 80; syn-proxy #true; scheduler "rr"; server "near" port=8080; server "far"; }
    service "plain" { listen "tcp" 81; scheduler "rr"; server "near"; server "far"; }
}
vip "10.1.0.101" director="lb" forwarding="fullnat" {
    service "full" { listen "tcp" 80; syn-proxy #true; scheduler "rr"; server "near" port=8080; server "far"; }
}
vip "fd00:1::100" director="lb" forwarding="nat" {
    service "nat6" { listen "tcp" 80; syn-proxy #true; scheduler "rr"; server "near" port=8080; server "far"; }
}
"#;

fn a_syn_proxy_stands_before_nat_and_fullnat() {
    let laboratory = Laboratory::new(PROXIED);
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    for service in ["nat", "plain", "full", "nat6"] {
        assert_eq!(laboratory.serves(service, 20), even(10), "{service}");
    }
    let counted = laboratory.run("lb", "iptables -t raw -vnxL LVSCTL; iptables -vnxL LVSCTL; ip6tables -vnxL LVSCTL");
    let met = |target: &str| -> Vec<u32> {
        let lines = counted.lines().filter(|line| line.contains(target));
        lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
    };
    assert!(met("SYNPROXY").iter().all(|packets| *packets >= 40), "it opened all connections: {counted}");
    assert!(met("CT notrack").iter().all(|packets| *packets >= 20), "{counted}");
    // Attempts that nobody follows up reach no server.
    let before = laboratory.run("lb", "ipvsadm -Ln --stats | grep 10.1.0.100:80");
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    let left = laboratory.run("lb", "iptables-save; ip6tables-save");
    assert!(!left.contains("LVSCTL"), "{before}{left}");
}

const DATAGRAMS: &str = r#"
director "lb" { address "10.1.0.1/24"; interface "eth0"; }
real-server "near" { address "10.1.0.11/24"; }
real-server "far" { address "10.1.0.12/24"; }
vip "10.1.0.100" director="lb" forwarding="dr" {
    service "names" { listen "udp" 53; one-packet #true; scheduler "rr"; server "near"; server "far"; }
    service "calls" { listen "udp" 5060; persistence "300s" engine="sip"; scheduler "rr"; server "near"; server "far"; }
}
"#;

fn every_packet_and_every_call_for_itself() {
    let laboratory = Laboratory::new(DATAGRAMS);
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    assert_eq!(laboratory.serves("names", 20), even(10));
    assert!(!laboratory.run("lb", "ipvsadm -Lcn").contains(":53 "), "no connection is kept");
    let table = laboratory.run("lb", "ipvsadm -Sn");
    assert!(table.contains("-A -u 10.1.0.100:53 -s rr -o"), "{table}");
    assert!(table.contains("-A -u 10.1.0.100:5060 -s rr -p 300 --pe sip"), "{table}");
    // Both are edited in place and back.
    laboratory.write(&DATAGRAMS.replace(" one-packet #true;", "").replace(" engine=\"sip\"", ""));
    laboratory.apply();
    let table = laboratory.run("lb", "ipvsadm -Sn");
    assert!(!table.contains(" -o") && !table.contains("--pe"), "{table}");
    laboratory.write(DATAGRAMS);
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    // A check hands the service to keepalived, which knows both.
    laboratory.write(&DATAGRAMS.replace("scheduler \"rr\";", "scheduler \"rr\"; check \"tcp\" port=22;"));
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
}
