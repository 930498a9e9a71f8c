//! What a topology means: defaults, precedence, and names followed to their hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use lvsctl::document::ReadSource;
use lvsctl::topology::*;
use lvsctl::view::problems;

/// Files of a folder called `site`, and of its subfolders.
struct Files(BTreeMap<&'static str, &'static str>);

impl ReadSource for Files {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|text| (*text).to_owned()).ok_or_else(|| "No such file".to_owned())
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        let inside = |path: &&str| path.strip_prefix("site/").filter(|name| !name.contains('/')).map(str::to_owned);
        (folder == "site").then(|| self.0.keys().rev().filter_map(inside).collect())
    }
}

fn load_files<const N: usize>(path: &str, files: [(&'static str, &'static str); N]) -> Topology {
    let loaded = load(path, &Files(files.into_iter().collect()));
    assert!(loaded.problems.is_empty(), "{}", problems::human(&loaded.problems, &loaded.sources, false));
    loaded.topology.unwrap()
}

const HOSTS: &str = r#"
director "lb" {
    address "10.0.0.1/24"
    address "172.16.0.1/24"
    address "2001:db8::1/64"
    interface "eth0" mac="52:54:00:06:B2:98"
    sysctl "net.ipv4.vs.expire_nodest_conn" 1
    sysctl "net.ipv4.conf.eth0/100.forwarding" "1"
}
director "spare" { address "10.0.0.2/24"; ssh "spare.example.net" user="ops" port=2222 become=#true host-key="SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU" }
real-server "a" { address "192.0.2.5/24"; address "172.16.0.5/24"; address "2001:db8::5/64"; netns "a" root="/run/lab/a" }
real-server "b" { address "172.16.0.6/24"; local }
real-server "c" { address "172.16.0.7/24"; managed #false }
"#;

const SERVICES: &str = r#"
pool "app" {
    server "a" port=8080
    server "b" { check "tcp" interval="10s" }
    check "http" path="/pool"
}
vip "10.0.0.9" director="lb" forwarding="nat" interface="eth0" label="eth0:1" {
    service "pooled" { listen "tcp" 80; pool "app"; server "c" weight=0 }
    service "own" {
        listen "tcp" 443
        pool "app"
        check "https" host="www.example.org" status=204 port=444 timeout="2s" retries=0 retry-delay="3s"
        scheduler "mh" fallback=#true
        persistence "5m" netmask=24
        on-failure "inhibit"
        server "172.16.0.7" port=8443 weight=7 upper=20 lower=10
    }
}
vip "10.0.0.10/24" director="lb" delivery="redirect" {
    service "mixed" {
        fwmark 7
        listen "udp" "5000-5010" 53
        server "b" forwarding="dr"
        server "c" forwarding="nat" port=5353
    }
}
vip "2001:db8::9" director="lb" forwarding="dr" { service "six" { listen "sctp" 80; server "a" } }
"#;

fn topology() -> Topology {
    load_files("site", [("site/b.kdl", SERVICES), ("site/a.kdl", HOSTS), ("site/below/c.kdl", "nonsense")])
}

fn service<'a>(topology: &'a Topology, name: &str) -> &'a Service {
    topology.services().map(|(_, service)| service).find(|service| service.name.value == name).unwrap()
}

#[test]
fn hosts_have_their_connections_and_parameters() {
    let topology = topology();
    let host = |name| &topology.hosts[&HostName::new(name)];
    let lb = host("lb");
    assert_eq!(lb.role, Role::Director);
    assert_eq!(lb.interface.as_ref().unwrap().mac.unwrap().to_string(), "52:54:00:06:b2:98");
    let keys: Vec<&str> = lb.sysctls.keys().map(|key| key.path()).collect();
    assert_eq!(keys, ["net/ipv4/conf/eth0.100/forwarding", "net/ipv4/vs/expire_nodest_conn"]);
    let own = Connection::Ssh {
        host: "lb".into(),
        user: None,
        port: None,
        identity: None,
        host_key: None,
        become_root: false,
        become_password: None,
    };
    assert_eq!(lb.connection.value, own);
    let spare = Connection::Ssh {
        host: "spare.example.net".into(),
        user: Some("ops".into()),
        port: Some(2222),
        identity: None,
        host_key: Some("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".into()),
        become_root: true,
        become_password: None,
    };
    assert_eq!(host("spare").connection.value, spare);
    assert_eq!(host("a").connection.value, Connection::Namespace { name: "a".into(), root: "/run/lab/a".into() });
    assert_eq!(host("b").connection.value, Connection::Local);
    assert_eq!((host("b").managed, host("c").managed), (true, false));
}

#[test]
fn servers_come_from_pools_and_names_and_addresses() {
    let topology = topology();
    let servers = |name| -> Vec<(String, Option<u16>, u32)> {
        let each = |server: &Server| (server.address.to_string(), server.port.map(|port| port.value), server.weight);
        service(&topology, name).servers.iter().map(each).collect()
    };
    // The address in the network that the director shares is taken, not the first one.
    let app = [("172.16.0.5".to_owned(), Some(8080), 1), ("172.16.0.6".to_owned(), None, 1)];
    let [first, second] = app;
    assert_eq!(servers("pooled"), [first.clone(), second.clone(), ("172.16.0.7".into(), None, 0)]);
    assert_eq!(servers("own"), [first, second, ("172.16.0.7".into(), Some(8443), 7)]);
    assert_eq!(servers("six"), [("2001:db8::5".into(), None, 1)]);
    let limited = &service(&topology, "own").servers[2];
    assert_eq!((limited.upper, limited.lower, limited.host.value.as_str()), (20, 10, "c"));
}

