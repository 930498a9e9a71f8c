//! Something deleted or altered by hand, one thing at a time, in each kind of resource: the next plan names exactly that,
//! apply repairs it, and nothing else is touched.

use std::collections::BTreeSet;

use crate::laboratory::{Laboratory, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("drift::parameters_addresses_routes_and_chains", || each(NETWORK)).within(180),
        test("drift::static_services", || each(STATIC)).within(180),
        test("drift::checked_services_and_keepalived", || each(KEEPALIVED)).within(240),
        test("drift::the_manifest", the_manifest).within(120),
    ]
}

/// A site with every kind of resource.
const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
    sysctl "net.ipv4.vs.expire_nodest_conn" 1
}
director "d2" {
    address "10.0.0.2/24"
    interface "eth0"
}
real-server "w1" {
    address "10.0.0.11/24"
    interface "eth0"
}
real-server "w2" {
    address "10.0.0.12/24"
}
failover "ext" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 51
    interface "eth0"
    version 2
    auth-pass (env)"VRRP_PASS"
}
vip "10.0.0.100" failover="ext" forwarding="dr" {
    service "checked" {
        listen "tcp" 80
        fwmark 7
        scheduler "wrr"
        check "tcp" interval="1s" timeout="5s" retries=1 retry-delay="1s"
        server "w1" weight=10
    }
    service "static" {
        listen "tcp" 8080
        scheduler "wlc"
        persistence "300s"
        server "w1" weight=20
    }
}
vip "10.0.0.101" failover="ext" forwarding="dr" delivery="redirect" {
    service "redirected" {
        listen "tcp" 81
        scheduler "rr"
        server "w1"
    }
}
vip "10.0.0.102" director="d1" forwarding="nat" {
    service "mapped" {
        listen "tcp" 80
        scheduler "sed"
        server "w2" port=8081 weight=3
    }
}
"#;

/// What somebody does on a host, and what the next plan says about it.
struct ByHand {
    host: &'static str,
    script: &'static str,
    /// The identities after the host's name, with the action and the reason.
    found: &'static [(&'static str, &'static str, &'static str)],
    /// What is different for good after the repair, by the names of the snapshot's sections.
    renewed: &'static [&'static str],
}

const fn by_hand(
    host: &'static str,
    script: &'static str,
    found: &'static [(&'static str, &'static str, &'static str)],
) -> ByHand {
    ByHand { host, script, found, renewed: &[] }
}

const NETWORK: &[ByHand] = &[
    by_hand("d1", "sysctl -qw net.ipv4.ip_forward=0", &[("sysctl/net.ipv4.ip_forward", "update", "altered_on_host")]),
    by_hand(
        "w1",
        "sysctl -qw net.ipv4.conf.all.arp_ignore=0",
        &[("sysctl/net.ipv4.conf.all.arp_ignore", "update", "altered_on_host")],
    ),
    by_hand("w1", "ip address del 10.0.0.100/32 dev lo", &[("address/lo/10.0.0.100", "create", "removed_on_host")]),
    by_hand(
        "w1",
        "ip address del 10.0.0.100/32 dev lo; ip address add 10.0.0.100/31 dev lo",
        &[("address/lo/10.0.0.100", "update", "altered_on_host")],
    ),
    by_hand("d1", "ip address del 10.0.0.102/32 dev eth0", &[("address/eth0/10.0.0.102", "create", "removed_on_host")]),
    by_hand("w2", "ip route del default", &[("route/default-ipv4", "create", "removed_on_host")]),
    by_hand(
        "w2",
        "ip route replace default via 10.0.0.2 proto static",
        &[("route/default-ipv4", "update", "altered_on_host")],
    ),
    by_hand(
        "d2",
        "iptables -t mangle -D PREROUTING -j LVSCTL; iptables -t mangle -F LVSCTL; iptables -t mangle -X LVSCTL",
        &[("iptables/mangle/LVSCTL", "create", "removed_on_host")],
    ),
    by_hand(
        "d1",
        "iptables -t mangle -D PREROUTING -j LVSCTL",
        &[("iptables/mangle/LVSCTL", "update", "altered_on_host")],
    ),
    by_hand(
        "d1",
        "iptables -t mangle -I LVSCTL -p tcp --dport 80 -j MARK --set-mark 9",
        &[("iptables/mangle/LVSCTL", "update", "altered_on_host")],
    ),
    by_hand("w1", "iptables -t nat -F", &[("iptables/nat/LVSCTL", "update", "altered_on_host")]),
    by_hand(
        "w1",
        "iptables -t nat -R LVSCTL 1 -d 10.0.0.101 -p tcp --dport 82 -j REDIRECT",
        &[("iptables/nat/LVSCTL", "update", "altered_on_host")],
    ),
];

