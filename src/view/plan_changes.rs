//! The changes of a plan: those of virtual services under their VIP, the rest under their hosts.
//!
//! What is done alike on several hosts is shown once. The manifests, which follow from everything else, are one line.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::columns::{self, Row};
use super::describe;
use super::paint::{Paint, glyph};
use crate::effect::{Effect, ServiceKey};
use crate::plan::{Plan, Step, reload};
use crate::resource::{Action, BootContent, BootFile, Resource, ResourceKey};
use crate::source::SourceMap;
use crate::topology::HostName;

/// The most lines of a changed file that are shown.
const MOST_LINES: usize = 60;

/// Returns the lines of all changes.
pub fn lines(plan: &Plan, sources: &SourceMap, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let mut vips: BTreeMap<Option<IpAddr>, BTreeMap<ServiceKey, Vec<&Step>>> = BTreeMap::new();
    let mut hosts: BTreeMap<&HostName, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        match step.change.key() {
            ResourceKey::IpvsService(service) | ResourceKey::IpvsDestination(service, _) => {
                vips.entry(vip_of(plan, service)).or_default().entry(*service).or_default().push(step);
            }
            ResourceKey::Manifest => {}
            _ => hosts.entry(&step.change.id.host).or_default().push(step),
        }
    }
    for (vip, services) in vips {
        lines.push(vip_heading(plan, vip, sources, paint));
        for (service, steps) in services {
            lines.push(format!("  {}", service_heading(plan, &service)));
            lines.extend(columns::lines(&merged(plan, &steps, sources), 4, paint));
        }
    }
    for (names, rows) in alike(plan, hosts, sources) {
        let word = if names.len() == 1 { "host" } else { "hosts" };
        let names = listed(&names);
        lines.extend(columns::wrapped(word, &names, 6).iter().map(|line| paint.heading(line)));
        lines.extend(columns::lines(&rows, 2, paint));
    }
    lines.extend(manifests(plan));
    lines
}

/// Returns the VIP of a service: the one that the topology says, or the one that it is keyed by.
pub fn vip_of(plan: &Plan, service: &ServiceKey) -> Option<IpAddr> {
    match (plan.names.services.get(service), service) {
        (Some(name), _) => Some(name.vip),
        (None, ServiceKey::Address { address, .. }) => Some(*address),
        (None, ServiceKey::Mark { .. }) => None,
    }
}

fn vip_heading(plan: &Plan, vip: Option<IpAddr>, sources: &SourceMap, paint: Paint) -> String {
    let Some(vip) = vip else { return paint.heading("marks of no VIP in the topology") };
    let place = plan.names.vips.get(&vip).and_then(|span| sources.position(*span));
    let place = place.map(|place| paint.faint(&format!("  {}:{}", place.file, place.line))).unwrap_or_default();
    format!("{}{place}", paint.heading(&format!("vip {vip}")))
}

/// Returns a service's name, what it listens on, and the key under which `ipvsadm -Ln` shows it.
pub fn service_heading(plan: &Plan, service: &ServiceKey) -> String {
    match plan.names.services.get(service) {
        Some(name) => format!("{}  {}  {service}", describe::clean(&name.name), name.listens.join(" ")),
        None => service.to_string(),
    }
}

