//! A failover's options.

use std::net::IpAddr;

use ipnet::IpNet;

use super::failover::owned;
use super::failover_scripts;
use crate::document::{Node, Value};
use crate::source::{Problem, Problems, Span, Spanned};
use crate::topology::{FailoverOptions, Family, FloatingAddress, FloatingRoute, Garp, SyncGroup};

/// Decodes what stands in a failover beside its directors and its VRRP.
pub fn options(node: &Node, problems: &mut Problems) -> FailoverOptions {
    let arguments = |name| node.children_named(name).filter_map(|child| child.argument(0));
    let tracks = |name: &'static str| node.children_named("track").filter_map(move |child| child.property(name));
    let tracked = |name| tracks(name).filter_map(owned).collect();
    failover_scripts::check_tracks(node, problems);
    let options = FailoverOptions {
        source_address: source_address(node),
        garp: node.child("garp").map(garp).unwrap_or_default(),
        tracked_interfaces: tracked("interface"),
        tracked_scripts: tracked("script"),
        scripts: failover_scripts::scripts(node, problems),
        notify: node.child("notify").map(|child| failover_scripts::notify(child, problems)).unwrap_or_default(),
        routes: node.children_named("route").filter_map(|child| route(child, problems)).collect(),
        addresses: node.children_named("address").filter_map(floating_address).collect(),
        virtual_mac: node.child("virtual-mac").and_then(|child| child.argument(0)?.flag()?.then_some(child.span)),
        unadvertised: arguments("exclude-from-advert").filter_map(address).collect(),
        raw: arguments("raw").filter_map(owned).collect(),
    };
    twice("address", options.addresses.iter().map(|one| (one.network.addr().to_string(), one.network.span)), problems);
    let excluded = options.unadvertised.iter().map(|one| (one.value.to_string(), one.span));
    twice("exclude-from-advert", excluded, problems);
    let tracked = options.tracked_interfaces.iter().map(|one| (one.value.clone(), one.span));
    twice("track", tracked, problems);
    let tracked = options.tracked_scripts.iter().map(|one| (one.value.clone(), one.span));
    twice("track", tracked, problems);
    let scripts = options.scripts.iter().map(|one| (one.name.value.clone(), one.name.span));
    twice("script", scripts, problems);
    twice("route", options.routes.iter().map(|one| (one.network.to_string(), one.network.span)), problems);
    options
}

/// Decodes the address that adverts come from, of a failover or of one director.
pub fn source_address(node: &Node) -> Option<Spanned<IpAddr>> {
    address(node.child("source-address")?.argument(0)?)
}

fn address(value: &Value) -> Option<Spanned<IpAddr>> {
    let text = value.text()?;
    Some(Spanned::new(text.value.parse().ok()?, text.span))
}

fn network(value: &Value) -> Option<Spanned<IpNet>> {
    let text = value.text()?;
    Some(Spanned::new(text.value.parse().ok()?, text.span))
}

fn garp(node: &Node) -> Garp {
    let time = |name| node.property(name).and_then(Value::duration).map(|time| time.value);
    Garp {
        delay: time("delay"),
        repeat: node.property("repeat").and_then(Value::integer).map(|number| number.value),
        refresh: time("refresh"),
    }
}

fn route(node: &Node, problems: &mut Problems) -> Option<FloatingRoute> {
    let route = FloatingRoute { network: network(node.argument(0)?)?, via: address(node.property("via")?)? };
    if Family::of(route.network.addr()) != Family::of(route.via.value) {
        problems.push(
            Problem::error("family", "A route and its gateway are of one family")
                .label(route.via.span, "of the other family")
                .label(route.network.span, "leads there")
                .help("Name a gateway of the network's family"),
        );
    }
    Some(route)
}

fn floating_address(node: &Node) -> Option<FloatingAddress> {
    let network = network(node.argument(0)?)?;
    Some(FloatingAddress { network, interface: node.property("interface").and_then(owned) })
}

/// Decodes a group of failovers.
pub fn sync_group(node: &Node, name: Spanned<&str>, problems: &mut Problems) -> SyncGroup {
    let failovers = node.children_named("failover").filter_map(|child| child.argument(0));
    let failovers: Vec<Spanned<String>> = failovers.filter_map(owned).collect();
    twice("failover", failovers.iter().map(|one| (one.value.clone(), one.span)), problems);
    if failovers.len() == 1 {
        problems.push(
            Problem::error("lone-failover", "A sync group needs two failovers or more")
                .label(name.span, "has one")
                .help("Name a second failover, or take the group away"),
        );
    }
    SyncGroup { name: name.map(str::to_owned), failovers }
}

/// Reports what is written twice.
fn twice(what: &str, values: impl Iterator<Item = (String, Span)>, problems: &mut Problems) {
    let mut seen: Vec<(String, Span)> = Vec::new();
    for (value, span) in values {
        match seen.iter().find(|(first, _)| *first == value) {
            Some((_, first)) => problems.push(
                Problem::error("duplicate-option", format!("`{what}` names {value} twice"))
                    .label(span, "named again")
                    .label(*first, "named first")
                    .help("Keep one of the two"),
            ),
            None => seen.push((value, span)),
        }
    }
}
