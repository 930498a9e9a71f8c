use super::*;
use crate::kinds::fixture::*;
use crate::topology::fixture::{at, host, server, service, topology, vip};
use crate::topology::{Forwarding, HostName, Protocol, Role, Server, Topology, VipHolder};

fn site(address: &str, forwarding: Forwarding, delivery: Delivery) -> Topology {
    let web = host(Role::RealServer, "w", "10.0.0.2/24", None);
    let servers = vec![Server { forwarding, delivery, ..server(&web) }];
    let holder = VipHolder::Director(at(HostName::new("d")));
    topology(vec![web], vec![], vec![vip(address, holder, vec![service("s", Protocol::Tcp, 80, servers)])])
}

fn compiled(site: &Topology) -> Vec<String> {
    listing(&compile(&LinkKind, site, &Facts::default(), "w").0)
}

#[test]
fn a_tunnel_ends_at_the_interface_of_its_family() {
    let tunnelled = |address| compiled(&site(address, Forwarding::Tun, Delivery::Tunnel));
    assert_eq!(tunnelled("10.0.0.9"), [r#"link/tunl0 Link { sort: Some("ipip"), is_up: true }"#]);
    assert_eq!(tunnelled("fd00::9"), [r#"link/ip6tnl0 Link { sort: Some("ip6tnl"), is_up: true }"#]);
    let elsewhere = compiled(&site("10.0.0.9", Forwarding::Tun, Delivery::Dummy));
    assert_eq!(elsewhere.len(), 2, "the VIP is elsewhere, and packets still come out of the tunnel: {elsewhere:?}");
    assert!(compiled(&site("10.0.0.9", Forwarding::Dr, Delivery::Loopback)).is_empty());
}

fn link(sort: &str, is_up: bool) -> Option<Resource> {
    Some(Resource::Link { sort: Some(sort.into()), is_up })
}

#[test]
fn an_end_of_a_tunnel_is_brought_up_and_down_and_a_dummy_comes_and_goes() {
    let set = |device: &str, is_up| Effect::SetLink { device: device.into(), is_up };
    let tunnel = ResourceKey::Link("tunl0".into());
    assert_eq!(effects(&LinkKind, &change(&tunnel, None, link("ipip", true))), [set("tunl0", true)]);
    assert_eq!(effects(&LinkKind, &change(&tunnel, link("ipip", true), None)), [set("tunl0", false)]);
    let was_up = Change { previous: link("ipip", true), ..change(&tunnel, link("ipip", true), None) };
    assert_eq!(effects(&LinkKind, &was_up), []);
    let dummy = ResourceKey::Link("lvsctl0".into());
    let (device, sort) = ("lvsctl0".to_owned(), "dummy".to_owned());
    let made = Effect::AddLink { device: device.clone(), sort };
    assert_eq!(effects(&LinkKind, &change(&dummy, None, link("dummy", true))), [made.clone(), set("lvsctl0", true)]);
    assert_eq!(effects(&LinkKind, &change(&dummy, link("dummy", false), link("dummy", true))), [set("lvsctl0", true)]);
    assert_eq!(effects(&LinkKind, &change(&dummy, link("dummy", true), None)), [Effect::RemoveLink { device }]);
    let foreign = change(&dummy, link("bridge", true), link("dummy", true));
    assert_eq!(effects(&LinkKind, &foreign)[0], made, "the kernel refuses, and says why");
}
