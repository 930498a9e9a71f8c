//! The IPVS table.

use std::time::Duration;

use lvsctl::effect::{
    Answer, DestinationConfig, DestinationKey, Effect, IpvsCommand, LiveService, Probe, ServiceConfig, ServiceFlags,
    ServiceKey, SyncDaemonConfig,
};
use lvsctl::host::{Host, HostError};
use lvsctl::topology::{Family, Forwarding, IpvsTimeout, Protocol, SyncState};

use super::{Bench, ask, failure, mismatch, refusal, succeed};

pub fn key(protocol: Protocol, address: &str, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol, address: address.parse().unwrap(), port }
}

pub fn mark(mark: u32, family: Family) -> ServiceKey {
    ServiceKey::Mark { mark, family }
}

fn config(scheduler: &str) -> ServiceConfig {
    ServiceConfig { scheduler: scheduler.into(), flags: ServiceFlags::default(), timeout: 0, netmask: 32, engine: None }
}

fn config6(scheduler: &str) -> ServiceConfig {
    ServiceConfig { netmask: 128, ..config(scheduler) }
}

fn persistent(scheduler: &str, timeout: u32, netmask: u8) -> ServiceConfig {
    ServiceConfig { flags: ServiceFlags(ServiceFlags::PERSISTENT), timeout, netmask, ..config(scheduler) }
}

pub fn server(address: &str, port: u16) -> DestinationKey {
    DestinationKey { address: address.parse().unwrap(), port }
}

fn weight(forwarding: Forwarding, weight: u32) -> DestinationConfig {
    DestinationConfig { forwarding, tunnel: Default::default(), weight, upper: 0, lower: 0 }
}

fn new(key: ServiceKey, config: &ServiceConfig) -> Effect {
    Effect::Ipvs(IpvsCommand::NewService(key, config.clone()))
}

fn set(key: ServiceKey, config: &ServiceConfig) -> Effect {
    Effect::Ipvs(IpvsCommand::SetService(key, config.clone()))
}

fn delete(key: ServiceKey) -> Effect {
    Effect::Ipvs(IpvsCommand::DeleteService(key))
}

fn add(key: ServiceKey, server: DestinationKey, config: &DestinationConfig) -> Effect {
    Effect::Ipvs(IpvsCommand::NewDestination(key, server, config.clone()))
}

fn change(key: ServiceKey, server: DestinationKey, config: &DestinationConfig) -> Effect {
    Effect::Ipvs(IpvsCommand::SetDestination(key, server, config.clone()))
}

fn remove(key: ServiceKey, server: DestinationKey) -> Effect {
    Effect::Ipvs(IpvsCommand::DeleteDestination(key, server))
}

/// Reads the table, in an order of its own: the kernel's is that of its hashes.
pub fn table(host: &mut dyn Host) -> Vec<LiveService> {
    let Answer::Ipvs(mut services) = ask(host, &Probe::Ipvs) else { mismatch(&"ipvs") };
    services.iter_mut().for_each(|service| service.destinations.sort_by_key(|destination| destination.key));
    services.sort_by_key(|service| service.key);
    services
}

/// What is configured of a service, without counters.
type Shape = (ServiceKey, ServiceConfig, Vec<(DestinationKey, DestinationConfig)>);

fn shape(services: &[LiveService]) -> Vec<Shape> {
    let destinations = |service: &LiveService| {
        service.destinations.iter().map(|destination| (destination.key, destination.config.clone())).collect()
    };
    services.iter().map(|service| (service.key, service.config.clone(), destinations(service))).collect()
}

