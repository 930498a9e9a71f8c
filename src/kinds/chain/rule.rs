//! One rule of iptables, as text and as a typed value.
//!
//! What has the same effect becomes the same value: marks in hex and in decimal, `--set-mark` and `--set-xmark`, an
//! address with and without its full mask, a match that the protocol implies. A rule that says anything more, a negation
//! or a comment for instance, is kept as its text.

use std::net::IpAddr;

use super::service_rule;
use super::words::{quote, split};
use crate::resource::{ChainRule, PortMatch, RuleTarget};
use crate::topology::{Family, MacAddress, PortRange, Protocol};

/// The match that takes several ports.
const MULTIPORT: &str = "multiport";

/// Every port there is, which iptables does not print.
const EVERY_PORT: PortRange = PortRange { first: 0, last: u16::MAX };

/// Reads what follows `-A CHAIN `; a rule of several ports is kept as its text.
pub(super) fn parse(family: Family, text: &str) -> ChainRule {
    let mut rules = parse_each(family, text);
    match rules.pop() {
        Some(rule) if rules.is_empty() && !text.contains(MULTIPORT) => rule,
        _ => ChainRule::Other(text.to_owned()),
    }
}

/// Reads what follows `-A CHAIN `, as one rule a port or range.
pub(super) fn parse_each(family: Family, text: &str) -> Vec<ChainRule> {
    let words = split(text);
    let known = words.as_ref().and_then(|words| known(family, words));
    let typed = known.or_else(|| Some(vec![service_rule::parse(family, &words?)?]));
    typed.unwrap_or_else(|| vec![ChainRule::Other(text.to_owned())])
}

/// Writes what follows `-A CHAIN `, as `iptables-save` would; `None` for a peer whose hardware address is not known.
pub(super) fn render(rule: &ChainRule) -> Option<String> {
    match rule {
        ChainRule::Known { ports: Some(PortMatch { ports: Some(range), .. }), .. } => render_with(rule, &[*range]),
        _ => render_with(rule, &[]),
    }
}

/// Writes a rule with other ports than its own.
pub(super) fn render_with(rule: &ChainRule, ranges: &[PortRange]) -> Option<String> {
    let ChainRule::Known { destination, interface, ports, mac_source, target } = rule else {
        return match rule {
            ChainRule::Other(text) => Some(text.clone()),
            ChainRule::Service { what, address, ports } => Some(service_rule::render(what, *address, ports)),
            _ => None,
        };
    };
    let mut words: Vec<String> = Vec::new();
    if let Some(address) = destination {
        words.push(format!("-d {address}/{}", Family::of(*address).host_prefix()));
    }
    if let Some(interface) = interface {
        words.push(format!("-i {}", quote(interface)));
    }
    if let Some(ports) = ports {
        words.push(format!("-p {}", ports.protocol));
    }
    if let Some(mac) = mac_source {
        words.push(format!("-m mac --mac-source {mac}"));
    }
    let written = |range: &PortRange| match range.as_single() {
        Some(port) => port.to_string(),
        None => format!("{}:{}", range.first, range.last),
    };
    match (ports, ranges) {
        (None, _) | (_, []) => {}
        (Some(ports), [range]) => words.push(format!("-m {} --dport {}", ports.protocol, written(range))),
        (Some(_), several) => {
            let list: Vec<String> = several.iter().map(written).collect();
            words.push(format!("-m {MULTIPORT} --dports {}", list.join(",")));
        }
    }
    words.push(match target {
        RuleTarget::Return => "-j RETURN".to_owned(),
        RuleTarget::Mark(mark) => format!("-j MARK --set-xmark {mark:#x}/0xffffffff"),
        RuleTarget::Redirect(None) => "-j REDIRECT".to_owned(),
        RuleTarget::Redirect(Some(port)) => format!("-j REDIRECT --to-ports {port}"),
    });
    Some(words.join(" "))
}

/// Returns the canonical form of a port match: port 0 of a service and the whole range both mean every port.
pub(super) fn every_or(ports: PortRange) -> Option<PortRange> {
    (ports != PortRange::single(0) && ports != EVERY_PORT).then_some(ports)
}

#[derive(Default)]
struct Draft<'a> {
    destination: Option<IpAddr>,
    interface: Option<String>,
    protocol: Option<Protocol>,
    matched: Option<Protocol>,
    ports: Option<Vec<PortRange>>,
    multiport: Option<()>,
    several: Option<()>,
    mac: Option<()>,
    mac_source: Option<MacAddress>,
    jump: Option<&'a str>,
    mark: Option<u32>,
    to_port: Option<u16>,
}

