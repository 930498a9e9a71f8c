//! What only a machine can show of a host: modules, rights, processes, connections, and how fast it is.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use lvsctl::effect::{
    Answer, DaemonState, DestinationConfig, DestinationKey, Effect, IpvsCommand, LiveService, Probe, ServiceConfig,
    ServiceFlags, ServiceKey,
};
use lvsctl::host::{Host, HostError, LocalHost};
use lvsctl::topology::{Family, Forwarding, Protocol, SecretText, SysctlKey};
use rustix::process::{Pid, Signal};
use rustix::thread::Uid;

use crate::contract::everything;
use crate::host_contract::{bench, open};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("host::asking_loads_no_module", asking_loads_no_module).within(60),
        test("host::a_plain_user_is_told_about_rights", a_plain_user_is_told_about_rights),
        test("host::what_ipvsadm_writes_is_read", what_ipvsadm_writes_is_read),
        test("host::draining_ends_at_the_deadline", draining_ends_at_the_deadline),
        test("host::large_tables_are_quick", large_tables_are_quick).within(120),
        test("host::keepalived_holds_a_vip", keepalived_holds_a_vip).within(60),
        test("host::keepalived_is_known_without_a_marker", keepalived_is_known_without_a_marker).within(60),
        test("host::a_killed_keepalived_is_recovered_from", a_killed_keepalived_is_recovered_from).within(60),
        test("host::keepalived_outlives_its_starter_and_says_why_it_fails", keepalived_says_why_it_fails).within(60),
    ]
}

fn modules() -> Vec<String> {
    let text = fs::read_to_string("/proc/modules").expect("/proc/modules");
    let mut names: Vec<String> = text.lines().map(|line| line.split(' ').next().unwrap_or_default().into()).collect();
    names.sort();
    names
}

fn asking_loads_no_module() {
    let bench = bench();
    let ours = ["ip_vs", "iptable", "ip6table", "ip_tables", "ip6_tables", "nf_tables", "nfnetlink"];
    let is_ours = |name: &&String| ours.iter().any(|start| name.starts_with(start));
    // Whatever earlier tests have loaded goes: the promise is about a machine that has nothing.
    for _ in 0..10 {
        for name in modules().iter().filter(is_ours) {
            bench.try_run(&["modprobe", "--remove", name]);
        }
    }
    let before = modules();
    assert_eq!(before.iter().find(is_ours), None, "{before:?}");
    let mut host = open(&bench);
    let first = everything(&mut host);
    assert_eq!(modules(), before);
    assert_eq!(everything(&mut host), first);
    assert_eq!(fs::read_dir(bench.root().join("etc/keepalived")).expect("the folder").count(), 0);
}

/// Does something on a thread that has no rights; the threads that it starts have none either.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let nobody = Uid::from_raw(65534);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("setresuid");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn a_plain_user_is_told_about_rights() {
    let bench = bench();
    open(&bench).perform(&Effect::LoadModule("ip_vs".into())).unwrap();
    as_nobody(|| {
        let mut machine = LocalHost::machine().unwrap();
        let key = SysctlKey::interface("lo", "arp_ignore");
        let write = Effect::WriteFile {
            path: "/etc/lvsctl-test".into(),
            text: SecretText::plain("x"),
            mode: 0o600,
            keepalived_test: false,
            keep_previous: false,
        };
        let address = Effect::RemoveAddress { device: "lo".into(), address: "127.0.0.1".parse().unwrap(), prefix: 8 };
        let service = ServiceKey::Mark { mark: 1, family: Family::Ipv4 };
        let mut errors = vec![
            machine.probe(&Probe::Ipvs).map(drop),
            machine.lock(),
            LocalHost::namespace(bench.name(), bench.root()).map(drop),
        ];
        let effects = [
            Effect::WriteSysctl { key, value: "1".into() },
            write,
            address,
            Effect::Ipvs(IpvsCommand::DeleteService(service)),
        ];
        errors.extend(effects.iter().map(|effect| machine.perform(effect)));
        for result in errors {
            let error = result.expect_err("nobody may do this");
            assert!(matches!(error, HostError::MissingRights { .. }), "{error}");
            assert!(error.help().is_some_and(|help| help.starts_with("Run as root")), "{error}");
        }
        assert!(matches!(machine.probe(&Probe::Links), Ok(Answer::Links(_))), "and links are for everybody");
    });
}

