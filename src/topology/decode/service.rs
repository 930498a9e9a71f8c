//! Virtual services.

use std::time::Duration;

use super::pool::{ServerDraft, servers};
use super::supervision::supervision;
use super::{check, port_range};
use crate::document::{Literal, Node};
use crate::source::{Problem, Problems, Span, Spanned};
use crate::topology::{Check, Listen, OnFailure, Persistence, Protocol, Scheduler, Supervision};

/// The scheduler where none is written: ipvsadm(8)'s own default.
const SCHEDULER: &str = "wlc";

/// A service before its servers are looked up.
#[derive(Clone, Debug)]
pub struct ServiceDraft {
    /// The name.
    pub name: Spanned<String>,
    /// What it answers on.
    pub listens: Vec<Listen>,
    /// The mark that keys it.
    pub fwmark: Option<Spanned<u32>>,
    /// How a server is chosen.
    pub scheduler: Scheduler,
    /// Whether clients stay on their server.
    pub persistence: Option<Persistence>,
    /// Where the persistence mask was written.
    pub netmask: Option<Spanned<u8>>,
    /// The engine that tells clients apart.
    pub engine: Option<String>,
    /// Whether each packet is balanced by itself.
    pub one_packet: bool,
    /// Where a SYN proxy is asked for.
    pub syn_proxy: Option<Span>,
    /// How long a server that is taken out may finish.
    pub drain: Option<Duration>,
    /// What happens to a server whose check fails.
    pub on_failure: OnFailure,
    /// What the checks come to.
    pub supervision: Supervision,
    /// The check for servers without one.
    pub check: Option<Check>,
    /// The servers of its own.
    pub servers: Vec<ServerDraft>,
    /// The pools whose servers it takes, before its own.
    pub pools: Vec<Spanned<String>>,
}

/// A knob that belongs to one protocol.
struct Only {
    message: &'static str,
    protocol: Protocol,
    why: &'static str,
}

const ONE_PACKET: Only =
    Only { message: "`one-packet` is for UDP only", protocol: Protocol::Udp, why: "the kernel would ignore it here" };

const SIP: Only =
    Only { message: "The engine sip is for UDP only", protocol: Protocol::Udp, why: "the kernel finds no call there" };

const SYN_PROXY: Only = Only { message: "A SYN proxy is for TCP only", protocol: Protocol::Tcp, why: "has no SYN" };

impl Only {
    fn refusal(&self, span: Span, listen: &Listen) -> Problem {
        Problem::error("conflict", self.message)
            .label(span, "asked for here")
            .label(listen.span, format!("{}: {}", listen.protocol, self.why))
            .help(format!("Make a service of its own for what is not {}, without it", self.protocol))
    }
}

/// Decodes a service.
pub fn service(node: &Node, problems: &mut Problems) -> Option<ServiceDraft> {
    let name = node.argument(0)?.text()?.map(str::to_owned);
    let persistence = node.child("persistence");
    let netmask = persistence.and_then(|child| child.property("netmask")?.integer());
    let fwmark = node.child("fwmark").and_then(|child| child.argument(0)?.integer());
    let listens: Vec<Listen> = node.children_named("listen").flat_map(listen).collect();
    check_listens(&listens, fwmark.is_some() || node.child("fwmark").is_some(), persistence.is_some(), problems);
    let engine = persistence.and_then(|child| child.property("engine")?.text());
    let asked = |name: &str| {
        let child = node.child(name)?;
        child.argument(0)?.flag()?.then_some(child.span)
    };
    let (one_packet, syn_proxy) = (asked("one-packet"), asked("syn-proxy"));
    for (span, rule) in [(one_packet, &ONE_PACKET), (engine.map(|engine| engine.span), &SIP), (syn_proxy, &SYN_PROXY)] {
        let other = listens.iter().find(|listen| listen.protocol != rule.protocol);
        if let (Some(span), Some(listen)) = (span, other) {
            problems.push(rule.refusal(span, listen));
        }
    }
    if let (Some(span), Some(mark)) = (syn_proxy, fwmark) {
        problems.push(
            Problem::error("conflict", "A service behind a SYN proxy cannot be keyed by a mark")
                .label(span, "sends packets of its own, which no rule marks")
                .label(mark.span, "keys the service")
                .help("Take `fwmark` away; each port is then a service of its own"),
        );
    }
    Some(ServiceDraft {
        name,
        listens,
        fwmark,
        scheduler: scheduler(node, problems),
        persistence: persistence
            .and_then(|child| child.argument(0)?.duration())
            .map(|timeout| Persistence { timeout: timeout.value, netmask: netmask.map(|netmask| netmask.value) }),
        netmask,
        engine: engine.map(|engine| engine.value.to_owned()),
        one_packet: one_packet.is_some(),
        syn_proxy,
        drain: node.child("drain").and_then(|child| child.argument(0)?.duration()).map(|drain| drain.value),
        on_failure: on_failure(node),
        supervision: supervision(node, problems),
        check: check(node, problems),
        servers: servers(node, problems),
        pools: node
            .children_named("pool")
            .filter_map(|child| child.argument(0)?.text())
            .map(|text| text.map(str::to_owned))
            .collect(),
    })
}

