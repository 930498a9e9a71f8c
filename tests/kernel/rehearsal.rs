//! The rehearsal's own phases, with the reference site set up by hand, as its operators do it: what the rehearsal measures
//! must be right before it may judge lvsctl.

use std::fs;
use std::path::Path;

use lvsctl::document::ReadSource;
use lvsctl::rehearsal::converge::Converger;
use lvsctl::rehearsal::live::LiveConverger;
use lvsctl::rehearsal::phases::Rehearsal;
use lvsctl::rehearsal::report::{ApplySummary, PlanSummary, Report};
use lvsctl::topology::{Connection, HostName, Topology};

use crate::lab::within;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("rehearsal::a_site_set_up_by_hand_serves_and_fails_over", a_site_set_up_by_hand_serves_and_fails_over)
            .within(90),
        test("rehearsal::every_sort_of_check_finds_somebody_who_answers", every_sort_of_check).within(120),
        test("rehearsal::a_broken_site_does_not_pass", a_broken_site_does_not_pass).within(90),
        test("rehearsal::datagrams_and_mapped_ports_arrive_under_nat", datagrams_and_mapped_ports_arrive_under_nat)
            .within(60),
    ]
}

struct OneFile<'a>(&'a str);

impl ReadSource for OneFile<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

fn load(text: &str) -> Topology {
    let loaded = lvsctl::topology::load("topology.kdl", &OneFile(text));
    loaded.topology.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

/// Converges by running commands, once.
struct ByHand {
    commands: Vec<(&'static str, String)>,
    configurations: Vec<(&'static str, String)>,
    done: bool,
}

impl Converger for ByHand {
    fn plan(&mut self, _: &Topology) -> Result<PlanSummary, String> {
        let create = if self.done { 0 } else { self.commands.len() + self.configurations.len() };
        Ok(PlanSummary { create, ..PlanSummary::default() })
    }

    fn apply(&mut self, topology: &Topology) -> Result<ApplySummary, String> {
        for (host, command) in &self.commands {
            let Connection::Namespace { name, .. } = &topology.hosts[&HostName::new(host)].connection.value else {
                return Err(format!("{host} is not in the laboratory"));
            };
            within(name, &["sh", "-ec", command]);
        }
        for (host, text) in &self.configurations {
            let Connection::Namespace { name, root } = &topology.hosts[&HostName::new(host)].connection.value else {
                return Err(format!("{host} is not in the laboratory"));
            };
            let path = Path::new(root).join("etc/keepalived/keepalived.conf");
            fs::write(&path, text).map_err(|error| error.to_string())?;
            let run = |file: &str| format!("{root}/run/{file}");
            let pids = [run("keepalived.pid"), run("keepalived_vrrp.pid"), run("keepalived_checkers.pid")];
            within(name, &["keepalived", "-f", path.to_str().unwrap(), "-p", &pids[0], "-r", &pids[1], "-c", &pids[2]]);
        }
        self.done = true;
        Ok(ApplySummary { applied: self.commands.len() + self.configurations.len(), failures: vec![] })
    }
}

const REFERENCE: &str = include_str!("../../examples/dr-fwmark-redirect/topology.kdl");

/// The published commands and files of the site, without their mistakes.
fn reference_by_hand() -> ByHand {
    let mut by_hand = ByHand { commands: vec![], configurations: vec![], done: false };
    for (director, priority, peer) in [("lb01", 100, "52:54:00:36:d0:a8"), ("lb02", 50, "52:54:00:06:b2:98")] {
        by_hand.commands.push((
            director,
            format!(
                "echo 1 > /proc/sys/net/ipv4/ip_forward
                 iptables -t mangle -N LVSCTL
                 iptables -t mangle -I PREROUTING -j LVSCTL
                 iptables -t mangle -A LVSCTL -m mac --mac-source {peer} -j RETURN
                 iptables -t mangle -A LVSCTL -d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 80 -j MARK --set-xmark 1
                 iptables -t mangle -A LVSCTL -d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 443 -j MARK --set-xmark 2"
            ),
        ));
        by_hand.configurations.push((director, keepalived(priority)));
    }
    for server in ["web1", "web2"] {
        by_hand.commands.push((
            server,
            "iptables -t nat -A PREROUTING -p tcp -d 10.4.1.190 --dport 80 -j REDIRECT
             iptables -t nat -A PREROUTING -p tcp -d 10.4.1.190 --dport 443 -j REDIRECT"
                .to_owned(),
        ));
    }
    by_hand
}

fn keepalived(priority: u8) -> String {
    let server = |address: &str, port: u16, checker: &str| {
        format!(
            "real_server {address} {port} {{ weight 100 \n inhibit_on_failure \n {checker} {{ \n url {{ \n path /lbtest.html \n
             status_code 200 \n }} \n connect_timeout 4 \n retry 5 \n delay_before_retry 2 \n }} \n }}\n"
        )
    };
    let service = |mark: u8, port: u16, checker: &str| {
        let servers = server("10.4.1.151", port, checker) + &server("10.4.1.152", port, checker);
        format!(
            "virtual_server fwmark {mark} {{ \n delay_loop 5 \n lb_algo wrr \n lb_kind DR \n protocol TCP \n {servers} }}\n"
        )
    };
    format!(
        "vrrp_instance ext {{ \n state BACKUP \n interface eth0 \n virtual_router_id 125 \n priority {priority} \n
         advert_int 1 \n nopreempt \n virtual_ipaddress {{ \n 10.4.1.190/32 dev eth0 \n }} \n }}\n{}{}",
        service(1, 80, "HTTP_GET"),
        service(2, 443, "SSL_GET")
    )
}

