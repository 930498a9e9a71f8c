//! keepalived on a machine: its VIPs, its processes, and what is left when it was killed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lvsctl::effect::{Answer, DaemonState, Effect, Probe};
use lvsctl::host::{Host, HostError};
use lvsctl::topology::SecretText;
use rustix::process::{Pid, Signal};

use crate::host_contract::{bench, open};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("host::keepalived_holds_a_vip", keepalived_holds_a_vip).within(60).on_both_kernels(),
        test("host::keepalived_is_known_without_a_marker", keepalived_is_known_without_a_marker).within(60),
        test("host::a_killed_keepalived_is_recovered_from", a_killed_keepalived_is_recovered_from).within(60),
        test("host::keepalived_outlives_its_starter", keepalived_outlives_its_starter).within(60),
        test("host::programs_of_plain_users_pass_the_test", programs_of_plain_users_pass_the_test).within(60),
        test("host::keepalived_says_why_it_fails", keepalived_says_why_it_fails).within(60),
    ]
}

const CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";

fn vrrp(vip: &str) -> String {
    format!(
        "vrrp_instance ext {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority 100\n    advert_int 1\n    virtual_ipaddress {{\n        {vip}\n    }}\n}}\n"
    )
}

fn write(text: String, test: bool) -> Effect {
    let text = SecretText::plain(text);
    Effect::WriteFile { path: CONFIGURATION.into(), text, mode: 0o600, keepalived_test: test, keep_previous: false }
}

fn start() -> Effect {
    Effect::StartKeepalived { configuration: "feed".into() }
}

fn state(host: &mut dyn Host) -> DaemonState {
    match host.probe(&Probe::Keepalived) {
        Ok(Answer::Daemon(state)) => state,
        other => panic!("{other:?}"),
    }
}

fn holds(host: &mut dyn Host, address: &str) -> bool {
    let address = address.parse().unwrap();
    host.capabilities().unwrap().link_with(address).is_some()
}

/// Waits until something is so; the time is for a slow guest.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn keepalived_holds_a_vip() {
    let bench = bench();
    let mut host = open(&bench);
    assert!(host.perform_all(vec![write(vrrp("192.0.2.100/32"), true), start()]).iter().all(Result::is_ok));
    eventually("the VIP on eth0", || holds(&mut host, "192.0.2.100"));
    let reload = Effect::ReloadKeepalived { configuration: "beef".into() };
    assert!(host.perform_all(vec![write(vrrp("192.0.2.101/32"), true), reload]).iter().all(Result::is_ok));
    eventually("the other VIP on eth0", || holds(&mut host, "192.0.2.101") && !holds(&mut host, "192.0.2.100"));
    host.perform(&Effect::StopKeepalived).unwrap();
    assert!(!holds(&mut host, "192.0.2.101"), "the VIP goes before the stop is over");
    let left: Vec<_> =
        fs::read_dir(bench.root().join("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn keepalived_is_known_without_a_marker() {
    let bench = bench();
    let mut host = open(&bench);
    assert_eq!(host.perform_all(vec![write(vrrp("192.0.2.100/32"), true), start()]), [Ok(()), Ok(())]);
    let marker = bench.root().join("run/lvsctl-keepalived.loaded");
    fs::remove_file(&marker).unwrap();
    // It is younger than the file, so it has read the file: the digest is that of sha256sum(1).
    let path = bench.root().join("etc/keepalived/keepalived.conf");
    let digest = bench.run(&["sha256sum", path.to_str().unwrap()]);
    assert_eq!(state(&mut host).configuration.as_deref(), digest.split(' ').next());
    eventually("the clock goes on", || {
        host.perform(&write(vrrp("192.0.2.101/32"), true)).unwrap();
        state(&mut host).configuration.is_none()
    });
    // A marker of another process says nothing.
    let pid = state(&mut host).pid.unwrap();
    fs::write(&marker, format!("{pid} 1 feed\n")).unwrap();
    assert_eq!(state(&mut host), DaemonState { pid: Some(pid), configuration: None });
}

/// keepalived 2.2.7 ends its own test where a program belongs to a plain user.
fn programs_of_plain_users_pass_the_test() {
    let bench = bench();
    let mut host = open(&bench);
    let script = "vrrp_script chk {\n    script \"/usr/bin/test -e /x\"\n    interval 1\n    user nobody\n}\n";
    let text = vrrp("192.0.2.100/32").replace("    state BACKUP\n", "    track_script {\n        chk\n    }\n");
    let text = format!("global_defs {{\n    enable_script_security\n}}\n{script}{text}");
    assert_eq!(host.perform(&write(text.clone(), true)), Ok(()));
    let path = bench.root().join("etc/keepalived/keepalived.conf");
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "what is written is what was asked for");
    let wrong = text.replace("virtual_router_id 51", "virtual_router_idd 51");
    let refused = host.perform(&write(wrong, true)).unwrap_err().to_string();
    assert!(refused.contains("virtual_router_idd"), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "what was refused has not taken its place");
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn pid_in(path: &Path) -> u32 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn a_killed_keepalived_is_recovered_from() {
    let bench = bench();
    let mut host = open(&bench);
    assert_eq!(host.perform_all(vec![write(vrrp("192.0.2.100/32"), true), start()]), [Ok(()), Ok(())]);
    let killed = state(&mut host).pid.unwrap();
    let child = pid_in(&bench.root().join("run/keepalived_vrrp.pid"));
    // A child that is stopped cannot follow its parent into the grave by itself.
    signal(child, Signal::STOP);
    signal(killed, Signal::KILL);
    eventually("the parent is gone", || state(&mut host) == DaemonState::default());
    let stale = bench.root().join("run/keepalived.pid");
    // The number of some other process stands in the stale pid file.
    fs::write(&stale, format!("{}\n", std::process::id())).unwrap();
    assert_eq!(state(&mut host), DaemonState::default());
    assert_eq!(host.perform(&start()), Ok(()));
    let again = state(&mut host).pid.unwrap();
    assert!(again != killed && pid_in(&stale) == again);
    eventually("the VIP on eth0", || holds(&mut host, "192.0.2.100"));
    assert_eq!(host.perform(&Effect::StopKeepalived), Ok(()));
}

fn keepalived_outlives_its_starter() {
    let bench = bench();
    assert_eq!(open(&bench).perform_all(vec![write(vrrp("192.0.2.100/32"), true), start()]), [Ok(()), Ok(())]);
    // The connection that started it is gone, and it is not.
    let mut host = open(&bench);
    let pid = state(&mut host).pid.unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = status.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap();
    assert_eq!(session, pid.to_string(), "it leads a session of its own");
    assert_eq!(host.perform(&Effect::StopKeepalived), Ok(()));
}

fn keepalived_says_why_it_fails() {
    let bench = bench();
    let mut host = open(&bench);
    let error = host.perform(&start()).unwrap_err();
    let HostError::Program { exit, text, .. } = &error else { panic!("{error}") };
    assert!(text.contains("missing"), "{error}");
    assert!(exit.starts_with("exit status "), "its end is seen, and not only that it is not there in time: {error}");
    assert_eq!(state(&mut host), DaemonState::default());
}
