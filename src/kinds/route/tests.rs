use super::*;
use crate::kinds::fixture::*;
use crate::topology::fixture::*;
use crate::topology::{HostName, Protocol, Role};

/// Two directors on two networks, a translated server on the inner one, and VIPs held by a failover or one director.
fn site(vips: &[(&str, VipHolder)]) -> Topology {
    let directors = ["lb01", "lb02"].map(|name| {
        let last = if name == "lb01" { 1 } else { 2 };
        let mut director = host(Role::Director, name, &format!("198.51.100.{last}/24"), None);
        director.addresses.push(at(format!("10.0.0.{last}/24").parse().unwrap()));
        director
    });
    let web = host(Role::RealServer, "web", "10.0.0.20/24", None);
    let vips = vips.iter().map(|(address, holder)| {
        let mut server = server(&web);
        server.forwarding = Forwarding::Nat;
        server.delivery = crate::topology::Delivery::None;
        vip(address, holder.clone(), vec![service("s", Protocol::Tcp, 80, vec![server])])
    });
    let failover = reference_site().failovers.remove("ext").unwrap();
    topology(directors.into_iter().chain([web.clone()]).collect(), vec![failover], vips.collect())
}

fn failover() -> VipHolder {
    VipHolder::Failover(at("ext".into()))
}

fn director(name: &str) -> VipHolder {
    VipHolder::Director(at(HostName::new(name)))
}

fn routes(topology: &Topology, host: &str) -> (Vec<String>, Vec<String>) {
    let (entries, problems) = compile(&RouteKind, topology, &Facts::new(), host);
    (listing(&entries), problems)
}

fn default_through(via: &str) -> (Vec<String>, Vec<String>) {
    (vec![format!("route/default-ipv4 DefaultRoute {{ via: Some({via}) }}")], vec![])
}

#[test]
fn replies_pass_the_floating_address_if_it_is_near() {
    assert_eq!(routes(&site(&[("10.0.0.100", failover())]), "web"), default_through("10.0.0.100"));
    let both = site(&[("198.51.100.100", failover()), ("10.0.0.101", failover()), ("10.0.0.100", failover())]);
    assert_eq!(routes(&both, "web"), default_through("10.0.0.100"));
}

#[test]
fn a_servers_own_loopback_address_is_no_gateway_for_it() {
    let mut both = site(&[("10.0.0.100", failover()), ("10.0.0.101", failover())]);
    let direct = both.vips.values_mut().next().unwrap().services[0].servers.first_mut().unwrap();
    (direct.forwarding, direct.delivery) = (Forwarding::Dr, crate::topology::Delivery::Loopback);
    assert_eq!(routes(&both, "web").0, default_through("10.0.0.101").0);
}

#[test]
fn replies_pass_the_preferred_director_otherwise() {
    assert_eq!(routes(&site(&[("198.51.100.100", failover())]), "web"), default_through("10.0.0.1"));
    assert_eq!(routes(&site(&[("10.0.0.100", director("lb02"))]), "web"), default_through("10.0.0.2"));
}

#[test]
fn a_route_is_asked_of_translated_servers_only() {
    let none = (vec![], vec![]);
    assert_eq!(routes(&reference_site(), "web1"), none);
    assert_eq!(routes(&site(&[("10.0.0.100", failover())]), "lb01"), none);
    let mut unmanaged = site(&[("10.0.0.100", failover())]);
    unmanaged.hosts.get_mut(&HostName::new("web")).unwrap().managed = false;
    assert_eq!(routes(&unmanaged, "web"), none);
}

#[test]
fn two_gateways_for_one_host_are_an_error() {
    let (entries, problems) = routes(&site(&[("10.0.0.100", failover()), ("10.0.0.101", director("lb02"))]), "web");
    assert_eq!((entries.len(), problems), (1, vec!["Error gateway-conflict".to_owned()]));
}

