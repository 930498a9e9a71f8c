//! A running site is changed while clients ask it: 10,000 requests in all, and none is lost.
//!
//! The clients open so many connections that their ports come again while the kernel still knows the earlier connection,
//! as those of a busy proxy do. Where that led to a server that is gone, the kernel drops every packet of the new one for
//! up to two minutes, unless `net.ipv4.vs.expire_nodest_conn` is set: so both sites set it. Without it, 6 of 21,517
//! requests were lost under NAT when the drained server went.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lvsctl::rehearsal::client;
use lvsctl::rehearsal::layout::CLIENT;
use lvsctl::rehearsal::target::Target;

use crate::lab;
use crate::laboratory::{Laboratory, eventually};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("traffic::no_request_is_lost_under_nat", no_request_is_lost_under_nat).within(300),
        test("traffic::no_request_is_lost_under_dr_with_checks", no_request_is_lost_under_dr).within(300),
        test("traffic::no_request_is_lost_when_marks_come_and_go", || marks_come_and_go(NAT)).within(300),
        test("traffic::no_request_is_lost_when_checked_marks_come_and_go", || marks_come_and_go(DR)).within(300),
    ]
}

/// The requests of a site, over all of its changes, and of one whose marks come and go.
const REQUESTS: usize = 10_000;
const REQUESTS_OF_MARKS: usize = 5000;

/// How long a request may take; a lost first packet is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a client waits between two requests, for the sake of others on the machine.
const PAUSE: Duration = Duration::from_millis(5);

/// How many clients ask at once.
const CLIENTS: usize = 6;

/// How long the requests of one step may take, for a slow guest.
const STEP: Duration = Duration::from_secs(120);

const NAT: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
    sysctl "net.ipv4.vs.expire_nodest_conn" 1
}
real-server "w1" {
    address "10.0.0.11/24"
}
real-server "w2" {
    address "10.0.0.12/24"
}
real-server "w3" {
    address "10.0.0.13/24"
}
vip "10.0.0.100" director="d1" forwarding="nat" {
    service "web" {
        listen "tcp" 80
        scheduler "wrr"
        server "w1" weight=2 port=8080
        server "w2" weight=2 port=8080
        server "w3" weight=2 port=8080
    }
}
"#;

const DR: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
    sysctl "net.ipv4.vs.expire_nodest_conn" 1
}
director "d2" {
    address "10.0.0.2/24"
    interface "eth0"
    sysctl "net.ipv4.vs.expire_nodest_conn" 1
}
real-server "w1" {
    address "10.0.0.11/24"
    interface "eth0"
}
real-server "w2" {
    address "10.0.0.12/24"
    interface "eth0"
}
real-server "w3" {
    address "10.0.0.13/24"
    interface "eth0"
}
failover "f" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 7
    interface "eth0"
}
vip "10.0.0.100" failover="f" forwarding="dr" {
    service "web" {
        listen "tcp" 80
        scheduler "wrr"
        check "tcp" port=80 interval="1s"
        server "w1" weight=2
        server "w2" weight=2
        server "w3" weight=2
    }
}
"#;