pub fn services_come_back_as_they_were_written(bench: &dyn Bench) {
    let mut host = bench.connect();
    let flags = ServiceFlags(ServiceFlags::SCHED_1 | ServiceFlags::SCHED_2);
    let mut written = vec![
        (key(Protocol::Tcp, "203.0.113.10", 80), config("wrr")),
        (key(Protocol::Udp, "203.0.113.10", 80), persistent("rr", 300, 24)),
        (key(Protocol::Tcp, "203.0.113.10", 0), persistent("wlc", 60, 32)),
        (key(Protocol::Tcp, "2001:db8::10", 443), ServiceConfig { flags, ..config6("mh") }),
        (key(Protocol::Udp, "2001:db8::10", 53), persistent("sh", 1, 64)),
        (mark(1, Family::Ipv4), config("lc")),
        (mark(1, Family::Ipv6), persistent("sed", 86400, 128)),
        (mark(u32::MAX, Family::Ipv4), ServiceConfig { flags: ServiceFlags(ServiceFlags::ONE_PACKET), ..config("nq") }),
    ];
    written.sort_by_key(|(key, _)| *key);
    let mut effects: Vec<Effect> = written.iter().map(|(key, config)| new(*key, config)).collect();
    let servers = |family: Family| match family {
        Family::Ipv4 => vec![
            (server("10.0.0.2", 80), weight(Forwarding::Nat, 100)),
            (server("10.0.0.2", 8080), DestinationConfig { upper: 2000, lower: 1000, ..weight(Forwarding::Dr, 0) }),
            (server("10.0.0.3", 0), weight(Forwarding::Tun, 65535)),
        ],
        Family::Ipv6 => vec![
            (server("2001:db8:1::2", 80), weight(Forwarding::Nat, 1)),
            (server("2001:db8:1::3", 80), weight(Forwarding::Dr, 2)),
        ],
    };
    for (key, _) in &written {
        effects.extend(servers(key.family()).iter().map(|(server, config)| add(*key, *server, config)));
    }
    succeed(&mut *host, &effects);
    let wanted: Vec<_> = written.into_iter().map(|(key, config)| (key, config, servers(key.family()))).collect();
    let live = table(&mut *host);
    assert_eq!(shape(&live), wanted);
    let idle = live.iter().flat_map(|service| &service.destinations).all(|one| (one.active, one.inactive) == (0, 0));
    assert!(idle, "{live:?}");
}

/// keepalived may take a destination away between a look and a change: that is none of the change's business.
pub fn what_is_gone_stays_gone(bench: &dyn Bench) {
    let mut host = bench.connect();
    let web = mark(7, Family::Ipv4);
    let (here, gone) = (server("10.0.0.2", 80), server("10.0.0.3", 80));
    let quiet = weight(Forwarding::Dr, 0);
    let if_there = |key, server| Effect::Ipvs(IpvsCommand::SetDestinationIfThere(key, server, quiet.clone()));
    succeed(&mut *host, &[new(web, &config("rr")), add(web, here, &weight(Forwarding::Dr, 5))]);
    succeed(&mut *host, &[if_there(web, gone), if_there(web, here), if_there(mark(8, Family::Ipv4), here)]);
    assert_eq!(shape(&table(&mut *host)), [(web, config("rr"), vec![(here, quiet.clone())])]);
    let unfit = DestinationConfig { lower: 9, upper: 3, ..quiet.clone() };
    let refused = host.perform(&Effect::Ipvs(IpvsCommand::SetDestinationIfThere(web, here, unfit)));
    assert!(refused.is_err(), "a refusal for another reason is still one");
}

pub fn is_edited_in_place(bench: &dyn Bench) {
    let mut host = bench.connect();
    let web = mark(7, Family::Ipv4);
    let (one, other) = (server("10.0.0.2", 80), server("10.0.0.3", 80));
    succeed(&mut *host, &[new(web, &config("rr")), add(web, one, &weight(Forwarding::Dr, 1))]);
    succeed(&mut *host, &[add(web, other, &weight(Forwarding::Dr, 1)), set(web, &persistent("wlc", 90, 16))]);
    let changed = DestinationConfig { upper: 9, lower: 3, ..weight(Forwarding::Nat, 0) };
    succeed(&mut *host, &[change(web, one, &changed)]);
    let servers = vec![(one, changed), (other, weight(Forwarding::Dr, 1))];
    assert_eq!(shape(&table(&mut *host)), [(web, persistent("wlc", 90, 16), servers)]);
    // Without persistence nothing of it remains, whatever is written.
    succeed(&mut *host, &[set(web, &ServiceConfig { timeout: 90, netmask: 8, ..config("wlc") }), remove(web, other)]);
    let live = table(&mut *host);
    assert_eq!(live[0].config, config("wlc"));
    assert_eq!(live[0].destinations.len(), 1);
    // A service takes its destinations with it, and comes back without them.
    succeed(&mut *host, &[delete(web)]);
    assert_eq!(table(&mut *host), []);
    succeed(&mut *host, &[new(web, &config("rr"))]);
    assert_eq!(shape(&table(&mut *host)), [(web, config("rr"), vec![])]);
}

