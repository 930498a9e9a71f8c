//! Order, impact and digests of plans, on made-up changes.

mod digest;
mod edges;
mod graph;

use std::collections::BTreeMap;

use crate::compile::Desired;
use crate::effect::{DestinationConfig, DestinationKey, ServiceConfig, ServiceFlags, ServiceKey};
use crate::resource::{Action, Change, Entry, Manifest, Programmer, Reason, Resource, ResourceId, ResourceKey, Table};
use crate::topology::{Family, Forwarding, HostName, Protocol, SysctlKey};

/// The VIP of the made-up services.
const VIP: &str = "192.0.2.100";

fn service_key() -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: VIP.parse().unwrap(), port: 80 }
}

fn key(name: &str) -> ResourceKey {
    let server = |text: &str| DestinationKey { address: text.parse().unwrap(), port: 80 };
    let (kind, rest) = name.split_once(' ').unwrap_or((name, ""));
    match kind {
        "module" => ResourceKey::Module(rest.into()),
        "sysctl" => ResourceKey::Sysctl(SysctlKey::from_path(rest)),
        "vip" => ResourceKey::Address { device: "eth0".into(), address: VIP.parse().unwrap() },
        "other-vip" => ResourceKey::Address { device: "eth0".into(), address: "192.0.2.101".parse().unwrap() },
        "lo" => ResourceKey::Address { device: "lo".into(), address: VIP.parse().unwrap() },
        "route" => ResourceKey::DefaultRoute(Family::Ipv4),
        "marks" => ResourceKey::Chain { family: Family::Ipv4, table: Table::Mangle, chain: "LVSCTL".into() },
        "redirect" => ResourceKey::Chain { family: Family::Ipv4, table: Table::Nat, chain: "LVSCTL".into() },
        "old-redirect" => {
            ResourceKey::ChainRemainder { family: Family::Ipv4, table: Table::Nat, chain: "LVSCTL".into() }
        }
        "service" => ResourceKey::IpvsService(service_key()),
        "server" => ResourceKey::IpvsDestination(service_key(), server(rest)),
        "conf" => ResourceKey::KeepalivedConfiguration,
        "daemon" => ResourceKey::KeepalivedDaemon,
        "manifest" => ResourceKey::Manifest,
        other => panic!("{other}"),
    }
}

fn resource(key: &ResourceKey, programmer: Programmer) -> Resource {
    let address = |prefix| Resource::Address { prefix, label: None };
    match key {
        ResourceKey::Module(_) => Resource::Module,
        ResourceKey::Link(_) => Resource::Link { sort: Some("dummy".into()), is_up: true },
        ResourceKey::FouPort { .. } => Resource::FouPort { is_gue: true },
        ResourceKey::Sysctl(_) => Resource::Sysctl("1".into()),
        ResourceKey::IpvsTimeout(_) => Resource::Timeout(1),
        ResourceKey::ModuleOptions => panic!("no test here has them"),
        ResourceKey::SyncDaemon(_) => panic!("no test here has one"),
        ResourceKey::Offload { .. } => Resource::Switch(true),
        ResourceKey::Address { .. } => address(32),
        ResourceKey::DefaultRoute(_) => Resource::DefaultRoute { via: VIP.parse().ok() },
        ResourceKey::Chain { .. } | ResourceKey::ChainRemainder { .. } => {
            Resource::Chain { rules: Vec::new(), jumps: 1 }
        }
        ResourceKey::IpvsService(_) => {
            let config =
                ServiceConfig { scheduler: "rr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
            Resource::IpvsService { config, programmer }
        }
        ResourceKey::IpvsDestination(..) => {
            let config = DestinationConfig {
                forwarding: Forwarding::Dr,
                tunnel: Default::default(),
                weight: 1,
                upper: 0,
                lower: 0,
            };
            Resource::IpvsDestination { config, programmer }
        }
        ResourceKey::KeepalivedConfiguration => Resource::File { text: Default::default(), mode: 0o600 },
        ResourceKey::KeepalivedDaemon => Resource::Daemon { configuration: None },
        ResourceKey::BootFiles => Resource::BootFiles(Default::default()),
        ResourceKey::Manifest => Resource::Manifest(Manifest::default()),
    }
}

/// Makes a change out of `+lb1 vip`, `-lb1 server 10.0.0.1`, `~lb1 daemon` or `±lb1 service`.
///
/// `(k)` at the end makes it one of keepalived's, `(k>l)` and `(l>k)` one that passes from one to the other.
fn change(text: &str) -> Change {
    let (text, by) = match text.split_once(" (") {
        Some((text, by)) => (text, by.trim_end_matches(')')),
        None => (text, "l"),
    };
    let programmer = |by: &str| if by == "k" { Programmer::Keepalived } else { Programmer::Lvsctl };
    let (from, to) = by.split_once('>').unwrap_or((by, by));
    let action = match text.chars().next() {
        Some('+') => Action::Create,
        Some('-') => Action::Delete,
        Some('~') => Action::Update,
        _ => Action::Replace,
    };
    let (host, name) = text.trim_start_matches(['+', '-', '~', '±']).split_once(' ').unwrap();
    let key = key(name);
    Change {
        action,
        before: (action != Action::Create).then(|| resource(&key, programmer(from))),
        after: (action != Action::Delete).then(|| resource(&key, programmer(to))),
        reason: Reason::New,
        previous: None,
        origin: None,
        id: ResourceId::new(&HostName::new(host), key),
    }
}

fn id(text: &str) -> ResourceId {
    let (host, name) = text.split_once(' ').unwrap();
    ResourceId::new(&HostName::new(host), key(name))
}

/// Makes desired things, each with what it requires.
fn desired(things: &[(&str, &[&str])]) -> Desired {
    let mut desired: Desired = BTreeMap::new();
    for (thing, requires) in things {
        let id = id(thing);
        let entry = Entry::new(id.key.clone(), resource(&id.key, Programmer::Lvsctl));
        let entry = requires.iter().fold(entry, |entry, required| entry.requires(self::id(required)));
        desired.entry(id.host).or_default().insert(id.key, entry);
    }
    desired
}