#[test]
fn the_nearest_check_counts() {
    let topology = topology();
    let checks = |name| -> Vec<Option<CheckKind>> {
        service(&topology, name)
            .servers
            .iter()
            .map(|server| server.check.as_ref().map(|check| check.kind.clone()))
            .collect()
    };
    let pool = CheckKind::Http(HttpCheck { path: "/pool".into(), status: None, host: None, ..HttpCheck::default() });
    let own = CheckKind::Https(HttpCheck {
        path: "/".into(),
        status: Some(204),
        host: Some("www.example.org".into()),
        ..HttpCheck::default()
    });
    assert_eq!(checks("pooled"), [Some(pool), Some(CheckKind::Tcp), None]);
    assert_eq!(checks("own"), [Some(own.clone()), Some(CheckKind::Tcp), Some(own)]);
    let tcp = service(&topology, "own").servers[1].check.as_ref().unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(
        (tcp.interval, tcp.timeout, tcp.retries, tcp.retry_delay, tcp.port),
        (seconds(10), seconds(3), 2, seconds(1), None)
    );
    let https = service(&topology, "own").servers[0].check.as_ref().unwrap();
    assert_eq!(
        (https.interval, https.timeout, https.retries, https.retry_delay, https.port),
        (seconds(5), seconds(2), 0, seconds(3), Some(444))
    );
}

#[test]
fn services_have_their_settings() {
    let topology = topology();
    let own = service(&topology, "own");
    assert_eq!(own.scheduler, Scheduler { name: "mh".into(), fallback: true, port: false });
    assert_eq!(own.persistence, Some(Persistence { timeout: Duration::from_secs(300), netmask: Some(24) }));
    assert_eq!(own.on_failure, OnFailure::Inhibit);
    let mixed = service(&topology, "mixed");
    assert_eq!(mixed.scheduler.name, "wlc");
    assert_eq!(mixed.fwmark.map(|mark| mark.value), Some(7));
    let listens: Vec<_> =
        mixed.listens.iter().map(|listen| (listen.protocol, listen.ports.first, listen.ports.last)).collect();
    assert_eq!(listens, [(Protocol::Udp, 5000, 5010), (Protocol::Udp, 53, 53)]);
    let ways: Vec<_> = mixed.servers.iter().map(|server| (server.forwarding, server.delivery)).collect();
    assert_eq!(ways, [(Forwarding::Dr, Delivery::Redirect), (Forwarding::Nat, Delivery::None)]);
    assert_eq!(service(&topology, "six").servers[0].delivery, Delivery::Loopback);
    let prefixes: Vec<u8> = topology.vips.values().map(|vip| vip.prefix).collect();
    assert_eq!(prefixes, [32, 24, 128]);
}

#[test]
fn failovers_have_their_settings() {
    let text = r#"
include "hosts.kdl"
include "../site/hosts.kdl"
failover "f" {
    director "lb" priority=10
    director "spare" priority=20
    virtual-router-id 9
    version 3
    advert-interval "250ms"
    preempt delay="5m"
    unicast #true
    sync-daemon id=3
    email #true
}
failover "g" { director "lb" priority=10; director "spare" priority=20; virtual-router-id 10; auth-pass (file)"secrets/vrrp" }
email to="a@example.org, b@example.org" from="c@example.org" smtp="[2001:db8::25]:587"
"#;
    let topology = load_files("site/main.kdl", [("site/main.kdl", text), ("site/hosts.kdl", HOSTS)]);
    let failover = &topology.failovers["f"];
    assert_eq!(failover.by_priority(), [&HostName::new("spare"), &HostName::new("lb")]);
    assert_eq!((failover.version, failover.unicast, failover.email), (VrrpVersion::V3, true, true));
    assert_eq!(failover.advert_interval, Duration::from_millis(250));
    assert_eq!(failover.preemption, Preemption::After(Duration::from_secs(300)));
    assert_eq!(failover.sync_daemon.as_ref().unwrap().id.unwrap().value, 3);
    let other = &topology.failovers["g"];
    assert_eq!((other.version, other.unicast, other.email), (VrrpVersion::V2, false, false));
    assert_eq!((other.advert_interval, other.preemption), (Duration::from_secs(1), Preemption::Immediate));
    assert_eq!(
        other.auth_pass.as_ref().unwrap().value,
        Secret::Reference(SecretReference::File("secrets/vrrp".into()))
    );
    let email = topology.email.unwrap().value;
    assert_eq!(email.to, ["a@example.org", "b@example.org"]);
    assert_eq!((email.smtp.as_str(), email.port, email.timeout), ("2001:db8::25", Some(587), Duration::from_secs(30)));
}
