//! The order of changes as they are really made: every host is recorded while an apply works on it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lvsctl::apply::{self, OnFailure, Outcome};
use lvsctl::effect::{Answer, Capabilities, Effect, IpvsCommand, Probe};
use lvsctl::host::{
    Armed, Host, HostError, Operator, Patience, Reversible, TakenBack, Transaction, Transactions, connect,
};
use lvsctl::rehearsal::layout::CLIENT;
use lvsctl::rehearsal::live::stand_ins;
use lvsctl::survey::{Goal, Hosts, Survey};
use lvsctl::topology::{HostName, SecretValues, Topology};

use crate::lab;
use crate::laboratory::{Laboratory, eventually, load};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("order::creations_and_deletions_are_each_others_reverse", there_and_back).within(120),
        test("order::the_backup_changes_before_whoever_is_master", backup_first).within(180),
        test("order::a_drained_server_keeps_its_connections", drained).within(120),
    ]
}

/// What a host did, and when: everything between two numbers.
#[derive(Clone, Debug)]
struct Deed {
    host: String,
    what: String,
    call: usize,
    position: usize,
    begin: usize,
    end: usize,
}

/// What all hosts did.
#[derive(Clone, Debug, Default)]
struct Record {
    deeds: Vec<Deed>,
    clock: usize,
}

impl Record {
    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    /// Returns what a host did that begins with a text; there must be something.
    fn find(&self, host: &str, start: &str) -> Vec<&Deed> {
        let found: Vec<_> =
            self.deeds.iter().filter(|deed| deed.host == host && deed.what.starts_with(start)).collect();
        assert!(!found.is_empty(), "{host} never did {start:?}: {self:#?}");
        found
    }

    /// Asserts that all of the one had ended before any of the other began.
    fn assert_order(&self, first: (&str, &str), then: (&str, &str)) {
        for one in self.find(first.0, first.1) {
            for other in self.find(then.0, then.1) {
                let in_order =
                    if one.call == other.call { one.position < other.position } else { one.end < other.begin };
                assert!(in_order, "{one:?} is not before {other:?}");
            }
        }
    }
}

/// A host that is recorded.
struct Recorded {
    name: String,
    inner: Box<dyn Host>,
    record: Arc<Mutex<Record>>,
}

impl Host for Recorded {
    fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        self.inner.capabilities()
    }

    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError> {
        self.inner.probe(probe)
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        self.perform_all(vec![effect.clone()]).pop().expect("a result")
    }

    fn perform_all(&mut self, effects: Vec<Effect>) -> Vec<Result<(), HostError>> {
        self.recorded(&effects.clone(), |inner| inner.perform_all(effects))
    }

    fn lock(&mut self, operator: &Operator, patience: Duration) -> Result<(), HostError> {
        self.inner.lock(operator, patience)
    }

    fn transactions(&mut self) -> Result<Transactions, HostError> {
        self.inner.transactions()
    }

    fn begin(&mut self, transaction: &Transaction) -> Result<Armed, HostError> {
        self.inner.begin(transaction)
    }

    fn perform_reversibly(&mut self, steps: Vec<Reversible>) -> Vec<Result<(), HostError>> {
        let effects: Vec<Effect> = steps.iter().map(|step| step.effect.clone()).collect();
        self.recorded(&effects, |inner| inner.perform_reversibly(steps))
    }

    fn beat(&mut self) -> Result<(), HostError> {
        self.inner.beat()
    }

    fn confirm(&mut self, id: &str) -> Result<(), HostError> {
        self.inner.confirm(id)
    }

    fn revert(&mut self, id: &str) -> Result<TakenBack, HostError> {
        self.inner.revert(id)
    }

    fn close(&mut self, id: &str) -> Result<(), HostError> {
        self.inner.close(id)
    }

    fn forget(&mut self) -> Result<(), HostError> {
        self.inner.forget()
    }
}

impl Recorded {
    fn recorded(
        &mut self,
        effects: &[Effect],
        perform: impl FnOnce(&mut dyn Host) -> Vec<Result<(), HostError>>,
    ) -> Vec<Result<(), HostError>> {
        let lock = || self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = lock().tick();
        let results = perform(self.inner.as_mut());
        let mut record = lock();
        let end = record.tick();
        for (position, effect) in effects.iter().enumerate() {
            let (host, what) = (self.name.clone(), named(effect));
            record.deeds.push(Deed { host, what, call: begin, position, begin, end });
        }
        results
    }
}