const STATIC: &[ByHand] = &[
    // A module can go only when nobody uses it, on any host of this one machine.
    by_hand(
        "d1",
        "ipvsadm -D -t 10.0.0.102:80; rmmod ip_vs_sed",
        &[
            ("module/ip_vs_sed", "create", "removed_on_host"),
            ("ipvs/tcp:10.0.0.102:80", "create", "removed_on_host"),
            ("ipvs/tcp:10.0.0.102:80/10.0.0.12:8081", "create", "removed_on_host"),
        ],
    ),
    by_hand(
        "d1",
        "ipvsadm -D -t 10.0.0.100:8080",
        &[
            ("ipvs/tcp:10.0.0.100:8080", "create", "removed_on_host"),
            ("ipvs/tcp:10.0.0.100:8080/10.0.0.11:8080", "create", "removed_on_host"),
        ],
    ),
    by_hand(
        "d2",
        "ipvsadm -d -t 10.0.0.100:8080 -r 10.0.0.11",
        &[("ipvs/tcp:10.0.0.100:8080/10.0.0.11:8080", "create", "removed_on_host")],
    ),
    by_hand(
        "d2",
        "ipvsadm -E -t 10.0.0.100:8080 -s rr -p 300",
        &[("ipvs/tcp:10.0.0.100:8080", "update", "altered_on_host")],
    ),
    by_hand("d2", "ipvsadm -E -t 10.0.0.100:8080 -s wlc", &[("ipvs/tcp:10.0.0.100:8080", "update", "altered_on_host")]),
    // A static server has no health: a weight of 0 is drift.
    by_hand(
        "d1",
        "ipvsadm -e -t 10.0.0.102:80 -r 10.0.0.12:8081 -m -w 0",
        &[("ipvs/tcp:10.0.0.102:80/10.0.0.12:8081", "update", "altered_on_host")],
    ),
    by_hand(
        "d1",
        "ipvsadm -e -t 10.0.0.100:8080 -r 10.0.0.11 -i -w 20",
        &[("ipvs/tcp:10.0.0.100:8080/10.0.0.11:8080", "update", "altered_on_host")],
    ),
    by_hand(
        "d1",
        "ipvsadm -e -t 10.0.0.102:80 -r 10.0.0.12:8081 -m -w 3 -x 100 -y 50",
        &[("ipvs/tcp:10.0.0.102:80/10.0.0.12:8081", "update", "altered_on_host")],
    ),
];

const DAEMON: &[&str] = &[
    "file run/keepalived.pid",
    "file run/keepalived_vrrp.pid",
    "file run/keepalived_checkers.pid",
    "file run/lvsctl-keepalived.loaded",
];

const KEEPALIVED: &[ByHand] = &[
    by_hand("d2", "ipvsadm -E -f 7 -s rr", &[("ipvs/fwm:7", "update", "altered_on_host")]),
    by_hand(
        "d2",
        "ipvsadm -e -f 7 -r 10.0.0.11:0 -g -w 11",
        &[("ipvs/fwm:7/10.0.0.11:0", "update", "altered_on_host")],
    ),
    by_hand(
        "d2",
        "chmod 644 $ROOT/etc/keepalived/keepalived.conf",
        &[("keepalived/configuration", "update", "altered_on_host")],
    ),
    by_hand(
        "d2",
        "sed -i 's/priority 50/priority 60/' $ROOT/etc/keepalived/keepalived.conf",
        &[
            ("keepalived/configuration", "update", "altered_on_host"),
            ("keepalived/daemon", "update", "altered_on_host"),
        ],
    ),
    by_hand(
        "d2",
        "rm $ROOT/etc/keepalived/keepalived.conf",
        &[
            ("keepalived/configuration", "create", "removed_on_host"),
            ("keepalived/daemon", "update", "altered_on_host"),
        ],
    ),
    by_hand(
        "d2",
        "ipvsadm -D -f 7",
        &[("ipvs/fwm:7", "create", "removed_on_host"), ("ipvs/fwm:7/10.0.0.11:0", "create", "removed_on_host")],
    ),
    ByHand { host: "d2", script: TERMINATE, found: NOTHING_RUNS, renewed: DAEMON },
    ByHand { host: "d2", script: KILL, found: NOTHING_RUNS, renewed: DAEMON },
];

/// Either way its children go some time later, and take their services along.
const TERMINATE: &str = "all=$(cat $ROOT/run/keepalived*.pid); kill $(cat $ROOT/run/keepalived.pid)
    for pid in $all; do while [ -e /proc/$pid ]; do sleep 0.05; done; done";
const KILL: &str = "all=$(cat $ROOT/run/keepalived*.pid); kill -9 $(cat $ROOT/run/keepalived.pid)
    for pid in $all; do while [ -e /proc/$pid ]; do sleep 0.05; done; done";

const NOTHING_RUNS: &[(&str, &str, &str)] = &[
    ("ipvs/fwm:7", "create", "removed_on_host"),
    ("ipvs/fwm:7/10.0.0.11:0", "create", "removed_on_host"),
    ("keepalived/daemon", "create", "removed_on_host"),
];