fn listen(node: &Node) -> Vec<Listen> {
    let protocol = match node.argument(0).and_then(|value| value.text()).map(|word| word.value) {
        Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some("sctp") => Protocol::Sctp,
        _ => return Vec::new(),
    };
    let ports = node.arguments.iter().skip(1).filter_map(|value| {
        let ports = match &value.literal {
            Literal::Text(text) => port_range(text),
            Literal::Integer(number) => port_range(&number.to_string()),
            _ => None,
        };
        // A range that makes no sense has been reported.
        let ports = ports.filter(|ports| ports.first <= ports.last && (ports.first > 0 || ports.last == 0));
        ports.map(|ports| Listen { protocol, ports, span: value.span })
    });
    ports.collect()
}

fn check_listens(listens: &[Listen], marked: bool, persistent: bool, problems: &mut Problems) {
    for (position, listen) in listens.iter().enumerate() {
        if listen.ports.first == 0 && !persistent {
            problems.push(
                Problem::error("port-0", "Port 0 is every port, and needs persistence")
                    .label(listen.span, "a client's connections would be spread at random")
                    .help("Add `persistence \"300s\"`, or name the port"),
            );
        }
        if listen.ports.as_single().is_none() && !marked {
            problems.push(
                Problem::error("port-range", "A range of ports needs a firewall mark")
                    .label(listen.span, "more than one port")
                    .help("Add `fwmark` with an unused number, or list the ports one by one"),
            );
        }
        let same = |other: &&Listen| {
            other.protocol == listen.protocol
                && other.ports.first <= listen.ports.last
                && listen.ports.first <= other.ports.last
        };
        if let Some(first) = listens.iter().take(position).find(same) {
            problems.push(
                Problem::error("duplicate-listen", "The service answers on a port twice")
                    .label(listen.span, "given again")
                    .label(first.span, "given first")
                    .help("Keep one of the two"),
            );
        }
    }
}

fn scheduler(node: &Node, problems: &mut Problems) -> Scheduler {
    let Some(child) = node.child("scheduler") else {
        return Scheduler { name: SCHEDULER.to_owned(), fallback: false, port: false };
    };
    let name = child.argument(0).and_then(|value| value.text()).map_or(SCHEDULER, |name| name.value);
    let flag = |name: &str| child.property(name).and_then(|value| value.flag()).unwrap_or(false);
    if !matches!(name, "sh" | "mh") {
        for property in child.properties.iter().filter(|property| property.value.flag() == Some(true)) {
            problems.push(
                Problem::error("conflict", format!("The scheduler {name} has no flag `{}`", property.name.value))
                    .label(property.name.span, "has no meaning here")
                    .help("Only sh and mh have flags"),
            );
        }
    }
    Scheduler { name: name.to_owned(), fallback: flag("fallback"), port: flag("port") }
}

fn on_failure(node: &Node) -> OnFailure {
    match node.child("on-failure").and_then(|child| child.argument(0)?.text()).map(|word| word.value) {
        Some("inhibit") => OnFailure::Inhibit,
        _ => OnFailure::Remove,
    }
}
