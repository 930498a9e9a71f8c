//! What a topology asks of the kernel, and what each change does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::effect::{Capabilities, DestinationConfig, DestinationKey, IpvsCommand, LiveDestination};
use crate::effect::{ServiceConfig, ServiceFlags, ServiceKey};
use crate::kinds::keepalived::KeepalivedKind;
use crate::resource::{Action, HostState, Reason, ResourceId};
use crate::topology::fixture::*;
use crate::topology::{
    Forwarding, HostName, Persistence, Protocol, Role, Scheduler, SecretValues, Topology, VipHolder,
};

fn compiled(topology: &Topology, host: &str) -> Vec<Entry> {
    let (facts, secrets) = (BTreeMap::new(), SecretValues::default());
    let site = Site { topology, facts: &facts, secrets: &secrets };
    let host = &topology.hosts[&HostName::new(host)];
    let mut problems = Problems::default();
    let mut entries = IpvsKind.compile(&site, host, &mut problems);
    entries.extend(KeepalivedKind.compile(&site, host, &mut problems));
    entries
}

/// One director with a static service of two servers, one of them behind a port mapping.
fn static_site() -> Topology {
    let lb = host(Role::Director, "lb", "10.0.0.1/24", None);
    let (a, b) = (host(Role::RealServer, "a", "10.0.0.2/24", None), host(Role::RealServer, "b", "10.0.0.3/24", None));
    let mut web = service("web", Protocol::Tcp, 80, vec![server(&a), server(&b)]);
    web.scheduler = Scheduler { name: "sh".into(), fallback: false, port: true };
    web.persistence = Some(Persistence { timeout: Duration::from_secs(300), netmask: Some(24) });
    web.servers[0].forwarding = Forwarding::Nat;
    web.servers[0].port = Some(at(8080));
    web.servers[0].upper = 10;
    let holder = VipHolder::Director(lb.name.clone());
    topology(vec![lb, a, b], vec![], vec![vip("10.0.0.100", holder, vec![web])])
}

#[test]
fn a_static_service_is_lvsctls_with_its_flags_and_limits() {
    let entries = compiled(&static_site(), "lb");
    let shown: Vec<String> = entries.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(
        shown,
        ["ipvs/tcp:10.0.0.100:80", "ipvs/tcp:10.0.0.100:80/10.0.0.2:8080", "ipvs/tcp:10.0.0.100:80/10.0.0.3:80"]
    );
    let state: HostState = entries.iter().map(|entry| (entry.key.clone(), entry.clone())).collect();
    assert_eq!(
        ipvsadm::rules(&state),
        "-A -t 10.0.0.100:80 -s sh -p 300 -M 255.255.255.0 -b sh-port\n\
         -a -t 10.0.0.100:80 -r 10.0.0.2:8080 -m -w 100 -x 10\n\
         -a -t 10.0.0.100:80 -r 10.0.0.3:80 -g -w 100\n"
    );
    let requires = |at: usize| entries[at].requires.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(requires(0), ["lb/module/ip_vs", "lb/module/ip_vs_sh"]);
    assert_eq!(requires(1), ["lb/ipvs/tcp:10.0.0.100:80", "a/address/lo/10.0.0.100", "a/route/default-ipv4"]);
    assert_eq!(requires(2), ["lb/ipvs/tcp:10.0.0.100:80", "b/address/lo/10.0.0.100"]);
}

#[test]
fn a_checked_service_is_keepaliveds_on_every_director_that_can_hold_the_vip() {
    for name in ["lb01", "lb02"] {
        let entries = compiled(&reference_site(), name);
        let ours: Vec<&Entry> = entries.iter().filter(|entry| IpvsKind.owns(&entry.key)).collect();
        assert_eq!(ours.len(), 6);
        for entry in ours {
            assert!(matches!(
                entry.resource,
                Resource::IpvsService { programmer: Programmer::Keepalived, .. }
                    | Resource::IpvsDestination { programmer: Programmer::Keepalived, .. }
            ));
            assert!(entry.requires.contains(&crate::kinds::ids::keepalived_daemon(&HostName::new(name))));
        }
    }
    assert!(compiled(&reference_site(), "web1").is_empty());
}