fn named(effect: &Effect) -> String {
    match effect {
        Effect::StartSyncDaemon(state, _) => format!("start sync daemon {state}"),
        Effect::StopSyncDaemon(state) => format!("stop sync daemon {state}"),
        Effect::SetOffload { device, offload, on } => format!("switch {offload} of {device} {on}"),
        Effect::WriteSysctl { key, value } => format!("set {key} {value}"),
        Effect::AddAddress { device, address, .. } => format!("add {device} {address}"),
        Effect::RemoveAddress { device, address, .. } => format!("remove {device} {address}"),
        Effect::Ipvs(command) => match command {
            IpvsCommand::NewService(key, _) => format!("new service {key}"),
            IpvsCommand::SetService(key, _) => format!("set service {key}"),
            IpvsCommand::DeleteService(key) => format!("delete service {key}"),
            IpvsCommand::NewDestination(key, destination, _) => format!("new server {key} {destination}"),
            IpvsCommand::SetDestination(key, destination, config)
            | IpvsCommand::SetDestinationIfThere(key, destination, config) => {
                format!("set server {key} {destination} {}", config.weight)
            }
            IpvsCommand::SetTimeout(timeout, seconds) => format!("set timeout {timeout} {seconds}"),
            IpvsCommand::DeleteDestination(key, destination) => format!("delete server {key} {destination}"),
        },
        Effect::AwaitDrained { service, destination, .. } => format!("drain {service} {destination}"),
        Effect::AwaitService { service, .. } => format!("await {service}"),
        Effect::WriteFile { path, .. } => format!("write {path}"),
        Effect::RemoveFile { path } => format!("unlink {path}"),
        Effect::IptablesRestore { text, .. } => format!("rules {}", text.lines().next().unwrap_or_default()),
        Effect::StartKeepalived { .. } => "keepalived starts".to_owned(),
        Effect::ReloadKeepalived { .. } => "keepalived reloads".to_owned(),
        Effect::StopKeepalived => "keepalived stops".to_owned(),
        Effect::LoadModule(name) => format!("load {name}"),
        other => format!("{other:?}"),
    }
}

/// Applies over recorded hosts and returns what they did.
fn record(laboratory: &Laboratory, text: &str, goal: Goal) -> Record {
    let topology: Topology = laboratory.layout.relocated(&load(text));
    let secrets = stand_ins(&topology);
    let record = Arc::new(Mutex::new(Record::default()));
    let recorded = topology.managed_hosts().map(|host| {
        let inner = connect(host, &SecretValues::default(), &Patience::default()).expect("the host");
        let name = host.name.value.as_str().to_owned();
        let host_name: HostName = host.name.value.clone();
        (host_name, Box::new(Recorded { name, inner, record: record.clone() }) as Box<dyn Host>)
    });
    let hosts: Hosts = recorded.collect();
    let mut survey = Survey::over(&topology, &secrets, goal, hosts);
    survey.lock(&Operator::default(), Duration::ZERO).expect("the locks");
    let surveyed = survey.plan().expect("a plan");
    assert!(!surveyed.plan.is_empty() && surveyed.plan.is_complete(), "{:?}", surveyed.plan.hosts);
    let report = apply::apply(&mut survey, surveyed, OnFailure::Keep, &mut |_, _| {});
    assert_eq!(report.outcome, Outcome::Converged, "{report:#?}");
    drop(survey);
    record.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
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
    interface "eth0"
}
failover "ext" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 51
    interface "eth0"
    auth-pass (env)"VRRP_PASS"
    preempt #false
    version 2
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
        scheduler "wrr"
        server "w1" weight=20
    }
}
vip "10.0.0.101" director="d1" forwarding="dr" delivery="redirect" {
    service "redirected" {
        listen "tcp" 81
        scheduler "rr"
        server "w1"
        server "w2"
    }
}
"#;

const CONF: &str = "write /etc/keepalived/keepalived.conf";

