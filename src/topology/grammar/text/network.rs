//! Interfaces, addresses and ports.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{bounded, host::name};
use crate::document::grammar::TextRule;
use crate::topology::MacAddress;

/// An interface's name, as `dev_valid_name` in the kernel's `net/core/dev.c` has it, without iptables' wildcard.
pub static INTERFACE: TextRule = TextRule {
    what: "an interface's name",
    rule: "Use the kernel's name for it: up to 15 letters, digits, dots, dashes and underscores",
    check: interface,
};

/// A multicast group.
pub static GROUP: TextRule = TextRule {
    what: "a multicast group",
    rule: "Use a multicast address, such as \"224.0.0.81\" or \"ff02::81\"",
    check: group,
};

/// The label of an address.
pub static LABEL: TextRule = TextRule {
    what: "an address label",
    rule: "Use the interface's name, a colon and a suffix, 15 characters at most, such as \"eth0:1\"",
    check: label,
};

/// A hardware address.
pub static MAC: TextRule = TextRule {
    what: "a hardware address",
    rule: "Use six hexadecimal octets with colons, such as \"52:54:00:06:b2:98\"",
    check: mac,
};

/// A host's address with its prefix.
pub static HOST_ADDRESS: TextRule = TextRule {
    what: "an address with its prefix",
    rule: "Write it with the length of its network's prefix, such as \"10.4.1.181/24\"",
    check: host_address,
};

/// A VIP.
pub static VIP_ADDRESS: TextRule = TextRule {
    what: "an address",
    rule: "Write a single address, such as \"10.4.1.190\"; its prefix is 32, or 128 under IPv6, unless one is written",
    check: vip_address,
};

/// A server of a service.
pub static SERVER: TextRule = TextRule {
    what: "a real server's name or address",
    rule: "Use the name or an address of a declared real server",
    check: server,
};

/// A port or a range.
pub static PORTS: TextRule =
    TextRule { what: "a port or a range of ports", rule: "Write 80, or \"8000-8010\" for a range", check: ports };

fn interface(text: &str) -> Result<(), String> {
    name(text).and_then(|()| bounded(text, 15))
}

fn group(text: &str) -> Result<(), String> {
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_multicast() => Ok(()),
        Ok(_) => Err("not a multicast address".into()),
        Err(_) => Err("not an address".into()),
    }
}

fn label(text: &str) -> Result<(), String> {
    let (device, suffix) = text.split_once(':').ok_or("has no colon")?;
    name(device).and_then(|()| name(suffix)).and_then(|()| bounded(text, 15))
}

fn mac(text: &str) -> Result<(), String> {
    let address: MacAddress = text.parse().map_err(|_| "not a hardware address")?;
    let [first, ..] = address.0;
    if first & 1 == 1 { Err("this is a group's address, not an interface's".into()) } else { Ok(()) }
}

fn host_address(text: &str) -> Result<(), String> {
    let network: IpNet = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) if text.parse::<IpAddr>().is_ok() => return Err("the prefix is missing".into()),
        Err(_) => return Err("not an address with a prefix".into()),
    };
    unicast(network.addr())?;
    let is_network = network.addr() == network.network() && network.prefix_len() + 1 < network.max_prefix_len();
    if is_network { Err("this names a network, not a host in it".into()) } else { Ok(()) }
}

fn vip_address(text: &str) -> Result<(), String> {
    match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(address), _) => unicast(address),
        (_, Ok(network)) => unicast(network.addr()),
        _ => Err("not an address".into()),
    }
}

/// Refuses what no interface may hold.
pub(in crate::topology::grammar) fn unicast(address: IpAddr) -> Result<(), String> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    match address {
        _ if address.is_unspecified() => Err("this address stands for any".into()),
        _ if address.is_loopback() => Err("this address never leaves a host".into()),
        _ if address.is_multicast() || broadcast => Err("this address belongs to many".into()),
        _ if mapped => Err("write this address in its IPv4 form".into()),
        _ => Ok(()),
    }
}

fn server(text: &str) -> Result<(), String> {
    if text.parse::<IpAddr>().is_ok() { Ok(()) } else { name(text) }
}

fn ports(text: &str) -> Result<(), String> {
    match crate::topology::decode::port_range(text) {
        Some(range) if range.first > range.last => Err("ends before it begins".into()),
        Some(range) if range.first == 0 && range.last != 0 => Err("port 0 cannot begin a range".into()),
        Some(_) => Ok(()),
        None => Err("not a port from 0 to 65535, and no range".into()),
    }
}

/// Tells whether a text is a VIP that an interface can hold.
pub fn is_vip(text: &str) -> bool {
    vip_address(text).is_ok()
}

/// Tells whether a text is a host's address that an interface can hold.
pub fn is_host_address(text: &str) -> bool {
    host_address(text).is_ok()
}