#[test]
fn a_live_table_is_read_in_canonical_form() {
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address: "10.0.0.100".parse().unwrap(), port: 80 };
    let flags = ServiceFlags(ServiceFlags::HASHED);
    let config = ServiceConfig { scheduler: "rr".into(), flags, timeout: 360, netmask: 0, engine: Some(String::new()) };
    let destination = DestinationKey { address: "10.0.0.2".parse().unwrap(), port: 80 };
    let to =
        DestinationConfig { forwarding: Forwarding::Dr, tunnel: Default::default(), weight: 0, upper: 0, lower: 0 };
    let live = LiveDestination { key: destination, config: to, active: 3, inactive: 4 };
    let answer = Answer::Ipvs(vec![LiveService { key, config: config.clone(), destinations: vec![live] }]);
    let (capabilities, keys) = (Capabilities::default(), BTreeSet::new());
    let scope = Scope { capabilities: &capabilities, keys: &keys };
    let entries = IpvsKind.parse(&scope, &[answer]).unwrap();
    let plain = ServiceConfig { flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None, ..config.clone() };
    assert_eq!(entries[0].resource, Resource::IpvsService { config: plain, programmer: Programmer::Lvsctl });
    assert_eq!(entries[1].key.to_string(), "ipvs/tcp:10.0.0.100:80/10.0.0.2:80");
    assert_eq!(entries[1].connections, Some((3, 4)));
    let sticky = ServiceConfig { flags: ServiceFlags(0x3), netmask: 24, ..config };
    let answer = Answer::Ipvs(vec![LiveService { key, config: sticky, destinations: vec![] }]);
    let Resource::IpvsService { config, .. } = &IpvsKind.parse(&scope, &[answer]).unwrap()[0].resource else {
        panic!()
    };
    assert_eq!((config.flags.0, config.timeout, config.netmask), (1, 360, 24));
    assert!(IpvsKind.parse(&scope, &[Answer::Links(vec![])]).is_err());
}

/// A plan's circumstances on one director.
struct Stage {
    desired: HostState,
    observed: HostState,
    changed: BTreeSet<ResourceKey>,
}

impl Stage {
    /// The reference site on lb01, where keepalived runs and nothing changes.
    fn quiet() -> Self {
        let state = |entries: Vec<Entry>| entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let entries = compiled(&reference_site(), "lb01");
        Stage { desired: state(entries.clone()), observed: state(entries), changed: BTreeSet::new() }
    }

    fn reloading(mut self) -> Self {
        self.changed.extend([ResourceKey::KeepalivedConfiguration, ResourceKey::KeepalivedDaemon]);
        self
    }

    fn without_daemon(mut self) -> Self {
        self.observed.remove(&ResourceKey::KeepalivedDaemon);
        self.changed.insert(ResourceKey::KeepalivedDaemon);
        self
    }

    fn effects(
        &self,
        key: ResourceKey,
        reason: Reason,
        before: Option<Resource>,
        after: Option<Resource>,
    ) -> Vec<Effect> {
        let action = match (&before, &after) {
            (None, _) => Action::Create,
            (_, None) => Action::Delete,
            _ => Action::Update,
        };
        let id = ResourceId::new(&HostName::new("lb01"), key);
        let change = Change { id, action, before, after, reason, previous: None, origin: None };
        let capabilities = Capabilities::default();
        let context = Context {
            capabilities: &capabilities,
            changed: &self.changed,
            desired: &self.desired,
            observed: &self.observed,
            ahead: &BTreeMap::new(),
        };
        IpvsKind.effects(&change, &context)
    }
}

const SERVICE: ServiceKey = ServiceKey::Mark { mark: 1, family: crate::topology::Family::Ipv4 };

fn destination_key() -> DestinationKey {
    DestinationKey { address: "10.4.1.151".parse().unwrap(), port: 0 }
}

fn service_of(programmer: Programmer, scheduler: &str) -> Option<Resource> {
    let flags = ServiceFlags::default();
    let config = ServiceConfig { scheduler: scheduler.into(), flags, timeout: 0, netmask: 32, engine: None };
    Some(Resource::IpvsService { config, programmer })
}

fn destination_of(programmer: Programmer, weight: u32, upper: u32) -> Option<Resource> {
    Some(Resource::IpvsDestination { config: to(weight, upper), programmer })
}

fn to(weight: u32, upper: u32) -> DestinationConfig {
    DestinationConfig { forwarding: Forwarding::Dr, tunnel: Default::default(), weight, upper, lower: 0 }
}

fn set(weight: u32, upper: u32) -> Effect {
    Effect::Ipvs(IpvsCommand::SetDestination(SERVICE, destination_key(), to(weight, upper)))
}