fn there_and_back() {
    let laboratory = Laboratory::new(SITE);
    let made = record(&laboratory, SITE, Goal::Converge);
    for parameter in ["all.arp_ignore", "all.arp_announce", "lo.arp_ignore", "lo.arp_announce"] {
        made.assert_order(("w1", &format!("set net.ipv4.conf.{parameter}")), ("w1", "add lo 10.0.0.100"));
    }
    for director in ["d1", "d2"] {
        made.assert_order(("w1", "add lo 10.0.0.100"), (director, "new server tcp:10.0.0.100:8080"));
        made.assert_order(("w1", "add lo 10.0.0.100"), (director, CONF));
        made.assert_order((director, "rules *mangle"), (director, CONF));
        made.assert_order((director, CONF), (director, "keepalived starts"));
        made.assert_order((director, "new service tcp:10.0.0.100:8080"), (director, "new server tcp:10.0.0.100:8080"));
        // What is static is in the table before the VIP can come.
        made.assert_order((director, "new server tcp:10.0.0.100:8080"), (director, "keepalived starts"));
        made.assert_order((director, "set net.ipv4.ip_forward"), (director, "keepalived starts"));
    }
    for server in ["w1", "w2"] {
        made.assert_order((server, "rules *nat"), ("d1", "new server tcp:10.0.0.101:81"));
        made.assert_order((server, "rules *nat"), ("d1", "add eth0 10.0.0.101"));
    }
    made.assert_order(("d1", "new server tcp:10.0.0.101:81"), ("d1", "add eth0 10.0.0.101"));
    made.assert_order(("d2", "keepalived starts"), ("d1", "keepalived starts"));
    // The manifest comes first, as a claim, and last.
    for host in ["d1", "d2", "w1", "w2"] {
        let own: Vec<&Deed> = made.deeds.iter().filter(|deed| deed.host == host).collect();
        assert!(own[0].what.ends_with("manifest.json"), "{own:?}");
    }

    let unmade = record(&laboratory, SITE, Goal::Destroy);
    unmade.assert_order(("d1", "remove eth0 10.0.0.101"), ("d1", "set server tcp:10.0.0.101:81"));
    unmade.assert_order(("d1", "remove eth0 10.0.0.101"), ("d1", "keepalived stops"));
    for director in ["d1", "d2"] {
        unmade.assert_order((director, "drain tcp:10.0.0.100:8080"), (director, "delete server tcp:10.0.0.100:8080"));
        unmade.assert_order(
            (director, "delete server tcp:10.0.0.100:8080"),
            (director, "delete service tcp:10.0.0.100:8080"),
        );
        unmade.assert_order((director, "keepalived stops"), (director, "unlink /etc/keepalived/keepalived.conf"));
        unmade.assert_order((director, "keepalived stops"), (director, "rules *mangle"));
        unmade.assert_order((director, "keepalived stops"), ("w1", "remove lo 10.0.0.100"));
        unmade.assert_order((director, "delete service tcp:10.0.0.100:8080"), ("w1", "remove lo 10.0.0.100"));
        unmade.assert_order((director, "keepalived stops"), (director, "set net.ipv4.ip_forward 0"));
    }
    unmade.assert_order(("w1", "remove lo 10.0.0.100"), ("w1", "set net.ipv4.conf.all.arp_ignore 0"));
    for server in ["w1", "w2"] {
        unmade.assert_order(("d1", "delete service tcp:10.0.0.101:81"), (server, "rules *nat"));
        let own: Vec<&Deed> = unmade.deeds.iter().filter(|deed| deed.host == server).collect();
        assert!(own.last().is_some_and(|deed| deed.what.ends_with("manifest.json")), "{own:?}");
    }
}

fn holds(laboratory: &Laboratory, director: &str) -> bool {
    laboratory.run(director, "ip -o address show dev eth0").contains(" 10.0.0.100/32 ")
}

