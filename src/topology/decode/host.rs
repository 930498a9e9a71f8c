//! Directors and real servers.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::tuning;
use crate::document::{Literal, Node, Value};
use crate::source::{Problem, Problems, Spanned};
use crate::topology::grammar::is_host_address;
use crate::topology::{Connection, Host, HostName, Interface, MacAddress, Role, SecretReference, SysctlKey};

/// Decodes a host, whatever state it is in: other nodes refer to it.
pub fn host(node: &Node, name: Spanned<&str>, problems: &mut Problems) -> Host {
    let role = if node.name.value == "director" { Role::Director } else { Role::RealServer };
    Host {
        name: name.map(HostName::new),
        role,
        addresses: addresses(node, problems),
        interface: node.child("interface").and_then(interface),
        connection: connection(node, name, problems),
        managed: managed(node, role, problems),
        sysctls: sysctls(node, problems),
        tuning: tuning::tuning(node, problems),
    }
}

/// Decodes the addresses; none at all if one could not be read, because what is in no network of the rest may be in its.
fn addresses(node: &Node, problems: &mut Problems) -> Vec<Spanned<IpNet>> {
    let readable =
        |child: &Node| child.argument(0).and_then(|value| value.text()).is_some_and(|text| is_host_address(&text));
    if !node.children_named("address").all(readable) {
        return Vec::new();
    }
    let mut addresses: Vec<Spanned<IpNet>> = Vec::new();
    for child in node.children_named("address") {
        let Some(text) = child.argument(0).and_then(|value| value.text()) else { continue };
        let Ok(network) = text.parse::<IpNet>() else { continue };
        match addresses.iter().find(|known| known.addr() == network.addr()) {
            Some(first) => problems.push(
                Problem::error("duplicate-address", format!("The host has the address {} twice", network.addr()))
                    .label(text.span, "given again")
                    .label(first.span, "given first")
                    .help("Keep one of the two"),
            ),
            None => addresses.push(Spanned::new(network, text.span)),
        }
    }
    addresses
}

fn interface(node: &Node) -> Option<Interface> {
    let name = node.argument(0)?.text()?.map(str::to_owned);
    let mac = node.property("mac").and_then(|value| value.text());
    let mac = mac.and_then(|text| text.parse::<MacAddress>().ok().map(|mac| Spanned::new(mac, text.span)));
    Some(Interface { name, mac })
}

fn connection(node: &Node, name: Spanned<&str>, problems: &mut Problems) -> Spanned<Connection> {
    let mut ways = node.children.iter().filter(|child| matches!(child.name.value.as_str(), "ssh" | "local" | "netns"));
    let first = ways.next();
    if let (Some(first), Some(second)) = (first, ways.find(|way| Some(&way.name) != first.map(|first| &first.name))) {
        problems.push(
            Problem::error("conflict", "A host is reached in one way")
                .label(second.name.span, "a second way")
                .label(first.name.span, "the first way")
                .help("Keep one of `ssh`, `local` and `netns`"),
        );
    }
    let own = Connection::Ssh {
        host: name.value.to_owned(),
        user: None,
        port: None,
        identity: None,
        host_key: None,
        become_root: false,
        become_password: None,
    };
    if let Some(password) = first.and_then(|way| way.property("become-password"))
        && first.and_then(|way| way.property("become")).and_then(|value| value.flag()) != Some(true)
    {
        problems.push(
            Problem::error("conflict", "`become-password` is for `become=#true`")
                .label(password.span, "nobody would ask for it")
                .help("Write become=#true beside it, or take it away"),
        );
    }
    match first {
        None => Spanned::new(own, name.span),
        Some(way) => Spanned::new(reached(way).unwrap_or(own), way.span),
    }
}

fn reached(way: &Node) -> Option<Connection> {
    let named = |name: &str| way.property(name).and_then(|value| value.text()).map(|text| text.value.to_owned());
    let first = way.argument(0).and_then(|value| value.text()).map(|text| text.value.to_owned());
    match way.name.value.as_str() {
        "local" => Some(Connection::Local),
        "netns" => Some(Connection::Namespace { name: first?, root: named("root")? }),
        _ => Some(Connection::Ssh {
            host: first?,
            user: named("user"),
            port: way.property("port").and_then(|value| value.integer()).map(|port| port.value),
            identity: named("identity"),
            host_key: named("host-key"),
            become_root: way.property("become").and_then(|value| value.flag()).unwrap_or(false),
            become_password: way.property("become-password").and_then(reference),
        }),
    }
}

/// Decodes a reference to a secret; a literal one was refused.
fn reference(value: &Value) -> Option<Spanned<SecretReference>> {
    let text = value.text()?.value.to_owned();
    let reference = match value.annotation.as_ref()?.value.as_str() {
        "env" => SecretReference::Environment(text),
        "file" => SecretReference::File(text),
        _ => return None,
    };
    Some(Spanned::new(reference, value.span))
}

fn managed(node: &Node, role: Role, problems: &mut Problems) -> bool {
    let Some(child) = node.child("managed") else { return true };
    let managed = child.argument(0).and_then(|value| value.flag()).unwrap_or(true);
    if !managed && role == Role::Director {
        problems.push(
            Problem::error("conflict", "A director must be managed")
                .label(child.span, "lvsctl could not make it balance")
                .help("Take the line away; only a real server can be left alone"),
        );
    }
    managed
}

fn sysctls(node: &Node, problems: &mut Problems) -> BTreeMap<SysctlKey, Spanned<String>> {
    let mut sysctls: BTreeMap<SysctlKey, Spanned<String>> = BTreeMap::new();
    for child in node.children_named("sysctl") {
        let (Some(key), Some(value)) = (child.argument(0).and_then(|value| value.text()), child.argument(1)) else {
            continue;
        };
        let text = match &value.literal {
            Literal::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        };
        let name = SysctlKey::from_dotted(&key);
        if let Some(first) = sysctls.get(&name) {
            problems.push(
                Problem::error("duplicate-name", format!("The parameter {name} is set twice"))
                    .label(key.span, "set again")
                    .label(first.span, "set first")
                    .help("Keep one of the two"),
            );
            continue;
        }
        sysctls.insert(name, Spanned::new(text, value.span));
    }
    sysctls
}
