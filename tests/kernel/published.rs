//! The reference site set up as its operators published it, beside the one that lvsctl makes of its topology.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use crate::laboratory::{Laboratory, PASSWORD, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("published::the_topology_alone_has_the_effect_of_the_published_commands", same_effect).within(120),
        test("published::hosts_that_were_set_up_by_hand_are_taken_over", take_over).within(120),
        test("published::servers_with_a_vip_on_lo_are_taken_over", loopback_is_taken_over).within(60),
        test("published::tunnelled_servers_are_taken_over", tunnels_are_taken_over).within(60),
        test("published::a_table_of_ipvsadm_is_taken_over", a_table_is_taken_over).within(60),
    ]
}

const TOPOLOGY: &str = include_str!("../../examples/dr-fwmark-redirect/topology.kdl");

const DIRECTORS: [(&str, &str, u8, &str); 2] =
    [("lb01", "MASTER", 100, "52:54:00:36:d0:a8"), ("lb02", "Backup", 50, "52:54:00:06:b2:98")];

/// Sets the site up by hand, with every mistake that was published, and waits until it stands.
fn set_up_by_hand(laboratory: &Laboratory) {
    for (director, state, priority, peer) in DIRECTORS {
        let mangle = "iptables -t mangle";
        laboratory.run(
            director,
            &format!(
                "{mangle} -N IPVS
                {mangle} -I PREROUTING -j IPVS
                {mangle} -I IPVS -m mac --mac-source {peer} -j RETURN
                {mangle} -A IPVS -d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 80 -j MARK --set-xmark 1
                {mangle} -A IPVS -d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 443 -j MARK --set-xmark 2
                sysctl -qw net.ipv4.ip_forward=1"
            ),
        );
        let path = laboratory.root(director).join("etc/keepalived/keepalived.conf");
        fs::write(path, by_hand(director, state, priority)).expect("keepalived.conf");
        laboratory.run(
            director,
            "keepalived -f $ROOT/etc/keepalived/keepalived.conf -p $ROOT/run/keepalived.pid \
            -r $ROOT/run/keepalived_vrrp.pid -c $ROOT/run/keepalived_checkers.pid",
        );
    }
    for server in ["web1", "web2"] {
        for port in [80, 443] {
            let rule = format!("-A PREROUTING -p tcp -d 10.4.1.190 --dport {port} -j REDIRECT");
            laboratory.run(server, &format!("iptables -t nat {rule}"));
        }
    }
    stands(laboratory);
}

/// The directors' file: a password that is too long, a state with a wrong capital, `nopreempt` on a master, a protocol with
/// a mark, words of older versions.
fn by_hand(director: &str, state: &str, priority: u8) -> String {
    let mut text = format!(
        "global_defs {{\n notification_email {{\n ops@example.org\n }}\n notification_email_from lvs@example.org\n \
        smtp_server smtp.example.org\n smtp_connect_timeout 30\n route_id {director}\n}}\n\
        vrrp_instance by_hand {{\n state {state}\n interface eth0\n lvs_sync_daemon_interface eth0\n \
        virtual_router_id 125\n priority {priority}\n smtp_alert\n advert_int 1\n \
        authentication {{\n auth_type PASS\n auth_pass {PASSWORD}6\n }}\n nopreempt\n \
        virtual_ipaddress {{\n 10.4.1.190/32\n }}\n}}\n"
    );
    for (mark, port, checker) in [(1, 80, "HTTP_GET"), (2, 443, "SSL_GET")] {
        let _ = writeln!(
            text,
            "virtual_server fwmark {mark} {{\n delay_loop 5\n lb_algo wrr\n lb_kind DR\n protocol TCP\n \
            virtualhost www.example.org"
        );
        for server in ["10.4.1.151", "10.4.1.152"] {
            let _ = writeln!(
                text,
                " real_server {server} {port} {{\n weight 100\n inhibit_on_failure\n {checker} {{\n \
                url {{\n path /lbtest.html\n status_code 200\n }}\n connect_port {port}\n connect_timeout 4\n \
                nb_get_retry 5\n delay_before_retry 2\n }}\n }}"
            );
        }
        text.push_str("}\n");
    }
    text
}

/// Waits until there is a master and every server is in both tables.
fn stands(laboratory: &Laboratory) {
    eventually("a master", || ["lb01", "lb02"].iter().any(|director| holds_vip(laboratory, director)));
    for director in ["lb01", "lb02"] {
        eventually("two services of two servers", || {
            laboratory.run(director, "ipvsadm -Sn").matches(" -w 100").count() == 4
        });
    }
}

fn holds_vip(laboratory: &Laboratory, director: &str) -> bool {
    laboratory.run(director, "ip -o address show dev eth0").contains(" 10.4.1.190/32 ")
}