fn rehearse(topology: &Topology, by_hand: &mut ByHand, requests: u32) -> Report {
    let rehearsal = Rehearsal { topology, path: "topology.kdl", requests };
    let report = rehearsal.run(by_hand, &mut |line| println!("{line}")).expect("a report");
    println!("{}", serde_json::to_string_pretty(&report).expect("JSON"));
    report
}

fn a_site_set_up_by_hand_serves_and_fails_over() {
    let report = rehearse(&load(REFERENCE), &mut reference_by_hand(), 100);
    assert_eq!(report.failures, Vec::<String>::new());
    assert!(report.passed);
    assert_eq!(report.services.len(), 2);
    for service in report.services.iter().chain(&report.failovers[0].services) {
        assert_eq!((service.answered, service.failed), (100, 0), "{service:?}");
        assert_eq!(service.spread.values().copied().collect::<Vec<_>>(), [50, 50], "{service:?}");
    }
    let failover = &report.failovers[0];
    let (killed, heir) = (&failover.killed, failover.taken_over_by.as_ref().expect("an heir"));
    assert_ne!(killed, heir);
    assert_eq!((failover.balanced_by[killed], failover.balanced_by[heir]), (0, 200));
    assert!(failover.requests > 20, "{failover:?}");
    assert!(failover.takeover_ms.is_some_and(|after| (1000..10_000).contains(&after)), "{failover:?}");
}

fn a_broken_site_does_not_pass() {
    // web2 was forgotten, and the backup director balances nothing.
    let mut by_hand = reference_by_hand();
    by_hand.commands.retain(|(host, _)| *host != "web2" && *host != "lb02");
    let report = rehearse(&load(REFERENCE), &mut by_hand, 20);
    assert!(!report.passed);
    let http = &report.services[0];
    assert!(http.failed == 10 && http.spread[&HostName::new("web2")] == 0, "{http:?}");
    assert!(report.failures.iter().any(|failure| failure.contains("80/tcp http") && failure.contains("failed")));
    assert!(report.failures.iter().any(|failure| failure.contains("after the failover")), "{:?}", report.failures);
}