/// A change of a site: what it is called, and what is replaced by what in the text before it.
type Step = (&'static str, &'static str, &'static str);

fn no_request_is_lost_under_nat() {
    let third = "        server \"w3\" weight=2 port=8080\n";
    let last = "        server \"w2\" weight=2 port=8080\n";
    let with_third = "        server \"w2\" weight=2 port=8080\n        server \"w3\" weight=2 port=8080\n";
    let lost = change_under_load(
        (NAT, REQUESTS),
        third,
        &[
            ("gains a server", last, with_third),
            ("changes a weight", "\"w1\" weight=2", "\"w1\" weight=5"),
            ("changes the scheduler", "\"wrr\"", "\"wlc\""),
            ("gains persistence", "        scheduler", "        persistence \"60s\"\n        scheduler"),
            ("loses persistence", "        persistence \"60s\"\n", ""),
            ("loses a drained server", third, ""),
        ],
    );
    assert_eq!(lost, Vec::<String>::new());
}

fn no_request_is_lost_under_dr() {
    let third = "        server \"w3\" weight=2\n";
    let last = "        server \"w2\" weight=2\n";
    let with_third = "        server \"w2\" weight=2\n        server \"w3\" weight=2\n";
    let lost = change_under_load(
        (DR, REQUESTS),
        third,
        &[
            ("gains a server", last, with_third),
            ("changes a weight", "\"w1\" weight=2", "\"w1\" weight=5"),
            ("changes the scheduler", "\"wrr\"", "\"wlc\""),
            ("gains persistence", "        check", "        persistence \"60s\"\n        check"),
            ("loses persistence", "        persistence \"60s\"\n", ""),
            ("changes its check", "check \"tcp\"", "check \"http\" path=\"/\" status=200"),
            ("loses a drained server", third, ""),
        ],
    );
    assert_eq!(lost, Vec::<String>::new());
}

/// Neither the kernel nor keepalived can edit the one into the other.
fn marks_come_and_go(site: &str) {
    let third = site.lines().find(|line| line.contains("server \"w3\" weight=2")).expect("the third server");
    let lost = change_under_load(
        (site, REQUESTS_OF_MARKS),
        &format!("{third}\n"),
        &[
            ("gets a mark", "listen \"tcp\" 80", "listen \"tcp\" 80 443\n        fwmark 7"),
            ("gets another mark", "fwmark 7", "fwmark 8"),
            ("loses its mark", " 443\n        fwmark 8", ""),
        ],
    );
    assert_eq!(lost, Vec::<String>::new());
}

/// Lays out a site, takes `without` out of it, and makes one change after the other while clients ask; returns what was
/// lost in which step.
fn change_under_load((whole, requests): (&str, usize), without: &str, steps: &[Step]) -> Vec<String> {
    // The servers listen as the whole site wants it, before some of it is taken away again.
    let laboratory = Laboratory::new(whole);
    let mut text = replaced(whole, without, "");
    laboratory.write(&text);
    laboratory.apply();
    laboratory.serves("web", 10);
    // The backup serves first, and connections are cut when the preferred director takes over from it.
    if whole.contains("failover \"f\"") {
        let held = |host: &str| laboratory.run(host, "ip -o address").contains(" 10.0.0.100/32 ");
        eventually("the preferred director is master", || held("d1") && !held("d2"));
    }
    let target = laboratory.target("web");
    let load = Load::default();
    let mut lost = Vec::new();
    let mut told = 0;
    std::thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| {
            scope.spawn(|| lab::enter(CLIENT, || load.ask(&target)));
        });
        let _stop = StopOnDrop(&load);
        for (number, (what, from, to)) in steps.iter().enumerate() {
            text = replaced(&text, from, to);
            laboratory.write(&text);
            let plan = laboratory.plan();
            let changes = plan["changes"].as_array().expect("changes");
            assert!(!changes.is_empty(), "the site {what}");
            let is_announced = |change: &&serde_json::Value| change["disruptive"] == true;
            let announced: Vec<_> = changes.iter().filter(is_announced).collect();
            assert!(announced.is_empty(), "the plan says that something is lost when the site {what}: {announced:#?}");
            laboratory.apply();
            load.await_requests(requests * (number + 1) / steps.len());
            let failed = load.failed() - told;
            told += failed;
            println!("{what}: {failed} lost, {} requests so far", load.asked());
            if failed > 0 {
                lost.push(format!("{what}: {failed} requests, {:?}", load.errors()));
            }
        }
    });
    if load.failed() > told {
        lost.push(format!("afterwards: {} requests, {:?}", load.failed() - told, load.errors()));
    }
    assert!(load.asked() >= requests);
    println!("the slowest answer came after {:?}", load.slowest());
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    lost
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}

/// What the clients ask and hear.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    asked: AtomicUsize,
    errors: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
}

impl Load {
    /// Asks again and again, each time over a new connection.
    fn ask(&self, target: &Target) {
        while !self.stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            let answer = client::page(target.address(), PATIENCE);
            let mut slowest = self.slowest.lock().expect("no panic");
            *slowest = started.elapsed().max(*slowest);
            drop(slowest);
            if let Err(error) = answer {
                self.errors.lock().expect("no panic").push(error);
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(PAUSE);
        }
    }

    fn await_requests(&self, number: usize) {
        let deadline = Instant::now() + STEP;
        while self.asked() < number {
            assert!(Instant::now() < deadline, "only {} of {number} requests", self.asked());
            std::thread::sleep(Duration::from_millis(20));
        }
        // What was asked before the change ended has its answer by then, or is lost.
        let (now, asked) = (Instant::now(), self.asked());
        while self.asked() < asked + CLIENTS && now.elapsed() < PATIENCE + PAUSE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn failed(&self) -> usize {
        self.errors.lock().expect("no panic").len()
    }

    fn errors(&self) -> Vec<String> {
        let mut errors = self.errors.lock().expect("no panic").clone();
        errors.dedup();
        errors
    }

    fn slowest(&self) -> Duration {
        *self.slowest.lock().expect("no panic")
    }
}

/// Lets the clients end even where an assertion does not hold.
struct StopOnDrop<'a>(&'a Load);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}