/// What a site does to packets, whatever its chains are called.
#[derive(Debug, PartialEq, Eq)]
struct Effect {
    marks: Vec<Vec<String>>,
    tables: Vec<String>,
    redirects: Vec<BTreeSet<String>>,
    forwarding: Vec<String>,
    holders: usize,
}

fn effect(laboratory: &Laboratory, chain: &str) -> Effect {
    let on = |hosts: [&str; 2], script: &str| hosts.map(|host| laboratory.run(host, script)).to_vec();
    let rules = |text: &String, start: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
    };
    let marks = on(["lb01", "lb02"], "iptables -t mangle -S");
    // The chain is jumped to from one place, and first.
    for text in &marks {
        assert_eq!(rules(text, "-A PREROUTING "), [format!("-j {chain}")], "{text}");
    }
    let redirects = on(["web1", "web2"], "iptables -t nat -S");
    let redirects = redirects.iter().map(|text| {
        let found = text.lines().filter(|line| line.ends_with("-j REDIRECT"));
        found.filter_map(|line| line.splitn(3, ' ').nth(2)).flat_map(port_by_port).collect::<BTreeSet<_>>()
    });
    Effect {
        marks: marks.iter().map(|text| rules(text, &format!("-A {chain} "))).collect(),
        tables: on(["lb01", "lb02"], "ipvsadm -Sn"),
        redirects: redirects.collect(),
        forwarding: on(["lb01", "lb02"], "cat /proc/sys/net/ipv4/ip_forward"),
        holders: ["lb01", "lb02"].iter().filter(|director| holds_vip(laboratory, director)).count(),
    }
}

/// Returns what a rule of several ports does, as a rule for each of them.
fn port_by_port(rule: &str) -> Vec<String> {
    let Some((before, rest)) = rule.split_once(" -m multiport --dports ") else { return vec![rule.to_owned()] };
    let (ports, after) = rest.split_once(' ').expect("a target");
    ports.split(',').map(|port| format!("{before} -m tcp --dport {port} {after}")).collect()
}

/// Returns how `keepalived -t` ends for each director's file.
fn complaints(laboratory: &Laboratory) -> Vec<String> {
    let script = "keepalived -t -f $ROOT/etc/keepalived/keepalived.conf >/dev/null 2>&1 || code=$?; echo ${code:-0}";
    ["lb01", "lb02"].map(|director| laboratory.run(director, script).trim().to_owned()).to_vec()
}

fn same_effect() {
    let published = {
        let laboratory = Laboratory::new(TOPOLOGY);
        set_up_by_hand(&laboratory);
        assert_eq!(complaints(&laboratory), ["5", "5"]);
        effect(&laboratory, "IPVS")
    };
    assert_eq!(published.marks[0].len(), 3, "{published:?}");
    assert_eq!(published.redirects[0].len(), 2, "{published:?}");
    assert_eq!(published.holders, 1, "{published:?}");
    let laboratory = Laboratory::new(TOPOLOGY);
    laboratory.apply();
    stands(&laboratory);
    assert_eq!(effect(&laboratory, "LVSCTL"), published);
    assert_eq!(complaints(&laboratory), ["0", "0"]);
    for service in ["http", "https"] {
        let spread = laboratory.serves(service, 100);
        assert_eq!(spread.values().copied().collect::<Vec<_>>(), [50, 50], "{service}");
    }
}