pub fn is_taken_out_and_added_again(bench: &dyn Bench) {
    let mut host = bench.connect();
    let (web, here, there) =
        (key(Protocol::Tcp, "192.0.2.100", 80), server("192.0.2.11", 80), server("192.0.2.12", 80));
    let (tunnelled, direct) = (weight(Forwarding::Tun, 3), weight(Forwarding::Dr, 7));
    succeed(&mut *host, &[new(web, &config("rr")), add(web, here, &tunnelled)]);
    let replace = |destination, only_if_there| {
        let (config, within) = (direct.clone(), Duration::ZERO);
        Effect::ReplaceDestination { service: web, destination, config, only_if_there, within }
    };
    let live = |host: &mut dyn Host| -> Vec<(DestinationKey, DestinationConfig)> {
        let service = table(host).remove(0);
        service.destinations.into_iter().map(|live| (live.key, live.config)).collect()
    };
    succeed(&mut *host, &[replace(here, true), replace(there, true)]);
    let kept = DestinationConfig { weight: 3, ..direct.clone() };
    assert_eq!(live(&mut *host), [(here, kept)], "a checker's weight stays, and what it has taken out stays out");
    succeed(&mut *host, &[replace(here, false), replace(there, false)]);
    let mut both = live(&mut *host);
    both.sort_by_key(|(key, _)| *key);
    assert_eq!(both, [(here, direct.clone()), (there, direct.clone())]);
}

pub fn refusals_have_their_numbers(bench: &dyn Bench) {
    let mut host = bench.connect();
    let (web, missing) = (key(Protocol::Tcp, "203.0.113.10", 80), key(Protocol::Udp, "203.0.113.10", 80));
    let (there, gone) = (server("10.0.0.2", 80), server("10.0.0.2", 81));
    let one = weight(Forwarding::Dr, 1);
    succeed(&mut *host, &[new(web, &config("rr")), add(web, there, &one)]);
    for (effect, errno) in [
        (new(web, &config("rr")), "EEXIST"),
        (set(missing, &config("rr")), "ESRCH"),
        (delete(missing), "ESRCH"),
        (new(missing, &config("nope")), "ENOENT"),
        (set(web, &config("nope")), "ENOENT"),
        (new(missing, &ServiceConfig { engine: Some("nope".into()), ..persistent("rr", 60, 32) }), "ENOENT"),
        (add(missing, there, &one), "ESRCH"),
        (change(missing, there, &one), "ESRCH"),
        (remove(missing, there), "ESRCH"),
        (add(web, there, &one), "EEXIST"),
        (change(web, gone, &one), "ENOENT"),
        (remove(web, gone), "ENOENT"),
        (new(mark(1, Family::Ipv6), &persistent("rr", 60, 0)), "EINVAL"),
        (add(web, server("224.0.0.1", 80), &one), "EINVAL"),
        (add(web, server("255.255.255.255", 80), &one), "EINVAL"),
        (add(web, server("2001:db8::2", 80), &one), "EINVAL"),
    ] {
        assert_eq!(refusal(&mut *host, &effect), errno, "{effect:?}");
    }
    let error = failure(&mut *host, &new(web, &config("rr")));
    assert_eq!(error.to_string(), "Cannot add the service tcp:203.0.113.10:80: the service is there already (EEXIST)");
    assert_eq!(shape(&table(&mut *host)), [(web, config("rr"), vec![(there, one)])], "a refusal changes nothing");
}

