//! What a reload does to the kernel's table, on which `kinds::ipvs` builds, and what lvsctl does about the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use lvsctl::effect::{Capabilities, DestinationKey, Effect, IpvsCommand, ServiceKey};
use lvsctl::kinds::ipvs::{IpvsKind, ipvsadm};
use lvsctl::kinds::{Context, Kind, Site};
use lvsctl::plan::{Plan, ReloadAct, Step, reload};
use lvsctl::resource::{Action, Change, HostState, Programmer, Reason, Resource, ResourceId, ResourceKey};
use lvsctl::source::Problems;
use lvsctl::topology::{CheckKind, Family, HostName, OnFailure, Protocol, SecretValues, Service, Topology};

use super::daemon::{Daemon, eventually, write};
use super::{director, site};
use crate::lab::Namespace;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("keepalived::a_service_deleted_by_hand_comes_back", a_service_deleted_by_hand_comes_back)
            .on_both_kernels(),
        test("keepalived::thresholds_are_not_compared", thresholds_are_not_compared),
        test("keepalived::a_service_that_is_there_is_left_alone", a_service_that_is_there_is_left_alone),
        test("keepalived::a_service_leaves_with_its_destinations", a_service_leaves_with_its_destinations),
        test("keepalived::a_failed_server_is_not_inhibited_any_more", a_failed_server_is_not_inhibited_any_more),
        test("keepalived::virtual_servers_fare_as_predicted", virtual_servers_fare_as_predicted),
        test("keepalived::forwarding_is_edited_in_place", forwarding_is_edited_in_place),
    ]
}

/// A director on which keepalived runs with one site.
pub(super) struct Stage<'a> {
    namespace: &'a Namespace,
    pub(super) daemon: Daemon<'a>,
    observed: HostState,
}

impl<'a> Stage<'a> {
    pub(super) fn new(namespace: &'a Namespace, topology: &Topology) -> Self {
        let daemon = Daemon::start(namespace, &site::text(topology, "lb01").expect("a configuration"));
        Stage { namespace, daemon, observed: state(topology) }
    }

    pub(super) fn table(&self) -> String {
        let thresholds = self.namespace.run(&["ipvsadm", "-Ln", "--thresholds"]);
        format!("{}{thresholds}", self.namespace.run(&["ipvsadm", "-Sn"]))
    }

    pub(super) fn until(&self, line: &str, present: bool) {
        let squeezed = || self.table().split_whitespace().collect::<Vec<_>>().join(" ");
        let what = format!("{line:?} {}", if present { "in the table" } else { "gone from the table" });
        eventually(
            &what,
            || squeezed().contains(line) == present,
            || format!("{}\n{}", self.table(), self.daemon.log()),
        );
    }

    /// Writes a topology's configuration and reloads, with one more service that shows when keepalived has done so.
    pub(super) fn reload(&self, services: &[Service], marker: u16) {
        let mut services = services.to_vec();
        services.push(checked(marker));
        write(self.namespace, &site::text(&site::single(services), "lb01").expect("a configuration"));
        self.daemon.reload();
        self.until(&format!("-a -t 10.4.1.190:{marker} -r 10.4.1.160:{marker}"), true);
    }

    /// Returns the effects of a change between the state that was and one that is to be.
    fn effects(&self, topology: &Topology, key: &ResourceKey, reason: Reason, changed: &[ResourceKey]) -> Vec<Effect> {
        let desired = state(topology);
        let resource = |state: &HostState| state.get(key).map(|entry| entry.resource.clone());
        let (before, after) = match reason {
            Reason::RemovedOnHost => (None, resource(&desired)),
            _ => (resource(&self.observed), resource(&desired)),
        };
        let action = if before.is_none() { Action::Create } else { Action::Update };
        let id = ResourceId::new(&HostName::new("lb01"), key.clone());
        let change = Change { id, action, before, after, reason, previous: None, origin: None };
        let (capabilities, changed) = (Capabilities::default(), changed.iter().cloned().collect::<BTreeSet<_>>());
        let observed = &self.observed;
        let context = Context {
            capabilities: &capabilities,
            changed: &changed,
            desired: &desired,
            observed,
            ahead: &BTreeMap::new(),
        };
        IpvsKind.effects(&change, &context)
    }

