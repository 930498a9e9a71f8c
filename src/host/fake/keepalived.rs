//! keepalived as far as other layers can see it: the services of its configuration come and go with it.
//!
//! Every real server is taken for healthy from the start. What keepalived compares on a reload is its own earlier
//! configuration and not the table, and the same is done here: what somebody else changed in between stays changed.

use std::net::IpAddr;

use super::State;
use crate::effect::{
    DaemonState, DestinationConfig, DestinationKey, IpvsCommand, ServiceConfig, ServiceFlags, ServiceKey,
};
use crate::host::{HostError, program};
use crate::topology::{Family, Forwarding, Protocol, Tunnel};

const CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";

/// What may stand outermost in a configuration.
const OUTERMOST: [&str; 7] = [
    "global_defs",
    "vrrp_instance",
    "vrrp_sync_group",
    "vrrp_script",
    "virtual_server",
    "virtual_server_group",
    "include",
];

/// A daemon, running or not.
#[derive(Debug, Default)]
pub(super) struct Daemon {
    starts: u32,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    configuration: String,
    /// What the file said when it was read.
    text: Option<String>,
    servers: Vec<VirtualServer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct VirtualServer {
    key: ServiceKey,
    config: ServiceConfig,
    servers: Vec<(DestinationKey, DestinationConfig)>,
}

impl Daemon {
    /// Tells whether it runs, and which configuration it has read, if the file still says the same.
    pub(super) fn state(&self, there: Option<&str>) -> DaemonState {
        let running = self.running.as_ref().filter(|running| running.text.as_deref() == there);
        let configuration = running.map(|running| running.configuration.clone());
        DaemonState { pid: self.running.is_some().then_some(1000 + self.starts), configuration }
    }
}

impl State {
    /// Refuses what `keepalived -t` would refuse, as far as that is known here.
    pub(super) fn test_configuration(&self, doing: &str, text: &str) -> Result<(), HostError> {
        if self.keepalived.is_none() {
            return Err(program::missing(doing, "keepalived"));
        }
        let complaint = match parse(text) {
            Some(nodes) => nodes.into_iter().find_map(|node| {
                let word = node.words.into_iter().next().unwrap_or_default();
                (!OUTERMOST.contains(&word.as_str())).then(|| format!("Unknown keyword '{word}'"))
            }),
            None => Some("Missing or unexpected '}'".to_owned()),
        };
        complaint.map_or(Ok(()), |text| {
            let (program, exit) = ("keepalived -t".into(), "exit status 5".into());
            Err(HostError::Program { doing: doing.into(), program, exit, text })
        })
    }

    pub(super) fn start_keepalived(&mut self, configuration: &str) -> Result<(), HostError> {
        if self.daemon.running.is_some() {
            return self.reload_keepalived(configuration);
        }
        let doing = "start keepalived";
        if self.keepalived.is_none() {
            return Err(program::missing(doing, "keepalived"));
        }
        let servers = self.read_configuration(doing)?;
        self.daemon.starts += 1;
        self.program(&[], &servers);
        self.daemon.running =
            Some(Running { configuration: configuration.into(), text: self.configuration_text(), servers });
        Ok(())
    }

    pub(super) fn reload_keepalived(&mut self, configuration: &str) -> Result<(), HostError> {
        let doing = "reload keepalived";
        let Some(running) = self.daemon.running.take() else {
            return Err(failed(doing, "it does not run", ""));
        };
        let servers = self.read_configuration(doing)?;
        self.program(&running.servers, &servers);
        self.daemon.running =
            Some(Running { configuration: configuration.into(), text: self.configuration_text(), servers });
        Ok(())
    }

    pub(super) fn stop_keepalived(&mut self) {
        if let Some(running) = self.daemon.running.take() {
            self.program(&running.servers, &[]);
        }
    }

    pub(super) fn configuration_text(&self) -> Option<String> {
        self.files.get(CONFIGURATION).map(|file| file.text.clone())
    }

