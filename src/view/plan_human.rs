//! A plan for people: the headline says whether traffic is at risk, and the rest proves it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::describe;
use super::paint::{Paint, glyph};
use crate::plan::{HostStatus, Impact, Plan, Step};
use crate::resource::{Action, Resource, ResourceKey};
use crate::source::SourceMap;
use crate::topology::HostName;

/// Renders a plan; `subject` is the topology's path.
pub fn render(plan: &Plan, subject: &str, sources: &SourceMap, paint: Paint) -> String {
    let mut out = String::new();
    headline(&mut out, plan, subject, paint);
    if !plan.steps.is_empty() {
        impact(&mut out, plan, paint);
        order(&mut out, plan, paint);
        changes(&mut out, plan, sources, paint);
    }
    drift(&mut out, plan, paint);
    runtime(&mut out, plan, paint);
    foreign(&mut out, plan, paint);
    out
}

fn headline(out: &mut String, plan: &Plan, subject: &str, paint: Paint) {
    let read = plan.hosts.values().filter(|status| matches!(status, HostStatus::Read { .. })).count();
    let id: String = plan.id.chars().take("sha256:".len() + 12).collect();
    line(out, &format!("{subject}  {read}/{} hosts read  plan {id}", plan.hosts.len()));
    for (host, status) in &plan.hosts {
        if let HostStatus::Unread { error, help } = status {
            line(out, &paint.bad(&format!("? {host} could not be read: {}", describe::clean(error))));
            if let Some(help) = help {
                line(out, &format!("  help: {}", describe::clean(help)));
            }
        }
    }
    let count = |action| plan.count(action);
    let text = if !plan.is_complete() {
        "Plan: INCOMPLETE, because a host could not be read".to_owned()
    } else if plan.is_empty() {
        format!("No changes: {} things on {} hosts are as the topology says", plan.unchanged, plan.hosts.len())
    } else {
        format!(
            "Plan: {} create, {} update, {} replace, {} delete | {} as desired, {} foreign kept",
            count(Action::Create),
            count(Action::Update),
            count(Action::Replace),
            count(Action::Delete),
            plan.unchanged,
            plan.foreign.len()
        )
    };
    line(out, &paint.heading(&text));
}

fn impact(out: &mut String, plan: &Plan, paint: Paint) {
    if plan.impact.is_empty() {
        line(out, "Impact: no virtual service gains or loses a server or weight");
        return;
    }
    line(out, "Impact:");
    for impact in &plan.impact {
        let Impact { host, service, servers, weight, draining, cut } = impact;
        let text = format!(
            "{host} {service}  usable servers {}→{}, weight {}→{}; {draining} connections drain, {cut} cut",
            servers.0, servers.1, weight.0, weight.1
        );
        let risky = *cut > 0 || (servers.1 == 0 && servers.0 > 0);
        line(out, &format!("  {}", if risky { paint.bad(&format!("! {text}")) } else { text }));
    }
}

fn order(out: &mut String, plan: &Plan, paint: Paint) {
    line(out, "Order:");
    for (number, wave) in plan.waves.iter().enumerate() {
        let mut hosts: BTreeMap<&HostName, BTreeMap<&str, usize>> = BTreeMap::new();
        for step in wave.iter().filter_map(|index| plan.steps.get(*index)) {
            *hosts.entry(&step.change.id.host).or_default().entry(sort_of(step.change.key())).or_default() += 1;
        }
        let parts: Vec<String> = hosts
            .into_iter()
            .map(|(host, sorts)| {
                let sorts: Vec<String> = sorts
                    .into_iter()
                    .map(|(sort, count)| if count == 1 { sort.to_owned() } else { format!("{count} {sort}") })
                    .collect();
                format!("{host} {}", sorts.join(", "))
            })
            .collect();
        line(out, &format!("  {} {}", paint.faint(&format!("{:>2}", number + 1)), parts.join("; ")));
    }
}