/// Returns what a change is about, as people say it.
fn subject(plan: &Plan, step: &Step) -> String {
    match step.change.key() {
        ResourceKey::Module(name) => format!("module {}", describe::clean(name)),
        ResourceKey::Link(device) => format!("interface {} ", describe::clean(device)),
        ResourceKey::FouPort { family, port } => format!("gue on UDP port {port}, {family} "),
        ResourceKey::Sysctl(key) => format!("sysctl {key} "),
        ResourceKey::SyncDaemon(state) => format!("sync daemon {state} "),
        ResourceKey::ModuleOptions => "modprobe.d ".to_owned(),
        ResourceKey::Offload { device, offload } => format!("{offload} of {} ", describe::clean(device)),
        ResourceKey::IpvsTimeout(timeout) => format!("IPVS timeout {timeout} "),
        ResourceKey::Address { device, address } => {
            let prefix = match step.change.after.as_ref().or(step.change.before.as_ref()) {
                Some(Resource::Address { prefix, .. }) => format!("/{prefix}"),
                _ => String::new(),
            };
            format!("address {address}{prefix} on {}", describe::clean(device))
        }
        ResourceKey::DefaultRoute(family) => format!("default route {family} "),
        ResourceKey::Chain { table, chain, .. } => {
            let program = step.change.key().to_string();
            let program = program.split('/').next().unwrap_or_default();
            format!("{program} {} {} ", table.as_str(), describe::clean(chain))
        }
        ResourceKey::ChainRemainder { table, chain, .. } => {
            let program = step.change.key().to_string();
            let program = program.split('/').next().unwrap_or_default();
            format!("{program} {} {}, old rules ", table.as_str(), describe::clean(chain))
        }
        ResourceKey::IpvsService(_) => "service ".to_owned(),
        ResourceKey::IpvsDestination(_, destination) => match plan.names.hosts.get(&destination.address) {
            Some(name) => format!("{name} {destination} "),
            None => format!("server {destination} "),
        },
        ResourceKey::KeepalivedConfiguration => "keepalived.conf ".to_owned(),
        ResourceKey::KeepalivedDaemon => "keepalived".to_owned(),
        ResourceKey::BootFiles => "boot files ".to_owned(),
        ResourceKey::Manifest => "manifest".to_owned(),
    }
}

fn row(plan: &Plan, step: &Step, sources: &SourceMap) -> Row {
    let change = &step.change;
    let drained = !step.is_cut && step.effects.iter().any(|effect| matches!(effect, Effect::AwaitDrained { .. }));
    let text = match change.key() {
        ResourceKey::IpvsDestination(..) if drained => {
            format!("{} {}, drained", subject(plan, step), describe::change(change))
        }
        ResourceKey::Module(_) => subject(plan, step),
        ResourceKey::Address { .. } if change.action != Action::Update => subject(plan, step),
        _ => format!("{} {}", subject(plan, step), describe::change(change)),
    };
    let place = change.origin.and_then(|span| sources.position(span));
    Row {
        action: change.action,
        text: text.trim_end().to_owned(),
        hosts: String::new(),
        reason: describe::reason(change),
        place: place.map(|place| format!("{}:{}", place.file, place.line)),
        detail: [reload_lines(plan, step), detail(step)].concat(),
        disruption: step.disruption(),
    }
}

/// Returns rows in the order of things; what is done alike on several hosts is one of them.
fn merged(plan: &Plan, steps: &[&Step], sources: &SourceMap) -> Vec<Row> {
    let mut rows: Vec<(Row, Vec<&HostName>)> = Vec::new();
    let mut steps: Vec<&&Step> = steps.iter().collect();
    steps.sort_by_key(|step| (step.change.key(), &step.change.id.host));
    for step in steps {
        let row = row(plan, step, sources);
        match rows.iter_mut().rev().take(8).find(|(known, _)| *known == row) {
            Some((_, hosts)) => hosts.push(&step.change.id.host),
            None => rows.push((row, vec![&step.change.id.host])),
        }
    }
    rows.into_iter().map(|(row, hosts)| Row { hosts: listed(&hosts).join(" "), ..row }).collect()
}

/// Returns the rows of hosts; those of hosts on which the same is done are one group.
fn alike<'a>(
    plan: &Plan,
    hosts: BTreeMap<&'a HostName, Vec<&Step>>,
    sources: &SourceMap,
) -> Vec<(Vec<&'a HostName>, Vec<Row>)> {
    let mut groups: Vec<(Vec<&HostName>, Vec<Row>)> = Vec::new();
    let mut known: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (host, steps) in hosts {
        let rows: Vec<Row> = steps.iter().map(|step| row(plan, step, sources)).collect();
        // The lines of the topology differ from server to server, and the first one's stand for all.
        let signature: Vec<String> =
            rows.iter().map(|row| format!("{:?}", Row { place: None, ..row.clone() })).collect();
        match known.get(&signature) {
            Some(index) => groups[*index].0.push(host),
            None => {
                known.insert(signature, groups.len());
                groups.push((vec![host], rows));
            }
        }
    }
    groups
}