    fn perform(&self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Ipvs(command) => self.ipvsadm(command),
                Effect::WriteFile { text, .. } => write(self.namespace, &text.expose().expect("known secrets")),
                Effect::ReloadKeepalived { .. } => self.daemon.reload(),
                Effect::AwaitService { service, present, .. } => {
                    self.until(&format!("-A {} ", ipvsadm::service(*service)), *present);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn ipvsadm(&self, command: &IpvsCommand) {
        let line = match command {
            IpvsCommand::NewService(key, config) => {
                format!("-A {} {}", ipvsadm::service(*key), ipvsadm::service_options(config, key.family()))
            }
            IpvsCommand::SetService(key, config) => {
                format!("-E {} {}", ipvsadm::service(*key), ipvsadm::service_options(config, key.family()))
            }
            IpvsCommand::SetDestination(key, to, config) | IpvsCommand::SetDestinationIfThere(key, to, config) => {
                let (service, to) = (ipvsadm::service(*key), ipvsadm::destination(*to));
                format!("-e {service} {to} {}", ipvsadm::destination_options(config))
            }
            other => panic!("{other:?}"),
        };
        let status = self.namespace.enter(|| Command::new("ipvsadm").args(line.split(' ')).status());
        assert!(status.expect("ipvsadm starts").success(), "ipvsadm {line}");
    }
}

/// A checked service of one server that is never up and one that nobody watches.
fn checked(port: u16) -> Service {
    let servers =
        vec![site::server(150, Family::Ipv4, Some(site::check(CheckKind::Tcp))), site::server(160, Family::Ipv4, None)];
    site::service(&format!("port{port}"), port, None, servers)
}

fn state(topology: &Topology) -> HostState {
    let (facts, secrets) = (BTreeMap::new(), SecretValues::default());
    let site = Site { topology, facts: &facts, secrets: &secrets };
    let services = IpvsKind.compile(&site, &topology.hosts[&HostName::new("lb01")], &mut Problems::default());
    let keepalived = site::compiled(topology, "lb01").0;
    services.into_iter().chain(keepalived).map(|entry| (entry.key.clone(), entry)).collect()
}

fn key(port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: "10.4.1.190".parse().expect("an address"), port }
}

fn destination(port: u16) -> ResourceKey {
    let address = "10.4.1.160".parse().expect("an address");
    ResourceKey::IpvsDestination(key(port), DestinationKey { address, port })
}

const RELOADED: [ResourceKey; 2] = [ResourceKey::KeepalivedConfiguration, ResourceKey::KeepalivedDaemon];

fn a_service_deleted_by_hand_comes_back() {
    let namespace = director();
    let topology = site::single(vec![checked(80), checked(81)]);
    let stage = Stage::new(&namespace, &topology);
    stage.until("-a -t 10.4.1.190:81 -r 10.4.1.160:81 -g -w 100", true);
    namespace.run(&["ipvsadm", "-D", "-t", "10.4.1.190:80"]);
    // A reload alone does not bring it back.
    stage.reload(&[checked(80), checked(81)], 99);
    stage.until("-A -t 10.4.1.190:80 ", false);
    let desired = site::single(vec![checked(80), checked(81), checked(99)]);
    let effects = stage.effects(&desired, &ResourceKey::IpvsService(key(80)), Reason::RemovedOnHost, &[]);
    stage.perform(&effects);
    stage.until("-A -t 10.4.1.190:80 -s wrr", true);
    stage.until("-a -t 10.4.1.190:80 -r 10.4.1.160:80 -g -w 100", true);
    // The others were not touched: a service that keepalived removes and adds again is logged.
    assert!(!stage.daemon.log().contains("Removing Virtual Server [10.4.1.190]:tcp:81"), "{}", stage.daemon.log());
}

fn thresholds_are_not_compared() {
    let namespace = director();
    let stage = Stage::new(&namespace, &site::single(vec![checked(80)]));
    stage.until("-> 10.4.1.160:80 0 0", true);
    let mut limited = checked(80);
    (limited.servers[1].upper, limited.servers[1].lower) = (20, 10);
    stage.reload(std::slice::from_ref(&limited), 99);
    stage.until("-> 10.4.1.160:80 0 0", true);
    let effects =
        stage.effects(&site::single(vec![limited.clone()]), &destination(80), Reason::TopologyChanged, &RELOADED);
    stage.perform(&effects);
    stage.until("-> 10.4.1.160:80 20 10", true);
    // With a weight they are written.
    (limited.servers[1].upper, limited.servers[1].weight) = (30, 7);
    stage.reload(std::slice::from_ref(&limited), 98);
    stage.until("-> 10.4.1.160:80 30 10", true);
    stage.until("-r 10.4.1.160:80 -g -w 7", true);
}

fn a_service_that_is_there_is_left_alone() {
    let namespace = director();
    let mut stage = Stage::new(&namespace, &site::single(vec![checked(80)]));
    stage.until("-a -t 10.4.1.190:80 ", true);
    // What lvsctl had: the same service without checks, with another scheduler and another weight.
    let mut before = checked(81);
    before.servers.iter_mut().for_each(|server| server.check = None);
    before.scheduler.name = "rr".into();
    before.servers[1].weight = 3;
    stage.observed = state(&site::single(vec![checked(80), before]));
    assert!(matches!(
        stage.observed[&ResourceKey::IpvsService(key(81))].resource,
        Resource::IpvsService { programmer: Programmer::Lvsctl, .. }
    ));
    namespace.run(&["ipvsadm", "-A", "-t", "10.4.1.190:81", "-s", "rr"]);
    namespace.run(&["ipvsadm", "-a", "-t", "10.4.1.190:81", "-r", "10.4.1.160:81", "-g", "-w", "3"]);
    stage.reload(&[checked(80), checked(81)], 99);
    stage.until("-A -t 10.4.1.190:81 -s rr", true);
    stage.until("-a -t 10.4.1.190:81 -r 10.4.1.160:81 -g -w 3", true);
    let desired = site::single(vec![checked(80), checked(81)]);
    for key in [ResourceKey::IpvsService(key(81)), destination(81)] {
        stage.perform(&stage.effects(&desired, &key, Reason::TopologyChanged, &RELOADED));
    }
    stage.until("-A -t 10.4.1.190:81 -s wrr", true);
    stage.until("-a -t 10.4.1.190:81 -r 10.4.1.160:81 -g -w 100", true);
}

fn a_service_leaves_with_its_destinations() {
    let namespace = director();
    let stage = Stage::new(&namespace, &site::single(vec![checked(80), checked(81)]));
    stage.until("-a -t 10.4.1.190:81 ", true);
    namespace.run(&["ipvsadm", "-a", "-t", "10.4.1.190:81", "-r", "10.4.1.170:81", "-g"]);
    stage.reload(&[checked(80)], 99);
    stage.until("-t 10.4.1.190:81 ", false);
}

/// A weight of 0 under `on-failure "remove"` can then not be left over from `"inhibit"`, so that it is drift.
fn a_failed_server_is_not_inhibited_any_more() {
    let namespace = director();
    let mut inhibiting = checked(80);
    if let Some(check) = &mut inhibiting.servers[0].check {
        let second = Duration::from_secs(1);
        (check.interval, check.timeout, check.retries, check.retry_delay) = (second, second, 1, second);
    }
    let stage = Stage::new(&namespace, &site::single(vec![inhibiting.clone()]));
    stage.until("-a -t 10.4.1.190:80 -r 10.4.1.150:80 -g -w 0", true);
    let removing = Service { on_failure: OnFailure::Remove, ..inhibiting };
    stage.reload(&[removing], 99);
    stage.until("-a -t 10.4.1.190:80 -r 10.4.1.150:80", false);
}

/// Returns the prediction for a reload, by what is told of each service.
pub(super) fn predicted(before: &Topology, after: &Topology) -> Vec<(ReloadAct, ServiceKey)> {
    let (old, new) = (state(before), state(after));
    let step = |key: ResourceKey| {
        let of = |state: &HostState| state.get(&key).map(|entry| entry.resource.clone());
        let id = ResourceId::new(&HostName::new("lb01"), key.clone());
        let (action, reason) = (Action::Update, Reason::TopologyChanged);
        let change = Change { id, action, before: of(&old), after: of(&new), reason, previous: None, origin: None };
        let (effects, undo, requires) = (vec![], vec![], vec![]);
        Step { change, effects, undo, requires, connections: None, is_cut: false, successor: None }
    };
    let plan = Plan { steps: RELOADED.map(step).into(), ..Plan::default() };
    reload(&plan, &plan.steps[1]).into_iter().map(|effect| (effect.act, effect.service)).collect()
}

/// One is edited, one becomes a mark, one goes, one loses a server; what is said of each is what keepalived logs and does.
fn virtual_servers_fare_as_predicted() {
    let namespace = director();
    let before = site::single((80..84).map(checked).collect());
    let mut services: Vec<Service> = [80, 81, 83].map(checked).into();
    services[0].scheduler.name = "rr".into();
    services[1].fwmark = Some(site::at(5));
    services[2].servers.truncate(1);
    let marked = ServiceKey::Mark { mark: 5, family: Family::Ipv4 };
    let [first, server] = ["10.4.1.150", "10.4.1.160"].map(|address| {
        let address: IpAddr = address.parse().expect("an address");
        move |port| DestinationKey { address, port }
    });
    let expected = [
        (ReloadAct::Edits(["scheduler"].into()), key(80)),
        (ReloadAct::Replaces(marked), key(81)),
        (ReloadAct::RemovesUndrained(first(81)), key(81)),
        (ReloadAct::RemovesUndrained(server(81)), key(81)),
        (ReloadAct::Removes, key(82)),
        (ReloadAct::RemovesUndrained(first(82)), key(82)),
        (ReloadAct::RemovesUndrained(server(82)), key(82)),
        (ReloadAct::RemovesUndrained(server(83)), key(83)),
    ];
    let told = predicted(&before, &site::single(services.clone()));
    assert_eq!(told, expected);

    let stage = Stage::new(&namespace, &before);
    stage.until("-a -t 10.4.1.190:83 -r 10.4.1.160:83 -g -w 100", true);
    let read = stage.daemon.log().len();
    stage.reload(&services, 99);
    for (line, present) in [
        ("-A -t 10.4.1.190:80 -s rr", true),
        ("-t 10.4.1.190:81 ", false),
        ("-a -f 5 -r 10.4.1.160:0 -g -w 100", true),
        ("-t 10.4.1.190:82 ", false),
        ("-r 10.4.1.160:83 ", false),
        ("-A -t 10.4.1.190:83 ", true),
    ] {
        stage.until(line, present);
    }
    let log = stage.daemon.log().split_off(read);
    let logged = |start: &str| -> Vec<&str> {
        log.lines().filter_map(|line| line.split_once(start)).map(|(_, rest)| rest.trim_end()).collect()
    };
    let vs = |service: &ServiceKey| match service {
        ServiceKey::Address { address, port, .. } => format!("[{address}]:tcp:{port}"),
        ServiceKey::Mark { mark, .. } => format!("FWM {mark}"),
    };
    let told = |what: &dyn Fn(&ReloadAct, &ServiceKey) -> Option<String>| -> Vec<String> {
        told.iter().filter_map(|(act, service)| what(act, service)).collect()
    };
    let gone = told(&|act, service| matches!(act, ReloadAct::Replaces(_) | ReloadAct::Removes).then(|| vs(service)));
    assert_eq!(logged("Removing Virtual Server "), gone, "{log}");
    let servers = told(&|act, service| match act {
        ReloadAct::RemovesUndrained(DestinationKey { address, port }) => {
            Some(format!("[{address}]:tcp:{port} from VS {}", vs(service)))
        }
        _ => None,
    });
    assert_eq!(logged("Removing service "), servers, "{log}");
    // What is replaced is gone before its replacement comes: nothing answers meanwhile.
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?} in {log}"));
    assert!(at("Removing Virtual Server [10.4.1.190]:tcp:81") < at("for VS FWM 5"), "{log}");
}

fn forwarding_is_edited_in_place() {
    let namespace = director();
    namespace.run(&["ipvsadm", "-A", "-t", "10.4.1.190:80", "-s", "wrr"]);
    namespace.run(&["ipvsadm", "-a", "-t", "10.4.1.190:80", "-r", "10.4.1.160:80", "-g", "-w", "3"]);
    for (option, method) in [("-m", "-m"), ("-i", "-i"), ("-g", "-g")] {
        namespace.run(&["ipvsadm", "-e", "-t", "10.4.1.190:80", "-r", "10.4.1.160:80", option, "-w", "3"]);
        let line = format!("-a -t 10.4.1.190:80 -r 10.4.1.160:80 {method} -w 3");
        assert!(namespace.run(&["ipvsadm", "-Sn"]).contains(&line), "{}", namespace.run(&["ipvsadm", "-Sn"]));
    }
}