#[test]
fn a_director_that_is_nowhere_near_is_a_warning() {
    let mut far = site(&[("198.51.100.100", director("lb01"))]);
    far.hosts.get_mut(&HostName::new("lb01")).unwrap().addresses.truncate(1);
    assert_eq!(routes(&far, "web"), (vec![], vec!["Warning nat-return-path".to_owned()]));
}

#[test]
fn rules_that_may_send_replies_elsewhere_are_a_warning() {
    let site = site(&[("10.0.0.100", failover())]);
    let with = |families: &[Family]| {
        let capabilities = crate::effect::Capabilities { policy_routing: families.into(), ..Default::default() };
        compile(&RouteKind, &site, &Facts::from([(HostName::new("web"), capabilities)]), "web").1
    };
    assert_eq!(with(&[Family::Ipv6]), Vec::<String>::new());
    assert_eq!(with(&[Family::Ipv4]), ["Warning nat-return-path"]);
}

#[test]
fn replies_that_the_director_would_drop_are_a_warning() {
    let mut both = site(&[("10.0.0.100", failover()), ("10.0.0.101", failover())]);
    let second = both.vips.values_mut().nth(1).unwrap().services[0].servers.first_mut().unwrap();
    (second.forwarding, second.delivery) = (Forwarding::Dr, crate::topology::Delivery::Loopback);
    let found = |topology: &Topology| routes(topology, "web").1;
    assert_eq!(found(&both), ["Warning martian-replies"]);
    both.vips.values_mut().nth(1).unwrap().holder = director("lb02");
    assert_eq!(found(&both), ["Warning martian-replies"], "lb02 may be master of the other");
    let mut apart = site(&[("10.0.0.100", director("lb01")), ("10.0.0.101", director("lb02"))]);
    let second = apart.vips.values_mut().nth(1).unwrap().services[0].servers.first_mut().unwrap();
    (second.forwarding, second.delivery) = (Forwarding::Dr, crate::topology::Delivery::Loopback);
    assert_eq!(found(&apart), Vec::<String>::new());
}

#[test]
fn the_best_route_of_each_family_in_scope_is_seen() {
    let route = |family, via: &str, metric| LiveRoute { family, via: Some(ip(via)), device: None, metric };
    let answer = Answer::DefaultRoutes(vec![
        route(Family::Ipv4, "10.0.0.9", 100),
        route(Family::Ipv4, "10.0.0.1", 0),
        route(Family::Ipv4, "10.0.0.2", 0),
        route(Family::Ipv6, "2001:db8::1", 1024),
    ]);
    let key = ResourceKey::DefaultRoute(Family::Ipv4);
    let entries = parse(&RouteKind, std::slice::from_ref(&key), std::slice::from_ref(&answer)).unwrap();
    assert_eq!(entries, [Entry::new(key, Resource::DefaultRoute { via: Some(ip("10.0.0.1")) })]);
    assert_eq!(parse(&RouteKind, &[], &[answer]).unwrap(), []);
}

#[test]
fn what_was_there_comes_back() {
    let key = ResourceKey::DefaultRoute(Family::Ipv4);
    let through = |via: &str| Resource::DefaultRoute { via: Some(ip(via)) };
    let replace = |via: &str| Effect::ReplaceDefaultRoute { via: ip(via), device: None };
    let update = change(&key, Some(through("10.0.0.9")), Some(through("10.0.0.1")));
    assert_eq!(effects(&RouteKind, &update), [replace("10.0.0.1")]);
    assert_eq!(effects(&RouteKind, &update.inverse()), [replace("10.0.0.9")]);
    let create = change(&key, None, Some(through("10.0.0.1")));
    assert_eq!(effects(&RouteKind, &create.inverse()), [Effect::RemoveDefaultRoute { via: ip("10.0.0.1") }]);
    let delete = Change { previous: Some(through("10.0.0.9")), ..create.inverse() };
    assert_eq!(effects(&RouteKind, &delete), [replace("10.0.0.9")]);
    assert_eq!(effects(&RouteKind, &delete.inverse()), [replace("10.0.0.1")]);
}
