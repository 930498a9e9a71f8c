use super::*;
use crate::effect::Link;
use crate::kinds::fixture::*;
use crate::resource::ResourceId;
use crate::topology::fixture::*;
use crate::topology::{HostName, Protocol, Role, Topology, VipHolder};

fn one_director(vip_address: &str, director_addresses: &[&str]) -> Topology {
    let mut director = host(Role::Director, "lb", director_addresses[0], None);
    director.addresses = director_addresses.iter().map(|address| at(address.parse().unwrap())).collect();
    let web = host(Role::RealServer, "web", "192.0.2.20/24", None);
    let service = service("s", Protocol::Tcp, 80, vec![server(&web)]);
    let vip = vip(vip_address, VipHolder::Director(at(HostName::new("lb"))), vec![service]);
    topology(vec![director, web], vec![], vec![vip])
}

#[test]
fn a_vip_without_failover_comes_after_its_services() {
    let topology = one_director("192.0.2.100", &["192.0.2.1/24"]);
    let (entries, problems) = compile(&AddressKind, &topology, &Facts::new(), "lb");
    assert_eq!(listing(&entries), ["address/eth0/192.0.2.100 Address { prefix: 32, label: None }"]);
    assert_eq!(required(&entries[0]), ["lb/ipvs/tcp:192.0.2.100:80", "lb/ipvs/tcp:192.0.2.100:80/192.0.2.20:80"]);
    assert_eq!(problems, [""; 0]);
}

#[test]
fn a_marked_service_has_its_chain_before_its_vip() {
    let mut topology = one_director("192.0.2.100", &["192.0.2.1/24"]);
    topology.vips.values_mut().next().unwrap().services[0].fwmark = Some(at(7));
    let (entries, _) = compile(&AddressKind, &topology, &Facts::new(), "lb");
    assert_eq!(required(&entries[0]), ["lb/iptables/mangle/LVSCTL", "lb/ipvs/fwm:7", "lb/ipvs/fwm:7/192.0.2.20:0"]);
}

