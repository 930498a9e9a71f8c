//! Addresses, routes, parameters, modules, and the promise that asking changes nothing.

use std::time::{Duration, Instant};

use lvsctl::effect::{Answer, Effect, Link, LinkAddress, LiveRoute, Probe};
use lvsctl::host::{Host, HostError};
use lvsctl::topology::{Family, Offload, SysctlKey};

use super::{Bench, ask, failure, mismatch, refusal, succeed};

fn link(host: &mut dyn Host, name: &str) -> Link {
    let Answer::Links(links) = ask(host, &Probe::Links) else { mismatch(&"links") };
    let capabilities = host.capabilities().unwrap();
    assert_eq!(capabilities.links, links, "the capabilities have the same links");
    assert!(capabilities.kernel_version().is_some_and(|version| version > (5, 0)), "{}", capabilities.kernel);
    links.into_iter().find(|link| link.name == name).unwrap_or_else(|| panic!("no interface {name}"))
}

fn add(device: &str, address: &str, prefix: u8, label: Option<&str>) -> Effect {
    let label = label.map(str::to_owned);
    Effect::AddAddress { device: device.into(), address: address.parse().unwrap(), prefix, label }
}

fn remove(device: &str, address: &str, prefix: u8) -> Effect {
    Effect::RemoveAddress { device: device.into(), address: address.parse().unwrap(), prefix }
}

fn held(network: &str, label: Option<&str>) -> LinkAddress {
    LinkAddress { network: network.parse().unwrap(), label: label.map(str::to_owned) }
}

pub fn addresses_come_and_go_with_their_labels(bench: &dyn Bench) {
    let mut host = bench.connect();
    let before = link(&mut *host, "lo").addresses;
    let labelled = add("lo", "203.0.113.10", 32, Some("lo:0"));
    let vip6 = add("lo", "2001:db8:f::10", 128, None);
    succeed(&mut *host, &[labelled.clone(), add("lo", "203.0.113.11", 32, None), vip6.clone()]);
    succeed(&mut *host, &[add("eth0", "203.0.113.12", 32, Some("eth0"))]);
    let live = link(&mut *host, "lo").addresses;
    for wanted in
        [held("203.0.113.10/32", Some("lo:0")), held("203.0.113.11/32", None), held("2001:db8:f::10/128", None)]
    {
        assert!(live.contains(&wanted), "{wanted:?} is not in {live:?}");
    }
    // The interface's own name is no label.
    assert!(link(&mut *host, "eth0").addresses.contains(&held("203.0.113.12/32", None)));
    assert_eq!(refusal(&mut *host, &labelled), "EEXIST");
    assert_eq!(refusal(&mut *host, &vip6), "EEXIST");
    assert_eq!(refusal(&mut *host, &add("none0", "203.0.113.13", 32, None)), "ENODEV");
    assert_eq!(refusal(&mut *host, &remove("none0", "203.0.113.13", 32)), "ENODEV");
    let gone =
        [remove("lo", "203.0.113.10", 32), remove("lo", "203.0.113.11", 32), remove("lo", "2001:db8:f::10", 128)];
    succeed(&mut *host, &gone);
    assert_eq!(link(&mut *host, "lo").addresses, before);
    assert_eq!(refusal(&mut *host, &gone[0]), "EADDRNOTAVAIL");
    assert_eq!(refusal(&mut *host, &gone[2]), "EADDRNOTAVAIL");
    // The kernel takes the others of a network away with the first, if it is let.
    let of_one_network = ["203.0.113.20", "203.0.113.21"].map(|address| add("lo", address, 24, None));
    succeed(&mut *host, &of_one_network);
    succeed(&mut *host, &[remove("lo", "203.0.113.20", 24)]);
    assert!(link(&mut *host, "lo").addresses.contains(&held("203.0.113.21/24", None)));
    succeed(&mut *host, &[remove("lo", "203.0.113.21", 24)]);
    assert_eq!(link(&mut *host, "lo").addresses, before);
}

pub fn an_address_is_waited_for(bench: &dyn Bench) {
    let mut host = bench.connect();
    let gone = |address: &str, within: u64| Effect::AwaitNoAddress {
        device: "lo".into(),
        address: address.parse().unwrap(),
        within: Duration::from_millis(within),
    };
    succeed(&mut *host, &[add("lo", "203.0.113.10", 32, None)]);
    // What is not there, or on another interface, is gone already; the deadline is no error and takes nothing away.
    let started = Instant::now();
    succeed(&mut *host, &[gone("203.0.113.11", 60_000), gone("192.0.2.1", 60_000), gone("203.0.113.10", 50)]);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(link(&mut *host, "lo").addresses.contains(&held("203.0.113.10/32", None)));
}

fn routes(host: &mut dyn Host) -> Vec<LiveRoute> {
    let Answer::DefaultRoutes(routes) = ask(host, &Probe::DefaultRoutes) else { mismatch(&"routes") };
    routes
}

