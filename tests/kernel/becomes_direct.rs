//! A server to which packets are routed directly from now on, while a connection of the earlier way goes on sending.
//!
//! The kernel keeps one route a destination for all of its connections. Changed in place, no new connection would arrive, in
//! either family, for as long as that route stands, which an old connection's packet has made: 0 of 32 requests were answered.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lvsctl::rehearsal::layout::CLIENT;
use lvsctl::rehearsal::target::Target;

use crate::lab;
use crate::laboratory::{Laboratory, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("becomes_direct::new_connections_arrive", || a_tunnel_is_given_up("")).within(120),
        test("becomes_direct::new_connections_arrive_where_keepalived_edits", || {
            a_tunnel_is_given_up("check \"tcp\" interval=\"1s\" timeout=\"1s\";");
        })
        .within(150),
    ]
}

const SITE: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "one" { address "10.1.0.11/24"; address "fd00:1::11/64"; }
real-server "two" { address "10.1.0.12/24"; address "fd00:1::12/64"; }
vip "10.1.0.100" director="lb" forwarding="tun" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "one"; server "two"; }
}
vip "fd00:1::100" director="lb" forwarding="tun" {
    service "web6" { listen "tcp" 80; scheduler "rr"; server "one"; server "two"; }
}
"#;

fn a_tunnel_is_given_up(check: &str) {
    let site = SITE.replace("scheduler \"rr\";", &format!("scheduler \"rr\"; {check}"));
    let laboratory = Laboratory::new(&site);
    laboratory.apply();
    for service in ["web", "web6"] {
        laboratory.serves(service, 4);
    }
    let targets = ["web", "web6"].map(|service| laboratory.target(service));
    let (end, sending) = (AtomicBool::new(false), || laboratory.run("lb", "ipvsadm -Lnc"));
    std::thread::scope(|scope| {
        for target in targets.iter().flat_map(|target| [target, target]) {
            let end = &end;
            scope.spawn(move || lab::enter(CLIENT, || send_without_end(target, end)));
        }
        eventually("four clients send", || sending().matches("ESTABLISHED").count() == 4);
        laboratory.write(&site.replace("forwarding=\"tun\"", "forwarding=\"dr\""));
        let plan = laboratory.plan();
        let ids = texts(&plan["changes"], "id");
        let told = plan["changes"].to_string();
        assert!(ids.iter().any(|id| id.ends_with("tcp:10.1.0.100:80/10.1.0.11:80")), "{ids:?}");
        assert_eq!(told.matches("the kernel cannot change this in place").count(), 4, "{told}");
        laboratory.apply();
        assert_eq!(texts(&laboratory.plan()["changes"], "id"), Vec::<String>::new());
        for service in ["web", "web6"] {
            let served = laboratory.serves(service, 16);
            assert_eq!((served["one"], served["two"]), (8, 8), "{service}");
        }
        end.store(true, Ordering::Relaxed);
    });
    // The parameter that made the kernel forget is as it was, and the connections are gone.
    assert_eq!(laboratory.run("lb", "cat /proc/sys/net/ipv4/vs/expire_nodest_conn").trim(), "0");
    let left = sending();
    assert!(!left.contains("ESTABLISHED"), "{left}");
}

/// Sends the lines of a request that never ends, until the connection or the test does.
fn send_without_end(target: &Target, end: &AtomicBool) {
    let mut stream = TcpStream::connect(target.address()).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").expect("the first lines");
    while !end.load(Ordering::Relaxed) && stream.write_all(b"A: b\r\n").is_ok() {
        // The pace of the client, not a wait for anything.
        std::thread::sleep(Duration::from_millis(20));
    }
}
