use super::*;
use crate::kinds::fixture::*;
use crate::topology::fixture::*;
use crate::topology::{Delivery, Forwarding, HostName, Topology};

fn delivered(delivery: Delivery, forwarding: Forwarding) -> Topology {
    let mut topology = reference_site();
    for server in topology.vips.values_mut().flat_map(|vip| &mut vip.services).flat_map(|service| &mut service.servers)
    {
        (server.delivery, server.forwarding) = (delivery, forwarding);
    }
    topology
}

fn with(mut topology: Topology, host: &str, key: &str, value: &str) -> Topology {
    let host = topology.hosts.get_mut(&HostName::new(host)).unwrap();
    host.sysctls.insert(SysctlKey::from_dotted(key), at(value.to_owned()));
    topology
}

fn values(topology: &Topology, host: &str) -> (Vec<String>, Vec<String>) {
    let (entries, problems) = compile(&SysctlKind, topology, &Facts::new(), host);
    let shown = entries.iter().map(|entry| match &entry.resource {
        Resource::Sysctl(value) => format!("{}={value}", entry.key.to_string().trim_start_matches("sysctl/")),
        other => panic!("{other:?}"),
    });
    (shown.collect(), problems)
}

#[test]
fn directors_forward_and_redirected_servers_take_nothing() {
    assert_eq!(values(&reference_site(), "lb01"), (vec!["net.ipv4.ip_forward=1".into()], vec![]));
    assert_eq!(values(&reference_site(), "web1"), (vec![], vec![]));
}

