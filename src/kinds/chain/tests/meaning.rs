//! The canonical order means the same to every packet as the order that was written.

use proptest::prelude::*;

use super::*;
use crate::topology::MacAddress;

/// A packet of a world with few addresses, interfaces and ports, so that rules often meet.
#[derive(Clone, Debug)]
struct Packet {
    destination: u8,
    interface: u8,
    protocol: Protocol,
    port: u16,
    mac: u8,
}

/// Returns the mark that a packet leaves a chain with, and where it was redirected.
fn walk(rules: &[ChainRule], packet: &Packet) -> (u32, Option<Option<u16>>) {
    let mut mark = 0;
    for rule in rules.iter().filter(|rule| meets(rule, packet)) {
        match rule {
            ChainRule::Known { target: RuleTarget::Mark(value), .. } => mark = *value,
            ChainRule::Known { target: RuleTarget::Redirect(port), .. } => return (mark, Some(*port)),
            _ => return (mark, None),
        }
    }
    (mark, None)
}

fn meets(rule: &ChainRule, packet: &Packet) -> bool {
    let ChainRule::Known { destination, interface, ports, mac_source, .. } = rule else {
        return true;
    };
    let port = |ports: PortMatch| {
        ports.protocol == packet.protocol
            && ports.ports.is_none_or(|range| (range.first..=range.last).contains(&packet.port))
    };
    destination.is_none_or(|address| address == ip(packet.destination))
        && interface.as_ref().is_none_or(|name| *name == device(packet.interface))
        && ports.is_none_or(port)
        && mac_source.is_none_or(|mac| mac == MacAddress([packet.mac; 6]))
}

fn ip(last: u8) -> std::net::IpAddr {
    [192, 0, 2, last].into()
}

fn device(number: u8) -> String {
    format!("eth{number}")
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

fn small_rule() -> impl Strategy<Value = ChainRule> {
    let range = (0u16..4, 0u16..4).prop_map(|(one, two)| PortRange { first: one.min(two), last: one.max(two) });
    let ports = (protocol(), proptest::option::of(range)).prop_map(|(protocol, ports)| PortMatch { protocol, ports });
    let target = prop_oneof![
        Just(RuleTarget::Return),
        (1u32..3).prop_map(RuleTarget::Mark),
        (1u16..3).prop_map(|port| RuleTarget::Redirect(Some(port))),
    ];
    let maybe = proptest::option::of::<std::ops::Range<u8>>;
    let known = (maybe(0..2), maybe(0..2), proptest::option::of(ports), maybe(0..2), target).prop_map(
        |(destination, interface, ports, mac, target)| ChainRule::Known {
            destination: destination.map(ip),
            interface: interface.map(device),
            ports,
            mac_source: mac.map(|octet| MacAddress([octet; 6])),
            target,
        },
    );
    prop_oneof![30 => known, 1 => Just(ChainRule::Other("-j ACCEPT".into()))]
}

fn packet() -> impl Strategy<Value = Packet> {
    (0u8..2, 0u8..2, protocol(), 0u16..4, 0u8..2).prop_map(|(destination, interface, protocol, port, mac)| Packet {
        destination,
        interface,
        protocol,
        port,
        mac,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn every_packet_fares_the_same(
        rules in proptest::collection::vec(small_rule(), 0..8),
        packets in proptest::collection::vec(packet(), 32),
    ) {
        let ordered = super::super::order::canonical(rules.clone());
        prop_assert_eq!(ordered.len(), rules.len());
        for packet in packets {
            prop_assert_eq!(walk(&ordered, &packet), walk(&rules, &packet), "{:?} in {:?}", packet, rules);
        }
    }

    #[test]
    fn joined_ports_mean_the_same(
        rules in proptest::collection::vec(small_rule(), 0..24),
        packets in proptest::collection::vec(packet(), 32),
    ) {
        let rules = super::super::order::canonical(rules);
        let texts: Vec<String> =
            super::super::multiport::join(&rules).iter().map(|joined| joined.text().unwrap()).collect();
        let read: Vec<ChainRule> =
            texts.iter().flat_map(|text| super::super::rule::parse_each(Family::Ipv4, text)).collect();
        for packet in packets {
            prop_assert_eq!(walk(&read, &packet), walk(&rules, &packet), "{:?} in {:?}", packet, texts);
        }
        prop_assert_eq!(super::super::order::canonical(read), rules);
    }
}
