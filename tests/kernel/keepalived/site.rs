//! Topologies for these tests: the reference site, and random ones that keepalived must accept.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lvsctl::kinds::{Kind, Site, keepalived::KeepalivedKind};
use lvsctl::resource::{Entry, Resource};
use lvsctl::source::{FileId, Problems, Span, Spanned};
use lvsctl::topology::*;
use proptest::prelude::*;
use proptest::sample::select;

/// Every scheduler of the language.
const SCHEDULERS: [&str; 13] = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

/// Ties a value to nowhere.
pub fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, span())
}

fn span() -> Span {
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

fn server_address(number: u8, family: Family) -> IpAddr {
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

fn failover(vips: &str) -> Failover {
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

fn site(failovers: Vec<Failover>, vips: Vec<(&str, VipHolder, Vec<Service>)>) -> Topology {
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

/// Texts with everything that a configuration file could trip over.
fn hostile(solid: bool) -> impl Strategy<Value = String> {
    let space = if solid { "" } else { " " };
    proptest::string::string_regex(&format!(
        "[a-z/]([a-zA-Z0-9/@~$_.:%+=,?&{{}}!#'()\\[\\]*|^`<>;é{space}-]){{0,12}}[a-z]"
    ))
    .expect("an expression")
}

fn check_kind() -> impl Strategy<Value = CheckKind> {
    let page = || {
        let path = hostile(true).prop_map(|path| format!("/{path}"));
        let digest = prop::option::of(proptest::string::string_regex("[0-9a-f]{32}").expect("an expression"));
        let regex = prop::option::of(proptest::string::string_regex("[a-z^.*# !]{0,9}[a-z$]").expect("an expression"));
        let regex = regex.prop_map(|regex| regex.map(|regex| regex.trim().to_owned()));
        let names = (path, prop::option::of(100_u16..600), prop::option::of(hostile(true)));
        (
            names,
            digest,
            regex.prop_filter("an expression", |regex| {
                regex.as_ref().is_none_or(|text| !text.starts_with('*') && !text.contains("**") && !text.contains("^*"))
            }),
        )
            .prop_map(|((path, status, host), digest, regex)| HttpCheck {
                path,
                status,
                host,
                digest,
                regex,
                sni: false,
            })
    };
    let secure = page().prop_map(|page| HttpCheck { sni: page.host.is_some(), ..page });
    let payload = prop::option::of(proptest::string::string_regex("([0-9a-f]{2}){1,64}").expect("an expression"));
    let name = prop_oneof![Just(".".to_owned()), Just("example.org".to_owned()), Just("_sip._udp.x".to_owned())];
    let record = select(&["A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY"][..]);
    let script = select(&["/bin/true", "/bin/sh -c exit", "/bin/echo a b+c=d"][..]);
    prop_oneof![
        Just(CheckKind::Tcp),
        Just(CheckKind::Ping),
        page().prop_map(CheckKind::Http),
        secure.prop_map(CheckKind::Https),
        (payload, any::<bool>()).prop_map(|(payload, reply)| CheckKind::Udp(UdpCheck { payload, reply })),
        (name, record).prop_map(|(name, record)| CheckKind::Dns(DnsCheck { name, record: record.to_owned() })),
        prop::option::of(Just("mx.example.org".to_owned())).prop_map(CheckKind::Smtp),
        // A plain user's program ends the test of keepalived 2.2.7.
        script.prop_map(|run| CheckKind::Script(ScriptCheck { run: run.to_owned(), user: "root".to_owned() })),
    ]
}

fn any_check() -> impl Strategy<Value = Check> {
    let milliseconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_millis);
    let port = prop::option::of(1_u16..=u16::MAX);
    (check_kind(), milliseconds(100..86_400_000), milliseconds(100..60_000), 0_u32..10, milliseconds(1..60_000), port)
        .prop_map(|(kind, interval, timeout, retries, retry_delay, port)| Check {
            interval,
            timeout,
            retries,
            retry_delay,
            port,
            ..check(kind)
        })
}

/// A program that there is, with arguments.
fn program() -> impl Strategy<Value = Command> {
    let line = select(&["/bin/true", "/bin/true a b=c 50%", "/bin/true a@b ~x *?<>|&;()[]"][..]);
    // keepalived -t of 2.2.7 ends itself where a program belongs to a plain user.
    line.prop_map(|line| Command { line: line.into(), user: "root".into() })
}

fn notify() -> impl Strategy<Value = Notify> {
    let one = || prop::option::of(program());
    (one(), one()).prop_map(|(up, down)| Notify { up, down, span: None })
}

/// What the checks of a service come to, and who is told of its first server.
fn supervision(family: Family) -> impl Strategy<Value = (Supervision, Notify)> {
    let flags = any::<[bool; 4]>();
    (flags, 1_u32..1000, 0_u32..1000, notify(), notify(), prop::option::of(1_u16..10_000)).prop_map(
        move |([alpha, omega, quorum, sorry], weight, hysteresis, told, server, port)| {
            let address = server_address(9, family);
            let quorum = quorum.then(|| Quorum { weight, hysteresis, notify: told, span: span() });
            let supervision = Supervision {
                quorum,
                sorry: sorry.then(|| SorryServer { address, port, span: span() }),
                alpha: alpha.then(span),
                omega: omega.then(span),
            };
            (supervision, server)
        },
    )
}

/// Lowers a quorum to what the servers' weights allow, and takes a port away that direct routing cannot change.
fn allowed(mut supervision: Supervision, servers: &[Server]) -> Supervision {
    let total: u32 = servers.iter().map(|server| server.weight).sum();
    if let Some(quorum) = &mut supervision.quorum {
        quorum.weight = 1 + quorum.weight % total;
        quorum.hysteresis %= quorum.weight.min(total - quorum.weight + 1);
    }
    if let (Some(sorry), Some(Forwarding::Dr)) = (&mut supervision.sorry, servers.first().map(|one| one.forwarding)) {
        sorry.port = None;
    }
    supervision
}

fn any_service(number: usize, family: Family) -> impl Strategy<Value = Service> {
    let scheduler = (select(&SCHEDULERS[..]), any::<bool>(), any::<bool>()).prop_map(|(name, fallback, port)| {
        let flags = matches!(name, "sh" | "mh");
        Scheduler { name: name.into(), fallback: flags && fallback, port: flags && port }
    });
    let persistence = prop::option::of((1_u64..100_000, prop::option::of(1..=family.host_prefix())))
        .prop_map(|some| some.map(|(seconds, netmask)| Persistence { timeout: Duration::from_secs(seconds), netmask }));
    let limits = (0_u32..65_536, 0_u32..1000).prop_flat_map(|(weight, upper)| (Just(weight), Just(upper), 0..=upper));
    let one = (limits, prop::option::of(any_check()), select(&[Forwarding::Dr, Forwarding::Nat][..]), 1_u16..10_000);
    let servers = prop::collection::vec(one, 1..5);
    let protocol = select(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp][..]);
    (servers, scheduler, persistence, any::<[bool; 2]>(), protocol, supervision(family)).prop_map(
        move |(servers, scheduler, persistence, [inhibit, marked], protocol, (supervision, notify))| {
            let servers = servers.into_iter().zip(10..).map(|((limits, check, forwarding, port), last)| Server {
                weight: limits.0.max(u32::from(last == 10)),
                upper: limits.1,
                lower: limits.2,
                forwarding,
                port: (forwarding == Forwarding::Nat).then(|| at(port)),
                ..server(last, family, check)
            });
            let mut servers: Vec<Server> = servers.collect();
            servers[0].notify = notify;
            servers[0].check.get_or_insert_with(|| check(CheckKind::Tcp));
            let mark = marked.then_some(u32::try_from(number).unwrap_or(0) + 1);
            let mut service = service("web", 80 + u16::try_from(number).unwrap_or(0), mark, servers);
            service.listens[0].protocol = protocol;
            service.on_failure = if inhibit { OnFailure::Inhibit } else { OnFailure::Remove };
            let supervision = allowed(supervision, &service.servers);
            Service { scheduler, persistence, supervision, ..service }
        },
    )
}

/// Options whose every line keepalived must take, on a director with the interfaces `eth0` and `lo`.
fn any_options(family: Family) -> impl Strategy<Value = FailoverOptions> {
    let seconds = || prop::option::of((1_u64..1000).prop_map(Duration::from_secs));
    let (source, further, excluded, network, via) = match family {
        Family::Ipv4 => ("10.4.1.181", "192.168.1.11/24", "fd00::191/64", "172.16.0.0/12", "10.4.1.1"),
        Family::Ipv6 => ("fd00::181", "fd01::11/64", "192.168.1.12/24", "2001:db8::/32", "fd00::1"),
    };
    let garp = (seconds(), prop::option::of(1_u8..=255), seconds());
    let script =
        (1_u64..1000, -253_i16..=253, 1_u32..1000, 1_u32..1000).prop_map(|(seconds, weight, rise, fall)| Script {
            name: at("chk".into()),
            run: at("/usr/bin/test -e /tmp/a b".into()),
            interval: Duration::from_secs(seconds),
            weight: at(weight),
            rise,
            fall,
            // A plain user's program ends the test of keepalived 2.2.7; the host's own test gets around that.
            user: "root".into(),
        });
    let told = prop::option::of(Just(at("/usr/bin/test a|b;c".to_owned())));
    let notify = (told.clone(), told.clone(), told.clone(), told)
        .prop_map(|(master, backup, fault, any)| StateNotify { master, backup, fault, any, user: None });
    let rest = (prop::option::of(script), notify);
    (any::<[bool; 6]>(), garp, rest).prop_map(move |(flags, (delay, repeat, refresh), (script, notify))| {
        let [sourced, tracked, routed, excludes, moves, raw] = flags;
        let address = |text: &str, interface: Option<&str>| FloatingAddress {
            network: at(text.parse().expect("an address")),
            interface: interface.map(|name| at(name.into())),
        };
        let route = |network: &str| FloatingRoute {
            network: at(network.parse().expect("a network")),
            via: at(via.parse().expect("an address")),
        };
        let everything = if family == Family::Ipv4 { "0.0.0.0/0" } else { "::/0" };
        FailoverOptions {
            source_address: sourced.then(|| at(source.parse().expect("an address"))),
            garp: Garp { delay, repeat, refresh },
            tracked_interfaces: if tracked { vec![at("lo".into())] } else { vec![] },
            tracked_scripts: script.iter().map(|script| script.name.clone()).collect(),
            scripts: script.into_iter().collect(),
            notify,
            routes: if routed { vec![route(network), route(everything)] } else { vec![] },
            addresses: [address(further, None), address(excluded, Some("lo"))][..1 + usize::from(excludes)].to_vec(),
            unadvertised: if excludes {
                vec![at(excluded.parse::<ipnet::IpNet>().expect("an address").addr())]
            } else {
                vec![]
            },
            virtual_mac: moves.then(span),
            raw: if raw { vec![at("track_process {}".into()), at("dont_track_primary".into())] } else { vec![] },
        }
    })
}

fn any_failover(family: Family) -> impl Strategy<Value = Failover> {
    let version = match family {
        Family::Ipv4 => select(&[VrrpVersion::V2, VrrpVersion::V3][..]),
        Family::Ipv6 => select(&[VrrpVersion::V3][..]),
    };
    let preemption = prop_oneof![
        Just(Preemption::Immediate),
        Just(Preemption::Never),
        (0_u64..1_000_000).prop_map(|milliseconds| Preemption::After(Duration::from_millis(milliseconds)))
    ];
    let secret = prop::option::of("[a-zA-Z0-9!#$%&'()*+,./:;<=>?@\\[\\]^`{|}~-]{1,8}");
    let router = (1_u8..=255, 1_u64..255, 1_u64..4095);
    (hostile(false), version, preemption, secret, router, any::<[bool; 3]>(), any_options(family)).prop_map(
        |(name, version, preemption, secret, (id, seconds, hundredths), [unicast, sync, email], options)| Failover {
            options,
            virtual_router_id: at(id),
            advert_interval: match version {
                VrrpVersion::V2 => Duration::from_secs(seconds),
                VrrpVersion::V3 => Duration::from_millis(hundredths * 10),
            },
            preemption,
            auth_pass: secret.filter(|_| version == VrrpVersion::V2).map(|secret| at(Secret::Literal(secret))),
            version,
            unicast,
            sync_daemon: sync.then(|| SyncDaemon {
                interface: None,
                id: None,
                options: SyncOptions {
                    group: "224.0.0.99".parse().ok(),
                    port: Some(9000),
                    ttl: Some(2),
                    maxlen: Some(1400),
                },
                span: span(),
            }),
            email,
            ..failover(&name)
        },
    )
}

/// Returns random sites: one failover of either family with up to four services.
pub fn random() -> impl Strategy<Value = Topology> {
    select(&[Family::Ipv4, Family::Ipv6][..]).prop_flat_map(|family| {
        let services: Vec<_> = (0..4).map(|number| any_service(number, family)).collect();
        (any_failover(family), services, 0_usize..5).prop_map(move |(failover, mut services, count)| {
            services.truncate(count);
            let address = match family {
                Family::Ipv4 => "10.4.1.190",
                Family::Ipv6 => "fd00::190",
            };
            let holder = VipHolder::Failover(failover.name.clone());
            site(vec![failover], vec![(address, holder, services)])
        })
    })
}