#[test]
fn prefix_label_and_interface_of_the_vip_are_kept() {
    let mut topology = one_director("192.0.2.100", &["192.0.2.1/24"]);
    let vip = topology.vips.values_mut().next().unwrap();
    vip.interface = Some(at("eth7".into()));
    vip.label = Some(at("eth7:1".into()));
    vip.prefix = 24;
    let (entries, _) = compile(&AddressKind, &topology, &Facts::new(), "lb");
    assert_eq!(listing(&entries), [r#"address/eth7/192.0.2.100 Address { prefix: 24, label: Some("eth7:1") }"#]);
}

#[test]
fn a_declared_address_and_a_floating_one_are_no_entries() {
    let topology = one_director("192.0.2.100", &["192.0.2.1/24", "192.0.2.100/24"]);
    assert_eq!(compile(&AddressKind, &topology, &Facts::new(), "lb").0, []);
    for director in ["lb01", "lb02"] {
        assert_eq!(compile(&AddressKind, &reference_site(), &Facts::new(), director).0, []);
    }
}

#[test]
fn an_unknown_interface_is_read_on_the_host_or_said() {
    let mut topology = one_director("192.0.2.100", &["192.0.2.1/24"]);
    topology.hosts.get_mut(&HostName::new("lb")).unwrap().interface = None;
    let code = "vip-interface-unknown";
    assert_eq!(compile(&AddressKind, &topology, &Facts::new(), "lb"), (vec![], vec![format!("Warning {code}")]));
    let silent = Facts::from([(HostName::new("lb"), capabilities(&[("lan", None, &["192.0.2.9/24"])]))]);
    assert_eq!(compile(&AddressKind, &topology, &silent, "lb"), (vec![], vec![format!("Error {code}")]));
    let telling = Facts::from([(HostName::new("lb"), capabilities(&[("lan", None, &["192.0.2.1/24"])]))]);
    let (entries, problems) = compile(&AddressKind, &topology, &telling, "lb");
    assert_eq!((entries[0].key.to_string().as_str(), problems.len()), ("address/lan/192.0.2.100", 0));
}

#[test]
fn real_servers_hold_vips_on_lo_behind_quiet_arp() {
    let web = host(Role::RealServer, "web", "192.0.2.20/24", None);
    let lb = host(Role::Director, "lb", "192.0.2.1/24", None);
    let vip = |address| {
        let service = service("s", Protocol::Tcp, 80, vec![server(&web)]);
        vip(address, VipHolder::Director(lb.name.clone()), vec![service])
    };
    let vips = vec![vip("192.0.2.101"), vip("2001:db8::100"), vip("192.0.2.100")];
    let topology = topology(vec![lb.clone(), web.clone()], vec![], vips);
    let (entries, _) = compile(&AddressKind, &topology, &Facts::new(), "web");
    assert_eq!(
        listing(&entries),
        [
            r#"address/lo/192.0.2.100 Address { prefix: 32, label: Some("lo:0") }"#,
            r#"address/lo/192.0.2.101 Address { prefix: 32, label: Some("lo:0") }"#,
            "address/lo/2001:db8::100 Address { prefix: 128, label: None }",
        ]
    );
    let quiet = ["net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.lo.arp_ignore", "net.ipv4.conf.all.arp_announce"]
        .into_iter()
        .chain(["net.ipv4.conf.lo.arp_announce"])
        .map(|name| format!("web/sysctl/{name}"));
    assert_eq!(required(&entries[0]), quiet.collect::<Vec<_>>());
    assert_eq!(entries[2].requires, Vec::<ResourceId>::new());
}

fn key(device: &str, address: &str) -> ResourceKey {
    ResourceKey::Address { device: device.into(), address: ip(address) }
}

fn links() -> Vec<Link> {
    let loopback: &[&str] = &["127.0.0.1/8", "127.0.0.2/32", "192.0.2.100/32 lo:0", "192.0.2.7/24", "::1/128"];
    let links = [("lo", None, loopback), ("eth0", None, &["192.0.2.1/24 eth0", "192.0.2.100/24", "192.0.2.100/32"])];
    capabilities(&links).links
}

#[test]
fn addresses_in_scope_and_what_could_be_a_vip_are_seen() {
    let seen = |keys: &[ResourceKey]| listing(&parse(&AddressKind, keys, &[Answer::Links(links())]).unwrap());
    let left_over = r#"address/lo/192.0.2.100 Address { prefix: 32, label: Some("lo:0") }"#;
    let stray = "address/eth0/192.0.2.100 Address { prefix: 32, label: None }";
    assert_eq!(seen(&[]), [stray, left_over]);
    // A label makes one, single IPv6 addresses come from DHCP, and a label that is the interface's name is none.
    let others: &[&str] = &["192.0.2.9/24 eth1:1", "192.0.2.8/24 eth1", "2001:db8::1/128"];
    let labelled = capabilities(&[("eth1", None, others)]).links;
    let seen_there = parse(&AddressKind, &[], &[Answer::Links(labelled)]).unwrap();
    assert_eq!(listing(&seen_there), [r#"address/eth1/192.0.2.9 Address { prefix: 24, label: Some("eth1:1") }"#]);
    assert_eq!(
        seen(&[key("eth0", "192.0.2.1"), key("eth0", "192.0.2.100"), key("eth0", "192.0.2.3"), key("lo", "192.0.2.7")]),
        [
            "address/eth0/192.0.2.1 Address { prefix: 24, label: None }",
            "address/eth0/192.0.2.100 Address { prefix: 24, label: None }",
            "address/lo/192.0.2.7 Address { prefix: 24, label: None }",
            left_over,
        ]
    );
}

#[test]
fn an_update_leaves_no_gap_where_the_kernel_lets_it() {
    let effects_of = |address: &str, was: (u8, Option<&str>), wanted: (u8, Option<&str>)| {
        let resource =
            |(prefix, label): (u8, Option<&str>)| Some(Resource::Address { prefix, label: label.map(str::to_owned) });
        let update = change(&key("lo", address), resource(was), resource(wanted));
        (effects(&AddressKind, &update), effects(&AddressKind, &update.inverse()))
    };
    let add = |address: &str, prefix, label: Option<&str>| Effect::AddAddress {
        device: "lo".into(),
        address: ip(address),
        prefix,
        label: label.map(str::to_owned),
    };
    let remove = |address: &str, prefix| Effect::RemoveAddress { device: "lo".into(), address: ip(address), prefix };
    let four = "192.0.2.100";
    assert_eq!(
        effects_of(four, (24, None), (32, Some("lo:0"))),
        (vec![add(four, 32, Some("lo:0")), remove(four, 24)], vec![add(four, 24, None), remove(four, 32)])
    );
    assert_eq!(
        effects_of(four, (32, Some("lo:1")), (32, Some("lo:0"))),
        (vec![remove(four, 32), add(four, 32, Some("lo:0"))], vec![remove(four, 32), add(four, 32, Some("lo:1"))])
    );
    let six = "2001:db8::100";
    assert_eq!(
        effects_of(six, (64, None), (128, None)),
        (vec![remove(six, 64), add(six, 128, None)], vec![remove(six, 128), add(six, 64, None)])
    );
}

#[test]
fn a_creation_is_undone() {
    let create = change(&key("lo", "192.0.2.100"), None, Some(Resource::Address { prefix: 32, label: None }));
    let (device, address, prefix) = ("lo".to_owned(), ip("192.0.2.100"), 32);
    let add = Effect::AddAddress { device: device.clone(), address, prefix, label: None };
    let remove = Effect::RemoveAddress { device, address, prefix };
    assert_eq!(effects(&AddressKind, &create), std::slice::from_ref(&add));
    assert_eq!(effects(&AddressKind, &create.inverse()), [remove]);
    assert_eq!(effects(&AddressKind, &create.inverse().inverse()), [add]);
}

#[test]
fn an_address_with_two_prefixes_is_seen_and_put_right() {
    let key = ResourceKey::Address { device: "lo".into(), address: ip("192.0.2.9") };
    let links = capabilities(&[("lo", None, &["192.0.2.9/32 lo:0", "192.0.2.9/24"])]).links;
    let seen = parse(&AddressKind, std::slice::from_ref(&key), &[Answer::Links(links.clone())]).unwrap();
    assert_eq!(seen[0].resource, Resource::Address { prefix: 24, label: None }, "the whole network would be local");
    let wanted = Resource::Address { prefix: 32, label: Some("lo:0".into()) };
    let made = |after: Option<Resource>| {
        let change = change(&key, Some(seen[0].resource.clone()), after);
        let capabilities = crate::effect::Capabilities { links: links.clone(), ..Default::default() };
        let (changed, nothing) = (Default::default(), Default::default());
        let context = Context {
            capabilities: &capabilities,
            changed: &changed,
            desired: &nothing,
            observed: &nothing,
            ahead: &BTreeMap::new(),
        };
        AddressKind.effects(&change, &context)
    };
    let removed = |prefix| Effect::RemoveAddress { device: "lo".into(), address: ip("192.0.2.9"), prefix };
    assert_eq!(made(Some(wanted)), [removed(24)], "adding the other again would be refused");
    assert_eq!(made(None), [removed(32), removed(24)]);
}