const NAT: &str = r#"
director "d1" { address "10.0.0.1/24"; interface "eth0"; }
real-server "w1" { address "10.0.0.11/24"; }
real-server "w2" { address "10.0.0.12/24"; managed #false; }
vip "10.0.0.100" director="d1" forwarding="nat" {
    service "web" { listen "tcp" 80; scheduler "wrr"; server "w1" weight=3 port=8080; server "w2" weight=1 port=8081; }
    service "names" { listen "udp" 53; scheduler "rr"; server "w1"; server "w2"; }
}
"#;

fn datagrams_and_mapped_ports_arrive_under_nat() {
    let director = "echo 1 > /proc/sys/net/ipv4/ip_forward
        echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects
        echo 0 > /proc/sys/net/ipv4/conf/eth0/send_redirects
        ip address add 10.0.0.100/32 dev eth0
        ipvsadm -A -t 10.0.0.100:80 -s wrr
        ipvsadm -a -t 10.0.0.100:80 -r 10.0.0.11:8080 -m -w 3
        ipvsadm -a -t 10.0.0.100:80 -r 10.0.0.12:8081 -m -w 1
        ipvsadm -A -u 10.0.0.100:53 -s rr
        ipvsadm -a -u 10.0.0.100:53 -r 10.0.0.11:53 -m
        ipvsadm -a -u 10.0.0.100:53 -r 10.0.0.12:53 -m";
    let commands = vec![("d1", director.to_owned()), ("w1", "ip route add default via 10.0.0.1".to_owned())];
    let report = rehearse(&load(NAT), &mut ByHand { commands, configurations: vec![], done: false }, 100);
    assert_eq!(report.failures, Vec::<String>::new());
    let spreads: Vec<Vec<u32>> =
        report.services.iter().map(|service| service.spread.values().copied().collect()).collect();
    assert_eq!(spreads, [[75, 25], [50, 50]]);
    assert!(report.failovers.is_empty());
}

/// Names, mail, a program that this machine does not have, and one of its users.
const CHECKED: &str = r#"
director "d1" { address "10.0.0.1/24"; interface "eth0"; }
real-server "w1" { address "10.0.0.11/24"; interface "eth0"; }
real-server "w2" { address "10.0.0.12/24"; interface "eth0"; }
pool "both" { server "w1"; server "w2"; }
vip "10.0.0.100" director="d1" forwarding="dr" {
    service "names" { listen "udp" 53; scheduler "rr"; check "dns" name="example.org" type="A" QUICK; pool "both"; }
    service "mail" { listen "tcp" 25; scheduler "rr"; check "smtp" helo="d1.example" QUICK; pool "both"; }
    service "script" {
        listen "tcp" 80
        scheduler "rr"
        check "script" run="/opt/nobody/has/this yes" user="lvsctl-nobody" QUICK
        quorum 1 up="/opt/nobody/has/that up" user="lvsctl-nobody"
        pool "both"
    }
    service "alive" { listen "tcp" 81; scheduler "rr"; check "ping" QUICK; pool "both"; }
}
"#;

fn every_sort_of_check() {
    let quick = r#"interval="1s" timeout="1s" retries=1 retry-delay="1s""#;
    let topology = load(&CHECKED.replace("QUICK", quick));
    let rehearsal = Rehearsal { topology: &topology, path: "topology.kdl", requests: 20 };
    let mut told = Vec::new();
    let report = rehearsal.run(&mut LiveConverger, &mut |line| told.push(line)).expect("a report");
    assert!(report.passed, "{:?}\n{told:#?}", report.failures);
    assert_eq!(report.services.iter().map(|service| service.answered).collect::<Vec<_>>(), [20; 4], "{told:#?}");
    let stood_in: Vec<&String> = told.iter().filter(|line| line.contains("is not on this machine")).collect();
    assert_eq!(stood_in.len(), 2, "{told:#?}");
}