/// Lays the site out, applies, and waits until it stands still.
fn converged() -> Laboratory {
    let laboratory = Laboratory::new(SITE);
    laboratory.apply();
    eventually("the VIPs on d1", || laboratory.run("d1", "ip -o address show dev eth0").contains("10.0.0.100/32"));
    let plan = laboratory.plan();
    assert_eq!(texts(&plan["changes"], "id"), Vec::<String>::new(), "{plan:#}");
    laboratory
}

fn each(alterations: &[ByHand]) {
    let laboratory = converged();
    let mut before = laboratory.snapshot();
    for ByHand { host, script, found, renewed } in alterations {
        println!("{host}: {script}");
        laboratory.run(host, script);
        let plan = laboratory.plan();
        let seen: Vec<_> = plan["changes"]
            .as_array()
            .expect("changes")
            .iter()
            .map(|change| ["id", "action", "reason"].map(|key| change[key].as_str().expect("a text").to_owned()))
            .collect();
        let expected: Vec<_> = found
            .iter()
            .map(|(id, action, reason)| [format!("{host}/{id}"), (*action).to_owned(), (*reason).to_owned()])
            .collect();
        assert_eq!(seen, expected, "{script}");
        let ids: Vec<&String> = expected.iter().map(|[id, ..]| id).collect();
        assert_eq!(texts(&plan["drift"], "id").iter().collect::<Vec<_>>(), ids, "{script}");

        let report = laboratory.apply();
        assert_eq!(report["outcome"], "converged", "{report:#}");
        let made = texts(&report["steps"], "id");
        assert_eq!(made.iter().collect::<BTreeSet<_>>(), ids.into_iter().collect(), "{script}");
        let mut repaired = laboratory.snapshot();
        for section in *renewed {
            let section = format!("{host} {section}");
            before.0.insert(section.clone(), repaired.0.get(&section).cloned().unwrap_or_default());
        }
        if !renewed.is_empty() {
            // A director whose keepalived started anew may hold the VIPs now.
            eventually("everything as before", || {
                repaired = laboratory.snapshot();
                before.differences(&repaired).is_empty()
            });
        }
        before.assert_equal(&repaired, script);
    }
}

fn the_manifest() {
    let laboratory = converged();
    let before = laboratory.snapshot();
    let manifest = "$ROOT/var/lib/lvsctl/manifest.json";

    // Removed: it is written again, and nothing else is done.
    laboratory.run("w1", &format!("rm {manifest}"));
    let plan = laboratory.plan();
    assert_eq!(texts(&plan["changes"], "id"), ["w1/manifest"]);
    laboratory.apply();
    assert_eq!(texts(&laboratory.plan()["changes"], "id"), Vec::<String>::new());

    // Altered: what it says of everything is wrong.
    let altered = laboratory.snapshot();
    laboratory.run("d1", &format!("sed -i 's/\"digest\":\"./\"digest\":\"x/' {manifest}"));
    let plan = laboratory.plan();
    assert_eq!(texts(&plan["changes"], "id"), ["d1/manifest"]);
    laboratory.apply();
    altered.assert_equal(&laboratory.snapshot(), "after a manifest was repaired");
    laboratory.run("d1", &format!("chmod 644 {manifest}"));
    let plan = laboratory.plan();
    assert_eq!(texts(&plan["changes"], "id"), ["d1/manifest"]);
    assert_eq!(texts(&plan["drift"], "reason"), ["altered_on_host"]);
    laboratory.apply();
    altered.assert_equal(&laboratory.snapshot(), "after a manifest's mode was repaired");

    // Broken: the host counts as unread, and nothing is done anywhere.
    for text in ["", "{", "[]", "{\"format_version\":\"9.0\",\"entries\":[]}"] {
        laboratory.run("d1", &format!("printf '%s' '{text}' > {manifest}"));
        laboratory.run("w1", "iptables -t nat -F LVSCTL");
        let broken = laboratory.snapshot();
        let plan = laboratory.lvsctl(&["plan", "--format", "json", "--detailed-exitcode"]).expect(1).json();
        assert_eq!(plan["complete"], false);
        let status = plan["hosts"].as_array().expect("hosts").iter().find(|host| host["name"] == "d1").expect("d1");
        assert_eq!(status["status"], "unread");
        assert!(status["error"].as_str().expect("why").contains("manifest.json"), "{status}");
        let human = laboratory.lvsctl(&["plan"]).expect(1).stdout;
        assert!(!human.to_lowercase().contains("no changes") && human.contains("INCOMPLETE"), "{human}");
        laboratory.lvsctl(&["apply", "--auto-approve"]).expect(1);
        broken.assert_equal(&laboratory.snapshot(), "nothing is done while a host is unread");
    }
    let whole = before.0["d1 file var/lib/lvsctl/manifest.json"].split_once('\n').expect("mode and text").1;
    std::fs::write(laboratory.root("d1").join("var/lib/lvsctl/manifest.json"), whole).expect("the manifest");
    laboratory.apply();
    altered.assert_equal(&laboratory.snapshot(), "after a broken manifest was put back");
}