/// Sets what keepalived may take away at any moment.
fn adjust(weight: u32, upper: u32) -> Effect {
    Effect::Ipvs(IpvsCommand::SetDestinationIfThere(SERVICE, destination_key(), to(weight, upper)))
}

fn await_service(present: bool) -> Effect {
    Effect::AwaitService { service: SERVICE, present, within: RELOAD }
}

fn await_drained() -> Effect {
    Effect::AwaitDrained { service: SERVICE, destination: destination_key(), within: DRAIN }
}

use Programmer::{Keepalived, Lvsctl};

#[test]
fn a_service_says_how_long_its_servers_may_finish() {
    let mut stage = Stage::quiet();
    let config =
        ServiceConfig { scheduler: "rr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
    let key = ResourceKey::IpvsService(SERVICE);
    let mut service = Entry::new(key.clone(), Resource::IpvsService { config, programmer: Lvsctl });
    service.drain = Some(std::time::Duration::from_secs(5));
    stage.desired.insert(key, service);
    let key = ResourceKey::IpvsDestination(SERVICE, destination_key());
    let effects = stage.effects(key, Reason::RemovedFromTopology, destination_of(Lvsctl, 0, 0), None);
    let within = std::time::Duration::from_secs(5);
    assert_eq!(effects[0], Effect::AwaitDrained { service: SERVICE, destination: destination_key(), within });
}

#[test]
fn a_static_destination_is_edited_in_place_and_drained_before_it_goes() {
    let stage = Stage::quiet();
    let change = |before, after| {
        let key = ResourceKey::IpvsDestination(SERVICE, destination_key());
        stage.effects(key, Reason::TopologyChanged, before, after)
    };
    let delete = Effect::Ipvs(IpvsCommand::DeleteDestination(SERVICE, destination_key()));
    let new = Effect::Ipvs(IpvsCommand::NewDestination(SERVICE, destination_key(), to(5, 0)));
    assert_eq!(change(None, destination_of(Lvsctl, 5, 0)), [new]);
    assert_eq!(change(destination_of(Lvsctl, 5, 0), destination_of(Lvsctl, 7, 9)), [set(7, 9)]);
    assert_eq!(change(destination_of(Lvsctl, 5, 9), None), [set(0, 9), await_drained(), delete.clone()]);
    assert_eq!(change(destination_of(Lvsctl, 0, 0), None), [await_drained(), delete]);
}

#[test]
fn keepalived_is_left_to_do_what_a_reload_does() {
    let stage = Stage::quiet().reloading();
    let service =
        |before, after| stage.effects(ResourceKey::IpvsService(SERVICE), Reason::TopologyChanged, before, after);
    assert_eq!(service(None, service_of(Keepalived, "wrr")), [await_service(true)]);
    assert_eq!(service(service_of(Keepalived, "wrr"), None), [await_service(false)]);
    let destination = |before, after| {
        let key = ResourceKey::IpvsDestination(SERVICE, destination_key());
        stage.effects(key, Reason::TopologyChanged, before, after)
    };
    assert_eq!(destination(None, destination_of(Keepalived, 5, 0)), []);
    assert_eq!(destination(destination_of(Keepalived, 5, 0), None), [adjust(0, 0), await_drained()]);
    assert_eq!(destination(destination_of(Keepalived, 5, 0), destination_of(Keepalived, 7, 0)), []);
    assert_eq!(destination(destination_of(Keepalived, 5, 0), destination_of(Keepalived, 7, 9)), [adjust(7, 9)]);
    assert_eq!(destination(destination_of(Keepalived, 0, 0), destination_of(Keepalived, 7, 9)), []);
}

#[test]
fn drift_is_repaired_without_touching_health() {
    let stage = Stage::quiet();
    let destination = |before, after| {
        let key = ResourceKey::IpvsDestination(SERVICE, destination_key());
        stage.effects(key, Reason::AlteredOnHost, before, after)
    };
    assert_eq!(destination(destination_of(Keepalived, 3, 4), destination_of(Keepalived, 7, 0)), [adjust(7, 0)]);
    assert_eq!(destination(destination_of(Keepalived, 0, 4), destination_of(Keepalived, 7, 0)), [adjust(0, 0)]);
    let key = ResourceKey::IpvsService(SERVICE);
    let (before, after) = (service_of(Keepalived, "rr"), service_of(Keepalived, "wrr"));
    let effects = stage.effects(key, Reason::AlteredOnHost, before, after);
    assert!(
        matches!(&effects[..], [Effect::Ipvs(IpvsCommand::SetService(SERVICE, config))] if config.scheduler == "wrr")
    );
}

#[test]
fn a_service_that_somebody_deleted_comes_back_by_two_reloads() {
    let create = |stage: Stage, reason| {
        stage.effects(ResourceKey::IpvsService(SERVICE), reason, None, service_of(Keepalived, "wrr"))
    };
    let effects = create(Stage::quiet(), Reason::RemovedOnHost);
    let [new, write, reload, gone, write_again, reload_again, present] = &effects[..] else { panic!("{effects:?}") };
    assert!(matches!(new, Effect::Ipvs(IpvsCommand::NewService(SERVICE, _))));
    let written = |effect: &Effect| match effect {
        Effect::WriteFile { text, mode: 0o600, keepalived_test: true, .. } => text.clone(),
        other => panic!("{other:?}"),
    };
    let digest = |effect: &Effect| match effect {
        Effect::ReloadKeepalived { configuration } => configuration.clone(),
        other => panic!("{other:?}"),
    };
    let (reduced, full) = (written(write), written(write_again));
    assert!(!reduced.masked().contains("fwmark 1 ") && reduced.masked().contains("fwmark 2 "));
    assert!(full.masked().contains("fwmark 1 "));
    assert_eq!(digest(reload), crate::kinds::keepalived::digest(&reduced));
    assert_eq!(digest(reload_again), crate::kinds::keepalived::digest(&full));
    assert_eq!((gone, present), (&await_service(false), &await_service(true)));
    // The same although the configuration changes as well, but not where keepalived has to be started anyway.
    assert_eq!(create(Stage::quiet().reloading(), Reason::RemovedOnHost).len(), 7);
    assert_eq!(create(Stage::quiet().without_daemon(), Reason::RemovedOnHost), [await_service(true)]);
}

#[test]
fn what_a_killed_keepalived_left_behind_is_lvsctls_to_take_away() {
    let stage = Stage::quiet().reloading().without_daemon();
    let gone = Effect::Ipvs(IpvsCommand::DeleteService(SERVICE));
    let key = || ResourceKey::IpvsService(SERVICE);
    let reason = Reason::RemovedFromTopology;
    assert_eq!(stage.effects(key(), reason, service_of(Keepalived, "wrr"), None), [gone]);
    let taken = stage.effects(key(), reason, service_of(Keepalived, "wrr"), service_of(Lvsctl, "wrr"));
    assert!(matches!(&taken[..], [Effect::Ipvs(IpvsCommand::SetService(..))]), "{taken:?}");
    let destination = |after| {
        let key = ResourceKey::IpvsDestination(SERVICE, destination_key());
        stage.effects(key, reason, destination_of(Keepalived, 5, 0), after)
    };
    let delete = Effect::Ipvs(IpvsCommand::DeleteDestination(SERVICE, destination_key()));
    assert_eq!(destination(None), [adjust(0, 0), await_drained(), delete]);
    assert_eq!(destination(destination_of(Lvsctl, 7, 0)), [set(7, 0)]);
    assert_eq!(destination(destination_of(Keepalived, 7, 0)), [adjust(7, 0)]);
}

#[test]
fn a_service_changes_hands() {
    let key = || ResourceKey::IpvsService(SERVICE);
    let hand = |stage: &Stage, from, to| {
        stage.effects(key(), Reason::TopologyChanged, service_of(from, "rr"), service_of(to, "wrr"))
    };
    let reloading = Stage::quiet().reloading();
    let taken = hand(&reloading, Keepalived, Lvsctl);
    assert!(matches!(&taken[..], [gone, Effect::Ipvs(IpvsCommand::NewService(..))] if *gone == await_service(false)));
    let given = hand(&reloading, Lvsctl, Keepalived);
    assert!(matches!(&given[..], [Effect::Ipvs(IpvsCommand::SetService(..))]));
    let destination = |from, to| {
        let key = ResourceKey::IpvsDestination(SERVICE, destination_key());
        let (before, after) = (destination_of(from, 1, 0), destination_of(to, 2, 0));
        reloading.effects(key, Reason::TopologyChanged, before, after)
    };
    let new = Effect::Ipvs(IpvsCommand::NewDestination(SERVICE, destination_key(), to(2, 0)));
    assert_eq!(destination(Keepalived, Lvsctl), [new]);
    assert_eq!(destination(Lvsctl, Keepalived), [adjust(2, 0)]);
}