pub fn values_out_of_range_are_refused(bench: &dyn Bench) {
    let mut host = bench.connect();
    let web = mark(3, Family::Ipv4);
    let there = server("10.0.0.2", 80);
    let good = DestinationConfig { upper: 5, lower: 5, ..weight(Forwarding::Nat, i32::MAX.unsigned_abs()) };
    succeed(&mut *host, &[new(web, &config("rr")), add(web, there, &good)]);
    let crossed = DestinationConfig { upper: 4, lower: 5, ..weight(Forwarding::Nat, 1) };
    let endless = DestinationConfig { upper: 0, lower: 1, ..weight(Forwarding::Nat, 1) };
    let heavy = weight(Forwarding::Nat, i32::MAX.unsigned_abs() + 1);
    for bad in [crossed, endless, heavy] {
        assert_eq!(refusal(&mut *host, &add(web, server("10.0.0.3", 80), &bad)), "ERANGE", "{bad:?}");
        assert_eq!(refusal(&mut *host, &change(web, there, &bad)), "ERANGE", "{bad:?}");
    }
    assert_eq!(shape(&table(&mut *host)), [(web, config("rr"), vec![(there, good)])]);
}

pub fn a_batch_goes_on_after_refusals(bench: &dyn Bench) {
    let mut host = bench.connect();
    let services: Vec<ServiceKey> = (1..=100).map(|number| mark(number, Family::Ipv4)).collect();
    let mut effects = Vec::new();
    for key in &services {
        effects.push(new(*key, &config("rr")));
        effects
            .extend((1..=9).map(|last| add(*key, server(&format!("10.0.0.{last}"), 80), &weight(Forwarding::Nat, 1))));
    }
    assert_eq!(effects.len(), 1000);
    // Every 37th is replaced by one that must fail, in batches and at their ends.
    let bad: Vec<usize> = (5..effects.len()).step_by(37).collect();
    for place in &bad {
        effects.insert(*place, delete(mark(9999, Family::Ipv4)));
    }
    let results = host.perform_all(effects.to_vec());
    assert_eq!(results.len(), effects.len());
    for (place, result) in results.iter().enumerate() {
        match result {
            Ok(()) => assert!(!bad.contains(&place), "{place} must fail"),
            Err(error) => {
                assert!(bad.contains(&place), "{place} {:?} failed: {error}", effects[place]);
                assert_eq!(error.errno(), Some("ESRCH"));
            }
        }
    }
    let live = table(&mut *host);
    assert_eq!(live.len(), 100);
    assert!(live.iter().all(|service| service.destinations.len() == 9));
    // What is not part of the batch is not tried after it.
    let after = Effect::RemoveFile { path: "/etc/nothing".into() };
    let results = host.perform_all(vec![delete(mark(9999, Family::Ipv4)), delete(services[0]), after]);
    assert_eq!(results[0].as_ref().unwrap_err().errno(), Some("ESRCH"));
    assert_eq!(results[1..], [Ok(()), Err(HostError::NotTried)]);
    assert_eq!(table(&mut *host).len(), 99);
}

pub fn is_waited_for(bench: &dyn Bench) {
    let mut host = bench.connect();
    let web = mark(5, Family::Ipv4);
    let there = server("10.0.0.2", 80);
    let within = Duration::from_millis(80);
    let service = |present| Effect::AwaitService { service: web, present, within };
    let drained = Effect::AwaitDrained { service: web, destination: there, within: Duration::from_secs(20) };
    succeed(&mut *host, &[service(false), drained.clone(), new(web, &config("rr"))]);
    succeed(&mut *host, &[service(true), drained.clone(), add(web, there, &weight(Forwarding::Dr, 0)), drained]);
    for present in [true, false] {
        if !present {
            succeed(&mut *host, &[new(mark(6, Family::Ipv4), &config("rr"))]);
        }
        let other = if present { mark(9, Family::Ipv4) } else { mark(6, Family::Ipv4) };
        let late = failure(&mut *host, &Effect::AwaitService { service: other, present, within });
        assert!(matches!(late, HostError::Timeout { .. }), "{late}");
    }
}

