//! Says what a plan does to traffic: one line that is enough for somebody in a hurry, then each service that feels it.

use std::collections::BTreeMap;

use super::columns::{separated, wrapped};
use super::describe::{self, count};
use super::paint::Paint;
use super::plan_changes::{listed, service_heading};
use crate::effect::{Effect, ServiceKey};
use crate::plan::{Impact, Plan};
use crate::resource::{Action, ResourceKey};
use crate::topology::HostName;

/// Returns the lines.
pub fn lines(plan: &Plan, paint: Paint) -> Vec<String> {
    let mut services: BTreeMap<ServiceKey, Vec<&Impact>> = BTreeMap::new();
    for impact in &plan.impact {
        services.entry(impact.service).or_default().push(impact);
    }
    let (risky, parts) = headline(plan, &services);
    let mut lines: Vec<String> = wrapped("Traffic:", &words(&parts), 2)
        .iter()
        .map(|line| if risky { paint.bad(line) } else { paint.heading(line) })
        .collect();
    for (service, impacts) in &services {
        let risky = is_lost(impacts) || impacts.iter().any(|impact| impact.cut > 0);
        let glyph = if risky { "! " } else { "  " };
        let first = format!("{glyph}{}", service_heading(plan, service));
        let felt = wrapped(&first, &separated(&directors(impacts), ";"), 4);
        lines.extend(felt.iter().map(|line| if risky { paint.bad(line) } else { line.clone() }));
    }
    lines
}

/// Returns the words of parts, which may be wrapped anywhere.
fn words(parts: &[String]) -> Vec<String> {
    separated(parts, ";").iter().flat_map(|part| part.split(' ')).map(str::to_owned).collect()
}

fn headline(plan: &Plan, services: &BTreeMap<ServiceKey, Vec<&Impact>>) -> (bool, Vec<String>) {
    let number = |wanted: fn(&[&Impact]) -> bool| services.values().filter(|impacts| wanted(impacts)).count();
    let sum = |of: fn(&Impact) -> u64| plan.impact.iter().map(of).sum::<u64>();
    let (lost, new, fewer) = (number(is_lost), number(is_new), number(has_fewer));
    let (cut, draining) = (sum(|impact| impact.cut), sum(|impact| impact.draining));
    let mut risks = Vec::new();
    let mut rest = Vec::new();
    if lost > 0 {
        risks.push(format!("{} no usable server afterwards", verb(lost, "service has", "services have")));
    }
    if cut > 0 {
        risks.push(format!("{} cut", verb(cut as usize, "connection is", "connections are")));
    }
    for (moved, text) in disruptions(plan) {
        risks.push(format!("{text} ({moved})"));
    }
    for election in plan.elections.iter().filter(|election| !election.begins) {
        risks.push(format!("failover {} moves to {}", describe::clean(&election.failover), election.to));
    }
    if fewer > 0 {
        rest.push(format!("{} fewer usable servers", verb(fewer, "service has", "services have")));
    }
    if draining > 0 {
        let drained = verb(draining as usize, "connection has", "connections have");
        rest.push(format!("{drained} at most {} s to end", patience(plan)));
    }
    if new > 0 {
        rest.push(format!("{} usable servers", verb(new, "service gets its first", "services get their first")));
    }
    let is_safe = risks.is_empty();
    match risks.first_mut() {
        Some(first) => *first = format!("AT RISK: {first}"),
        None => risks.push("not at risk".to_owned()),
    }
    risks.extend(rest);
    (!is_safe, risks)
}

/// Returns for how long connections are waited for, in seconds.
fn patience(plan: &Plan) -> u64 {
    let effects = plan.steps.iter().flat_map(|step| &step.effects);
    let waits = effects.filter_map(|effect| match effect {
        Effect::AwaitDrained { within, .. } => Some(within.as_secs()),
        _ => None,
    });
    waits.max().unwrap_or_default()
}

fn verb(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Returns what is disruptive beside the services that are taken away, with where.
fn disruptions(plan: &Plan) -> Vec<(String, String)> {
    let mut found: BTreeMap<String, Vec<&HostName>> = BTreeMap::new();
    for step in &plan.steps {
        let counted = step.change.action == Action::Delete && matches!(step.change.key(), ResourceKey::IpvsService(_));
        if let (Some(text), false) = (step.disruption(), counted) {
            let hosts = found.entry(text).or_default();
            if !hosts.contains(&&step.change.id.host) {
                hosts.push(&step.change.id.host);
            }
        }
    }
    found.into_iter().map(|(text, hosts)| (listed(&hosts).join(" "), text)).collect()
}

/// Tells whether no director has a usable server for a service that had one.
fn is_lost(impacts: &[&Impact]) -> bool {
    impacts.iter().any(|impact| impact.servers.0 > 0)
        && impacts.iter().all(|impact| impact.servers.1 == 0)
        && impacts.iter().any(|impact| impact.successor.is_none())
}

fn is_new(impacts: &[&Impact]) -> bool {
    impacts.iter().all(|impact| impact.servers.0 == 0) && impacts.iter().any(|impact| impact.servers.1 > 0)
}

fn has_fewer(impacts: &[&Impact]) -> bool {
    let most = |of: fn(&Impact) -> usize| impacts.iter().map(|impact| of(impact)).max().unwrap_or_default();
    let (before, after) = (most(|impact| impact.servers.0), most(|impact| impact.servers.1));
    after > 0 && after < before
}

/// Returns a text for each group of directors on which a service feels the same.
fn directors(impacts: &[&Impact]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&HostName>)> = Vec::new();
    for impact in impacts.iter().filter(|impact| impact.is_felt()) {
        let text = felt(impact);
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, hosts)) => hosts.push(&impact.host),
            None => groups.push((text, vec![&impact.host])),
        }
    }
    groups.into_iter().map(|(text, hosts)| format!("{} {text}", listed(&hosts).join(" "))).collect()
}

fn felt(impact: &Impact) -> String {
    let Impact { servers, weight, draining, successor, cut, .. } = impact;
    let mut parts = vec![format!("usable servers {}→{}", servers.0, servers.1)];
    if weight.0 != weight.1 {
        parts.push(format!("weight {}→{}", weight.0, weight.1));
    }
    if let Some(successor) = successor {
        parts.push(format!("{successor} takes over before"));
    }
    if *draining > 0 {
        parts.push(count(*draining as usize, "connection") + " draining");
    }
    if *cut > 0 {
        parts.push(count(*cut as usize, "connection") + " cut");
    }
    parts.join(", ")
}
