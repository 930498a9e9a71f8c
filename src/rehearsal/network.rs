//! Makes the namespaces, wires, addresses and routes of a [`Layout`].
//!
//! One `ip -batch` makes what lies between the namespaces and one more a namespace what lies in it: in a guest a process
//! costs more than everything that it does.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::layout::{CLIENT, GATEWAY, Layout, Place, SWITCH};
use super::namespace::{run, within};
use crate::topology::Family;

/// Files below `/proc/sys/net` that the gateway needs.
const FORWARDING: &[(&str, &str)] =
    &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"), ("ipv4/conf/all/send_redirects", "0")];

/// Files below `/proc/sys/net` that let an IPv6 address work as soon as it is there.
const WITHOUT_DETECTION: &[(&str, &str)] = &[("ipv6/conf/all/accept_dad", "0"), ("ipv6/conf/default/accept_dad", "0")];

/// The folders that a host has below its root.
const FOLDERS: &[&str] = &["etc/keepalived", "var/lib", "var/log", "run"];

/// Makes everything of the layout.
pub fn build(layout: &Layout) -> Result<(), String> {
    run("modprobe", &["-a", "veth", "bridge"], "")?;
    for end in layout.places.values().flat_map(|place| &place.tunnels_by_hand) {
        run("modprobe", &[end.module], "")?;
    }
    run("ip", &["-batch", "-"], &between(layout))?;
    run("ip", &["-n", SWITCH, "-batch", "-"], &switch(layout))?;
    for namespace in layout.places.values().map(|place| place.namespace.as_str()).chain([GATEWAY, CLIENT]) {
        within(namespace, || write_parameters(WITHOUT_DETECTION))?;
    }
    within(GATEWAY, || write_parameters(FORWARDING))?;
    run("ip", &["-n", GATEWAY, "-batch", "-"], &gateway(layout))?;
    run("ip", &["-n", CLIENT, "-batch", "-"], &client(layout))?;
    for place in layout.places.values() {
        for folder in FOLDERS {
            let folder = Path::new(&place.root).join(folder);
            fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
        }
        run("ip", &["-n", &place.namespace, "-batch", "-"], &host(place))?;
        within(&place.namespace, || write_parameters(&parameters(place)))?;
    }
    Ok(())
}

fn between(layout: &Layout) -> String {
    let mut lines = Lines::default();
    let hosts = layout.places.values().map(|place| place.namespace.as_str());
    for namespace in hosts.chain([SWITCH, GATEWAY, CLIENT]) {
        lines.push(format_args!("netns add {namespace}"));
    }
    for segment in 0..layout.segments {
        lines.push(format_args!(
            "link add name br{segment} netns {SWITCH} type bridge mcast_snooping 0 forward_delay 0"
        ));
    }
    let wire = |port: usize, name: &str, namespace: &str, mac: &str| {
        format!("link add name p{port} netns {SWITCH} type veth peer name {name} {mac} netns {namespace}")
    };
    for (port, (place, link)) in ports(layout).enumerate() {
        let mac = format!("address {}", link.mac);
        lines.push(format_args!("{}", wire(port, &link.name, &place.namespace, &mac)));
    }
    lines.push(format_args!("{}", wire(ports(layout).count(), "inside", GATEWAY, "")));
    lines.push(format_args!("link add name outside netns {GATEWAY} type veth peer name eth0 netns {CLIENT}"));
    lines.text
}

fn ports(layout: &Layout) -> impl Iterator<Item = (&Place, &super::layout::Link)> {
    layout.places.values().flat_map(|place| place.links.iter().map(move |link| (place, link)))
}

fn switch(layout: &Layout) -> String {
    let mut lines = Lines::default();
    for segment in 0..layout.segments {
        lines.push(format_args!("link set br{segment} up"));
    }
    let segments = ports(layout).map(|(_, link)| link.segment).chain([0]);
    for (port, segment) in segments.enumerate() {
        lines.push(format_args!("link set p{port} master br{segment} up"));
    }
    lines.text
}

fn gateway(layout: &Layout) -> String {
    let mut lines = Lines::default();
    lines.push(format_args!("link set lo up"));
    lines.push(format_args!("link set inside up"));
    lines.push(format_args!("link set outside up"));
    for address in &layout.gateway {
        lines.push(format_args!("address add {address} dev inside"));
    }
    for address in layout.outside.gateway() {
        lines.push(format_args!("address add {address} dev outside"));
    }
    lines.text
}

fn client(layout: &Layout) -> String {
    let mut lines = Lines::default();
    lines.push(format_args!("link set lo up"));
    lines.push(format_args!("link set eth0 up"));
    for (own, next) in layout.outside.client().into_iter().zip(layout.outside.gateway()) {
        lines.push(format_args!("address add {own} dev eth0"));
        lines.push(format_args!("route add default via {}", next.addr()));
    }
    lines.text
}

fn host(place: &Place) -> String {
    let mut lines = Lines::default();
    lines.push(format_args!("link set lo up"));
    for link in &place.links {
        lines.push(format_args!("link set {} up", link.name));
        for address in &link.addresses {
            lines.push(format_args!("address add {address} dev {}", link.name));
        }
    }
    for route in &place.default_routes {
        lines.push(format_args!("route add default via {route}"));
    }
    for end in &place.tunnels_by_hand {
        lines.push(format_args!("link set {} up", end.device));
    }
    for vip in &place.vips_by_hand {
        lines.push(format_args!("address add {vip}/{} dev lo", Family::of(*vip).host_prefix()));
    }
    lines.text
}

fn parameters(place: &Place) -> Vec<(String, &'static str)> {
    let mut parameters = Vec::new();
    if place.shares_a_segment {
        let links = place.links.iter().filter(|link| link.segment == 0);
        parameters.extend(links.map(|link| (format!("ipv4/conf/{}/arp_ignore", link.name), "1")));
    }
    for end in place.tunnels_by_hand.iter().filter(|end| end.device == "tunl0") {
        parameters.push((format!("ipv4/conf/{}/rp_filter", end.device), "0"));
    }
    if !place.vips_by_hand.is_empty() {
        parameters.push(("ipv4/conf/all/arp_ignore".to_owned(), "1"));
        parameters.push(("ipv4/conf/all/arp_announce".to_owned(), "2"));
    }
    parameters
}

/// Writes files below `/proc/sys/net`, which show the thread's own namespace.
fn write_parameters(parameters: &[(impl AsRef<str>, &str)]) -> Result<(), String> {
    parameters.iter().try_for_each(|(path, value)| {
        let path = Path::new("/proc/sys/net").join(path.as_ref());
        fs::write(&path, value).map_err(|error| format!("{} cannot be set: {error}", path.display()))
    })
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::reference_site;

    #[test]
    fn every_interface_has_its_wire_to_its_bridge() {
        let layout = Layout::of(&reference_site());
        let between = between(&layout);
        assert!(between.contains(
            "link add name p0 netns switch type veth peer name eth0 address 52:54:00:06:b2:98 netns host-lb01\n"
        ));
        assert_eq!(between.matches("type veth").count(), 4 + 2);
        assert_eq!(switch(&layout).matches("master br0").count(), 5);
    }

    #[test]
    fn a_host_gets_its_addresses_and_its_route() {
        let layout = Layout::of(&reference_site());
        let place = layout.places.values().next().unwrap();
        assert_eq!(
            host(place),
            "link set lo up\nlink set eth0 up\naddress add 10.4.1.181/24 dev eth0\nroute add default via 10.4.1.254\n"
        );
        assert!(parameters(place).is_empty());
    }
}