pub fn timeouts_are_set_one_by_one(bench: &dyn Bench) {
    let mut host = bench.connect();
    let read = |host: &mut dyn Host| match ask(host, &Probe::IpvsTimeouts) {
        Answer::IpvsTimeouts(timeouts) => timeouts.into_values().collect::<Vec<u32>>(),
        _ => mismatch(&"timeouts"),
    };
    let set = |timeout, seconds| Effect::Ipvs(IpvsCommand::SetTimeout(timeout, seconds));
    succeed(&mut *host, &[Effect::LoadModule("ip_vs".into())]);
    assert_eq!(read(&mut *host), IpvsTimeout::ALL.map(IpvsTimeout::kernel_default));
    succeed(&mut *host, &[set(IpvsTimeout::TcpFin, 5)]);
    assert_eq!(read(&mut *host), [900, 5, 300]);
    succeed(&mut *host, &[set(IpvsTimeout::Tcp, 1200), set(IpvsTimeout::Udp, 2_147_483), set(IpvsTimeout::TcpFin, 0)]);
    assert_eq!(read(&mut *host), [1200, 5, 2_147_483], "0 keeps what is there");
    // A new network namespace begins with the kernel's own again, so nothing is left behind for the next case.
}

pub fn sync_daemons_start_and_stop(bench: &dyn Bench) {
    let mut host = bench.connect();
    let read = |host: &mut dyn Host| match ask(host, &Probe::SyncDaemons) {
        Answer::SyncDaemons(daemons) => daemons,
        _ => mismatch(&"daemons"),
    };
    succeed(&mut *host, &[Effect::LoadModule("ip_vs".into())]);
    let plain = SyncDaemonConfig {
        interface: "eth0".into(),
        id: 7,
        group: SyncDaemonConfig::GROUP,
        port: SyncDaemonConfig::PORT,
        ttl: SyncDaemonConfig::TTL,
        maxlen: None,
    };
    let special = SyncDaemonConfig {
        group: "ff02::81".parse().expect("a group"),
        port: 9999,
        ttl: 3,
        // A daemon that receives takes at least 1024 and turns less into that without a word.
        maxlen: Some(1100),
        ..plain.clone()
    };
    let start = |state, config: &SyncDaemonConfig| Effect::StartSyncDaemon(state, config.clone());
    let stop = Effect::StopSyncDaemon;
    // One that does not run was stopped by keepalived, and its end is not waited for where none runs.
    let within = Duration::from_secs(60);
    succeed(&mut *host, &[stop(SyncState::Backup), Effect::AwaitNoSyncDaemon { within }]);
    succeed(&mut *host, &[start(SyncState::Master, &plain), start(SyncState::Backup, &special)]);
    let running = read(&mut *host);
    assert_eq!(running[&SyncState::Backup], special);
    assert_eq!(SyncDaemonConfig { maxlen: None, ..running[&SyncState::Master].clone() }, plain);
    assert!(running[&SyncState::Master].maxlen > Some(1000), "the kernel says what it has worked out");
    assert_eq!(refusal(&mut *host, &start(SyncState::Master, &special)), "EEXIST");
    // Stopped and started at once, several times.
    for _ in 0..3 {
        succeed(&mut *host, &[stop(SyncState::Master), start(SyncState::Master, &special), stop(SyncState::Master)]);
        succeed(&mut *host, &[start(SyncState::Master, &plain)]);
    }
    succeed(&mut *host, &[stop(SyncState::Master), stop(SyncState::Backup)]);
    assert!(read(&mut *host).is_empty());
    let missing = SyncDaemonConfig { interface: "eth9".into(), ..plain };
    assert_eq!(refusal(&mut *host, &start(SyncState::Master, &missing)), "ENODEV");
}
