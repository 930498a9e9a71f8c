use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::effect::{DestinationConfig, DestinationKey, IpvsCommand, ServiceConfig, ServiceFlags, ServiceKey};
use crate::topology::{Family, Forwarding, Protocol};

fn keys() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    prop_oneof![
        (protocol, any::<IpAddr>(), any::<u16>()).prop_map(|(protocol, address, port)| ServiceKey::Address {
            protocol,
            address,
            port
        }),
        (1..=u32::MAX, family).prop_map(|(mark, family)| ServiceKey::Mark { mark, family }),
    ]
}

fn configs() -> impl Strategy<Value = ServiceConfig> {
    let engine = proptest::option::of("[a-z]{1,15}");
    ("[a-z]{1,15}", any::<u32>(), any::<u32>(), 0_u8..=128, engine).prop_map(
        |(scheduler, flags, timeout, netmask, engine)| ServiceConfig {
            scheduler,
            flags: ServiceFlags(flags & !ServiceFlags::HASHED),
            timeout,
            netmask,
            engine,
        },
    )
}

fn destinations() -> impl Strategy<Value = (DestinationKey, DestinationConfig)> {
    let forwarding = prop_oneof![
        Just(Forwarding::Nat),
        Just(Forwarding::Dr),
        Just(Forwarding::Tun),
        Just(Forwarding::Local),
        Just(Forwarding::Bypass),
    ];
    (any::<IpAddr>(), any::<u16>(), forwarding, any::<[u32; 3]>()).prop_map(
        |(address, port, forwarding, [weight, upper, lower])| {
            (
                DestinationKey { address, port },
                DestinationConfig { forwarding, tunnel: Default::default(), weight, upper, lower },
            )
        },
    )
}

/// What the table holds after a service was written: without persistence nothing of it is kept.
fn canonical(key: &ServiceKey, config: ServiceConfig) -> ServiceConfig {
    let widest = key.family().host_prefix();
    match config.flags.has(ServiceFlags::PERSISTENT) {
        true => ServiceConfig { netmask: config.netmask.min(widest), ..config },
        false => ServiceConfig { timeout: 0, netmask: widest, ..config },
    }
}

proptest! {
    #[test]
    fn a_service_comes_back_in_canonical_form(key in keys(), config in configs()) {
        let bytes = command(&IpvsCommand::NewService(key, config.clone())).unwrap();
        prop_assert_eq!(service(&bytes), Ok((key, canonical(&key, config))));
    }

    #[test]
    fn every_command_names_its_service(key in keys(), (server, config) in destinations()) {
        let bytes = command(&IpvsCommand::SetDestination(key, server, config)).unwrap();
        prop_assert_eq!(bytes.first(), Some(&6_u8));
        prop_assert_eq!(bytes.len() % 4, 0);
        // A destination as it is written lacks the counters that a dump has, and is otherwise the same.
        prop_assert_eq!(destination(&bytes, key.family()), Err(WireError::Missing("active connections")));
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = service(&bytes);
        let _ = destination(&bytes, Family::Ipv4);
        let _ = family_number(&bytes);
    }

    #[test]
    fn no_damage_to_a_message_makes_decoding_panic(
        key in keys(), config in configs(), damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        length in any::<usize>(),
    ) {
        let mut bytes = command(&IpvsCommand::NewService(key, config)).unwrap();
        for (place, value) in damage {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(length % (bytes.len() + 1));
        let _ = service(&bytes);
        let _ = destination(&bytes, Family::Ipv6);
    }
}

/// A message as the kernel writes it in a dump, attribute by attribute.
fn dumped(outer: u16, inner: &[(u16, &[u8])]) -> Vec<u8> {
    let attribute = |kind: u16, payload: &[u8]| {
        let length = u16::try_from(payload.len() + 4).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let inner: Vec<u8> = inner.iter().flat_map(|(kind, payload)| attribute(*kind, payload)).collect();
    [vec![1, 1, 0, 0], attribute(outer | 0x8000, &inner)].concat()
}

#[test]
fn a_dumped_service_of_the_kernel_is_read() {
    let padded = |octets: [u8; 4]| [octets.as_slice(), &[0; 12]].concat();
    let bytes = dumped(
        1,
        &[
            (1, &2_u16.to_ne_bytes()),
            (2, &17_u16.to_ne_bytes()),
            (3, &padded([203, 0, 113, 10])),
            (4, &[0, 53]),
            (6, b"wlc\0"),
            (7, &[3_u32.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat()),
            (8, &300_u32.to_ne_bytes()),
            (9, &[255, 255, 255, 0]),
            (10, &[0; 40]),
        ],
    );
    let key = ServiceKey::Address { protocol: Protocol::Udp, address: "203.0.113.10".parse().unwrap(), port: 53 };
    let flags = ServiceFlags(ServiceFlags::PERSISTENT);
    let config = ServiceConfig { scheduler: "wlc".into(), flags, timeout: 300, netmask: 24, engine: None };
    assert_eq!(service(&bytes), Ok((key, config)));
}

#[test]
fn a_dumped_destination_of_the_kernel_is_read() {
    let mut inner: Vec<(u16, Vec<u8>)> = vec![(1, [&[10, 0, 0, 2][..], &[0; 12]].concat()), (2, vec![0x1f, 0x90])];
    // The kernel adds other connection flags to the forwarding method (`IP_VS_CONN_F_NOOUTPUT` and so on).
    inner.extend(
        [(3, 0x103), (4, 100), (5, 9), (6, 8), (7, 7), (8, 6)]
            .map(|(kind, value): (u16, u32)| (kind, value.to_ne_bytes().to_vec())),
    );
    let bytes = dumped(2, &inner.iter().map(|(kind, payload)| (*kind, payload.as_slice())).collect::<Vec<_>>());
    let read = destination(&bytes, Family::Ipv4).unwrap();
    assert_eq!(read.key.to_string(), "10.0.0.2:8080");
    let config =
        DestinationConfig { forwarding: Forwarding::Dr, tunnel: Default::default(), weight: 100, upper: 9, lower: 8 };
    assert_eq!((read.config, read.active, read.inactive), (config, 7, 6));
}

#[test]
fn a_mask_is_written_in_network_order_and_a_prefix_as_a_number() {
    let flags = ServiceFlags(ServiceFlags::PERSISTENT);
    let config = ServiceConfig { scheduler: "rr".into(), flags, timeout: 60, netmask: 24, engine: None };
    let encoded =
        |family| command(&IpvsCommand::NewService(ServiceKey::Mark { mark: 1, family }, config.clone())).unwrap();
    let holds = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    assert!(holds(&encoded(Family::Ipv4), &[8, 0, 9, 0, 255, 255, 255, 0]));
    assert!(holds(&encoded(Family::Ipv6), &[&[8, 0, 9, 0][..], &24_u32.to_ne_bytes()].concat()));
}