pub fn default_routes_are_replaced(bench: &dyn Bench) {
    let mut host = bench.connect();
    assert_eq!(routes(&mut *host), []);
    let replace = |via: &str, device: Option<&str>| Effect::ReplaceDefaultRoute {
        via: via.parse().unwrap(),
        device: device.map(str::to_owned),
    };
    let remove = |via: &str| Effect::RemoveDefaultRoute { via: via.parse().unwrap() };
    let live = |via: &str, metric| LiveRoute {
        family: Family::of(via.parse().unwrap()),
        via: Some(via.parse().unwrap()),
        device: Some("eth0".into()),
        metric,
    };
    succeed(&mut *host, &[replace("192.0.2.254", None), replace("2001:db8::fe", None)]);
    assert_eq!(routes(&mut *host), [live("192.0.2.254", 0), live("2001:db8::fe", 1024)]);
    // Replacing is idempotent and leaves one route of its metric.
    succeed(&mut *host, &[replace("192.0.2.253", Some("eth0")), replace("192.0.2.253", None)]);
    succeed(&mut *host, &[replace("2001:db8::fd", Some("eth0"))]);
    assert_eq!(routes(&mut *host), [live("192.0.2.253", 0), live("2001:db8::fd", 1024)]);
    assert_eq!(refusal(&mut *host, &replace("198.51.100.1", Some("eth0"))), "ENETUNREACH");
    assert_eq!(refusal(&mut *host, &replace("192.0.2.253", Some("none0"))), "ENODEV");
    assert_eq!(refusal(&mut *host, &remove("192.0.2.254")), "ESRCH");
    succeed(&mut *host, &[remove("192.0.2.253"), remove("2001:db8::fd")]);
    assert_eq!(routes(&mut *host), []);
    assert_eq!(refusal(&mut *host, &remove("2001:db8::fd")), "ESRCH");
}

pub fn sysctls_are_read_and_written(bench: &dyn Bench) {
    let mut host = bench.connect();
    let ignore = SysctlKey::interface("lo", "arp_ignore");
    let ports = SysctlKey::from_path("net/ipv4/ip_local_port_range");
    let missing = SysctlKey::from_path("net/ipv4/no_such_parameter");
    let keys = vec![ignore.clone(), ports.clone(), missing.clone()];
    let write = |key: &SysctlKey, value: &str| Effect::WriteSysctl { key: key.clone(), value: value.into() };
    let read = |host: &mut dyn Host| {
        let Answer::Sysctls(values) = ask(host, &Probe::Sysctls(keys.clone())) else { mismatch(&"sysctls") };
        values
    };
    assert_eq!(read(&mut *host)[&ignore].as_deref(), Some("0"));
    succeed(&mut *host, &[write(&ignore, "1"), write(&ignore, "1"), write(&ports, "10000\t 20000")]);
    let values = read(&mut *host);
    assert_eq!(values[&ignore].as_deref(), Some("1"));
    assert_eq!(values[&ports].as_deref(), Some("10000 20000"), "words are separated by single spaces");
    assert_eq!(values[&missing], None);
    assert_eq!(refusal(&mut *host, &write(&missing, "1")), "ENOENT");
    assert_eq!(refusal(&mut *host, &write(&ignore, "word")), "EINVAL");
    let error = failure(&mut *host, &write(&ignore, "word"));
    assert!(error.to_string().contains("net.ipv4.conf.lo.arp_ignore") && error.to_string().contains("word"), "{error}");
    assert_eq!(read(&mut *host)[&ignore].as_deref(), Some("1"));
}

pub fn offloads_are_switched(bench: &dyn Bench) {
    let mut host = bench.connect();
    let read = |host: &mut dyn Host, device: &str| match ask(host, &Probe::Offloads(device.into())) {
        Answer::Offloads(of, offloads) if of == device => offloads.into_values().collect::<Vec<bool>>(),
        _ => mismatch(&"offloads"),
    };
    let set = |offload, on| Effect::SetOffload { device: "eth0".into(), offload, on };
    // In the order of Offload::ALL: gro, gso, lro, which no such interface has.
    assert_eq!(read(&mut *host, "eth0"), [true, true, false]);
    succeed(&mut *host, &[set(Offload::Gro, false), set(Offload::Lro, false)]);
    assert_eq!(read(&mut *host, "eth0"), [false, true, false]);
    succeed(&mut *host, &[set(Offload::Gro, true)]);
    assert_eq!(read(&mut *host, "eth0"), [true, true, false]);
    assert_eq!(refusal(&mut *host, &set(Offload::Lro, true)), "EOPNOTSUPP");
    assert!(read(&mut *host, "eth9").is_empty());
    let missing = Effect::SetOffload { device: "eth9".into(), offload: Offload::Gro, on: true };
    assert_eq!(refusal(&mut *host, &missing), "ENODEV");
}

