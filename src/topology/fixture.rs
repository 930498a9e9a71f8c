//! Topologies for the unit tests of the layers below, built without a document.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::source::{FileId, Span};

/// Returns a span that points nowhere in particular.
pub fn span() -> Span {
    Span::new(FileId(0), 0, 0)
}

/// Ties a value to [`span`].
pub fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, span())
}

/// Makes a host with one address on `eth0`.
pub fn host(role: Role, name: &str, address: &str, mac: Option<&str>) -> Host {
    Host {
        name: at(HostName::new(name)),
        role,
        addresses: vec![at(address.parse().unwrap())],
        interface: Some(Interface { name: at("eth0".into()), mac: mac.map(|mac| at(mac.parse().unwrap())) }),
        connection: at(Connection::Namespace { name: name.into(), root: format!("/run/lab/{name}") }),
        managed: true,
        sysctls: BTreeMap::new(),
        tuning: Tuning::default(),
    }
}

/// Makes a server that listens where the service does, with weight 100, under direct routing.
pub fn server(host: &Host) -> Server {
    Server {
        host: host.name.clone(),
        address: host.addresses[0].addr(),
        port: None,
        weight: 100,
        upper: 0,
        lower: 0,
        forwarding: Forwarding::Dr,
        tunnel: Tunnel::Ipip,
        delivery: Delivery::Loopback,
        check: None,
        notify: Notify::default(),
        span: span(),
    }
}

/// Makes a static service with round robin.
pub fn service(name: &str, protocol: Protocol, port: u16, servers: Vec<Server>) -> Service {
    Service {
        name: at(name.into()),
        listens: vec![Listen { protocol, ports: PortRange::single(port), span: span() }],
        fwmark: None,
        scheduler: Scheduler { name: "rr".into(), fallback: false, port: false },
        persistence: None,
        engine: None,
        one_packet: false,
        syn_proxy: None,
        drain: None,
        on_failure: OnFailure::Remove,
        supervision: Supervision::default(),
        servers,
    }
}

/// Makes a VIP.
pub fn vip(address: &str, holder: VipHolder, services: Vec<Service>) -> Vip {
    Vip { address: at(address.parse().unwrap()), prefix: 32, holder, interface: None, label: None, services }
}

/// Makes a topology of hosts and VIPs.
pub fn topology(hosts: Vec<Host>, failovers: Vec<Failover>, vips: Vec<Vip>) -> Topology {
    Topology {
        hosts: hosts.into_iter().map(|host| (host.name.value.clone(), host)).collect(),
        failovers: failovers.into_iter().map(|failover| (failover.name.value.clone(), failover)).collect(),
        sync_groups: BTreeMap::new(),
        vips: vips.into_iter().map(|vip| (vip.address.value, vip)).collect(),
        email: None,
        confirm: None,
    }
}

/// Returns the site of two directors and two web servers with marks 1 and 2, direct routing and redirection.
pub fn reference_site() -> Topology {
    let directors = [
        host(Role::Director, "lb01", "10.4.1.181/24", Some("52:54:00:06:b2:98")),
        host(Role::Director, "lb02", "10.4.1.182/24", Some("52:54:00:36:d0:a8")),
    ];
    let web =
        [host(Role::RealServer, "web1", "10.4.1.151/24", None), host(Role::RealServer, "web2", "10.4.1.152/24", None)];
    let page = HttpCheck {
        path: "/lbtest.html".into(),
        status: Some(200),
        host: Some("www.example.org".into()),
        ..HttpCheck::default()
    };
    let check = |kind| Check {
        kind,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(4),
        retries: 5,
        retry_delay: Duration::from_secs(2),
        port: None,
        span: span(),
    };
    let marked = |name: &str, port, mark, kind: CheckKind| Service {
        fwmark: Some(at(mark)),
        scheduler: Scheduler { name: "wrr".into(), fallback: false, port: false },
        on_failure: OnFailure::Inhibit,
        servers: web
            .iter()
            .map(|host| Server { delivery: Delivery::Redirect, check: Some(check(kind.clone())), ..server(host) })
            .collect(),
        ..service(name, Protocol::Tcp, port, Vec::new())
    };
    let services = vec![
        marked("http", 80, 1, CheckKind::Http(page.clone())),
        marked("https", 443, 2, CheckKind::Https(page.clone())),
    ];
    let failover = Failover {
        name: at("ext".into()),
        members: [("lb01", 100), ("lb02", 50)]
            .map(|(name, priority)| {
                let director = at(HostName::new(name));
                (director.value.clone(), Member { director, priority: at(priority), source_address: None })
            })
            .into(),
        virtual_router_id: at(125),
        interface: None,
        advert_interval: Duration::from_secs(1),
        preemption: Preemption::Never,
        auth_pass: Some(at(Secret::Reference(SecretReference::Environment("VRRP_PASS".into())))),
        version: VrrpVersion::V2,
        unicast: false,
        sync_daemon: Some(SyncDaemon { interface: None, id: None, options: SyncOptions::default(), span: span() }),
        email: true,
        options: FailoverOptions::default(),
    };
    let email = Email {
        to: vec!["ops@example.org".into()],
        from: "lvs@example.org".into(),
        smtp: "smtp.example.org".into(),
        port: None,
        timeout: Duration::from_secs(30),
    };
    let vips = vec![vip("10.4.1.190", VipHolder::Failover(at("ext".into())), services)];
    let hosts = directors.into_iter().chain(web.clone()).collect();
    Topology { email: Some(at(email)), ..topology(hosts, vec![failover], vips) }
}