fn table(host: &mut dyn Host) -> Vec<LiveService> {
    match host.probe(&Probe::Ipvs) {
        Ok(Answer::Ipvs(services)) => services,
        other => panic!("{other:?}"),
    }
}

fn what_ipvsadm_writes_is_read() {
    let bench = bench();
    let mut host = open(&bench);
    bench.run(&[
        "ipvsadm",
        "-A",
        "-t",
        "203.0.113.10:80",
        "-s",
        "sh",
        "-b",
        "sh-port,sh-fallback",
        "-p",
        "90",
        "-M",
        "255.255.0.0",
    ]);
    bench.run(&[
        "ipvsadm",
        "-a",
        "-t",
        "203.0.113.10:80",
        "-r",
        "10.0.0.2:8080",
        "-m",
        "-w",
        "7",
        "-x",
        "20",
        "-y",
        "10",
    ]);
    bench.run(&["ipvsadm", "-A", "-f", "9", "-6", "-s", "wrr", "-o"]);
    let services = table(&mut host);
    let find = |key: ServiceKey| services.iter().find(|service| service.key == key).unwrap_or_else(|| panic!("{key}"));
    let web = find(ServiceKey::Address { protocol: Protocol::Tcp, address: "203.0.113.10".parse().unwrap(), port: 80 });
    let flags = ServiceFlags(ServiceFlags::PERSISTENT | ServiceFlags::SCHED_1 | ServiceFlags::SCHED_2);
    let config = ServiceConfig { scheduler: "sh".into(), flags, timeout: 90, netmask: 16, engine: None };
    assert_eq!(web.config, config);
    let [server] = web.destinations.as_slice() else { panic!("{web:?}") };
    assert_eq!(server.key.to_string(), "10.0.0.2:8080");
    assert_eq!(server.config, DestinationConfig { forwarding: Forwarding::Nat, weight: 7, upper: 20, lower: 10 });
    let marked = find(ServiceKey::Mark { mark: 9, family: Family::Ipv6 });
    assert_eq!((marked.config.flags.0, marked.config.netmask), (ServiceFlags::ONE_PACKET, 128));
    // And the other way round: ipvsadm shows what was written here.
    let effects = [
        Effect::Ipvs(IpvsCommand::SetService(
            web.key,
            ServiceConfig { scheduler: "wlc".into(), netmask: 24, ..config },
        )),
        Effect::Ipvs(IpvsCommand::DeleteService(marked.key)),
    ];
    assert!(host.perform_all(&effects).iter().all(Result::is_ok));
    let saved = bench.run(&["ipvsadm", "-Sn"]);
    let lines: Vec<&str> = saved.lines().collect();
    assert_eq!(lines.len(), 2, "{saved}");
    assert!(lines[0].starts_with("-A -t 203.0.113.10:80 -s wlc -p 90 -M 255.255.255.0"), "{saved}");
    assert_eq!(lines[1], "-a -t 203.0.113.10:80 -r 10.0.0.2:8080 -m -w 7");
    assert!(bench.run(&["ipvsadm", "-Ln", "--thresholds"]).contains("20         10"), "and its thresholds");
}

