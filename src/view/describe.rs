//! Says in a few words how a resource is, and what changes of it, in the field's own notation.

use std::net::IpAddr;

use crate::effect::{DestinationConfig, ServiceConfig, ServiceFlags, SyncDaemonConfig};
use crate::resource::{
    Action, BootFile, ChainRule, Change, OWN_INTERFACE, PortMatch, Programmer, Resource, ResourceKey, RuleTarget,
    ServiceRule,
};
use crate::source::plain::is_deceptive;
use crate::topology::{Forwarding, Tunnel};

/// Returns a few words on how a resource is.
pub fn resource(resource: &Resource) -> String {
    match resource {
        Resource::Module => "loaded".to_owned(),
        Resource::Link { is_up, .. } => if *is_up { "up" } else { "down" }.to_owned(),
        Resource::FouPort { is_gue } => if *is_gue { "open" } else { "open for another envelope" }.to_owned(),
        Resource::Sysctl(value) => clean(value),
        Resource::Timeout(seconds) => format!("{seconds} s"),
        Resource::SyncDaemon(config) => {
            let maxlen = config.maxlen.map(|maxlen| format!(", maxlen {maxlen}")).unwrap_or_default();
            let SyncDaemonConfig { interface, id, group, port, ttl, .. } = config;
            format!("{} id {id}, {group} port {port} ttl {ttl}{maxlen}", clean(interface))
        }
        Resource::Switch(on) => if *on { "on" } else { "off" }.to_owned(),
        Resource::Address { prefix, label } => match label {
            Some(label) => format!("/{prefix} label {}", clean(label)),
            None => format!("/{prefix}"),
        },
        Resource::DefaultRoute { via: Some(via) } => format!("via {via}"),
        Resource::DefaultRoute { via: None } => "through an interface".to_owned(),
        Resource::Chain { rules, jumps } => match jumps {
            1 => count(rules.len(), "rule"),
            jumps => format!("{}, {} to it", count(rules.len(), "rule"), count(*jumps, "jump")),
        },
        Resource::IpvsService { config, programmer } => format!("{}{}", service(config), by(*programmer)),
        Resource::IpvsDestination { config, .. } => destination(config),
        Resource::File { text, mode } => {
            format!("{}, mode {mode:04o}", count(text.masked().lines().count(), "line"))
        }
        Resource::BootFiles(files) => count(files.len(), "file"),
        Resource::Daemon { .. } => "running".to_owned(),
        Resource::Manifest(manifest) => count(manifest.owned.len(), "thing") + " owned",
    }
}

/// Returns a number with its noun.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns a few words on what changes.
pub fn change(change: &Change) -> String {
    match (&change.before, &change.after) {
        (Some(Resource::IpvsDestination { config: old, programmer: from }), Some(after)) => match after {
            Resource::IpvsDestination { config: new, programmer: to } => {
                handed_over(destination_change(old, new), *from, *to)
            }
            _ => String::new(),
        },
        (Some(Resource::IpvsService { config: old, programmer: from }), Some(after)) => match after {
            Resource::IpvsService { config: new, programmer: to } => {
                let (old, new) = (service(old), service(new));
                let text = if old == new { String::new() } else { format!("{old} → {new}") };
                handed_over(text, *from, *to)
            }
            _ => String::new(),
        },
        (Some(Resource::Daemon { .. }), Some(_)) => "reload".to_owned(),
        (None, Some(Resource::Daemon { .. })) => "start".to_owned(),
        (Some(Resource::Daemon { .. }), None) => "stop".to_owned(),
        // What changes of these is shown line by line.
        (Some(Resource::File { mode: old, .. }), Some(Resource::File { mode: new, .. })) => match old == new {
            true => String::new(),
            false => format!("mode {old:04o} → {new:04o}"),
        },
        (Some(Resource::BootFiles(old)), Some(Resource::BootFiles(new))) => {
            let names = BootFile::ALL.into_iter().filter(|file| old.get(file) != new.get(file));
            let names: Vec<&str> = names.map(BootFile::short_name).collect();
            format!("{} of {} change: {}", names.len(), new.len(), names.join(", "))
        }
        (Some(before), Some(after)) => {
            let (before, after) = (resource(before), resource(after));
            if before == after { after } else { format!("{before} → {after}") }
        }
        (Some(before @ Resource::Link { sort, .. }), None) if sort.as_deref() != Some("dummy") => {
            let previous = change.previous.as_ref().map_or("down".to_owned(), resource);
            format!("{} → {previous}", resource(before))
        }
        (
            Some(
                before @ (Resource::Sysctl(_)
                | Resource::Timeout(_)
                | Resource::Switch(_)
                | Resource::DefaultRoute { .. }),
            ),
            None,
        ) => given_up(before, change),
        (Some(one), None) | (None, Some(one)) => resource(one),
        (None, None) => String::new(),
    }
}