    fn read_configuration(&self, doing: &str) -> Result<Vec<VirtualServer>, HostError> {
        let file = self.files.get(CONFIGURATION);
        let text =
            file.map(|file| file.text.as_str()).ok_or_else(|| failed(doing, "exit status 4", "no configuration"))?;
        let nodes = parse(text).ok_or_else(|| failed(doing, "exit status 5", "missing or unexpected '}'"))?;
        Ok(nodes.iter().filter_map(virtual_server).collect())
    }

    /// Brings the table from one configuration to the next. keepalived logs a refusal and goes on.
    fn program(&mut self, before: &[VirtualServer], after: &[VirtualServer]) {
        let mut commands = Vec::new();
        for old in before.iter().filter(|old| after.iter().all(|new| new.key != old.key)) {
            commands.push(IpvsCommand::DeleteService(old.key));
        }
        for new in after {
            let old = before.iter().find(|old| old.key == new.key);
            match old {
                None => commands.push(IpvsCommand::NewService(new.key, new.config.clone())),
                Some(old) if old.config != new.config => {
                    commands.push(IpvsCommand::SetService(new.key, new.config.clone()));
                }
                Some(_) => {}
            }
            let earlier = old.map(|old| old.servers.as_slice()).unwrap_or_default();
            for (gone, _) in earlier.iter().filter(|(key, _)| new.servers.iter().all(|(kept, _)| kept != key)) {
                commands.push(IpvsCommand::DeleteDestination(new.key, *gone));
            }
            for (key, config) in &new.servers {
                match earlier.iter().find(|(held, _)| held == key) {
                    None => commands.push(IpvsCommand::NewDestination(new.key, *key, config.clone())),
                    Some((_, held)) if held != config => {
                        commands.push(IpvsCommand::SetDestination(new.key, *key, config.clone()));
                    }
                    Some(_) => {}
                }
            }
        }
        for command in &commands {
            let _ = self.table.perform(command);
        }
        if !after.is_empty() {
            let _ = self.load_module("ip_vs");
        }
    }
}

fn failed(doing: &str, exit: &str, text: &str) -> HostError {
    HostError::Program { doing: doing.into(), program: "keepalived".into(), exit: exit.into(), text: text.into() }
}

/// A line of a configuration with the block behind it.
#[derive(Debug, Default)]
struct Node {
    words: Vec<String>,
    children: Vec<Node>,
}

impl Node {
    fn value(&self, name: &str) -> Option<&str> {
        let found = self.children.iter().find(|child| child.words.first().is_some_and(|word| word == name))?;
        Some(found.words.get(1).map_or("", String::as_str))
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.value(name)?.parse().ok()
    }
}

/// Reads blocks; `None` if braces do not match.
fn parse(text: &str) -> Option<Vec<Node>> {
    let mut open = vec![Node::default()];
    for line in text.lines() {
        let line = line.split(['#', '!']).next().unwrap_or_default();
        let spaced = line.replace('{', " { ").replace('}', " } ");
        let mut words = Vec::new();
        for word in spaced.split_whitespace() {
            match word {
                "{" => open.push(Node { words: std::mem::take(&mut words), children: Vec::new() }),
                "}" => {
                    finish(&mut open, &mut words)?;
                    let block = open.pop()?;
                    open.last_mut()?.children.push(block);
                }
                word => words.push(word.trim_matches('"').to_owned()),
            }
        }
        finish(&mut open, &mut words)?;
    }
    let outermost = open.pop()?;
    open.is_empty().then_some(outermost.children)
}

fn finish(open: &mut [Node], words: &mut Vec<String>) -> Option<()> {
    if !words.is_empty() {
        open.last_mut()?.children.push(Node { words: std::mem::take(words), children: Vec::new() });
    }
    Some(())
}

fn virtual_server(node: &Node) -> Option<VirtualServer> {
    let [name, first, second] = node.words.as_slice() else { return None };
    if name != "virtual_server" {
        return None;
    }
    let family = if node.value("ip_family") == Some("inet6") { Family::Ipv6 } else { Family::Ipv4 };
    let protocol = match node.value("protocol").unwrap_or("UDP") {
        "TCP" => Protocol::Tcp,
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Udp,
    };
    let key = match first.as_str() {
        "fwmark" => ServiceKey::Mark { mark: second.parse().ok()?, family },
        address => ServiceKey::Address { protocol, address: address.parse().ok()?, port: second.parse().ok()? },
    };
    let timeout = node.number("persistence_timeout").unwrap_or(0);
    let flag = |names: [&str; 2], flag: u32| if names.iter().any(|name| node.value(name).is_some()) { flag } else { 0 };
    let flags = flag(["mh-fallback", "sh-fallback"], ServiceFlags::SCHED_1)
        | flag(["mh-port", "sh-port"], ServiceFlags::SCHED_2)
        | flag(["ops", "ops"], ServiceFlags::ONE_PACKET)
        | if timeout > 0 { ServiceFlags::PERSISTENT } else { 0 };
    let engine = node.value("persistence_engine").map(str::to_owned);
    let netmask = node.value("persistence_granularity").map_or(Some(key.family().host_prefix()), prefix)?;
    let scheduler = node.value("lb_algo").or_else(|| node.value("lvs_sched")).unwrap_or("wlc").to_owned();
    let config = ServiceConfig { scheduler, flags: ServiceFlags(flags), timeout, netmask, engine };
    let forwarding = method(node.value("lb_kind").or_else(|| node.value("lvs_method"))?);
    let servers = node.children.iter().filter_map(|child| real_server(child, forwarding)).collect();
    Some(VirtualServer { key, config, servers })
}

fn method(name: &str) -> Forwarding {
    match name {
        "NAT" => Forwarding::Nat,
        "TUN" => Forwarding::Tun,
        _ => Forwarding::Dr,
    }
}

/// Reads `TUN type gue port 6080 csum` and the like.
fn tunnel(node: &Node) -> Option<Tunnel> {
    let words = node.children.iter().find(|child| child.words.first().is_some_and(|word| word == "lvs_method"))?;
    let words: Vec<&str> = words.words.iter().map(String::as_str).collect();
    let flags = |word: Option<&&str>| u16::from(word == Some(&"csum"));
    match words.as_slice() {
        [_, _, "type", "gue", "port", port, rest @ ..] => {
            Some(Tunnel::Gue { port: port.parse().ok()?, flags: flags(rest.first()) })
        }
        [_, _, "type", "gre", rest @ ..] => Some(Tunnel::Gre { flags: flags(rest.first()) }),
        _ => None,
    }
}

fn real_server(node: &Node, forwarding: Forwarding) -> Option<(DestinationKey, DestinationConfig)> {
    let (name, address, port) = match node.words.as_slice() {
        [name, address] => (name, address, 0),
        [name, address, port] => (name, address, port.parse().ok()?),
        _ => return None,
    };
    if name != "real_server" {
        return None;
    }
    let key = DestinationKey { address: address.parse().ok()?, port };
    let config = DestinationConfig {
        forwarding: node.value("lvs_method").map_or(forwarding, method),
        tunnel: tunnel(node).unwrap_or_default(),
        weight: node.number("weight").unwrap_or(1),
        upper: node.number("uthreshold").unwrap_or(0),
        lower: node.number("lthreshold").unwrap_or(0),
    };
    Some((key, config))
}

/// A mask for IPv4, a length for IPv6.
fn prefix(text: &str) -> Option<u8> {
    match text.parse::<IpAddr>() {
        Ok(mask) => ipnet::ip_mask_to_prefix(mask).ok(),
        Err(_) => text.parse().ok(),
    }
}
