//! What is on a host, and what somebody did there, a line each: `HOST WORD ARGUMENT…`.
//!
//! | words | means |
//! |---|---|
//! | `keepalived none`, `iptables none` | the program is not installed |
//! | `sysctl PATH VALUE…` | a parameter has this value |
//! | `address DEVICE ADDRESS/PREFIX [LABEL]`, `no-address DEVICE ADDRESS/PREFIX` | an address is put there, or taken away |
//! | `route GATEWAY` | the default route |
//! | `rule TABLE LINE…` | a line for iptables-restore |
//! | `service KEY SCHEDULER`, `scheduler KEY SCHEDULER`, `no-service KEY` | a virtual service such as `tcp:10.0.0.1:80` or `fwm:1` |
//! | `server KEY SERVER METHOD WEIGHT`, `weight KEY SERVER METHOD WEIGHT`, `no-server KEY SERVER` | a destination |
//! | `connections KEY SERVER ACTIVE INACTIVE` | what a destination carries |
//! | `file PATH TEXT…`, `no-file PATH` | a file with one line |
//! | `keepalived stop` | keepalived ends |
//! | `fails N` | the effect after N more fails once |
//! | `lost N` | it becomes unreachable after N more effects |
//! | `unreachable` | nothing can be asked any more |

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;
use lvsctl::effect::{DestinationConfig, DestinationKey, Effect, IpvsCommand, ServiceConfig, ServiceFlags, ServiceKey};
use lvsctl::host::fake::FakeHost;
use lvsctl::host::{Host, HostError};
use lvsctl::topology::{Family, Forwarding, HostName, IpvsTimeout, Protocol, SecretText};

/// Performs every line.
pub fn run(fakes: &mut BTreeMap<HostName, FakeHost>, text: &str) {
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        if name == "goal" {
            continue;
        }
        let fake = fakes.get_mut(&HostName::new(name)).unwrap_or_else(|| panic!("no host {name}"));
        let words: Vec<&str> = rest.split_whitespace().collect();
        if let Some(effect) = effect(fake, &words) {
            fake.perform(&effect).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}

fn effect(fake: &FakeHost, words: &[&str]) -> Option<Effect> {
    Some(match words {
        ["keepalived", "none"] => {
            let _ = fake.clone().with_keepalived(None);
            return None;
        }
        ["iptables", "none"] => {
            let _ = fake.clone().with_iptables(None);
            return None;
        }
        ["sysctl", path, value @ ..] => {
            let _ = fake.clone().with_sysctl(path, &value.join(" "));
            return None;
        }
        ["connections", key, server, active, inactive] => {
            let counts = [active, inactive].map(|count| count.parse().unwrap());
            fake.set_connections(&service(key), &destination(server), counts[0], counts[1]);
            return None;
        }
        ["fails", effects] => {
            let error = HostError::Timeout { doing: "do this".into(), within: std::time::Duration::from_secs(10) };
            fake.fail_at(effects.parse().unwrap(), error);
            return None;
        }
        ["lost", effects] => {
            fake.pull_the_cable_at(effects.parse().unwrap());
            return None;
        }
        ["unreachable"] => {
            fake.pull_the_cable();
            return None;
        }
        ["address", device, network, label @ ..] => {
            let network: IpNet = network.parse().unwrap();
            let label = label.first().map(|label| (*label).to_owned());
            Effect::AddAddress {
                device: (*device).into(),
                address: network.addr(),
                prefix: network.prefix_len(),
                label,
            }
        }
        ["no-address", device, network] => {
            let network: IpNet = network.parse().unwrap();
            Effect::RemoveAddress { device: (*device).into(), address: network.addr(), prefix: network.prefix_len() }
        }
        ["route", via] => Effect::ReplaceDefaultRoute { via: via.parse().unwrap(), device: None },
        ["rule", table, line @ ..] => {
            let text = format!("*{table}\n{}\nCOMMIT\n", line.join(" "));
            Effect::IptablesRestore { family: Family::Ipv4, text }
        }
        ["service", key, scheduler] => Effect::Ipvs(IpvsCommand::NewService(service(key), config(key, scheduler))),
        ["scheduler", key, scheduler] => Effect::Ipvs(IpvsCommand::SetService(service(key), config(key, scheduler))),
        ["no-service", key] => Effect::Ipvs(IpvsCommand::DeleteService(service(key))),
        ["server", key, server, method, weight] => {
            Effect::Ipvs(IpvsCommand::NewDestination(service(key), destination(server), share(method, weight)))
        }
        ["weight", key, server, method, weight] => {
            Effect::Ipvs(IpvsCommand::SetDestination(service(key), destination(server), share(method, weight)))
        }
        ["timeout", "udp", seconds] => {
            Effect::Ipvs(IpvsCommand::SetTimeout(IpvsTimeout::Udp, seconds.parse().unwrap()))
        }
        ["no-server", key, server] => Effect::Ipvs(IpvsCommand::DeleteDestination(service(key), destination(server))),
        ["file", path, line @ ..] => Effect::WriteFile {
            path: (*path).into(),
            text: SecretText::plain(line.join(" ") + "\n"),
            mode: 0o644,
            keepalived_test: false,
            keep_previous: false,
        },
        ["no-file", path] => Effect::RemoveFile { path: (*path).into() },
        ["keepalived", "stop"] => Effect::StopKeepalived,
        other => panic!("not understood: {other:?}"),
    })
}

fn service(text: &str) -> ServiceKey {
    let (kind, rest) = text.split_once(':').unwrap();
    match kind {
        "fwm" => ServiceKey::Mark { mark: rest.parse().unwrap(), family: Family::Ipv4 },
        "fwm6" => ServiceKey::Mark { mark: rest.parse().unwrap(), family: Family::Ipv6 },
        protocol => {
            let at: SocketAddr = rest.parse().unwrap();
            let protocol = if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
            ServiceKey::Address { protocol, address: at.ip(), port: at.port() }
        }
    }
}

fn destination(text: &str) -> DestinationKey {
    let at: SocketAddr = text.parse().unwrap();
    DestinationKey { address: at.ip(), port: at.port() }
}

fn config(key: &str, scheduler: &str) -> ServiceConfig {
    let netmask = service(key).family().host_prefix();
    ServiceConfig { scheduler: scheduler.into(), flags: ServiceFlags(0), timeout: 0, netmask, engine: None }
}

fn share(method: &str, weight: &str) -> DestinationConfig {
    let forwarding = if method == "nat" { Forwarding::Nat } else { Forwarding::Dr };
    DestinationConfig { forwarding, tunnel: Default::default(), weight: weight.parse().unwrap(), upper: 0, lower: 0 }
}