pub fn ports_of_gue_are_opened(bench: &dyn Bench) {
    let mut host = bench.connect();
    let read = |host: &mut dyn Host| match ask(host, &Probe::FouPorts) {
        Answer::FouPorts(ports) => ports.into_iter().collect::<Vec<_>>(),
        _ => mismatch(&"ports"),
    };
    let add = |family, port| Effect::AddFouPort { family, port };
    let remove = |family, port| Effect::RemoveFouPort { family, port };
    succeed(&mut *host, &[Effect::LoadModule("fou".into()), add(Family::Ipv4, 6080), add(Family::Ipv6, 6080)]);
    assert_eq!(read(&mut *host), [((Family::Ipv4, 6080), true), ((Family::Ipv6, 6080), true)]);
    assert_eq!(refusal(&mut *host, &add(Family::Ipv4, 6080)), "EADDRINUSE");
    succeed(&mut *host, &[remove(Family::Ipv4, 6080)]);
    assert_eq!(read(&mut *host), [((Family::Ipv6, 6080), true)]);
    assert_eq!(refusal(&mut *host, &remove(Family::Ipv4, 6080)), "EINVAL");
    succeed(&mut *host, &[remove(Family::Ipv6, 6080)]);
    assert!(read(&mut *host).is_empty());
}

pub fn modules_are_loaded(bench: &dyn Bench) {
    let mut host = bench.connect();
    let load = |name: &str| Effect::LoadModule(name.into());
    succeed(&mut *host, &[load("ip_vs"), load("ip_vs")]);
    let names = ["ip_vs", "no_such_module"].map(str::to_owned).to_vec();
    assert_eq!(ask(&mut *host, &Probe::Modules(names)), Answer::Modules(vec!["ip_vs".into()]));
    let error = failure(&mut *host, &load("no_such_module"));
    assert!(matches!(&error, HostError::Program { program, .. } if program == "modprobe"), "{error}");
    // With the module come its parameters.
    let conntrack = SysctlKey::from_path("net/ipv4/vs/conntrack");
    let Answer::Sysctls(values) = ask(&mut *host, &Probe::Sysctls(vec![conntrack.clone()])) else {
        mismatch(&"sysctls")
    };
    assert_eq!(values[&conntrack].as_deref(), Some("0"));
}

/// A module brings interfaces, which are down, and parameters with the kernel's own values.
pub fn modules_bring_what_is_theirs(bench: &dyn Bench) {
    let mut host = bench.connect();
    let brought = [
        ("ipip", "tunl0", "ipip"),
        ("ip6_tunnel", "ip6tnl0", "ip6tnl"),
        ("ip_gre", "gre0", "gre"),
        ("ip6_gre", "ip6gre0", "ip6gre"),
    ];
    for (module, device, sort) in brought {
        succeed(&mut *host, &[Effect::LoadModule(module.into())]);
        let Link { sort: live, is_up, addresses, .. } = link(&mut *host, device);
        assert_eq!((live.as_deref(), is_up, addresses), (Some(sort), false, vec![]), "{device}");
    }
    succeed(&mut *host, &[Effect::LoadModule("nf_conntrack".into())]);
    let loose = SysctlKey::from_path("net/netfilter/nf_conntrack_tcp_loose");
    let Answer::Sysctls(values) = ask(&mut *host, &Probe::Sysctls(vec![loose.clone()])) else { mismatch(&"sysctls") };
    assert_eq!(values[&loose].as_deref(), Some("1"));
}

/// Asks everything that can be asked.
pub fn everything(host: &mut dyn Host) -> Vec<Answer> {
    let modules = ["ip_vs", "ip_tables", "nf_tables", "iptable_nat"].map(str::to_owned).to_vec();
    let probes = [
        Probe::Modules(modules),
        Probe::Sysctls(vec![
            SysctlKey::from_path("net/ipv4/ip_forward"),
            SysctlKey::from_path("net/ipv4/vs/conntrack"),
        ]),
        Probe::Links,
        Probe::DefaultRoutes,
        Probe::Iptables(Family::Ipv4),
        Probe::Iptables(Family::Ipv6),
        Probe::Ipvs,
        Probe::File("/etc/keepalived/keepalived.conf".into()),
        Probe::Keepalived,
    ];
    host.capabilities().unwrap();
    probes.iter().map(|probe| ask(host, probe)).collect()
}

pub fn asking_changes_nothing(bench: &dyn Bench) {
    let mut host = bench.connect();
    let first = everything(&mut *host);
    assert_eq!(everything(&mut *host), first);
    assert!(
        first.contains(&Answer::Ipvs(Vec::new())) && first.contains(&Answer::Iptables(Family::Ipv4, String::new()))
    );
    assert!(first.contains(&Answer::File("/etc/keepalived/keepalived.conf".into(), None)));
}
