//! Failovers and mail.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failover_options::{options, source_address};
use super::mail_server;
use super::tuning;
use crate::document::{Node, Value};
use crate::source::{Problem, Problems, Spanned};
use crate::topology::{
    Email, Failover, HostName, Member, Preemption, Secret, SecretReference, SyncDaemon, VrrpVersion,
};

/// The longest delay before taking over (keepalived.conf(5), `preempt_delay`).
const LONGEST_DELAY: Duration = Duration::from_secs(1000);

/// The longest advert interval: one byte of seconds in version 2, twelve bits of hundredths in version 3 (RFC 3768, 5798).
const LONGEST_ADVERT: [(VrrpVersion, Duration); 2] =
    [(VrrpVersion::V2, Duration::from_secs(255)), (VrrpVersion::V3, Duration::from_millis(40_950))];

/// Decodes a failover, whatever state it is in: VIPs refer to it.
pub fn failover(node: &Node, name: Spanned<&str>, problems: &mut Problems) -> Failover {
    let version = match node.child("version").and_then(|child| child.argument(0)?.integer::<u8>()) {
        Some(number) if number.value == 3 => VrrpVersion::V3,
        _ => VrrpVersion::V2,
    };
    let number = node.child("virtual-router-id").and_then(|child| child.argument(0)?.integer());
    Failover {
        name: name.map(str::to_owned),
        members: members(node, problems),
        virtual_router_id: number.unwrap_or(Spanned::new(0, node.span)),
        interface: node.child("interface").and_then(|child| child.argument(0)).and_then(owned),
        advert_interval: advert_interval(node, version, problems),
        preemption: node.child("preempt").map_or(Preemption::Immediate, |child| preemption(child, problems)),
        auth_pass: auth_pass(node, version, problems),
        version,
        unicast: flag(node, "unicast"),
        sync_daemon: node.child("sync-daemon").map(|child| SyncDaemon {
            interface: child.property("interface").and_then(owned),
            id: child.property("id").and_then(|value| value.integer()),
            options: tuning::sync_options(child),
            span: child.span,
        }),
        email: flag(node, "email"),
        options: options(node, problems),
    }
}

/// Returns a text with its place.
pub fn owned(value: &Value) -> Option<Spanned<String>> {
    value.text().map(|text| text.map(str::to_owned))
}

fn flag(node: &Node, name: &str) -> bool {
    node.child(name).and_then(|child| child.argument(0)?.flag()).unwrap_or(false)
}

fn members(node: &Node, problems: &mut Problems) -> BTreeMap<HostName, Member> {
    let mut members: BTreeMap<HostName, Member> = BTreeMap::new();
    for child in node.children_named("director") {
        let Some(name) = child.argument(0).and_then(|value| value.text()) else { continue };
        // A priority that could not be read has been reported; the member still counts.
        let priority =
            child.property("priority").and_then(|value| value.integer()).unwrap_or(Spanned::new(0, child.span));
        let director = name.map(HostName::new);
        if let Some(first) = members.get(&director.value) {
            problems.push(
                Problem::error("duplicate-name", format!("The director \"{}\" takes part twice", name.value))
                    .label(name.span, "named again")
                    .label(first.director.span, "named first")
                    .help("Keep one of the two"),
            );
            continue;
        }
        members.insert(director.value.clone(), Member { director, priority, source_address: source_address(child) });
    }
    members
}

fn advert_interval(node: &Node, version: VrrpVersion, problems: &mut Problems) -> Duration {
    let written = node.child("advert-interval").and_then(|child| child.argument(0)?.duration());
    let Some(interval) = written else { return Duration::from_secs(1) };
    let longest = LONGEST_ADVERT.iter().find(|(of, _)| *of == version).map(|(_, longest)| *longest);
    if version == VrrpVersion::V2 && interval.subsec_nanos() != 0 {
        problems.push(
            Problem::error("out-of-range", "VRRP version 2 counts in whole seconds")
                .label(interval.span, "this duration")
                .help("Use whole seconds, or `version 3`"),
        );
    } else if longest.is_some_and(|longest| interval.value > longest) {
        problems.push(
            Problem::error("out-of-range", "The advert interval does not fit into an advert")
                .label(interval.span, "this duration")
                .help("The longest is \"255s\" under version 2 and \"40950ms\" under version 3"),
        );
    }
    interval.value
}

fn preemption(child: &Node, problems: &mut Problems) -> Preemption {
    let written = child.argument(0);
    let delay = child.property("delay");
    match (written.and_then(|value| value.flag()), delay.and_then(|value| value.duration())) {
        (Some(false), None) => Preemption::Never,
        (Some(false), Some(delay)) => {
            problems.push(
                Problem::error("conflict", "A director that never takes over needs no delay")
                    .label(delay.span, "never comes to pass")
                    .help("Keep either `preempt #false` or `preempt delay=…`"),
            );
            Preemption::Never
        }
        (_, Some(delay)) if delay.value > LONGEST_DELAY => {
            problems.push(
                Problem::error("out-of-range", "The delay is too long for keepalived")
                    .label(delay.span, "this duration")
                    .help("The longest is \"1000s\""),
            );
            Preemption::After(delay.value)
        }
        (_, Some(delay)) => Preemption::After(delay.value),
        (_, None) => {
            if written.is_none() && delay.is_none() {
                problems.push(
                    Problem::error("missing-argument", "`preempt` says nothing")
                        .label(child.span, "the value is missing")
                        .help("Write `preempt #true`, `preempt #false` or `preempt delay=\"300s\"`"),
                );
            }
            Preemption::Immediate
        }
    }
}

fn auth_pass(node: &Node, version: VrrpVersion, problems: &mut Problems) -> Option<Spanned<Secret>> {
    let child = node.child("auth-pass")?;
    if version == VrrpVersion::V3 {
        problems.push(
            Problem::error("conflict", "VRRP version 3 has no authentication")
                .label(child.name.span, "keepalived would ignore it")
                .help("Take `auth-pass` away, or use `version 2`"),
        );
    }
    let value = child.argument(0)?;
    let text = value.text()?;
    let secret = match value.annotation.as_ref().map(|annotation| annotation.value.as_str()) {
        Some("env") => Secret::Reference(SecretReference::Environment(text.value.to_owned())),
        Some("file") => Secret::Reference(SecretReference::File(text.value.to_owned())),
        _ => Secret::Literal(text.value.to_owned()),
    };
    Some(Spanned::new(secret, value.span))
}

/// Decodes the mail settings.
pub fn email(node: &Node) -> Option<Spanned<Email>> {
    let text = |name: &str| node.property(name).and_then(|value| value.text());
    let smtp = text("smtp")?;
    let (smtp, port) = mail_server(&smtp)?;
    let email = Email {
        to: text("to")?.split(',').map(|address| address.trim().to_owned()).collect(),
        from: text("from")?.value.to_owned(),
        smtp: smtp.to_owned(),
        port,
        timeout: node
            .property("timeout")
            .and_then(|value| value.duration())
            .map_or(Duration::from_secs(30), |timeout| timeout.value),
    };
    Some(Spanned::new(email, node.span))
}
