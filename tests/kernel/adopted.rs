//! What others did on a host before lvsctl came, or while it was there: put right, or left to them.

use crate::laboratory::{Laboratory, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("adopted::a_vip_with_another_prefix_is_put_right", a_vip_with_another_prefix_is_put_right).within(120),
        test("adopted::what_somebody_set_since_stays_when_lvsctl_goes", what_somebody_set_since_stays).within(120),
    ]
}

const SITE: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "web" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "nat" { address "10.1.0.12/24"; }
vip "10.1.0.100" director="lb" forwarding="dr" { service "web" { listen "tcp" 80; server "web"; }; }
vip "fd00:1::100" director="lb" forwarding="dr" { service "web6" { listen "tcp" 80; server "web"; }; }
vip "10.1.0.101" director="lb" forwarding="nat" { service "nat" { listen "tcp" 80; server "nat"; }; }
"#;

/// Makes what lvsctl wants and more: the whole network is local on the real server, and wide on the director.
const WIDE: [(&str, &str); 4] = [
    ("web", "ip address add 10.1.0.100/24 dev lo"),
    ("web", "ip address add 10.1.0.100/32 dev lo label lo:0; ip address add fd00:1::100/64 dev lo nodad"),
    ("lb", "ip address add 10.1.0.100/25 dev eth0"),
    ("lb", "ip address add 10.1.0.101/32 dev eth0; ip address add 10.1.0.101/25 dev eth0"),
];

fn a_vip_with_another_prefix_is_put_right() {
    let laboratory = Laboratory::new(SITE);
    for (host, command) in WIDE {
        laboratory.run(host, command);
    }
    for when in ["at first", "as drift"] {
        laboratory.apply();
        assert!(texts(&laboratory.plan()["changes"], "id").is_empty(), "{when}");
        for (host, device) in [("web", "lo"), ("lb", "eth0")] {
            let held = laboratory.run(host, &format!("ip -brief address show dev {device}"));
            let vips: Vec<&str> =
                held.split_whitespace().filter(|word| word.contains("100/") || word.contains(".101/")).collect();
            assert!(vips.iter().all(|vip| vip.ends_with("/32") || vip.ends_with("/128")), "{when} on {host}: {held}");
        }
        for service in ["web", "web6", "nat"] {
            laboratory.serves(service, 5);
        }
        laboratory.run("web", "ip address add 10.1.0.100/24 dev lo");
        laboratory.run("lb", "ip address add 10.1.0.101/24 dev eth0");
    }
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    let left = laboratory.run("web", "ip address") + &laboratory.run("lb", "ip address");
    assert!(!left.contains("10.1.0.100/") && !left.contains("10.1.0.101/"), "{left}");
}

fn what_somebody_set_since_stays() {
    let laboratory = Laboratory::new(SITE);
    laboratory.run("nat", "ip route add default via 10.1.0.7");
    laboratory.apply();
    laboratory.run("web", "echo 8 > /proc/sys/net/ipv4/conf/all/arp_ignore");
    laboratory.run("nat", "ip route replace default via 10.1.0.8");
    let plan = laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    assert_eq!(laboratory.run("web", "cat /proc/sys/net/ipv4/conf/all/arp_ignore").trim(), "8", "{}", plan.stdout);
    assert_eq!(laboratory.run("web", "cat /proc/sys/net/ipv4/conf/all/arp_announce").trim(), "0");
    let routes = laboratory.run("nat", "ip route show default");
    assert!(routes.contains("via 10.1.0.8") && !routes.contains("10.1.0.7"), "{routes}");
}