fn draining_ends_at_the_deadline() {
    let bench = bench();
    let mut host = open(&bench);
    let service = ServiceKey::Address { protocol: Protocol::Tcp, address: "192.0.2.10".parse().unwrap(), port: 80 };
    let destination = DestinationKey { address: "192.0.2.1".parse().unwrap(), port: 8080 };
    let config =
        ServiceConfig { scheduler: "rr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
    let weight = DestinationConfig { forwarding: Forwarding::Nat, weight: 1, upper: 0, lower: 0 };
    let address =
        Effect::AddAddress { device: "lo".into(), address: "192.0.2.10".parse().unwrap(), prefix: 32, label: None };
    let effects = [
        address,
        Effect::Ipvs(IpvsCommand::NewService(service, config)),
        Effect::Ipvs(IpvsCommand::NewDestination(service, destination, weight)),
    ];
    assert!(host.perform_all(&effects).iter().all(Result::is_ok));
    let connected = bench.enter(|| {
        let listener = TcpListener::bind("192.0.2.1:8080").unwrap();
        let vip: SocketAddr = "192.0.2.10:80".parse().unwrap();
        let client = TcpStream::connect_timeout(&vip, Duration::from_secs(10)).unwrap();
        (client, listener.accept().unwrap().0)
    });
    let carried = |host: &mut dyn Host| table(host)[0].destinations[0].active;
    assert_eq!(carried(&mut host), 1);
    let within = Duration::from_millis(200);
    let started = Instant::now();
    host.perform(&Effect::AwaitDrained { service, destination, within }).unwrap();
    assert!(started.elapsed() >= within, "a connection is there, so the deadline passes");
    let (client, mut server) = connected;
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

fn large_tables_are_quick() {
    let bench = bench();
    let mut host = open(&bench);
    let config =
        ServiceConfig { scheduler: "rr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
    let weight = DestinationConfig { forwarding: Forwarding::Nat, weight: 1, upper: 0, lower: 0 };
    let mut effects = vec![Effect::LoadModule("ip_vs_rr".into())];
    for number in 1..=2000 {
        let key = ServiceKey::Mark { mark: number, family: Family::Ipv4 };
        effects.push(Effect::Ipvs(IpvsCommand::NewService(key, config.clone())));
        effects.extend((1..=10).map(|last| {
            let server = DestinationKey { address: [10, 0, 0, last].into(), port: 80 };
            Effect::Ipvs(IpvsCommand::NewDestination(key, server, weight.clone()))
        }));
    }
    let started = Instant::now();
    assert!(host.perform_all(&effects).iter().all(Result::is_ok));
    let written = started.elapsed();
    let services = table(&mut host);
    let read = started.elapsed() - written;
    assert_eq!(services.len(), 2000);
    assert!(services.iter().all(|service| service.destinations.len() == 10));
    println!("22,000 messages in {written:?}, read back in {read:?}");
    // A message with an acknowledgement of its own, or a dump that waits, would take many times as long.
    assert!(written < Duration::from_secs(10) && read < Duration::from_secs(20), "{written:?} {read:?}");
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
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn keepalived_holds_a_vip() {
    let bench = bench();
    let mut host = open(&bench);
    assert!(host.perform_all(&[write(vrrp("192.0.2.100/32"), true), start()]).iter().all(Result::is_ok));
    eventually("the VIP on eth0", || holds(&mut host, "192.0.2.100"));
    let reload = Effect::ReloadKeepalived { configuration: "beef".into() };
    assert!(host.perform_all(&[write(vrrp("192.0.2.101/32"), true), reload]).iter().all(Result::is_ok));
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
    assert_eq!(host.perform_all(&[write(vrrp("192.0.2.100/32"), true), start()]), [Ok(()), Ok(())]);
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
    assert_eq!(host.perform_all(&[write(vrrp("192.0.2.100/32"), true), start()]), [Ok(()), Ok(())]);
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

fn keepalived_says_why_it_fails() {
    let bench = bench();
    assert_eq!(open(&bench).perform_all(&[write(vrrp("192.0.2.100/32"), true), start()]), [Ok(()), Ok(())]);
    // The connection that started it is gone, and it is not.
    let mut host = open(&bench);
    assert!(state(&mut host).pid.is_some());
    assert_eq!(host.perform(&Effect::StopKeepalived), Ok(()));
    let started = Instant::now();
    assert_eq!(host.perform(&Effect::RemoveFile { path: CONFIGURATION.into() }), Ok(()));
    let error = host.perform(&start()).unwrap_err();
    assert!(matches!(&error, HostError::Program { text, .. } if text.contains("missing")), "{error}");
    assert!(started.elapsed() < Duration::from_secs(8), "its end is seen at once");
}