/// Returns the typed rule, one for each port or range, if every word is understood and none is said twice.
fn known(family: Family, words: &[String]) -> Option<Vec<ChainRule>> {
    let mut draft = Draft::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(option) = words.next() {
        let argument = words.next()?;
        match option {
            "-d" | "--dst" | "--destination" => set(&mut draft.destination, single_address(family, argument)?)?,
            "-i" | "--in-interface" => set(&mut draft.interface, interface(argument)?)?,
            "-p" | "--protocol" => set(&mut draft.protocol, protocol(argument)?)?,
            "-m" | "--match" if argument == "mac" => set(&mut draft.mac, ())?,
            "-m" | "--match" if argument == MULTIPORT => set(&mut draft.multiport, ())?,
            "-m" | "--match" => set(&mut draft.matched, protocol(argument)?)?,
            "--dport" | "--destination-port" => set(&mut draft.ports, vec![port_range(argument)?])?,
            "--dports" | "--destination-ports" => {
                set(&mut draft.several, ())?;
                set(&mut draft.ports, argument.split(',').map(port_range).collect::<Option<_>>()?)?;
            }
            "--mac-source" => set(&mut draft.mac_source, argument.parse().ok()?)?,
            "-j" | "--jump" => set(&mut draft.jump, argument)?,
            "--set-mark" => set(&mut draft.mark, whole_mark(argument, |value, mask| value | mask)?)?,
            "--set-xmark" => set(&mut draft.mark, whole_mark(argument, |_, mask| mask)?)?,
            "--to-ports" => set(&mut draft.to_port, argument.parse().ok().filter(|port| *port != 0)?)?,
            _ => return None,
        }
    }
    draft.finish()
}

impl Draft<'_> {
    fn finish(self) -> Option<Vec<ChainRule>> {
        let implied = self.matched.is_none() || self.matched == self.protocol;
        let whole = self.mac.is_some() == self.mac_source.is_some() && self.multiport == self.several;
        if !implied || !whole {
            return None;
        }
        let target = match (self.jump?, self.mark, self.to_port) {
            ("RETURN", None, None) => RuleTarget::Return,
            ("MARK", Some(mark), None) => RuleTarget::Mark(mark),
            ("REDIRECT", None, port) => RuleTarget::Redirect(port),
            _ => return None,
        };
        let Draft { destination, interface, mac_source, .. } = self;
        let rule = |ports| ChainRule::Known {
            destination,
            interface: interface.clone(),
            ports,
            mac_source,
            target: target.clone(),
        };
        match (self.protocol, self.ports) {
            (None, Some(_)) => None,
            (None, None) => Some(vec![rule(None)]),
            (Some(protocol), None) => Some(vec![rule(Some(PortMatch { protocol, ports: None }))]),
            (Some(protocol), Some(ranges)) => {
                let ports = ranges.into_iter().map(|range| Some(range).filter(|range| *range != EVERY_PORT));
                Some(ports.map(|ports| rule(Some(PortMatch { protocol, ports }))).collect())
            }
        }
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Reads an address that stands for itself alone, with or without its full mask.
pub(super) fn single_address(family: Family, text: &str) -> Option<IpAddr> {
    let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
    let address: IpAddr = address.parse().ok()?;
    let full = match mask {
        None => true,
        Some(mask) => match (mask.parse::<u8>(), mask.parse::<IpAddr>()) {
            (Ok(prefix), _) => prefix == family.host_prefix(),
            (_, Ok(IpAddr::V4(mask))) => u32::from(mask) == u32::MAX,
            (_, Ok(IpAddr::V6(mask))) => u128::from(mask) == u128::MAX,
            _ => false,
        },
    };
    (full && Family::of(address) == family).then_some(address)
}

/// Reads an interface; a trailing `+` matches many, and `!` alone negates.
fn interface(text: &str) -> Option<String> {
    (!text.ends_with('+') && text != "!" && !text.is_empty()).then(|| text.to_owned())
}

/// Reads a protocol by name or number (`IPPROTO_*` in `uapi/linux/in.h`).
pub(super) fn protocol(text: &str) -> Option<Protocol> {
    match text {
        "tcp" | "6" => Some(Protocol::Tcp),
        "udp" | "17" => Some(Protocol::Udp),
        "sctp" | "132" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// Reads `80` or `80:90`; an end that is left out is the lowest or highest port.
pub(super) fn port_range(text: &str) -> Option<PortRange> {
    let end = |text: &str, open: u16| if text.is_empty() { Some(open) } else { text.parse().ok() };
    match text.split_once(':') {
        None => text.parse().ok().map(PortRange::single),
        Some((first, last)) => {
            let (first, last) = (end(first, 0)?, end(last, u16::MAX)?);
            (first <= last).then_some(PortRange { first, last })
        }
    }
}

/// Reads `VALUE` or `VALUE/MASK` and returns the mark if all its 32 bits are set to known ones.
fn whole_mark(text: &str, written: impl Fn(u32, u32) -> u32) -> Option<u32> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let (value, mask) = (number(value)?, number(mask)?);
    (written(value, mask) == u32::MAX).then_some(value)
}

/// Reads a number as strtoul(3) does: hexadecimal after `0x`, octal after `0`, else decimal.
fn number(text: &str) -> Option<u32> {
    let digits = |text: &str, radix| {
        text.chars().all(|digit| digit.is_digit(radix)).then(|| u32::from_str_radix(text, radix).ok()).flatten()
    };
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(rest) => digits(rest, 16),
        None if text.len() > 1 && text.starts_with('0') => digits(text, 8),
        None => digits(text, 10),
    }
}