fn sort_of(key: &ResourceKey) -> &'static str {
    match key {
        ResourceKey::Module(_) => "module",
        ResourceKey::Sysctl(_) => "sysctl",
        ResourceKey::Address { .. } => "address",
        ResourceKey::DefaultRoute(_) => "route",
        ResourceKey::Chain { .. } => "chain",
        ResourceKey::IpvsService(_) => "service",
        ResourceKey::IpvsDestination(..) => "destination",
        ResourceKey::KeepalivedConfiguration => "keepalived.conf",
        ResourceKey::KeepalivedDaemon => "keepalived",
        ResourceKey::Manifest => "manifest",
    }
}

fn changes(out: &mut String, plan: &Plan, sources: &SourceMap, paint: Paint) {
    let mut host = None;
    for step in &plan.steps {
        if host != Some(&step.change.id.host) {
            host = Some(&step.change.id.host);
            line(out, &paint.heading(&format!("host {}", step.change.id.host)));
        }
        change(out, step, sources, paint);
    }
}

fn change(out: &mut String, step: &Step, sources: &SourceMap, paint: Paint) {
    let change = &step.change;
    let how = match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let (before, after) = (describe::resource(before), describe::resource(after));
            if before == after { after } else { format!("{before} → {after}") }
        }
        (Some(before), None) => describe::resource(before),
        (None, Some(after)) => describe::resource(after),
        (None, None) => String::new(),
    };
    let place = change.origin.and_then(|span| sources.position(span));
    let mut text = format!("{} {}  {how}", glyph(change.action), change.key());
    if change.reason != crate::resource::Reason::New {
        let _ = write!(text, "  ({})", change.reason);
    }
    let place = place.map(|place| paint.faint(&format!("  {}:{}", place.file, place.line))).unwrap_or_default();
    line(out, &format!("  {}{place}", paint.action(change.action, &text)));
    detail(out, change.before.as_ref(), change.after.as_ref(), paint);
}

/// Shows what the few words do not: rules, and the changed lines of a file.
fn detail(out: &mut String, before: Option<&Resource>, after: Option<&Resource>, paint: Paint) {
    let lines = |resource: Option<&Resource>| match resource {
        Some(Resource::Chain { rules, .. }) => Some(rules.iter().map(|rule| describe::rule(rule) + "\n").collect()),
        Some(Resource::File { text, .. }) => Some(text.masked()),
        _ => None,
    };
    let (old, new): (Option<String>, Option<String>) = (lines(before), lines(after));
    if old.is_none() && new.is_none() {
        return;
    }
    let secret_changed = match (before, after) {
        (Some(Resource::File { text: old, .. }), Some(Resource::File { text: new, .. })) => {
            old != new && old.masked() == new.masked()
        }
        _ => false,
    };
    if secret_changed {
        line(out, &paint.bad("      ! auth_pass (sensitive, changed)"));
    }
    for text in super::textdiff::unified(&old.unwrap_or_default(), &new.unwrap_or_default()) {
        let action = match text.chars().next() {
            Some('+') => Some(Action::Create),
            Some('-') => Some(Action::Delete),
            _ => None,
        };
        let text = describe::clean(&text);
        let text = action.map_or_else(|| paint.faint(&text), |action| paint.action(action, &text));
        line(out, &format!("      {text}"));
    }
}

fn drift(out: &mut String, plan: &Plan, paint: Paint) {
    let drifted: Vec<&Step> = plan.steps.iter().filter(|step| step.change.reason.is_drift()).collect();
    if drifted.is_empty() {
        return;
    }
    line(out, &paint.heading("Drift: changed on the host, not in the topology"));
    for step in drifted {
        line(out, &format!("  ! {}  {}", step.change.id, step.change.reason));
    }
}

fn runtime(out: &mut String, plan: &Plan, paint: Paint) {
    if plan.runtime.is_empty() {
        return;
    }
    line(out, &paint.heading("Runtime, not drift"));
    for state in &plan.runtime {
        line(out, &format!("  {}  {}", state.id, state.state));
    }
}

fn foreign(out: &mut String, plan: &Plan, paint: Paint) {
    if plan.foreign.is_empty() {
        return;
    }
    line(out, &paint.heading("Foreign, left alone"));
    for foreign in &plan.foreign {
        line(
            out,
            &format!("  {}  {}", describe::clean(&foreign.id.to_string()), describe::resource(&foreign.resource)),
        );
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
