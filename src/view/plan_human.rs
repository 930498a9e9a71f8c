//! A plan for people: the headline says whether traffic is at risk, and the rest proves it.

use std::collections::BTreeMap;

use super::columns::{separated, wrapped};
use super::describe;
use super::paint::Paint;
use super::plan_changes::{self, listed};
use super::traffic;
use crate::plan::{HostStatus, Plan};
use crate::resource::{Action, Reason, ResourceKey};
use crate::source::SourceMap;
use crate::topology::HostName;

/// Renders a plan; `subject` is the topology's path.
pub fn render(plan: &Plan, subject: &str, sources: &SourceMap, paint: Paint) -> String {
    let mut lines = headline(plan, subject, paint);
    for guard in &plan.guards {
        let text = format!("Guard {}: {} (--allow {})", guard.name, describe::clean(&guard.text), guard.name);
        lines.push(paint.bad(&text));
    }
    if !plan.steps.is_empty() {
        lines.extend(traffic::lines(plan, paint));
        lines.extend(drift(plan, paint));
        lines.extend(order(plan, paint));
        lines.extend(elections(plan));
        lines.extend(plan_changes::lines(plan, sources, paint));
    }
    lines.extend(runtime(plan, paint));
    lines.extend(foreign(plan, paint));
    lines.join("\n") + "\n"
}

