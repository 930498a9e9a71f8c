//! What a topology becomes, and what is refused on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::effect::{Capabilities, DaemonState, FileState, Link, LinkAddress};
use crate::source::Problem;
use crate::topology::fixture::*;
use crate::topology::{
    Check, CheckKind, Failover, FailoverOptions, FloatingAddress, FloatingRoute, Forwarding, Garp, HostName, HttpCheck,
    Listen, OnFailure, Persistence, PortRange, Preemption, Protocol, Role, Scheduler, Script, Secret, SecretReference,
    SecretValues, StateNotify, Topology, VipHolder, VrrpVersion,
};

pub(super) fn compiled(topology: &Topology, host: &str) -> (Vec<Entry>, Problems) {
    let mut secrets = SecretValues::default();
    secrets.insert(SecretReference::Environment("VRRP_PASS".into()), "cbrt3245".into());
    compiled_with(topology, host, &BTreeMap::new(), &secrets)
}

fn compiled_with(
    topology: &Topology,
    host: &str,
    facts: &BTreeMap<HostName, Capabilities>,
    secrets: &SecretValues,
) -> (Vec<Entry>, Problems) {
    let site = Site { topology, facts, secrets };
    let mut problems = Problems::default();
    let entries = KeepalivedKind.compile(&site, &topology.hosts[&HostName::new(host)], &mut problems);
    (entries, problems)
}

