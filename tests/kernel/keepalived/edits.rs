//! What a reload does to the servers of a service that stays, held against what the plan says of it.

use std::collections::BTreeSet;
use std::time::Duration;

use lvsctl::plan::ReloadAct;
use lvsctl::topology::{
    Check, CheckKind, Family, Forwarding, HttpCheck, OnFailure, Preemption, Service, SyncDaemon, SyncOptions,
};

use super::daemon::{Daemon, eventually, write};
use super::reload::{Stage, predicted};
use super::{director, site};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("keepalived::servers_are_edited_in_place", servers_are_edited_in_place),
        test("keepalived::a_failed_server_comes_back_with_a_new_check", a_failed_server_comes_back_with_a_new_check)
            .within(90),
        test("keepalived::sync_daemons_start_anew", sync_daemons_start_anew),
    ]
}

/// A service of one server that is never well, and is asked again and again, and one that nobody watches.
fn failing(port: u16, is_alpha: bool) -> Service {
    let second = Duration::from_secs(1);
    let tcp = site::check(CheckKind::Tcp);
    let check = Check { interval: second, timeout: second, retries: 0, retry_delay: second, ..tcp };
    let servers = vec![site::server(150, Family::Ipv4, Some(check)), site::server(160, Family::Ipv4, None)];
    let mut service = site::service(&format!("port{port}"), port, None, servers);
    (service.on_failure, service.supervision.alpha) = (OnFailure::Inhibit, is_alpha.then(|| site::at(()).span));
    service
}

fn servers_are_edited_in_place() {
    let namespace = director();
    let before = site::single(vec![failing(80, false)]);
    let mut changed = failing(80, false);
    (changed.servers[1].weight, changed.servers[1].forwarding) = (7, Forwarding::Nat);
    let told = predicted(&before, &site::single(vec![changed.clone()]));
    let settings: BTreeSet<&str> = ["weight", "forwarding"].into();
    assert_eq!(told.into_iter().map(|(act, _)| act).collect::<Vec<_>>(), [ReloadAct::EditsServers(1, settings)]);
    let stage = Stage::new(&namespace, &before);
    stage.until("-a -t 10.4.1.190:80 -r 10.4.1.160:80 -g -w 100", true);
    stage.reload(&[changed], 99);
    stage.until("-a -t 10.4.1.190:80 -r 10.4.1.160:80 -m -w 7", true);
    assert!(!stage.daemon.log().contains("Removing service [10.4.1.160]:tcp:80"), "{}", stage.daemon.log());
}

fn a_failed_server_comes_back_with_a_new_check() {
    type Alter = fn(&mut Check);
    let alterations: [(Alter, bool); 8] = [
        (|_| (), false),
        (|check| check.timeout = Duration::from_secs(2), true),
        (|check| check.retries = 3, false),
        (|check| check.retry_delay = Duration::from_secs(3), false),
        (|check| check.port = Some(7), true),
        (|check| check.kind = CheckKind::Ping, true),
        (|check| check.kind = CheckKind::Http(HttpCheck { path: "/".into(), ..HttpCheck::default() }), true),
        (|check| check.kind = CheckKind::Smtp(None), true),
    ];
    for is_alpha in [false, true] {
        let namespace = director();
        let before: Vec<Service> = (80..88).map(|port| failing(port, is_alpha)).collect();
        let mut after = before.clone();
        for (service, (alter, _)) in after.iter_mut().zip(&alterations) {
            let check = service.servers[0].check.as_mut().expect("a check");
            // It is not asked again before the test is over.
            check.interval = Duration::from_secs(3600);
            alter(check);
        }
        let stage = Stage::new(&namespace, &site::single(before.clone()));
        for port in 80..88 {
            stage.until(&format!("-a -t 10.4.1.190:{port} -r 10.4.1.150:{port} -g -w 0"), true);
        }
        let told = predicted(&site::single(before), &site::single(after.clone()));
        stage.reload(&after, 99);
        for (port, (_, is_new)) in (80..88).zip(&alterations) {
            let service = format!("tcp:10.4.1.190:{port}");
            let said = told
                .iter()
                .any(|(act, of)| of.to_string() == service && *act == ReloadAct::ChecksAnew { servers: 1, is_alpha });
            assert_eq!(said, *is_new, "{service}: {told:?}");
            let weight = if *is_new && !is_alpha { 100 } else { 0 };
            stage.until(&format!("-a -t 10.4.1.190:{port} -r 10.4.1.150:{port} -g -w {weight}"), true);
        }
    }
}

fn sync_daemons_start_anew() {
    let namespace = director();
    let with = |id: u8| {
        let mut topology = site::reference();
        let failover = topology.failovers.get_mut("ext").expect("a failover");
        let (id, options) = (Some(site::at(id)), SyncOptions::default());
        failover.preemption = Preemption::Immediate;
        failover.sync_daemon = Some(SyncDaemon { interface: None, id, options, span: site::at(()).span });
        site::text(&topology, "lb01").expect("a configuration")
    };
    let daemon = Daemon::start(&namespace, &with(5));
    let shown = || namespace.run(&["ipvsadm", "-Ln", "--daemon"]);
    let explain = || format!("{}{}", shown(), daemon.log());
    eventually("a master that sends", || shown().contains("master sync daemon (mcast=eth0, syncid=5"), explain);
    write(&namespace, &with(6));
    daemon.reload();
    eventually("another id", || shown().contains("master sync daemon (mcast=eth0, syncid=6"), explain);
}
