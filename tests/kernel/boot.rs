//! After a reboot: a kernel is booted again with the files that the first one wrote, what the unit runs is run, and the
//! plan says that nothing has to change.

use std::fs;

use crate::carried::{keep, put_back};
use crate::lab;
use crate::laboratory::{Laboratory, Snapshot, eventually};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("boot::a_site_comes_back_with_the_kernel", a_site_is_applied)
            .within(120)
            .then_after_reboot(a_site_comes_back),
        test("boot::restoring_twice_changes_nothing", restoring_twice_changes_nothing).within(90),
        test("boot::what_is_somebody_elses_stays", what_is_somebody_elses_stays).within(90),
    ]
}

/// A site with every sort of thing that is restored, static and with keepalived, IPv4 and IPv6.
const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    address "fd00::1/64"
    interface "eth0"
    sysctl "net.ipv4.vs.expire_nodest_conn" 1
    timeouts tcp="20m" udp="60s"
    sync-daemon "master" id=3 port=9000 maxlen=700
    offload interface="eth0" gro=#false
    connection-table-bits 13
    sysctl "net.netfilter.nf_conntrack_tcp_loose" 0
    sysctl "net.ipv4.conf.eth0.rp_filter" 2
}
director "d2" {
    address "10.0.0.2/24"
    address "fd00::2/64"
    interface "eth0"
}
real-server "w1" {
    address "10.0.0.11/24"
    address "fd00::11/64"
    interface "eth0"
}
real-server "w2" {
    address "10.0.0.12/24"
    address "fd00::12/64"
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
        persistence "300s" netmask=24
        server "w1" weight=20 upper=9 lower=3
    }
    service "datagrams" {
        listen "udp" 53
        scheduler "rr"
        server "w1"
    }
    service "streams" {
        listen "sctp" 9
        scheduler "sh" fallback=#true
        server "w1"
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
vip "10.0.0.103" director="d1" forwarding="tun" {
    service "wrapped" {
        listen "tcp" 80
        scheduler "rr"
        server "w1" tunnel="gue" tunnel-port=6080
    }
}
vip "10.0.0.104" director="d1" forwarding="dr" delivery="dummy" {
    service "dummy" {
        listen "tcp" 80
        scheduler "rr"
        server "w1"
    }
}
vip "fd00::100" director="d1" forwarding="dr" {
    service "six" {
        listen "tcp" 80
        listen "tcp" "8000-8010"
        fwmark 9
        scheduler "mh" port=#true
        server "w1" weight=4
    }
    service "six-static" {
        listen "tcp" 8081
        scheduler "rr"
        server "w1"
    }
}
"#;

const HOSTS: [&str; 4] = ["d1", "d2", "w1", "w2"];

/// What the unit runs, below the folder that is the host's `/`.
pub const RESTORE: &str = "$(sed -n 's/^ExecStart=//p' $ROOT/etc/systemd/system/lvsctl-restore.service \
                       | sed \"s|/etc/|$ROOT/etc/|\")";

fn a_site_is_applied() {
    let laboratory = Laboratory::new(SITE);
    laboratory.apply();
    assert_eq!(changes(&laboratory), Vec::<String>::new(), "before the reboot");
    assert_is_no_source(&laboratory);
    for host in HOSTS {
        keep(host, &laboratory.root(host));
    }
}

fn a_site_comes_back() {
    let laboratory = Laboratory::new(SITE);
    for host in HOSTS {
        put_back(host, &laboratory.root(host));
        let link = "etc/systemd/system/multi-user.target.wants/lvsctl-restore.service";
        let unit = fs::read_link(laboratory.root(host).join(link)).expect("the unit is enabled");
        assert_eq!(unit.to_str(), Some("/etc/systemd/system/lvsctl-restore.service"));
    }
    assert!(changes(&laboratory).len() > 20, "the kernel is empty");
    for host in HOSTS {
        laboratory.run(host, RESTORE);
    }
    let bits = lab::within(laboratory.namespace("d1"), &["cat", "/sys/module/ip_vs/parameters/conn_tab_bits"]);
    assert_eq!(bits.trim(), "13");
    // keepalived's own unit comes after this one, and systemd starts it.
    for host in ["d1", "d2"] {
        laboratory.run(
            host,
            "setsid keepalived -n -l -f $ROOT/etc/keepalived/keepalived.conf -p $ROOT/run/keepalived.pid \
             -r $ROOT/run/keepalived_vrrp.pid -c $ROOT/run/keepalived_checkers.pid >/dev/null 2>&1 &",
        );
    }
    eventually("a plan without changes", || changes(&laboratory).is_empty());
    laboratory.serves("redirected", 20);
    laboratory.serves("checked", 20);
    laboratory.serves("wrapped", 20);
    laboratory.serves("dummy", 20);
    laboratory.serves("six", 20);
    laboratory.serves("six-static", 20);
    assert_is_no_source(&laboratory);
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
}

/// A VIP of IPv6 is no source of the host's own packets, on the director as on the server.
fn assert_is_no_source(laboratory: &Laboratory) {
    for host in ["d1", "w1"] {
        let text = laboratory.run(host, "ip -6 -o address show to fd00::100/128");
        assert!(text.contains("preferred_lft 0sec"), "{host}: {text}");
    }
}

/// Applies, and waits until the first director holds what floats.
fn applied(laboratory: &Laboratory) {
    laboratory.apply();
    let held = |host: &str| lab::within(laboratory.namespace(host), &["ip", "-o", "address"]).contains("10.0.0.101/32");
    eventually("one holder", || held("d1") && !held("d2"));
    eventually("a plan without changes", || changes(laboratory).is_empty());
}

fn changes(laboratory: &Laboratory) -> Vec<String> {
    crate::laboratory::texts(&laboratory.plan()["changes"], "id")
}

fn restoring_twice_changes_nothing() {
    let laboratory = Laboratory::new(SITE);
    applied(&laboratory);
    let before = laboratory.snapshot();
    for host in HOSTS {
        laboratory.run(host, RESTORE);
    }
    before.assert_equal(&laboratory.snapshot(), "everything was in place");
    // What is missing comes back, and the rest stays.
    laboratory.run("d1", "ipvsadm -d -u 10.0.0.100:53 -r 10.0.0.11:53; ip address del 10.0.0.102/32 dev eth0");
    laboratory.run("w1", "ip address del 10.0.0.100/32 dev lo; iptables-legacy -t nat -D PREROUTING -j LVSCTL");
    laboratory.run("w2", "ip route del default");
    for host in HOSTS {
        laboratory.run(host, RESTORE);
    }
    before.assert_equal(&laboratory.snapshot(), "everything is back");
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    let after = laboratory.snapshot();
    let left = files_of(&after);
    assert!(left.is_empty(), "{left:?}");
}

/// Returns the names of lvsctl's files that restore.
fn files_of(snapshot: &Snapshot) -> Vec<&String> {
    snapshot
        .0
        .keys()
        .filter(|key| key.contains("etc/lvsctl") || key.contains("lvsctl.conf") || key.contains("lvsctl-restore"))
        .collect()
}

fn what_is_somebody_elses_stays() {
    let laboratory = Laboratory::new(SITE);
    laboratory.run(
        "d1",
        "mkdir -p $ROOT/etc/sysctl.d; echo 'vm.swappiness = 1' >$ROOT/etc/sysctl.d/90-lvsctl.conf
         echo 'vm.swappiness = 2' >$ROOT/etc/sysctl.d/80-other.conf",
    );
    let shown = laboratory.lvsctl(&["plan"]).expect(0).stdout;
    assert!(shown.contains("/etc/sysctl.d/90-lvsctl.conf"), "{shown}");
    assert!(shown.contains("- vm.swappiness = 1"), "{shown}");
    assert!(shown.contains("! replaces a file that lvsctl did not write"), "{shown}");
    applied(&laboratory);
    let kept = laboratory.root("d1").join("etc/sysctl.d/90-lvsctl.conf.before-lvsctl");
    assert_eq!(fs::read_to_string(kept).expect("what was there"), "vm.swappiness = 1\n");
    let add = "ipvsadm -A -t 10.9.9.9:80 -s rr; ipvsadm -a -t 10.9.9.9:80 -r 10.9.9.8:80 -m
               iptables-legacy -t mangle -N OWN; iptables-legacy -t mangle -A OWN -j RETURN
               iptables-legacy -t mangle -I PREROUTING 1 -j OWN
               ip address add 10.9.9.7/32 dev lo; ip route add 10.9.0.0/16 via 10.0.0.12";
    laboratory.run("d1", add);
    let before = laboratory.snapshot();
    laboratory.run("d1", RESTORE);
    before.assert_equal(&laboratory.snapshot(), "what somebody else put there");
    // A server that would answer ARP for a VIP does not get it back, and the unit fails.
    laboratory.run(
        "w1",
        "ip address del 10.0.0.100/32 dev lo; sed -i /arp_/d $ROOT/etc/sysctl.d/90-lvsctl.conf
         for device in all lo; do echo 0 >/proc/sys/net/ipv4/conf/$device/arp_ignore; done",
    );
    laboratory.run("w1", &format!("if {RESTORE} 2>/dev/null; then exit 1; fi"));
    let held = laboratory.run("w1", "ip -o address show dev lo");
    assert!(!held.contains("10.0.0.100/32"), "{held}");
}