fn take_over() {
    let laboratory = Laboratory::new(TOPOLOGY);
    set_up_by_hand(&laboratory);
    laboratory.serves("http", 4);
    let pids: Vec<String> = ["lb01", "lb02"].map(|host| laboratory.run(host, "cat $ROOT/run/keepalived.pid")).to_vec();
    let before = laboratory.snapshot();

    let plan = laboratory.plan();
    before.assert_equal(&laboratory.snapshot(), "after a plan");
    let found: Vec<String> = plan["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| format!("{} {}", change["id"].as_str().unwrap(), change["reason"].as_str().unwrap()))
        .collect();
    let expected = |director: &str| {
        [
            format!("{director}/iptables/mangle/LVSCTL new"),
            format!("{director}/keepalived/configuration adopted"),
            format!("{director}/keepalived/daemon adopted"),
            format!("{director}/boot-files new"),
            format!("{director}/manifest new"),
        ]
    };
    let servers = ["web1", "web2"];
    let parts = ["iptables/nat/LVSCTL", "boot-files", "manifest"];
    let on_servers = servers.map(|server| parts.map(|part| format!("{server}/{part} new")));
    let all: Vec<String> = expected("lb01").into_iter().chain(expected("lb02")).chain(on_servers.concat()).collect();
    assert_eq!(found, all);
    assert!(!plan.to_string().contains(PASSWORD), "the live password is masked");
    // What was appended to PREROUTING itself is listed with the chains.
    let chains = ["lb01/iptables/mangle/IPVS", "lb02/iptables/mangle/IPVS"];
    let rules = ["web1/iptables/nat/PREROUTING", "web2/iptables/nat/PREROUTING"];
    let foreign = [chains, rules].concat();
    assert_eq!(texts(&plan["foreign"], "id"), foreign);

    laboratory.apply();
    stands(&laboratory);
    let after = laboratory.plan();
    assert_eq!(texts(&after["changes"], "id"), Vec::<String>::new());
    assert_eq!(texts(&after["foreign"], "id"), foreign);
    for (director, pid) in ["lb01", "lb02"].iter().zip(pids) {
        assert_eq!(laboratory.run(director, "cat $ROOT/run/keepalived.pid"), pid, "it was reloaded, not restarted");
        let old = format!("{director} iptables");
        let chain =
            |text: &str| text.lines().filter(|line| line.contains("IPVS")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(chain(&before.0[&old]), chain(&laboratory.snapshot().0[&old]), "the old chain is left alone");
        let kept = laboratory.root(director).join("etc/keepalived/keepalived.conf.before-lvsctl");
        assert!(fs::read_to_string(kept).expect("the operator's file is kept").contains("by_hand"));
    }
    assert_eq!(complaints(&laboratory), ["0", "0"]);
    for service in ["http", "https"] {
        let spread = laboratory.serves(service, 20);
        assert_eq!(spread.values().copied().collect::<Vec<_>>(), [10, 10], "{service}");
    }
}

/// Sets a site up by the published commands, asks it, has lvsctl take it over, and asks it again; returns the changes of the plan.
fn taken_over(text: &str, commands: &[(&str, &str)]) -> (Laboratory, Vec<String>) {
    let laboratory = Laboratory::new(text);
    for (host, script) in commands {
        laboratory.run(host, script);
    }
    laboratory.serves("web", 4);
    let plan = laboratory.plan();
    let changes = plan["changes"].as_array().expect("changes").iter();
    let disruptive: Vec<_> = changes.clone().filter(|change| change["impact"]["disruptive"] == true).collect();
    assert!(disruptive.is_empty(), "{disruptive:?}");
    let ids = texts(&plan["changes"], "id");
    laboratory.apply();
    assert_eq!(texts(&laboratory.plan()["changes"], "id"), Vec::<String>::new());
    laboratory.serves("web", 4);
    (laboratory, ids)
}

/// Returns the changes but for what lvsctl keeps of its own.
fn but_its_own(ids: &[String]) -> Vec<&str> {
    let is_own = |id: &&str| ["/manifest", "/boot-files"].iter().any(|end| id.ends_with(end));
    ids.iter().map(String::as_str).filter(|id| !is_own(id)).collect()
}

/// As published, but for what `ifconfig` and `route` are called now.
const ON_LOOPBACK: &str = "
    ip address add 192.168.11.110/32 dev lo label lo:0
    ip route add 192.168.11.110/32 dev lo
    echo 1 > /proc/sys/net/ipv4/conf/lo/arp_ignore
    echo 2 > /proc/sys/net/ipv4/conf/lo/arp_announce
    echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore
    echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce";

fn loopback_is_taken_over() {
    let site = r#"
director "lb" { address "192.168.11.101/23"; interface "eth0"; }
real-server "n1" { address "192.168.11.98/23"; interface "eth0"; }
real-server "n2" { address "192.168.11.99/23"; interface "eth0"; }
vip "192.168.11.110" director="lb" forwarding="dr" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "n1"; server "n2"; }
}
"#;
    let director = "modprobe ip_vs; sysctl -qw net.ipv4.ip_forward=1; ip address add 192.168.11.110/32 dev eth0
        ipvsadm -A -t 192.168.11.110:80 -s rr
        ipvsadm -a -t 192.168.11.110:80 -r 192.168.11.98 -g; ipvsadm -a -t 192.168.11.110:80 -r 192.168.11.99 -g";
    let (laboratory, ids) = taken_over(site, &[("n1", ON_LOOPBACK), ("n2", ON_LOOPBACK), ("lb", director)]);
    println!("{ids:#?}");
    assert_eq!(but_its_own(&ids), Vec::<&str>::new(), "all of it is as the topology says");
    let address = laboratory.run("n1", "ip -o address show dev lo; ip route show table main");
    assert!(address.contains("lo:0") && address.contains("192.168.11.110 dev lo"), "{address}");
}