fn headline(plan: &Plan, subject: &str, paint: Paint) -> Vec<String> {
    let read = plan.hosts.values().filter(|status| matches!(status, HostStatus::Read { .. })).count();
    let id: String = plan.id.chars().take("sha256:".len() + 12).collect();
    let mut lines = vec![format!("{subject}  {read}/{} hosts read  plan {id}", plan.hosts.len())];
    for (host, status) in &plan.hosts {
        if let HostStatus::Unread { error, help } = status {
            lines.push(paint.bad(&format!("? {host} could not be read: {}", describe::clean(error))));
            lines.extend(help.as_ref().map(|help| format!("  help: {}", describe::clean(help))));
        }
    }
    let counts = [
        (Action::Create, "create"),
        (Action::Update, "update"),
        (Action::Replace, "replace"),
        (Action::Delete, "delete"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(action, word)| (plan.count(action), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let kept = match plan.foreign.len() {
        0 => String::new(),
        foreign => format!(", {} left alone", describe::count(foreign, "foreign thing")),
    };
    let text = match (plan.is_complete(), plan.is_empty()) {
        (true, true) => {
            let hosts = describe::count(plan.hosts.len(), "host");
            format!("No changes: {} on {hosts} are as they should be{kept}", describe::count(plan.unchanged, "thing"))
        }
        (true, false) => format!(
            "Plan: {} | {} as they should be{kept}",
            counts.join(", "),
            describe::count(plan.unchanged, "thing")
        ),
        (false, true) => "Plan INCOMPLETE: nothing to change on the hosts that could be read".to_owned(),
        (false, false) => format!("Plan INCOMPLETE: {} on the hosts that could be read", counts.join(", ")),
    };
    lines.push(paint.heading(&text));
    if !plan.is_complete() {
        lines.push(paint.bad("Nothing can be applied before every host can be read"));
    }
    lines
}

/// Says how much of the plan puts back what somebody changed on a host.
fn drift(plan: &Plan, paint: Paint) -> Vec<String> {
    let drifted = || plan.steps.iter().filter(|step| step.change.reason.is_drift());
    if drifted().next().is_none() {
        return Vec::new();
    }
    let mut hosts: BTreeMap<&HostName, (usize, usize)> = BTreeMap::new();
    for step in drifted() {
        let counts = hosts.entry(&step.change.id.host).or_default();
        match step.change.reason {
            Reason::RemovedOnHost => counts.1 += 1,
            _ => counts.0 += 1,
        }
    }
    let words = hosts.into_iter().map(|(host, (altered, gone))| {
        let counts = [(altered, "altered"), (gone, "gone")];
        let counts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        format!("{host} ({})", counts.join(", "))
    });
    let words = separated(&words.collect::<Vec<_>>(), ",");
    let (all, of) = (drifted().count(), plan.steps.len());
    let first = format!("Drift: {all} of {of} changes put back what was changed by hand:");
    wrapped(&first, &words, 2).iter().map(|line| paint.heading(line)).collect()
}

/// What some hosts have in common in a wave.
type Part<'a> = (Vec<&'a HostName>, Vec<(&'a str, usize)>);

fn order(plan: &Plan, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for wave in &plan.waves {
        let mut sorts: BTreeMap<&HostName, Vec<(&str, usize)>> = BTreeMap::new();
        for step in wave.iter().filter_map(|index| plan.steps.get(*index)) {
            if let Some(sort) = sort_of(step.change.key()) {
                let sorts = sorts.entry(&step.change.id.host).or_default();
                match sorts.iter_mut().find(|(known, _)| *known == sort) {
                    Some((_, count)) => *count += 1,
                    None => sorts.push((sort, 1)),
                }
            }
        }
        // What is the same on several hosts is said once, where the first of them stands.
        let mut parts: Vec<Part<'_>> = Vec::new();
        for (host, sorts) in sorts {
            match parts.iter_mut().find(|(_, known)| *known == sorts) {
                Some((hosts, _)) => hosts.push(host),
                None => parts.push((vec![host], sorts)),
            }
        }
        let last = parts.len().saturating_sub(1);
        let words: Vec<String> = parts
            .into_iter()
            .enumerate()
            .flat_map(|(at, (hosts, sorts))| {
                let sorts: Vec<String> = sorts.into_iter().map(|(sort, count)| several(count, sort)).collect();
                let mut words = listed(&hosts);
                if let Some(end) = words.last_mut() {
                    end.push(':');
                }
                words.push(sorts.join(", "));
                if let (true, Some(end)) = (at < last, words.last_mut()) {
                    end.push(';');
                }
                words
            })
            .collect();
        if !words.is_empty() {
            lines.push(words);
        }
    }
    let lines = lines.into_iter().enumerate();
    let lines = lines.flat_map(|(number, words)| wrapped(&format!("  {:>2}", number + 1), &words, 5));
    std::iter::once("Order:".to_owned()).chain(lines.map(|line| paint.faint(&line))).collect()
}

/// Says which VIPs begin on another director than they will be on, or leave theirs.
fn elections(plan: &Plan) -> Vec<String> {
    let told = plan.elections.iter().flat_map(|election| {
        let text = describe::clean(&election.text());
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        wrapped("Election:", &words, 2)
    });
    told.collect()
}

fn several(count: usize, sort: &str) -> String {
    match (count, sort) {
        (1, _) => sort.to_owned(),
        (_, "address") => format!("{count} addresses"),
        _ => format!("{count} {sort}s"),
    }
}

fn sort_of(key: &ResourceKey) -> Option<&'static str> {
    Some(match key {
        ResourceKey::Module(_) => "module",
        ResourceKey::Link(_) => "interface",
        ResourceKey::FouPort { .. } => "gue port",
        ResourceKey::Sysctl(_) => "sysctl",
        ResourceKey::SyncDaemon(_) => "sync daemon",
        ResourceKey::ModuleOptions => "modprobe.d",
        ResourceKey::Offload { .. } => "offload",
        ResourceKey::IpvsTimeout(_) => "timeout",
        ResourceKey::Address { .. } => "address",
        ResourceKey::DefaultRoute(_) => "route",
        ResourceKey::Chain { .. } | ResourceKey::ChainRemainder { .. } => "chain",
        ResourceKey::IpvsService(_) => "service",
        ResourceKey::IpvsDestination(..) => "server",
        ResourceKey::KeepalivedConfiguration => "keepalived.conf",
        ResourceKey::KeepalivedDaemon => "keepalived",
        ResourceKey::BootFiles | ResourceKey::Manifest => return None,
    })
}

fn runtime(plan: &Plan, paint: Paint) -> Vec<String> {
    if plan.runtime.is_empty() {
        return Vec::new();
    }
    let lines = plan.runtime.iter().map(|state| {
        let what = match &state.id.key {
            ResourceKey::IpvsDestination(service, destination) => {
                let name =
                    plan.names.hosts.get(&destination.address).map(|name| format!("{name} ")).unwrap_or_default();
                let of = plan.names.services.get(service).map(|of| format!("{} ", of.name)).unwrap_or_default();
                format!("{of}{service} {name}{destination}")
            }
            ResourceKey::ModuleOptions => "connection table".to_owned(),
            ResourceKey::Address { device, address } => format!("{address} on {}", describe::clean(device)),
            key => key.to_string(),
        };
        format!("  {}  {what}: {}", state.id.host, state.state)
    });
    std::iter::once(paint.heading("Runtime, not drift")).chain(lines).collect()
}

fn foreign(plan: &Plan, paint: Paint) -> Vec<String> {
    if plan.foreign.is_empty() {
        return Vec::new();
    }
    let lines = plan.foreign.iter().map(|foreign| {
        format!("  {}  {}", describe::clean(&foreign.id.to_string()), describe::resource(&foreign.resource))
    });
    std::iter::once(paint.heading("Foreign, left alone")).chain(lines).collect()
}
