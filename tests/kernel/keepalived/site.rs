//! Topologies for these tests: the reference site, and parts of which others are put together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lvsctl::kinds::{Kind, Site, keepalived::KeepalivedKind};
use lvsctl::resource::{Entry, Resource};
use lvsctl::source::{FileId, Problems, Span, Spanned};
use lvsctl::topology::*;

/// Ties a value to nowhere.
pub fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, span())
}

pub(super) fn span() -> Span {
    Span::new(FileId(0), 0, 0)
}

/// Makes a host with IPv4 and IPv6 addresses that end in a number.
pub fn host(role: Role, name: &str, number: u8) -> Host {
    let addresses = [format!("10.4.1.{number}/24"), format!("fd00::{number}/64")];
    Host {
        name: at(HostName::new(name)),
        role,
        addresses: addresses.iter().map(|address| at(address.parse().expect("an address"))).collect(),
        interface: Some(Interface { name: at("eth0".into()), mac: None }),
        connection: at(Connection::Local),
        managed: true,
        sysctls: BTreeMap::new(),
        tuning: Tuning::default(),
    }
}

/// Makes a check.
pub fn check(kind: CheckKind) -> Check {
    let seconds = Duration::from_secs;
    Check {
        kind,
        interval: seconds(5),
        timeout: seconds(4),
        retries: 5,
        retry_delay: seconds(2),
        port: None,
        span: span(),
    }
}

pub(super) fn server_address(number: u8, family: Family) -> IpAddr {
    let address = match family {
        Family::Ipv4 => format!("10.4.1.{number}"),
        Family::Ipv6 => format!("fd00::{number}"),
    };
    address.parse().expect("an address")
}

/// Makes a server that ends in a number, under direct routing.
pub fn server(number: u8, family: Family, check: Option<Check>) -> Server {
    Server {
        host: at(HostName::new(&format!("web{number}"))),
        address: server_address(number, family),
        port: None,
        weight: 100,
        upper: 0,
        lower: 0,
        forwarding: Forwarding::Dr,
        tunnel: Default::default(),
        delivery: Delivery::None,
        check,
        notify: Notify::default(),
        span: span(),
    }
}

/// Makes a service.
pub fn service(name: &str, port: u16, fwmark: Option<u32>, servers: Vec<Server>) -> Service {
    Service {
        name: at(name.into()),
        listens: vec![Listen { protocol: Protocol::Tcp, ports: PortRange::single(port), span: span() }],
        fwmark: fwmark.map(at),
        scheduler: Scheduler { name: "wrr".into(), fallback: false, port: false },
        persistence: None,
        engine: None,
        one_packet: false,
        syn_proxy: None,
        drain: None,
        on_failure: OnFailure::Inhibit,
        supervision: Supervision::default(),
        servers,
    }
}

pub(super) fn failover(vips: &str) -> Failover {
    Failover {
        name: at(vips.into()),
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
        auth_pass: None,
        version: VrrpVersion::V2,
        unicast: false,
        sync_daemon: None,
        email: true,
        options: FailoverOptions::default(),
    }
}

pub(super) fn site(failovers: Vec<Failover>, vips: Vec<(&str, VipHolder, Vec<Service>)>) -> Topology {
    let directors = [host(Role::Director, "lb01", 181), host(Role::Director, "lb02", 182)];
    let vips = vips.into_iter().map(|(address, holder, services)| {
        let address: IpAddr = address.parse().expect("an address");
        let prefix = Family::of(address).host_prefix();
        (address, Vip { address: at(address), prefix, holder, interface: None, label: None, services })
    });
    let email = Email {
        to: vec!["ops@example.org".into()],
        from: "lvs@example.org".into(),
        smtp: "smtp.example.org".into(),
        port: None,
        timeout: Duration::from_secs(30),
    };
    Topology {
        hosts: directors.into_iter().map(|host| (host.name.value.clone(), host)).collect(),
        failovers: failovers.into_iter().map(|failover| (failover.name.value.clone(), failover)).collect(),
        sync_groups: BTreeMap::new(),
        vips: vips.collect(),
        email: Some(at(email)),
        confirm: None,
    }
}

/// Returns the site of two directors with two marks that everything is measured by.
pub fn reference() -> Topology {
    let page = HttpCheck {
        path: "/lbtest.html".into(),
        status: Some(200),
        host: Some("www.example.org".into()),
        ..HttpCheck::default()
    };
    let both =
        |kind: CheckKind| [151, 152].map(|number| server(number, Family::Ipv4, Some(check(kind.clone())))).into();
    let services = vec![
        service("http", 80, Some(1), both(CheckKind::Http(page.clone()))),
        service("https", 443, Some(2), both(CheckKind::Https(page.clone()))),
    ];
    let ext = Failover {
        auth_pass: Some(at(Secret::Literal("cbrt3245".into()))),
        sync_daemon: Some(SyncDaemon { interface: None, id: None, options: SyncOptions::default(), span: span() }),
        ..failover("ext")
    };
    site(vec![ext], vec![("10.4.1.190", VipHolder::Failover(at("ext".into())), services)])
}

/// Returns two failovers of the same directors in one group.
pub fn grouped(track: &str) -> Topology {
    let other = Failover { virtual_router_id: at(126), preemption: Preemption::Immediate, ..failover("other") };
    let mut ext = Failover { preemption: Preemption::Immediate, ..failover("ext") };
    ext.options.tracked_interfaces = vec![at(track.into())];
    let holder = |name: &str| VipHolder::Failover(at(name.into()));
    let vips = vec![("10.4.1.190", holder("ext"), vec![]), ("10.4.1.191", holder("other"), vec![])];
    let mut topology = site(vec![ext, other], vips);
    let group = SyncGroup { name: at("both".into()), failovers: vec![at("ext".into()), at("other".into())] };
    topology.sync_groups.insert("both".into(), group);
    topology
}

/// Returns a site of one director that holds a VIP by itself.
pub fn single(services: Vec<Service>) -> Topology {
    site(vec![], vec![("10.4.1.190", VipHolder::Director(at(HostName::new("lb01"))), services)])
}

/// Returns the entries that keepalived's kind makes for a director.
pub fn compiled(topology: &Topology, host: &str) -> (Vec<Entry>, Problems) {
    let (facts, secrets) = (BTreeMap::new(), SecretValues::default());
    let mut problems = Problems::default();
    let host = &topology.hosts[&HostName::new(host)];
    let entries = KeepalivedKind.compile(&Site { topology, facts: &facts, secrets: &secrets }, host, &mut problems);
    (entries, problems)
}

/// Returns the configuration of a director, or `None` if the topology is refused.
pub fn text(topology: &Topology, host: &str) -> Option<String> {
    let (entries, problems) = compiled(topology, host);
    match &entries.first()?.resource {
        Resource::File { text, .. } if !problems.has_errors() => text.expose(),
        _ => None,
    }
}