/// Makes a director master by ending the other one's keepalived, which the next apply starts.
fn make_master(laboratory: &Laboratory, master: &str, other: &str, text: &str) {
    if holds(laboratory, master) {
        return;
    }
    laboratory.run(other, "kill $(cat $ROOT/run/keepalived.pid)");
    eventually("the other one is master", || holds(laboratory, master) && !holds(laboratory, other));
    eventually("the table of the ended one is empty", || !laboratory.run(other, "ipvsadm -Sn").contains("-f 7"));
    eventually("it has ended", || laboratory.run(other, "ls $ROOT/run").lines().all(|name| name != "keepalived.pid"));
    record(laboratory, text, Goal::Converge);
    assert!(holds(laboratory, master) && !holds(laboratory, other), "nobody preempts");
}

fn backup_first() {
    let laboratory = Laboratory::new(SITE);
    record(&laboratory, SITE, Goal::Converge);
    eventually("a master", || holds(&laboratory, "d1") || holds(&laboratory, "d2"));
    let mut text = SITE.to_owned();
    for (weight, (master, backup)) in [(11, ("d2", "d1")), (12, ("d1", "d2"))] {
        make_master(&laboratory, master, backup, &text);
        text = SITE.replace("weight=10", &format!("weight={weight}"));
        let changed = record(&laboratory, &text, Goal::Converge);
        changed.assert_order((backup, "keepalived reloads"), (master, CONF));
        changed.assert_order((backup, "keepalived reloads"), (master, "keepalived reloads"));
        assert!(holds(&laboratory, master), "a reload does not fail over");
        for director in ["d1", "d2"] {
            eventually("the new weight", || {
                laboratory.run(director, "ipvsadm -Sn").contains(&format!("-a -f 7 -r 10.0.0.11:0 -g -w {weight}"))
            });
        }
    }
}

/// A director that translates, and two servers without a check.
const NAT: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
}
real-server "w1" {
    address "10.0.0.11/24"
}
real-server "w2" {
    address "10.0.0.12/24"
}
vip "10.0.0.100" director="d1" forwarding="nat" {
    service "web" {
        listen "tcp" 80
        scheduler "wrr"
        drain "300s"
        server "w1" port=8080
        server "w2" port=8080
    }
}
"#;

/// Asks over a connection that stays open, and returns who answered.
fn ask(connection: &mut TcpStream) -> String {
    connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
    let mut answer = String::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with("w1\n") && !answer.ends_with("w2\n") {
        let length = connection.read(&mut buffer).expect("an answer");
        assert_ne!(length, 0, "the connection was closed after {answer:?}");
        answer.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    answer.trim().rsplit('\n').next().unwrap_or_default().to_owned()
}

fn drained() {
    let laboratory = Laboratory::new(NAT);
    laboratory.apply();
    laboratory.serves("web", 4);
    // Somebody is with w1, and stays.
    let mut connection = lab::enter(CLIENT, || {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < deadline, "w1 never answers");
            let connection = TcpStream::connect("10.0.0.100:80").expect("a connection");
            connection.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
            let mut connection = connection;
            if ask(&mut connection) == "w1" {
                return connection;
            }
        }
    });
    laboratory.write(&NAT.replace("        server \"w1\" port=8080\n", ""));
    let plan = laboratory.plan();
    assert_eq!(plan["impact"][0]["connections_drained"], 1, "{:#}", plan["impact"]);
    assert_eq!(plan["impact"][0]["connections_cut"], 0);
    let mut command = laboratory.command(&["apply", "--auto-approve"]);
    let mut applying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lvsctl starts");
    let table = || laboratory.run("d1", "ipvsadm -Sn");
    eventually("the weight is 0", || table().contains("-r 10.0.0.11:8080 -m -w 0"));
    // New connections go elsewhere, and the old one is served, by a server that keeps its way back.
    assert_eq!(laboratory.serves("web", 6)["w2"], 6);
    for _ in 0..3 {
        assert_eq!(ask(&mut connection), "w1");
    }
    assert!(applying.try_wait().expect("a child").is_none(), "it waits");
    assert!(table().contains("-r 10.0.0.11:8080 -m -w 0"), "{}", table());
    assert!(laboratory.run("w1", "ip route").contains("default via 10.0.0.1 "));
    drop(connection);
    let closed = Instant::now();
    assert_eq!(applying.wait().expect("it ends").code(), Some(0));
    assert!(closed.elapsed() < Duration::from_secs(60), "the end of the connection ends the drain");
    assert!(!table().contains("10.0.0.11"), "{}", table());
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
}
