//! A hardware address that moves with the VIPs, with packets.

use std::fs;
use std::net::UdpSocket;

use lvsctl::rehearsal::layout::GATEWAY;

use crate::lab;
use crate::laboratory::{Laboratory, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("virtual_mac::it_moves_with_the_vips_and_is_given_up", it_moves_with_the_vips_and_is_given_up)
            .within(240)
            .on_both_kernels(),
    ]
}

/// Two failovers of either family with the same number; marks, so that directors must let each other's packets pass.
const SITE: &str = r#"
director "lb1" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
director "lb2" { address "10.1.0.2/24"; address "fd00:1::2/64"; interface "eth0"; }
real-server "web1" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "web2" { address "10.1.0.12/24"; address "fd00:1::12/64"; }
failover "ext" {
    director "lb1" priority=150
    director "lb2" priority=100
    virtual-router-id 51
    virtual-mac #true
}
failover "six" {
    director "lb1" priority=150
    director "lb2" priority=100
    virtual-router-id 51
    version 3
    virtual-mac #true
}
vip "10.1.0.100" failover="ext" forwarding="dr" {
    service "web" { listen "tcp" 80; fwmark 1; scheduler "rr"; server "web1"; server "web2"; }
}
vip "fd00:1::100" failover="six" forwarding="dr" {
    service "web6" { listen "tcp" 80; fwmark 1; scheduler "rr"; server "web1"; server "web2"; }
}
"#;

const PARAMETERS: &str =
    "cd /proc/sys/net/ipv4/conf; grep . all/arp_ignore all/rp_filter eth0/arp_ignore eth0/arp_filter";

/// Returns what the gateway knows of a neighbour.
fn neighbour(address: &str) -> String {
    let known = lab::within(GATEWAY, &["ip", "neigh"]);
    known.lines().find(|line| line.starts_with(&format!("{address} "))).unwrap_or_default().to_owned()
}

fn assert_neighbour(address: &str, mac: &str) {
    assert!(neighbour(address).contains(mac), "{address} is not at {mac}: {}", neighbour(address));
}

fn it_moves_with_the_vips_and_is_given_up() {
    let laboratory = Laboratory::new(SITE);
    // A strict filter would drop what comes in by the virtual address.
    for director in ["lb1", "lb2"] {
        laboratory.run(director, "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter");
    }
    let before = ["lb1", "lb2"].map(|director| laboratory.run(director, PARAMETERS));
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    let holds = |director: &str, vip: &str, on: &str| {
        let shown = laboratory.run(director, "ip -brief address");
        shown.lines().any(|line| line.starts_with(&format!("{on} ")) && line.contains(vip)) as u8
    };
    let held = |director: &str| {
        holds(director, "10.1.0.100/32", "vrrp.51@eth0") + holds(director, "fd00:1::100/128", "vrrp6.51@eth0")
    };
    eventually("the preferred master with both VIPs", || (held("lb1"), held("lb2")) == (2, 0));
    let serves = || {
        for service in ["web", "web6"] {
            let spread = laboratory.serves(service, 20);
            assert_eq!(spread.values().copied().collect::<Vec<_>>(), [10, 10], "{service}: {spread:?}");
        }
        assert_neighbour("10.1.0.100", "00:00:5e:00:01:33");
        assert_neighbour("fd00:1::100", "00:00:5e:00:02:33");
        // Neither virtual address is taken for that of the directors themselves.
        for director in ["10.1.0.1", "10.1.0.2"] {
            lab::within(GATEWAY, &["ip", "neigh", "flush", "to", director]);
            lab::enter(GATEWAY, || UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", (director, 9))))
                .expect("a packet is sent");
            let line = || neighbour(director);
            eventually("the director's hardware address", || line().contains("lladdr"));
            assert!(!line().contains("00:00:5e"), "{}", line());
        }
    };
    serves();
    // The frames that a director sends on bear its interface's own hardware address, which the other one lets pass.
    let own =
        laboratory.run("lb1", "ip -o link show eth0 | sed 's/.*ether \\([0-9a-f:]*\\) .*/\\1/'").trim().to_owned();
    laboratory.run("web1", &format!("iptables -t mangle -A PREROUTING -d 10.1.0.100 -p tcp -m mac --mac-source {own}"));
    laboratory.serves("web", 20);
    let counted = laboratory.run("web1", "iptables -t mangle -S PREROUTING -v");
    assert!(!counted.lines().any(|line| line.contains("--mac-source") && line.contains("-c 0 0")), "{counted}");

    // The master ends, and the other director has the same addresses.
    let pid = fs::read_to_string(laboratory.root("lb1").join("run/keepalived.pid")).expect("the daemon's file");
    laboratory.run("lb1", &format!("kill {}", pid.trim()));
    eventually("the other master", || (held("lb1"), held("lb2")) == (0, 2));
    serves();
    assert_eq!(texts(&laboratory.plan()["changes"], "id"), ["lb1/keepalived/daemon"]);
    laboratory.apply();
    eventually("the preferred master again", || (held("lb1"), held("lb2")) == (2, 0));
    serves();

    // It is given up: the VIPs are on the interface itself, and what keepalived would leave set is put back.
    laboratory.write(&SITE.replace("virtual-mac #true", ""));
    let plan = laboratory.lvsctl(&["plan"]).expect(0).stdout;
    assert!(plan.contains("VRRP elects anew, and its VIPs are dropped meanwhile (virtual MAC)"), "{plan}");
    laboratory.apply();
    assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
    eventually("the VIP on the interface itself", || {
        holds("lb1", "10.1.0.100/32", "eth0@if") == 0 && {
            laboratory.run("lb1", "ip -o address show dev eth0").contains("10.1.0.100/32")
        }
    });
    laboratory.serves("web", 20);
    assert_eq!(["lb1", "lb2"].map(|director| laboratory.run(director, PARAMETERS)), before);
}
