//! What a master holds beside its VIPs, and gives up again.

use std::fs;
use std::time::Duration;

use lvsctl::topology::{
    FailoverOptions, FloatingAddress, FloatingRoute, Garp, Preemption, Script, StateNotify, Topology,
};

use super::daemon::{Daemon, eventually};
use super::{complaints, director, site, tested};
use crate::lab::Namespace;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("keepalived::a_master_takes_all_that_floats", a_master_takes_all_that_floats).within(60),
        test("keepalived::a_failed_script_lowers_the_priority", a_failed_script_lowers_the_priority).within(60),
        test("keepalived::a_group_moves_together", a_group_moves_together).within(60),
        test("keepalived::programs_are_told_of_the_state", programs_are_told_of_the_state).within(60),
        test("keepalived::a_lost_tracked_interface_gives_up_the_vip", a_lost_tracked_interface_gives_up_the_vip)
            .within(60),
    ]
}

/// The reference site with options, whose first director takes over at once.
fn with(options: FailoverOptions) -> Topology {
    let mut topology = site::reference();
    let failover = topology.failovers.get_mut("ext").expect("a failover");
    failover.options = options;
    failover.preemption = Preemption::Immediate;
    topology
}

/// Returns the addresses, and the routes of both families.
fn shown(namespace: &Namespace) -> String {
    let shown = |arguments: &[&str]| namespace.run(arguments);
    [shown(&["ip", "-o", "address"]), shown(&["ip", "route"]), shown(&["ip", "-6", "route"])].concat()
}

fn start<'a>(namespace: &'a Namespace, topology: &Topology) -> Daemon<'a> {
    Daemon::start(namespace, &site::text(topology, "lb01").expect("a configuration"))
}

fn a_master_takes_all_that_floats() {
    let namespace = director();
    let further = |text: &str| FloatingAddress { network: site::at(text.parse().expect("one")), interface: None };
    let route = FloatingRoute {
        network: site::at("172.16.0.0/12".parse().expect("a network")),
        via: site::at("10.4.1.1".parse().expect("an address")),
    };
    let topology = with(FailoverOptions {
        source_address: Some(site::at("10.4.1.181".parse().expect("an address"))),
        garp: Garp { delay: Some(Duration::from_secs(7)), repeat: Some(3), refresh: Some(Duration::from_secs(60)) },
        routes: vec![route],
        addresses: vec![further("192.168.1.11/24"), further("fd00::191/64")],
        unadvertised: vec![site::at("fd00::191".parse().expect("an address"))],
        raw: vec![site::at("accept".into())],
        ..FailoverOptions::default()
    });
    let daemon = start(&namespace, &topology);
    let wanted = ["10.4.1.190/32", "192.168.1.11/24", "fd00::191/64", "172.16.0.0/12 via 10.4.1.1"];
    for what in wanted {
        let explain = || format!("{}\n{}", shown(&namespace), daemon.log());
        eventually(what, || shown(&namespace).contains(what), explain);
    }
    let read = daemon.log();
    for line in ["Gratuitous ARP delay = 7\n", "Gratuitous ARP repeat = 3\n", "Gratuitous ARP refresh = 60\n"] {
        assert!(read.contains(line), "{line} in {read}");
    }
    assert!(read.contains("mcast_src_ip = 10.4.1.181") || read.contains("src_ip = 10.4.1.181"), "{read}");
    drop(daemon);
    for what in wanted {
        eventually(&format!("{what} gone"), || !shown(&namespace).contains(what), || shown(&namespace));
    }
}

fn a_lost_tracked_interface_gives_up_the_vip() {
    let namespace = director();
    namespace.run(&["ip", "link", "add", "eth1", "type", "dummy"]);
    namespace.run(&["ip", "link", "set", "eth1", "up"]);
    let tracked = vec![site::at("eth1".into())];
    let daemon =
        start(&namespace, &with(FailoverOptions { tracked_interfaces: tracked, ..FailoverOptions::default() }));
    let holds = || shown(&namespace).contains("10.4.1.190/32");
    eventually("the VIP", holds, || daemon.log());
    namespace.run(&["ip", "link", "set", "eth1", "down"]);
    eventually("the VIP gone", || !holds(), || daemon.log());
    namespace.run(&["ip", "link", "set", "eth1", "up"]);
    eventually("the VIP again", holds, || daemon.log());
}

/// A script that succeeds while a file is there.
fn looks_for(file: &str, weight: i16) -> FailoverOptions {
    let script = Script {
        name: site::at("chk".into()),
        run: site::at(format!("/usr/bin/test -e {file}")),
        interval: Duration::from_secs(1),
        weight: site::at(weight),
        rise: 1,
        fall: 1,
        user: "nobody".into(),
    };
    let tracked_scripts = vec![site::at("chk".into())];
    FailoverOptions { tracked_scripts, scripts: vec![script], ..FailoverOptions::default() }
}

fn a_failed_script_lowers_the_priority() {
    let namespace = director();
    // A plain user must be able to look there.
    let file = "/tmp/well";
    fs::write(file, "").expect("the file");
    let daemon = start(&namespace, &with(looks_for(file, -60)));
    let holds = || shown(&namespace).contains("10.4.1.190/32");
    eventually("the VIP", holds, || daemon.log());
    fs::remove_file(file).expect("the file");
    let lowered = || daemon.log().contains("(ext) Changing effective priority from 100 to 40");
    eventually("a lower priority", lowered, || daemon.log());
    assert!(holds(), "nobody else is there to take over");
    drop(daemon);
    // Without a weight a failure gives up the VIP.
    fs::write(file, "").expect("the file");
    let daemon = start(&namespace, &with(looks_for(file, 0)));
    eventually("the VIP again", holds, || daemon.log());
    fs::remove_file(file).expect("the file");
    eventually("the VIP gone", || !holds(), || daemon.log());
}

fn programs_are_told_of_the_state() {
    let namespace = director();
    let told = namespace.root().join("run/told");
    let program = |what: &str| Some(site::at(format!("/usr/bin/mkdir {}.{what}", told.display())));
    let notify = StateNotify { master: program("master"), backup: program("backup"), ..StateNotify::default() };
    let daemon = start(&namespace, &with(FailoverOptions { notify, ..FailoverOptions::default() }));
    let was_told = |what: &str| told.with_extension(what).is_dir();
    eventually("the master's program", || was_told("master"), || daemon.log());
    assert!(!daemon.log().contains("WARNING"), "{}", daemon.log());
}

fn a_group_moves_together() {
    let namespace = director();
    namespace.run(&["ip", "link", "add", "eth1", "type", "dummy"]);
    namespace.run(&["ip", "link", "set", "eth1", "up"]);
    let topology = site::grouped("eth1");
    let text = site::text(&topology, "lb01").expect("a configuration");
    assert_eq!(complaints(&tested(&namespace, &text)), (vec![], Some(0)), "{text}");
    let daemon = start(&namespace, &topology);
    let holds = || ["10.4.1.190/32", "10.4.1.191/32"].map(|vip| shown(&namespace).contains(vip));
    eventually("both VIPs", || holds() == [true, true], || daemon.log());
    // Only the first failover tracks it.
    namespace.run(&["ip", "link", "set", "eth1", "down"]);
    eventually("both VIPs gone", || holds() == [false, false], || daemon.log());
    namespace.run(&["ip", "link", "set", "eth1", "up"]);
    eventually("both VIPs again", || holds() == [true, true], || daemon.log());
}