#[test]
fn directors_of_ipv6_services_forward_ipv6() {
    let mut topology = reference_site();
    let mut vip = topology.vips.values().next().unwrap().clone();
    vip.address.value = ip("2001:db8::100");
    topology.vips.insert(ip("2001:db8::100"), vip);
    assert_eq!(values(&topology, "lb01").0, ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
    topology.vips.get_mut(&ip("2001:db8::100")).unwrap().services.clear();
    assert_eq!(values(&topology, "lb01").0, ["net.ipv4.ip_forward=1"]);
}

#[test]
fn a_vip_on_lo_keeps_arp_quiet() {
    let topology = delivered(Delivery::Loopback, Forwarding::Dr);
    let quiet = ["all.arp_announce=2", "all.arp_ignore=1", "lo.arp_announce=2", "lo.arp_ignore=1"];
    assert_eq!(values(&topology, "web1").0, quiet.map(|end| format!("net.ipv4.conf.{end}")));
    assert_eq!(values(&topology, "lb01").0, ["net.ipv4.ip_forward=1"]);
}

#[test]
fn a_translating_director_sends_no_redirects() {
    let topology = delivered(Delivery::None, Forwarding::Nat);
    let wanted = ["conf.all.send_redirects=0", "conf.eth0.send_redirects=0", "ip_forward=1"];
    assert_eq!(values(&topology, "lb02").0, wanted.map(|end| format!("net.ipv4.{end}")));
    let one_armed = with(topology, "lb02", "net.ipv4.conf.eth0.send_redirects", "1");
    let (shown, problems) = values(&one_armed, "lb02");
    assert_eq!(shown[1], "net.ipv4.conf.eth0.send_redirects=1");
    assert_eq!(problems, ["Warning sysctl-conflict"]);
}

#[test]
fn the_operator_wins_unless_it_breaks_a_service() {
    let loopback = || delivered(Delivery::Loopback, Forwarding::Dr);
    let (shown, problems) = values(&with(loopback(), "web1", "net.ipv4.conf.all.arp_ignore", "2"), "web1");
    assert_eq!((shown[1].as_str(), problems.len()), ("net.ipv4.conf.all.arp_ignore=2", 0));
    let broken = [
        ("web1", "net.ipv4.conf.all.arp_ignore", "0"),
        ("web1", "net.ipv4.conf.all.arp_announce", "1"),
        ("lb01", "net.ipv4.ip_forward", "0"),
        ("lb01", "net.ipv4.conf.all.forwarding", "0"),
    ];
    for (host, key, value) in broken {
        let (shown, problems) = values(&with(loopback(), host, key, value), host);
        assert_eq!(problems, ["Error sysctl-conflict"], "{key}");
        assert_eq!(shown.iter().filter(|shown| shown.starts_with(&format!("{key}="))).count(), 1, "{shown:?}");
    }
    let harmless = with(loopback(), "web1", "net.ipv4.conf.lo.arp_ignore", "0");
    assert_eq!(values(&harmless, "web1").1, [""; 0]);
}

#[test]
fn modules_and_the_forwarding_switch_come_first() {
    let topology = with(reference_site(), "lb01", "net.ipv4.vs.expire_nodest_conn", "1");
    let topology = with(topology, "lb01", "net.ipv4.conf.all.accept_redirects", "1");
    let (entries, _) = compile(&SysctlKind, &topology, &Facts::new(), "lb01");
    let requires: Vec<_> = entries.iter().map(|entry| (entry.key.to_string(), required(entry).join(" "))).collect();
    let expected = [
        ("sysctl/net.ipv4.conf.all.accept_redirects", "lb01/sysctl/net.ipv4.ip_forward"),
        ("sysctl/net.ipv4.ip_forward", ""),
        ("sysctl/net.ipv4.vs.expire_nodest_conn", "lb01/module/ip_vs"),
    ];
    assert_eq!(requires, expected.map(|(key, requires)| (key.to_owned(), requires.to_owned())));
}

#[test]
fn white_space_is_no_difference() {
    let key = ResourceKey::Sysctl(SysctlKey::from_dotted("net.ipv4.ip_local_port_range"));
    let missing = SysctlKey::from_dotted("net.ipv4.vs.conntrack");
    let ResourceKey::Sysctl(name) = &key else { unreachable!() };
    let live = [(name.clone(), Some("1024\t60999\n".to_owned())), (missing, None)].into();
    let entries = parse(&SysctlKind, std::slice::from_ref(&key), &[Answer::Sysctls(live)]).unwrap();
    let topology = with(reference_site(), "web1", "net.ipv4.ip_local_port_range", " 1024   60999 ");
    let (desired, _) = compile(&SysctlKind, &topology, &Facts::new(), "web1");
    assert_eq!(entries.iter().map(|entry| &entry.resource).collect::<Vec<_>>(), [&desired[0].resource]);
    assert_eq!(entries[0].key, desired[0].key);
}

#[test]
fn a_deletion_puts_the_old_value_back() {
    let name = SysctlKey::from_dotted("net.ipv4.ip_forward");
    let key = ResourceKey::Sysctl(name.clone());
    let value = |text: &str| Some(Resource::Sysctl(text.into()));
    let write = |text: &str| Effect::WriteSysctl { key: name.clone(), value: text.into() };
    let update = change(&key, value("0"), value("1"));
    assert_eq!(effects(&SysctlKind, &update), [write("1")]);
    assert_eq!(effects(&SysctlKind, &update.inverse()), [write("0")]);
    let delete = change(&key, value("1"), None);
    assert_eq!(effects(&SysctlKind, &delete), []);
    let delete = Change { previous: value("0"), ..delete };
    assert_eq!(effects(&SysctlKind, &delete), [write("0")]);
    assert_eq!(effects(&SysctlKind, &delete.inverse()), [write("1")]);
}

#[test]
fn an_advertised_route_that_forwarding_takes_away_is_a_warning() {
    let mut topology = reference_site();
    let told = |topology: &Topology| {
        let capabilities = crate::effect::Capabilities { has_advertised_route: true, ..Default::default() };
        let facts = Facts::from([(HostName::new("lb01"), capabilities)]);
        compile(&SysctlKind, topology, &facts, "lb01").1
    };
    assert_eq!(told(&topology), Vec::<String>::new(), "only IPv4 is forwarded");
    let mut six = topology.vips.values().next().unwrap().clone();
    six.address.value = "2001:db8::1".parse().unwrap();
    topology.vips.insert(six.address.value, six);
    assert_eq!(told(&topology), ["Warning advertised-route"]);
}
