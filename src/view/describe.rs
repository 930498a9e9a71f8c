//! Says in a few words how a resource is, in the field's own notation.

use crate::effect::{DestinationConfig, ServiceConfig, ServiceFlags};
use crate::resource::{ChainRule, Programmer, Resource, RuleTarget};
use crate::topology::Forwarding;

/// Returns a few words on how a resource is.
pub fn resource(resource: &Resource) -> String {
    match resource {
        Resource::Module => "loaded".to_owned(),
        Resource::Sysctl(value) => format!("= {}", clean(value)),
        Resource::Address { prefix, label } => match label {
            Some(label) => format!("/{prefix} label {}", clean(label)),
            None => format!("/{prefix}"),
        },
        Resource::DefaultRoute { via: Some(via) } => format!("via {via}"),
        Resource::DefaultRoute { via: None } => "through an interface".to_owned(),
        Resource::Chain { rules, jumps } => match (rules.len(), jumps) {
            (1, 1) => "1 rule".to_owned(),
            (count, 1) => format!("{count} rules"),
            (count, jumps) => format!("{count} rules, {jumps} jumps to it"),
        },
        Resource::IpvsService { config, programmer } => format!("{}{}", service(config), by(*programmer)),
        Resource::IpvsDestination { config, programmer } => format!("{}{}", destination(config), by(*programmer)),
        Resource::File { text, mode } => format!("{} lines, mode {mode:04o}", text.masked().lines().count()),
        Resource::Daemon { .. } => "running".to_owned(),
        Resource::Manifest(manifest) => format!("{} things owned", manifest.owned.len()),
    }
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
    if config.flags.has(ServiceFlags::PERSISTENT) {
        text.push_str(&format!(" persistent {}s/{}", config.timeout, config.netmask));
    }
    for (flag, name) in
        [(ServiceFlags::ONE_PACKET, "one-packet"), (ServiceFlags::SCHED_1, "fallback"), (ServiceFlags::SCHED_2, "port")]
    {
        if config.flags.has(flag) {
            text.push(' ');
            text.push_str(name);
        }
    }
    if let Some(engine) = &config.engine {
        text.push_str(&format!(" engine {}", clean(engine)));
    }
    text
}

/// Returns a destination's configuration.
pub fn destination(config: &DestinationConfig) -> String {
    let forwarding = match config.forwarding {
        Forwarding::Nat => "nat",
        Forwarding::Dr => "dr",
        Forwarding::Tun => "tun",
        Forwarding::Local => "local",
        Forwarding::Bypass => "bypass",
    };
    let mut text = format!("{forwarding} weight {}", config.weight);
    if config.upper != 0 || config.lower != 0 {
        text.push_str(&format!(" thresholds {}..{}", config.lower, config.upper));
    }
    text
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
        ChainRule::UnknownPeer { peer } => format!("--mac-source (of {peer}, not known yet) -j RETURN"),
        ChainRule::Other(text) => clean(text),
    }
}

/// Returns live text without characters that a terminal would act on.
pub fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