fn tunnels_are_taken_over() {
    let site = r#"
director "lb" { address "192.168.2.11/24"; interface "eth0"; }
real-server "apache1" { address "192.168.2.101/24"; interface "eth0"; }
vip "192.168.2.103" director="lb" forwarding="tun" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "apache1"; }
}
"#;
    // The filter of the return path was open by default on the published hosts' kernels.
    let server = "modprobe ipip
        ip address add 192.168.2.103/32 broadcast 192.168.2.103 dev tunl0; ip link set tunl0 up
        ip route add 192.168.2.103/32 dev tunl0
        echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore
        echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce
        echo 1 > /proc/sys/net/ipv4/conf/tunl0/arp_ignore
        echo 2 > /proc/sys/net/ipv4/conf/tunl0/arp_announce
        echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
        echo 0 > /proc/sys/net/ipv4/conf/tunl0/rp_filter";
    let director = "modprobe ip_vs; sysctl -qw net.ipv4.ip_forward=1; ip address add 192.168.2.103/32 dev eth0
        ipvsadm -A -t 192.168.2.103:80 -s rr; ipvsadm -a -t 192.168.2.103:80 -r 192.168.2.101 -i";
    let (_, ids) = taken_over(site, &[("apache1", server), ("lb", director)]);
    println!("{ids:#?}");
    // What was not published: answers that fit into the envelope.
    assert_eq!(but_its_own(&ids), ["apache1/iptables/mangle/LVSCTL-OUT"]);
}

fn a_table_is_taken_over() {
    let site = r#"
director "lb" { address "192.168.122.53/24"; address "172.16.0.1/24"; address "202.103.106.1/24"; interface "eth0"; }
real-server "apache1" { address "192.168.122.50/24"; }
real-server "apache2" { address "192.168.122.51/24"; }
real-server "web1" { address "172.16.0.2/24"; }
real-server "web2" { address "172.16.0.3/24"; }
vip "192.168.122.53" director="lb" forwarding="nat" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "apache1"; server "apache2"; }
}
vip "202.103.106.5" director="lb" forwarding="nat" {
    service "mapped" { listen "tcp" 80; scheduler "wrr"; server "web1" weight=1; server "web2" port=8000 weight=2; }
    service "ftp" { listen "tcp" 21; server "web2" port=21; }
    service "kept" { listen "tcp" 8080; persistence "300s"; server "web1"; }
    service "as-one" { listen "tcp" 81 82; fwmark 1; persistence "300s"; server "web1"; }
}
vip "202.103.106.7" director="lb" forwarding="nat" {
    service "all" { listen "tcp" 0; persistence "300s"; server "web1"; }
}
"#;
    let director = "modprobe ip_vs; sysctl -qw net.ipv4.ip_forward=1
        ip address add 202.103.106.5/32 dev eth0; ip address add 202.103.106.7/32 dev eth0
        ipvsadm -A -t 192.168.122.53:80 -s rr
        ipvsadm -a -t 192.168.122.53:80 -r 192.168.122.50 -m; ipvsadm -a -t 192.168.122.53:80 -r 192.168.122.51 -m
        ipvsadm -A -t 202.103.106.5:80 -s wrr; ipvsadm -a -t 202.103.106.5:80 -r 172.16.0.2:80 -m -w 1
        ipvsadm -a -t 202.103.106.5:80 -r 172.16.0.3:8000 -m -w 2
        ipvsadm -A -t 202.103.106.5:21; ipvsadm -a -t 202.103.106.5:21 -r 172.16.0.3:21 -m -w 1
        ipvsadm -A -t 202.103.106.5:8080 -p 300; ipvsadm -a -t 202.103.106.5:8080 -r 172.16.0.2:8080 -m
        ipvsadm -A -f 1 -p 300; ipvsadm -a -f 1 -r 172.16.0.2:0 -m
        ipvsadm -A -t 202.103.106.7:0 -p 300; ipvsadm -a -t 202.103.106.7:0 -r 172.16.0.2:0 -m";
    let through = |gateway: &str| format!("ip route replace default via {gateway}");
    let [apache, web] = [through("192.168.122.53"), through("172.16.0.1")];
    let servers = [("apache1", &apache), ("apache2", &apache), ("web1", &web), ("web2", &web)];
    let servers = servers.map(|(host, script)| (host, script.as_str()));
    let (laboratory, ids) = taken_over(site, &[&servers[..], &[("lb", director)]].concat());
    println!("{ids:#?}");
    // The marks of the one service were not published, nor that a server behind a director is not told of shorter ways.
    let redirects = ["all", "eth0"].map(|device| format!("lb/sysctl/net.ipv4.conf.{device}.send_redirects"));
    let unpublished = [&redirects[..], &["lb/iptables/mangle/LVSCTL".to_owned()]].concat();
    assert_eq!(but_its_own(&ids), unpublished);
    laboratory.serves("mapped", 6);
}