pub(super) fn text(topology: &Topology, host: &str) -> String {
    let (entries, problems) = compiled(topology, host);
    assert!(problems.is_empty(), "{problems:?}");
    match &entries[0].resource {
        Resource::File { text, mode: 0o600 } => text.expose().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn codes(topology: &Topology, host: &str) -> Vec<&'static str> {
    compiled(topology, host).1.iter().map(|problem: &Problem| problem.code).collect()
}

pub(super) fn failover(topology: &mut Topology) -> &mut Failover {
    topology.failovers.get_mut("ext").unwrap()
}

/// A director of its own with every keyword that the reference site does without.
fn varied_site() -> Topology {
    let lb = host(Role::Director, "lb", "10.0.0.1/24", None);
    let (a, b) = (host(Role::RealServer, "a", "10.0.0.2/24", None), host(Role::RealServer, "b", "10.0.0.3/24", None));
    let check = |kind, seconds, port| Check {
        kind,
        interval: Duration::from_millis(seconds),
        timeout: Duration::from_millis(1500),
        retries: 0,
        retry_delay: Duration::from_secs(1),
        port,
        span: span(),
    };
    let page = HttpCheck { path: "/a b".replace(' ', "#"), status: None, host: None, ..HttpCheck::default() };
    let mut mapped = service("mapped", Protocol::Tcp, 80, vec![server(&a), server(&b)]);
    mapped.scheduler = Scheduler { name: "mh".into(), fallback: true, port: true };
    mapped.persistence = Some(Persistence { timeout: Duration::from_secs(300), netmask: Some(24) });
    mapped.on_failure = OnFailure::Inhibit;
    mapped.servers[0].forwarding = Forwarding::Nat;
    mapped.servers[0].port = Some(at(8080));
    mapped.servers[0].check = Some(check(CheckKind::Tcp, 2000, None));
    mapped.servers[0].upper = 100;
    mapped.servers[0].lower = 50;
    mapped.servers[1].check = Some(check(CheckKind::Https(page), 500, Some(8443)));
    mapped.servers[1].weight = 0;
    let mut names = service("names", Protocol::Udp, 53, vec![server(&a), server(&b)]);
    names.listens.push(Listen { protocol: Protocol::Tcp, ports: PortRange::single(53), span: span() });
    names.servers[1].check = Some(check(CheckKind::Tcp, 2000, Some(22)));
    let still = service("static", Protocol::Tcp, 8000, vec![server(&a)]);
    let holder = VipHolder::Director(lb.name.clone());
    topology(vec![lb, a, b], vec![], vec![vip("10.0.0.100", holder, vec![mapped, names, still])])
}

#[test]
fn the_reference_site_is_rendered_in_full() {
    insta::assert_snapshot!("reference-lb01", text(&reference_site(), "lb01"));
    let (preferred, other) = (text(&reference_site(), "lb01"), text(&reference_site(), "lb02"));
    assert_eq!(preferred.replace("lb01", "lb02").replace("priority 100", "priority 50"), other);
}

#[test]
fn every_further_keyword_is_rendered() {
    insta::assert_snapshot!("varied", text(&varied_site(), "lb"));
}

#[test]
fn ipv6_unicast_and_preemption_are_rendered() {
    let mut topology = reference_site();
    for (name, address) in [("lb01", "fd00::1/64"), ("lb02", "fd00::2/64")] {
        topology.hosts.get_mut(&HostName::new(name)).unwrap().addresses.push(at(address.parse().unwrap()));
    }
    let mut services = topology.vips.pop_first().unwrap().1.services;
    services.truncate(1);
    services[0].servers.iter_mut().zip(["fd00::11", "fd00::12"]).for_each(|(server, address)| {
        server.address = address.parse().unwrap();
    });
    let floating = vip("fd00::100", VipHolder::Failover(at("ext".into())), services);
    topology.vips.insert(floating.address.value, crate::topology::Vip { prefix: 128, ..floating });
    topology.email = None;
    let group = failover(&mut topology);
    (group.auth_pass, group.sync_daemon, group.unicast) = (None, None, true);
    (group.preemption, group.advert_interval) = (Preemption::Immediate, Duration::from_millis(300));
    insta::assert_snapshot!("ipv6-unicast", text(&topology, "lb01"));
    assert!(text(&topology, "lb02").contains("    state BACKUP\n"));
    failover(&mut topology).preemption = Preemption::After(Duration::from_millis(1500));
    let delayed = text(&topology, "lb01");
    assert!(delayed.contains("    state BACKUP\n") && delayed.contains("    preempt_delay 1.5\n"), "{delayed}");
}

#[test]
fn the_file_waits_for_marks_sysctls_and_real_servers_and_the_master_for_the_backup() {
    let requires = |host| {
        let (entries, _) = compiled(&reference_site(), host);
        entries[0].requires.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let preferred = requires("lb01");
    for id in [
        "lb01/module/ip_vs_wrr",
        "lb01/sysctl/net.ipv4.ip_forward",
        "lb01/iptables/mangle/LVSCTL",
        "web1/iptables/nat/LVSCTL",
        "web2/iptables/nat/LVSCTL",
        "lb02/keepalived/daemon",
    ] {
        assert!(preferred.iter().any(|required| required == id), "{id} in {preferred:?}");
    }
    assert!(!requires("lb02").iter().any(|id| id.ends_with("keepalived/daemon")));
    let (entries, _) = compiled(&reference_site(), "lb01");
    assert_eq!(entries[1].requires[0].to_string(), "lb01/keepalived/configuration");
}

#[test]
fn who_holds_a_vip_now_is_the_master() {
    let address = LinkAddress { network: "10.4.1.190/32".parse().unwrap(), label: None };
    let link = Link { name: "eth0".into(), mac: None, sort: None, is_up: true, addresses: vec![address] };
    let holds = Capabilities { links: vec![link], ..Capabilities::default() };
    let facts = BTreeMap::from([(HostName::new("lb02"), holds)]);
    let waits = |host: &str| {
        let topology = reference_site();
        let (entries, _) = compiled_with(&topology, host, &facts, &SecretValues::default());
        entries[0].requires.iter().any(|id| id.key == ResourceKey::KeepalivedDaemon)
    };
    assert_eq!((waits("lb01"), waits("lb02")), (false, true));
}

#[test]
fn directors_that_back_up_each_other_wait_in_one_direction_only() {
    let mut topology = reference_site();
    let mut other = topology.failovers["ext"].clone();
    other.name = at("int".into());
    other.virtual_router_id = at(126);
    other.sync_daemon = None;
    other.members.values_mut().for_each(|member| member.priority = at(150 - member.priority.value));
    topology.failovers.insert("int".into(), other);
    let further = vip("10.4.1.191", VipHolder::Failover(at("int".into())), vec![]);
    topology.vips.insert(further.address.value, further);
    let waits = |host| compiled(&topology, host).0[0].requires.iter().any(|id| id.key == ResourceKey::KeepalivedDaemon);
    assert_eq!((waits("lb01"), waits("lb02")), (true, false));
}

#[test]
fn a_host_without_failover_or_check_has_no_keepalived() {
    let mut topology = varied_site();
    assert!(compiled(&topology, "a").0.is_empty());
    topology.vips.values_mut().for_each(|vip| vip.services.retain(|service| !service.is_checked()));
    assert!(compiled(&topology, "lb").0.is_empty());
}

#[test]
fn what_keepalived_would_rewrite_is_refused() {
    let with = |change: &dyn Fn(&mut Topology)| {
        let mut topology = reference_site();
        change(&mut topology);
        codes(&topology, "lb01")
    };
    assert_eq!(with(&|topology| topology.vips.clear()), ["failover-without-vip"]);
    let floating = || vip("fd00::100", VipHolder::Failover(at("ext".into())), vec![]);
    let mixed = |topology: &mut Topology| _ = topology.vips.insert("fd00::100".parse().unwrap(), floating());
    assert_eq!(with(&mixed), ["failover-mixes-families"]);
    let interval = |topology: &mut Topology| failover(topology).advert_interval = Duration::from_millis(1500);
    assert_eq!(with(&interval), ["advert-interval"]);
    assert_eq!(with(&|topology| failover(topology).version = VrrpVersion::V3), ["auth-pass-ignored"]);
    let long = |topology: &mut Topology| failover(topology).auth_pass = Some(at(Secret::Literal("cbrt32456".into())));
    assert_eq!(with(&long), ["keepalived-text"]);
    let weights = |topology: &mut Topology| {
        let services = topology.vips.values_mut().flat_map(|vip| &mut vip.services);
        services.flat_map(|service| &mut service.servers).for_each(|server| server.weight = 0);
    };
    assert_eq!(with(&weights), ["service-without-weight", "service-without-weight"]);
    let everywhere = |topology: &mut Topology| {
        topology.vips.values_mut().for_each(|vip| vip.services[0].listens[0].ports = PortRange::single(0));
    };
    assert_eq!(with(&everywhere), ["check-without-port"]);
    let twice = |topology: &mut Topology| {
        let other = Failover { name: at("int".into()), ..topology.failovers["ext"].clone() };
        topology.failovers.insert("int".into(), other);
        let further = vip("10.4.1.191", VipHolder::Failover(at("int".into())), vec![]);
        topology.vips.insert(further.address.value, further);
    };
    assert_eq!(with(&twice), ["sync-daemon-twice"]);
    let unknown = |topology: &mut Topology| {
        topology.hosts.values_mut().for_each(|host| host.interface = None);
        failover(topology).sync_daemon = None;
    };
    assert_eq!(with(&unknown), ["failover-interface-unknown"]);
    // keepalived would fall back to multicast.
    let without_peer = |topology: &mut Topology| {
        topology.hosts.get_mut(&HostName::new("lb02")).unwrap().addresses.clear();
        failover(topology).unicast = true;
    };
    assert_eq!(with(&without_peer), ["unicast-without-address"]);
}

#[test]
fn a_secret_changes_the_digest_and_is_never_shown() {
    let topology = reference_site();
    let (known, unknown) = (compiled(&topology, "lb01").0, {
        compiled_with(&topology, "lb01", &BTreeMap::new(), &SecretValues::default()).0
    });
    assert!(!format!("{known:?}").contains("cbrt3245"));
    assert!(format!("{known:?}").contains("auth_pass \\\"(sensitive)\\\""));
    assert_ne!(known[1].resource, unknown[1].resource);
    let Resource::Daemon { configuration: Some(digest) } = &known[1].resource else { panic!() };
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn a_written_file_is_observed_as_the_desired_value() {
    let (entries, _) = compiled(&reference_site(), "lb01");
    let Resource::File { text, .. } = &entries[0].resource else { panic!() };
    let live = |text: String| {
        let capabilities = Capabilities::default();
        let keys = Default::default();
        let answers = [
            Answer::File(CONFIGURATION.into(), Some(FileState { mode: 0o600, text })),
            Answer::Daemon(DaemonState { pid: Some(7), configuration: Some("d".into()) }),
        ];
        KeepalivedKind.parse(&Scope { capabilities: &capabilities, keys: &keys }, &answers).unwrap()
    };
    let same = live(text.expose().unwrap());
    assert_eq!(same[0].resource, entries[0].resource);
    assert_eq!(same[1].resource, Resource::Daemon { configuration: Some("d".into()) });
    let other = live(text.expose().unwrap().replace("cbrt3245", "cbrt3246"));
    assert_ne!(other[0].resource, entries[0].resource);
    let Resource::File { text: masked, .. } = &other[0].resource else { panic!() };
    assert_eq!(masked.masked(), text.masked());
}

#[test]
fn a_virtual_server_can_be_cut_out_of_the_file() {
    let topology = varied_site();
    let (entries, _) = compiled(&topology, "lb");
    let Resource::File { text, .. } = &entries[0].resource else { panic!() };
    let address = "10.0.0.100".parse().unwrap();
    let key = |protocol, port| crate::effect::ServiceKey::Address { protocol, address, port };
    let reduced = without(text, key(Protocol::Udp, 53)).unwrap().expose().unwrap();
    let whole = text.expose().unwrap();
    let start = whole.find("\nvirtual_server 10.0.0.100 53 {\n    protocol UDP").unwrap();
    let end = start + whole[start..].find("\n}\n").unwrap() + 3;
    assert_eq!(reduced, format!("{}{}", &whole[..start], &whole[end..]));
    assert!(reduced.contains("    protocol TCP\n    delay_loop 2\n"));
    assert_eq!(without(text, key(Protocol::Tcp, 8000)), None);
}

#[test]
fn the_options_of_a_failover_are_rendered() {
    let mut topology = reference_site();
    let sixth = vip("fd00::100", VipHolder::Failover(at("ext".into())), vec![]);
    topology.vips.insert(sixth.address.value, crate::topology::Vip { prefix: 128, ..sixth });
    failover(&mut topology).options = FailoverOptions {
        source_address: Some(at("10.4.1.182".parse().unwrap())),
        garp: Garp { delay: Some(Duration::from_secs(7)), repeat: Some(3), refresh: Some(Duration::from_secs(60)) },
        tracked_interfaces: vec![at("eth1".into())],
        tracked_scripts: vec![at("chk".into())],
        scripts: vec![Script {
            name: at("chk".into()),
            run: at("/usr/bin/chk -v {x}".into()),
            interval: Duration::from_secs(2),
            weight: at(-60),
            rise: 2,
            fall: 3,
            user: "nobody".into(),
        }],
        notify: StateNotify {
            master: Some(at("/etc/lvs/master.sh".into())),
            backup: Some(at("/etc/lvs/backup.sh now".into())),
            fault: None,
            any: Some(at("/bin/logger".into())),
            user: None,
        },
        routes: vec![FloatingRoute {
            network: at("172.16.0.0/12".parse().unwrap()),
            via: at("10.4.1.1".parse().unwrap()),
        }],
        addresses: vec![FloatingAddress {
            network: at("192.168.1.11/24".parse().unwrap()),
            interface: Some(at("eth1".into())),
        }],
        unadvertised: vec![at("fd00::100".parse().unwrap())],
        virtual_mac: None,
        raw: vec![at("track_bfd { b1 }".into())],
    };
    let instance = |host| {
        let text = text(&topology, host);
        let start = text.find("vrrp_script").unwrap();
        text[start..text.find("virtual_server ").unwrap()].to_owned()
    };
    insta::assert_snapshot!("options", instance("lb02"));
    assert!(!instance("lb01").contains("mcast_src_ip"));
}
