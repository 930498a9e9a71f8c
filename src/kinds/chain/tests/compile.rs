//! Which rules a topology asks for.

use super::*;
use crate::effect::Capabilities;
use crate::kinds::fixture::{Facts, capabilities, compile};
use crate::topology::fixture::*;
use crate::topology::{Delivery, HostName, Listen, Topology, VipHolder};

/// Returns the chains of a host in the form that people read, and the problems.
fn texts(topology: &Topology, facts: &Facts, host: &str) -> (Vec<String>, Vec<String>) {
    let (entries, problems) = compile(&ChainKind, topology, facts, host);
    let text = |entry: &Entry| match (&entry.key, &entry.resource) {
        (ResourceKey::Chain { table, .. }, Resource::Chain { rules, jumps: 1 }) => {
            format!("{}\n{}", entry.key, creation(*table, CHAIN, rules))
        }
        other => panic!("{other:?}"),
    };
    (entries.iter().map(text).collect(), problems)
}

fn facts(hosts: &[(&str, Capabilities)]) -> Facts {
    hosts.iter().map(|(name, capabilities)| (HostName::new(name), capabilities.clone())).collect()
}

fn listen(protocol: Protocol, first: u16, last: u16) -> Listen {
    Listen { protocol, ports: PortRange { first, last }, span: span() }
}

const MARKS: &str = "iptables/mangle/LVSCTL
*mangle
:LVSCTL - [0:0]
-A LVSCTL -m mac --mac-source 52:54:00:36:d0:a8 -j RETURN
-A LVSCTL -d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffffffff
-A LVSCTL -d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x2/0xffffffff
-I PREROUTING 1 -j LVSCTL
COMMIT
";

#[test]
fn directors_mark_and_leave_the_peers_packets_alone() {
    let topology = reference_site();
    assert_eq!(texts(&topology, &Facts::new(), "lb01"), (vec![MARKS.to_owned()], vec![]));
    let other = MARKS.replace("52:54:00:36:d0:a8", "52:54:00:06:b2:98");
    assert_eq!(texts(&topology, &Facts::new(), "lb02"), (vec![other], vec![]));
}

#[test]
fn real_servers_redirect() {
    let expected = "iptables/nat/LVSCTL
*nat
:LVSCTL - [0:0]
-A LVSCTL -d 10.4.1.190/32 -p tcp -m multiport --dports 80,443 -j REDIRECT
-I PREROUTING 1 -j LVSCTL
COMMIT
";
    assert_eq!(texts(&reference_site(), &Facts::new(), "web1"), (vec![expected.to_owned()], vec![]));
    let mut loopback = reference_site();
    let services = loopback.vips.values_mut().flat_map(|vip| &mut vip.services);
    services.flat_map(|service| &mut service.servers).for_each(|server| server.delivery = Delivery::Loopback);
    assert_eq!(texts(&loopback, &Facts::new(), "web1"), (vec![], vec![]));
}

#[test]
fn ports_protocols_families_and_remaps_are_written_out() {
    let mut topology = reference_site();
    let mut second = topology.vips.values().next().unwrap().clone();
    second.address = at("2001:db8::100".parse().unwrap());
    second.services.truncate(1);
    let service = &mut second.services[0];
    service.listens = vec![
        listen(Protocol::Udp, 8000, 8010),
        listen(Protocol::Sctp, 9, 9),
        listen(Protocol::Tcp, 0, 0),
        listen(Protocol::Tcp, 8080, 8080),
    ];
    service.servers[0].port = Some(at(8080));
    topology.vips.insert(second.address.value, second);
    let (director, _) = texts(&topology, &Facts::new(), "lb01");
    assert_eq!(director[0], MARKS);
    let expected = "ip6tables/mangle/LVSCTL
*mangle
:LVSCTL - [0:0]
-A LVSCTL -m mac --mac-source 52:54:00:36:d0:a8 -j RETURN
-A LVSCTL -d 2001:db8::100/128 -i eth0 -p tcp -j MARK --set-xmark 0x1/0xffffffff
-A LVSCTL -d 2001:db8::100/128 -i eth0 -p tcp -m tcp --dport 8080 -j MARK --set-xmark 0x1/0xffffffff
-A LVSCTL -d 2001:db8::100/128 -i eth0 -p udp -m udp --dport 8000:8010 -j MARK --set-xmark 0x1/0xffffffff
-A LVSCTL -d 2001:db8::100/128 -i eth0 -p sctp -m sctp --dport 9 -j MARK --set-xmark 0x1/0xffffffff
-I PREROUTING 1 -j LVSCTL
COMMIT
";
    assert_eq!(director[1], expected);
    let (server, _) = texts(&topology, &Facts::new(), "web1");
    // The rule for every TCP port comes first in the topology, and stays there: a packet to 8080 meets it.
    let expected = "ip6tables/nat/LVSCTL
*nat
:LVSCTL - [0:0]
-A LVSCTL -d 2001:db8::100/128 -p tcp -j REDIRECT --to-ports 8080
-A LVSCTL -d 2001:db8::100/128 -p tcp -m tcp --dport 8080 -j REDIRECT
-A LVSCTL -d 2001:db8::100/128 -p udp -m udp --dport 8000:8010 -j REDIRECT --to-ports 8080
-A LVSCTL -d 2001:db8::100/128 -p sctp -m sctp --dport 9 -j REDIRECT --to-ports 8080
-I PREROUTING 1 -j LVSCTL
COMMIT
";
    assert_eq!(server[1], expected);
}