/// Says what becomes of something that cannot be taken away and gets the value that it had before.
fn given_up(before: &Resource, change: &Change) -> String {
    let now = resource(before);
    match &change.previous {
        Some(previous) if previous == before => format!("{now} stays, as before lvsctl"),
        Some(previous) => format!("{now} → {}, as before lvsctl", resource(previous)),
        None if is_of_dummy(change.key()) => format!("{now}, goes with its interface"),
        None if matches!(before, Resource::Timeout(_)) => format!("{now} → the kernel's own"),
        None if matches!(before, Resource::Sysctl(_)) => format!("{now} stays"),
        None => now,
    }
}

fn is_of_dummy(key: &ResourceKey) -> bool {
    matches!(key, ResourceKey::Sysctl(key) if key.path().split('/').any(|part| part == OWN_INTERFACE))
}

fn handed_over(text: String, from: Programmer, to: Programmer) -> String {
    let words = match (from, to) {
        (Programmer::Lvsctl, Programmer::Keepalived) => "handed to keepalived",
        (Programmer::Keepalived, Programmer::Lvsctl) => "taken over from keepalived",
        _ => return text,
    };
    if text.is_empty() { words.to_owned() } else { format!("{text}, {words}") }
}

fn by(programmer: Programmer) -> &'static str {
    match programmer {
        Programmer::Keepalived => " (keepalived)",
        Programmer::Lvsctl => "",
    }
}

/// Returns a service's configuration.
pub fn service(config: &ServiceConfig) -> String {
    let mut text = clean(&config.scheduler);
    text.extend(flags(config).into_iter().map(|name| format!(" {name}")));
    if config.flags.has(ServiceFlags::PERSISTENT) {
        text.push_str(&format!(" persistent {}s/{}", config.timeout, config.netmask));
    }
    if let Some(engine) = &config.engine {
        text.push_str(&format!(" engine {}", clean(engine)));
    }
    text
}

/// Returns the names of a service's flags.
pub fn flags(config: &ServiceConfig) -> Vec<&'static str> {
    let names = [
        (ServiceFlags::SCHED_1, "fallback"),
        (ServiceFlags::SCHED_2, "port"),
        (ServiceFlags::ONE_PACKET, "one-packet"),
    ];
    names.into_iter().filter(|(flag, _)| config.flags.has(*flag)).map(|(_, name)| name).collect()
}

/// Returns the name of a forwarding method.
pub fn forwarding(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Nat => "nat",
        Forwarding::Dr => "dr",
        Forwarding::Tun => "tun",
        Forwarding::FullNat => "fullnat",
        Forwarding::Local => "local",
        Forwarding::Bypass => "bypass",
    }
}

/// Returns a destination's configuration.
pub fn destination(config: &DestinationConfig) -> String {
    let mut text = format!("{} weight {}", way(config), config.weight);
    if config.upper != 0 || config.lower != 0 {
        text.push_str(&format!(" limits {}", limits(config)));
    }
    text
}

/// Returns the forwarding method and, where it is not plain, the tunnel.
fn way(config: &DestinationConfig) -> String {
    let checked = |flags: u16| if flags == 0 { "" } else { " with checksum" };
    let tunnel = match config.tunnel {
        Tunnel::Ipip => String::new(),
        Tunnel::Gue { port, flags } => format!(" gue port {port}{}", checked(flags)),
        Tunnel::Gre { flags } => format!(" gre{}", checked(flags)),
    };
    format!("{}{tunnel}", forwarding(config.forwarding))
}

