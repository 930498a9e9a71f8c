//! Random topologies over a fixed set of hosts.
//!
//! What proptest draws is loose ([`Draw`]): every value comes from a small pool, so that two topologies often differ in one
//! knob of the same service, which is where going from one to the other has to edit rather than to replace.
//! `resolve` turns it into a topology that the language accepts, [`Draw::blend`] makes a near relative of another one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::knobs::{self, Turns, turns};
use super::site::{Holder, UNMANAGED};
use super::watch::{CHECKS, TIMES, TOLD};

/// The last numbers of the VIPs' addresses; from the second number on they are of IPv6.
pub const VIPS: (u8, u8, u8) = (100, 107, 110);

/// How many directors and real servers are logged in to.
pub const HOSTS: (usize, usize) = (2, 2);

const SCHEDULERS: &[&str] = &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

const METHODS: &[&str] = &["nat", "fullnat", "dr", "tun"];

/// A check by its numbers in the tables of `watch`.
pub type CheckDraw = (usize, usize);

/// What was drawn for a server of a service.
#[derive(Clone, Debug)]
pub struct ServerDraw {
    pub weight: u32,
    pub limits: Option<(u32, u32)>,
    pub port: Option<u16>,
    pub method: Option<&'static str>,
    pub tunnel: Option<(&'static str, bool)>,
    pub by_address: bool,
    pub check: Option<CheckDraw>,
    pub told: usize,
}

/// What was drawn for what a service's checks come to.
#[derive(Clone, Copy, Debug)]
pub struct WatchDraw {
    /// Whether there is a hysteresis, and who is told.
    pub quorum: Option<(bool, usize)>,
    pub sorry: Option<bool>,
    pub alpha: bool,
    pub omega: bool,
}

/// What was drawn for a service.
#[derive(Clone, Debug)]
pub struct ServiceDraw {
    pub protocol: &'static str,
    pub ports: BTreeSet<u16>,
    /// Every port, a range, and a mark.
    pub extent: (bool, bool, bool),
    pub scheduler: (&'static str, bool, bool),
    pub persistence: Option<(u32, Option<u8>)>,
    /// The engine sip, single packets, and a SYN proxy, each where the rest admits it.
    pub knobs: (bool, bool, bool),
    pub drain: Option<&'static str>,
    pub check: Option<CheckDraw>,
    pub on_failure: Option<bool>,
    pub watch: WatchDraw,
    pub pooled: bool,
    pub servers: BTreeMap<usize, ServerDraw>,
}

/// What was drawn for a VIP.
#[derive(Clone, Debug)]
pub struct VipDraw {
    pub holder: Holder,
    /// Whether the VIP says it, or each server.
    pub forwarding: (&'static str, bool),
    pub delivery: Option<&'static str>,
    pub place: Option<usize>,
    pub services: Vec<ServiceDraw>,
}

/// What was drawn for a family's failover.
#[derive(Clone, Debug)]
pub struct FailoverDraw {
    pub version: u8,
    pub preemption: usize,
    pub unicast: bool,
    pub swapped: bool,
    pub interval: usize,
    pub source: Option<(usize, bool)>,
    pub password: Option<bool>,
    pub sync: Option<usize>,
    pub hidden: bool,
    pub weighted: bool,
    pub virtual_mac: bool,
    pub turns: Turns,
}

/// A topology as it was drawn.
#[derive(Clone, Debug)]
pub struct Draw {
    pub vips: BTreeMap<u8, VipDraw>,
    /// Who may translate addresses, for a real server has one default route of each family.
    pub translator: Holder,
    pub failovers: [FailoverDraw; 2],
    pub grouped: bool,
    pub email: Option<usize>,
    pub included: bool,
    pub directors: Vec<Turns>,
    pub real_servers: Vec<Turns>,
}

fn holder() -> impl Strategy<Value = Holder> {
    prop_oneof![1 => Just(Holder::Failover), 1 => (0..HOSTS.0).prop_map(Holder::Director)]
}

fn check() -> impl Strategy<Value = CheckDraw> {
    (0..CHECKS.len(), 0..TIMES.len())
}

fn server() -> impl Strategy<Value = ServerDraw> {
    (
        prop_oneof![3 => Just(1u32), 3 => 0u32..=200, 1 => Just(0), 1 => Just(65535)],
        prop::option::weighted(0.2, (100u32..=1000, 0u32..=99)),
        prop::option::weighted(0.4, select(vec![80u16, 8000, 8080])),
        prop::option::weighted(0.12, select(METHODS)),
        prop::option::weighted(
            0.5,
            select(vec![("ipip", false), ("gue", false), ("gue", true), ("gre", false), ("gre", true)]),
        ),
        prop::bool::weighted(0.15),
        prop::option::weighted(0.15, check()),
        prop_oneof![4 => Just(0), 1 => 0..TOLD.len()],
    )
        .prop_map(|(weight, limits, port, method, tunnel, by_address, check, told)| ServerDraw {
            weight,
            limits,
            port,
            method,
            tunnel,
            by_address,
            check,
            told,
        })
}

fn watch() -> impl Strategy<Value = WatchDraw> {
    (
        prop::option::weighted(0.5, (any::<bool>(), 0..TOLD.len())),
        prop::option::weighted(0.3, any::<bool>()),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(quorum, sorry, alpha, omega)| WatchDraw { quorum, sorry, alpha, omega })
}

fn service() -> impl Strategy<Value = ServiceDraw> {
    let indexes: Vec<usize> = (0..=UNMANAGED).collect();
    let servers = (subsequence(indexes, 1..=UNMANAGED), vec(server(), UNMANAGED + 1))
        .prop_map(|(chosen, mut servers)| chosen.into_iter().zip(servers.drain(..)).collect::<BTreeMap<_, _>>());
    let protocol = prop_oneof![3 => Just("tcp"), 1 => Just("udp"), 1 => Just("sctp")];
    let way = (
        (select(SCHEDULERS), any::<bool>(), any::<bool>()),
        prop::option::weighted(0.4, (select(vec![60u32, 300, 3600]), prop::option::of(select(vec![8u8, 24, 30])))),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        prop::option::weighted(0.2, select(vec!["0s", "2s", "60s"])),
    );
    let health = (prop::option::weighted(0.35, check()), any::<Option<bool>>(), watch(), prop::bool::weighted(0.35));
    let extent = (prop::bool::weighted(0.1), any::<bool>(), prop::bool::weighted(0.35));
    (protocol, btree_set(select(vec![80u16, 443, 53, 5060]), 1..=2), extent, way, health, servers).prop_map(
        |(protocol, ports, extent, way, health, servers)| {
            let (scheduler, persistence, knobs, drain) = way;
            let (check, on_failure, watch, pooled) = health;
            ServiceDraw {
                protocol,
                ports,
                extent,
                scheduler,
                persistence,
                knobs,
                drain,
                check,
                on_failure,
                watch,
                pooled,
                servers,
            }
        },
    )
}

fn vip() -> impl Strategy<Value = VipDraw> {
    (
        holder(),
        (select(vec!["nat", "nat", "fullnat", "dr", "dr", "tun", "tun"]), prop::bool::weighted(0.9)),
        prop::option::weighted(0.8, select(vec!["loopback", "redirect", "none", "tunnel", "dummy"])),
        prop::option::weighted(0.2, 0..3usize),
        vec(service(), 0..=3),
    )
        .prop_map(|(holder, forwarding, delivery, place, services)| VipDraw {
            holder,
            forwarding,
            delivery,
            place,
            services,
        })
}

fn failover() -> impl Strategy<Value = FailoverDraw> {
    let vrrp = (select(vec![2u8, 3, 3, 3]), 0..4usize, any::<bool>(), any::<bool>(), 0..3usize);
    let further = (
        prop::option::weighted(0.2, (0..HOSTS.0, any::<bool>())),
        prop::option::weighted(0.4, any::<bool>()),
        prop::option::weighted(0.25, 0..knobs::SYNC_DAEMON.len()),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
    );
    (vrrp, further, turns(knobs::FAILOVER, 4)).prop_map(|(vrrp, further, turns)| {
        let (version, preemption, unicast, swapped, interval) = vrrp;
        let (source, password, sync, hidden, weighted, virtual_mac) = further;
        FailoverDraw {
            version,
            preemption,
            unicast,
            swapped,
            interval,
            source,
            password,
            sync,
            hidden,
            weighted,
            virtual_mac,
            turns,
        }
    })
}

fn draw() -> impl Strategy<Value = Draw> {
    (
        btree_map(VIPS.0..VIPS.2, vip(), 0..=4),
        holder(),
        [failover(), failover()],
        prop::bool::weighted(0.3),
        prop::option::weighted(0.3, 0..knobs::EMAIL.len()),
        prop::bool::weighted(0.2),
        vec(turns(knobs::DIRECTOR, 3), HOSTS.0),
        vec(turns(knobs::REAL_SERVER, 1), HOSTS.1),
    )
        .prop_map(|(vips, translator, failovers, grouped, email, included, directors, real_servers)| Draw {
            vips,
            translator,
            failovers,
            grouped,
            email,
            included,
            directors,
            real_servers,
        })
}

/// Returns the topology of a case: every other one is a near relative of the one before.
pub fn drawn((seed, part): (u64, u64), case: u64) -> Draw {
    let fresh = |case: u64| {
        let mut bytes = [0; 32];
        for (at, number) in bytes.chunks_mut(8).zip([seed, case, part]) {
            at.copy_from_slice(&number.to_le_bytes());
        }
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let draw = draw().new_tree(&mut runner).expect("a topology").current();
        (draw, runner)
    };
    let (own, mut runner) = fresh(case);
    if case.is_multiple_of(2) {
        return own;
    }
    let (before, _) = fresh(case - 1);
    let mut coin = || runner.rng().random::<bool>();
    before.blend(&own, &mut coin)
}