/// Returns names with commas, as words.
pub fn listed(names: &[&HostName]) -> Vec<String> {
    columns::separated(&names.iter().map(ToString::to_string).collect::<Vec<_>>(), ",")
}

/// Says what keepalived does when it reads the new file.
fn reload_lines(plan: &Plan, step: &Step) -> Vec<(Option<Action>, String)> {
    let line = |effect: &crate::plan::ReloadEffect| match effect.cuts() {
        true => (Some(Action::Delete), format!("! {}", effect.text())),
        false => (None, effect.text()),
    };
    let mut lines: Vec<_> = reload(plan, step).iter().map(line).collect();
    if lines.len() > MOST_LINES {
        let rest = lines.split_off(MOST_LINES).len();
        lines.push((None, format!("… {rest} more; all of them: --format json")));
    }
    lines
}

/// Shows what the few words do not: rules, and the changed lines of a file.
fn detail(step: &Step) -> Vec<(Option<Action>, String)> {
    let (before, after) = (step.change.before.as_ref(), step.change.after.as_ref());
    if let (Some(Resource::BootFiles(old)), Some(Resource::BootFiles(new))) = (before, after) {
        // What follows from the rest of the plan is not shown again.
        let is_news = describe::reason(&step.change).is_some();
        return if is_news { boot_files(old, new) } else { Vec::new() };
    }
    let lines = |resource: Option<&Resource>| match resource {
        Some(Resource::Chain { rules, .. }) => Some(rules.iter().map(|rule| describe::rule(rule) + "\n").collect()),
        Some(Resource::File { text, .. }) => Some(text.masked()),
        _ => None,
    };
    let (old, new): (Option<String>, Option<String>) = (lines(before), lines(after));
    if old.is_none() && new.is_none() {
        return Vec::new();
    }
    if let (Some(Resource::File { text: old, .. }), Some(Resource::File { text: new, .. })) = (before, after)
        && old != new
        && old.masked() == new.masked()
    {
        return vec![(Some(Action::Update), "~ auth_pass (sensitive, changed)".to_owned())];
    }
    let host = &step.change.id.host;
    if let (ResourceKey::KeepalivedConfiguration, None) = (step.change.key(), old.as_ref().and(new.as_ref())) {
        let whole = format!("shown by lvsctl compile --host {host}");
        return if new.is_some() { vec![(None, whole)] } else { Vec::new() };
    }
    let mut shown = compared(&old.unwrap_or_default(), &new.unwrap_or_default());
    if shown.len() > MOST_LINES {
        let rest = shown.split_off(MOST_LINES).len();
        shown.push((None, format!("… {rest} more lines; the whole file: lvsctl compile --host {host}")));
    }
    shown
}

/// Shows what was altered of the files that restore a host; one that is only missing is named above.
fn boot_files(
    old: &BTreeMap<BootFile, BootContent>,
    new: &BTreeMap<BootFile, BootContent>,
) -> Vec<(Option<Action>, String)> {
    let altered = old.iter().filter(|(file, before)| new.get(file) != Some(before));
    let shown = altered.flat_map(|(file, before)| {
        let lines = compared(before.text(), new.get(file).map_or("", BootContent::text));
        let most = lines.len().saturating_sub(MOST_LINES);
        let rest = (most > 0).then(|| (None, format!("… {most} more lines")));
        let lines = lines.into_iter().take(MOST_LINES).chain(rest);
        std::iter::once((None, file.path().to_owned())).chain(lines)
    });
    shown.collect()
}

/// Compares two texts by lines.
fn compared(old: &str, new: &str) -> Vec<(Option<Action>, String)> {
    let lines = super::textdiff::unified(old, new).into_iter().map(|text| {
        let action = match text.chars().next() {
            Some('+') => Some(Action::Create),
            Some('-') => Some(Action::Delete),
            _ => None,
        };
        (action, describe::clean(&text))
    });
    lines.collect()
}

fn manifests(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| *step.change.key() == ResourceKey::Manifest);
    let words: Vec<String> = steps
        .map(|step| {
            let reason = describe::reason(&step.change).map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{}{}{reason}", glyph(step.change.action), step.change.id.host)
        })
        .collect();
    if words.is_empty() { Vec::new() } else { columns::wrapped("manifests", &words, 6) }
}