fn limits(config: &DestinationConfig) -> String {
    match (config.lower, config.upper) {
        (0, 0) => "none".to_owned(),
        (lower, upper) => format!("{lower}..{upper}"),
    }
}

fn destination_change(old: &DestinationConfig, new: &DestinationConfig) -> String {
    let mut parts = Vec::new();
    if (old.forwarding, old.tunnel) != (new.forwarding, new.tunnel) {
        parts.push(format!("{} → {}", way(old), way(new)));
    }
    if old.weight != new.weight {
        parts.push(format!("weight {} → {}", old.weight, new.weight));
    }
    if (old.lower, old.upper) != (new.lower, new.upper) {
        parts.push(format!("limits {} → {}", limits(old), limits(new)));
    }
    parts.join(", ")
}

/// Returns a rule as iptables would show it.
pub fn rule(rule: &ChainRule) -> String {
    match rule {
        ChainRule::Known { destination, interface, ports, mac_source, target } => {
            let mut parts = Vec::new();
            parts.extend(destination.map(|address| format!("-d {address}")));
            parts.extend(interface.as_ref().map(|name| format!("-i {name}")));
            if let Some(matched) = ports {
                parts.push(format!("-p {}", matched.protocol));
                parts.extend(matched.ports.map(|ports| format!("--dport {ports}")));
            }
            parts.extend(mac_source.map(|mac| format!("--mac-source {mac}")));
            parts.push(match target {
                RuleTarget::Return => "-j RETURN".to_owned(),
                RuleTarget::Mark(mark) => format!("-j MARK {mark:#x}"),
                RuleTarget::Redirect(None) => "-j REDIRECT".to_owned(),
                RuleTarget::Redirect(Some(port)) => format!("-j REDIRECT --to-ports {port}"),
            });
            parts.join(" ")
        }
        ChainRule::Service { what, address, ports } => service_rule(what, *address, ports),
        ChainRule::UnknownPeer { peer } => format!("--mac-source (of {peer}, not known yet) -j RETURN"),
        ChainRule::Other(text) => clean(text),
    }
}

fn service_rule(what: &ServiceRule, address: IpAddr, ports: &PortMatch) -> String {
    let (end, port, target) = match what {
        ServiceRule::ClampSegments(size) => ("-s", "--sport", format!("-j TCPMSS --set-mss {size}")),
        ServiceRule::Masquerade { vip } => ("-d", "--dport", format!("-m ipvs --vaddr {vip} -j MASQUERADE")),
        ServiceRule::Untrack => ("-d", "--dport", "--syn -j CT --notrack".to_owned()),
        ServiceRule::SynProxy(size) => {
            ("-d", "--dport", format!("--ctstate INVALID,UNTRACKED -j SYNPROXY --mss {size}"))
        }
        ServiceRule::DropInvalid => ("-d", "--dport", "--ctstate INVALID -j DROP".to_owned()),
    };
    let range = ports.ports.map(|ports| format!(" {port} {ports}")).unwrap_or_default();
    format!("{end} {address} -p {}{range} {target}", ports.protocol)
}

/// Returns live text without characters that a terminal would act on.
pub fn clean(text: &str) -> String {
    text.chars().map(|character| if is_deceptive(character) { '\u{fffd}' } else { character }).collect()
}

/// Returns the word for why something is done where the action alone does not say it.
pub fn reason(change: &Change) -> Option<&'static str> {
    use crate::resource::Reason;
    match (change.reason, change.action) {
        (Reason::AlteredOnHost, _) => Some("altered on the host"),
        (Reason::RemovedOnHost, _) => Some("gone from the host"),
        // That a parameter or a route has another value to begin with is no news.
        (Reason::Adopted, Action::Update) => match change.before {
            Some(Resource::Sysctl(_) | Resource::Timeout(_) | Resource::Switch(_) | Resource::DefaultRoute { .. }) => {
                None
            }
            _ => Some("there before lvsctl"),
        },
        _ => None,
    }
}