#[test]
fn a_service_without_a_mark_takes_no_chain() {
    let mut topology = reference_site();
    for service in topology.vips.values_mut().flat_map(|vip| &mut vip.services) {
        service.fwmark = None;
    }
    assert_eq!(texts(&topology, &Facts::new(), "lb01"), (vec![], vec![]));
}

#[test]
fn only_directors_that_can_set_the_same_marks_are_peers() {
    let mut topology = reference_site();
    let third = host(crate::topology::Role::Director, "lb00", "10.4.1.180/24", Some("52:54:00:00:00:01"));
    topology.hosts.insert(third.name.value.clone(), third);
    assert_eq!(texts(&topology, &Facts::new(), "lb01").0, [MARKS]);
    assert_eq!(texts(&topology, &Facts::new(), "lb00").0, [""; 0]);
    topology.vips.values_mut().next().unwrap().holder = VipHolder::Director(at(HostName::new("lb01")));
    let (alone, _) = texts(&topology, &Facts::new(), "lb01");
    assert_eq!(alone[0], MARKS.replace("-A LVSCTL -m mac --mac-source 52:54:00:36:d0:a8 -j RETURN\n", ""));
}

#[test]
fn rules_in_the_other_half_of_the_kernel_are_a_warning() {
    let topology = reference_site();
    let twice = |has_legacy_rules| {
        let web = Capabilities { has_legacy_rules, ..capabilities(&[]) };
        texts(&topology, &facts(&[("web1", web)]), "web1").1
    };
    assert_eq!(twice(false), [""; 0]);
    assert_eq!(twice(true), ["Warning iptables-twice"]);
}

#[test]
fn a_peer_is_known_by_the_interface_that_has_the_vip() {
    let mut topology = reference_site();
    topology.failovers.get_mut("ext").unwrap().interface = Some(at("bond0".into()));
    let links = capabilities(&[
        ("eth0", Some("52:54:00:36:d0:a8"), &["10.4.1.182/24"][..]),
        ("bond0", Some("02:00:00:00:00:b0"), &["10.4.1.183/24"]),
    ]);
    let found = facts(&[("lb01", capabilities(&[])), ("lb02", links)]);
    let (rules, problems) = texts(&topology, &found, "lb01");
    assert_eq!(problems, [""; 0]);
    assert!(rules[0].contains("--mac-source 02:00:00:00:00:b0 -j RETURN"), "{}", rules[0]);
    assert!(!rules[0].contains("52:54:00:36:d0:a8"), "what is declared is another interface's: {}", rules[0]);
    // Without a host to ask, what is declared of another interface says nothing.
    let (rules, _) = texts(&topology, &Facts::new(), "lb01");
    assert!(rules[0].contains("# -A LVSCTL -m mac --mac-source lb02 bond0"), "{}", rules[0]);
}

fn without_mac(name: &str) -> Topology {
    let mut topology = reference_site();
    topology.hosts.get_mut(&HostName::new(name)).unwrap().interface.as_mut().unwrap().mac = None;
    topology
}

#[test]
fn a_peers_hardware_address_is_read_on_the_peer() {
    let peer = capabilities(&[("eth0", Some("52:54:00:36:d0:a8"), &["10.4.1.182/24"])]);
    let known = facts(&[("lb01", capabilities(&[])), ("lb02", peer)]);
    assert_eq!(texts(&without_mac("lb02"), &known, "lb01"), (vec![MARKS.to_owned()], vec![]));
}

#[test]
fn an_unknown_hardware_address_is_said_and_nothing_is_written() {
    let topology = without_mac("lb02");
    let offline = texts(&topology, &Facts::new(), "lb01");
    let comment = "# -A LVSCTL -m mac --mac-source lb02 eth0 -j RETURN: the hardware address is not known";
    assert_eq!(
        offline,
        (vec![MARKS.replace("-A LVSCTL -m mac --mac-source 52:54:00:36:d0:a8 -j RETURN", comment)], vec![])
    );
    let unread = facts(&[("lb01", capabilities(&[]))]);
    assert_eq!(texts(&topology, &unread, "lb01").1, ["Warning unknown-peer-mac"]);
    let no_mac = facts(&[("lb01", capabilities(&[])), ("lb02", capabilities(&[("eth0", None, &[])]))]);
    assert_eq!(texts(&topology, &no_mac, "lb01").1, ["Error unknown-peer-mac"]);
    let mut unmanaged = topology.clone();
    unmanaged.hosts.get_mut(&HostName::new("lb02")).unwrap().managed = false;
    assert_eq!(texts(&unmanaged, &unread, "lb01").1, ["Error unknown-peer-mac"]);

    let (entries, _) = compile(&ChainKind, &topology, &Facts::new(), "lb01");
    let create = crate::kinds::fixture::change(&entries[0].key, None, Some(entries[0].resource.clone()));
    assert_eq!(crate::kinds::fixture::effects(&ChainKind, &create), []);
}

#[test]
fn a_host_without_iptables_is_an_error() {
    let bare = facts(&[("web1", Capabilities::default())]);
    assert_eq!(texts(&reference_site(), &bare, "web1").1, ["Error iptables-missing"]);
}
