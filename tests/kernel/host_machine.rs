//! What only a machine can show of a host: modules, rights, other programs, connections, and how fast it is.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lvsctl::effect::{
    Answer, DestinationConfig, DestinationKey, Effect, IptablesVariant, IpvsCommand, LiveService, Probe, ServiceConfig,
    ServiceFlags, ServiceKey,
};
use lvsctl::host::{Host, HostError, LocalHost, Operator};
use lvsctl::topology::{Family, Forwarding, Protocol, SecretText, SysctlKey};
use rustix::thread::Uid;

use crate::contract::network::everything;
use crate::host_contract::{bench, open};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("host::asking_loads_no_module", asking_loads_no_module).alone().within(60).on_both_kernels(),
        test("host::a_plain_user_is_told_about_rights", a_plain_user_is_told_about_rights),
        test("host::what_ipvsadm_writes_is_read", what_ipvsadm_writes_is_read).on_both_kernels(),
        test("host::what_iptables_cannot_show_is_not_nothing", what_iptables_cannot_show_is_not_taken_for_nothing)
            .on_distribution_kernel(),
        test("host::draining_ends_at_the_deadline", draining_ends_at_the_deadline),
        test("host::an_address_is_waited_for_until_it_goes", an_address_is_waited_for_until_it_goes),
        test("host::large_tables_are_quick", large_tables_are_quick).within(120),
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
            machine.lock(&Operator::default(), Duration::ZERO),
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
    assert_eq!(
        server.config,
        DestinationConfig { forwarding: Forwarding::Nat, tunnel: Default::default(), weight: 7, upper: 20, lower: 10 }
    );
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
    assert!(host.perform_all(effects.to_vec()).iter().all(Result::is_ok));
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
    let weight =
        DestinationConfig { forwarding: Forwarding::Nat, tunnel: Default::default(), weight: 1, upper: 0, lower: 0 };
    let address =
        Effect::AddAddress { device: "lo".into(), address: "192.0.2.10".parse().unwrap(), prefix: 32, label: None };
    let effects = [
        address,
        Effect::Ipvs(IpvsCommand::NewService(service, config)),
        Effect::Ipvs(IpvsCommand::NewDestination(service, destination, weight)),
    ];
    assert!(host.perform_all(effects.to_vec()).iter().all(Result::is_ok));
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

fn an_address_is_waited_for_until_it_goes() {
    let bench = bench();
    let mut host = open(&bench);
    bench.run(&["ip", "address", "add", "203.0.113.10/32", "dev", "lo"]);
    let (address, within) = ("203.0.113.10".parse().unwrap(), Duration::from_secs(60));
    let (begins, begun) = std::sync::mpsc::channel();
    let while_there = Duration::from_millis(200);
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let started = Instant::now();
            begins.send(()).expect("somebody listens");
            host.perform(&Effect::AwaitNoAddress { device: "lo".into(), address, within }).map(|()| started.elapsed())
        });
        begun.recv().expect("it begins");
        // Long enough for one that does not wait to come back.
        std::thread::sleep(while_there);
        assert!(!waiting.is_finished(), "the address is there");
        bench.run(&["ip", "address", "delete", "203.0.113.10/32", "dev", "lo"]);
        waiting.join().expect("no panic").expect("the wait ends")
    });
    assert!((while_there..within).contains(&waited), "{waited:?}");
    let left = bench.run(&["ip", "-o", "address", "show", "dev", "lo"]);
    assert!(!left.contains("203.0.113.10"), "{left}");
}

fn large_tables_are_quick() {
    let bench = bench();
    let mut host = open(&bench);
    let config =
        ServiceConfig { scheduler: "rr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
    let weight =
        DestinationConfig { forwarding: Forwarding::Nat, tunnel: Default::default(), weight: 1, upper: 0, lower: 0 };
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
    assert!(host.perform_all(effects.to_vec()).iter().all(Result::is_ok));
    let written = started.elapsed();
    let services = table(&mut host);
    let read = started.elapsed() - written;
    assert_eq!(services.len(), 2000);
    assert!(services.iter().all(|service| service.destinations.len() == 10));
    println!("22,000 messages in {written:?}, read back in {read:?}");
    // A message with an acknowledgement of its own, or a dump that waits, would take many times as long.
    assert!(written < Duration::from_secs(60) && read < Duration::from_secs(60), "{written:?} {read:?}");
}

/// A table that iptables cannot show is no table without rules: to take it for one would lose what is in it.
fn what_iptables_cannot_show_is_not_taken_for_nothing() {
    let bench = bench();
    let mut host = open(&bench);
    assert_eq!(host.capabilities().unwrap().iptables, Some(IptablesVariant::Nft));
    bench.run(&["nft", "add table ip nat; add chain ip nat STRANGE; add rule ip nat STRANGE ct state new drop"]);
    bench.run(&["iptables", "-t", "mangle", "-N", "MINE"]);
    let Answer::Iptables(_, text) = host.probe(&Probe::Iptables(Family::Ipv4)).unwrap() else { panic!("rules") };
    assert!(text.contains("# Table `nat' is incompatible"), "{text}");
    assert!(text.contains(":MINE - [0:0]"), "{text}");
}
