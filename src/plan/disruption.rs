//! What traffic feels while a change is made, beside the servers and weights that [`super::impact`] counts.

use std::collections::{BTreeMap, BTreeSet};

use super::sorts;
use crate::kinds::boot;
use crate::resource::{Action, Change, Reason, Resource, ResourceKey};

/// What of a `vrrp_instance` the directors may differ in without harm (keepalived.conf(5)).
const HARMLESS: [&str; 6] = ["priority", "state", "nopreempt", "preempt_delay", "smtp_alert", "garp_"];

/// Returns in what way a change is disruptive, if it is.
pub fn disruption(change: &Change) -> Option<&'static str> {
    match (change.action, change.key()) {
        (Action::Replace, ResourceKey::IpvsService(_)) => {
            Some("packets are lost between keepalived's removal and lvsctl's creation")
        }
        (Action::Delete, ResourceKey::IpvsService(_)) => Some("this director serves it no longer"),
        (Action::Delete, ResourceKey::Address { .. }) if sorts::gives_up_vip(change) => {
            Some("a VIP leaves its director, and its connections are cut")
        }
        (Action::Delete, ResourceKey::KeepalivedDaemon) => {
            Some("keepalived gives up its VIPs, and their connections are cut")
        }
        (Action::Update, ResourceKey::KeepalivedConfiguration) => configuration(change),
        (Action::Update, ResourceKey::BootFiles) if boot::foreign(change).next().is_some() => {
            Some("replaces a file that lvsctl did not write, and keeps it beside the new one")
        }
        _ => None,
    }
}

fn configuration(change: &Change) -> Option<&'static str> {
    let (Some(Resource::File { text: old, .. }), Some(Resource::File { text: new, .. })) =
        (&change.before, &change.after)
    else {
        return None;
    };
    if change.reason == Reason::Adopted {
        return Some("replaces a file that lvsctl did not write, with the VIPs and services in it");
    }
    // The texts themselves are compared, so that a changed password counts; nothing of them is shown.
    let (old, new) = (old.expose()?, new.expose()?);
    let (old, new) = (instances(&old), instances(&new));
    if old.iter().any(|(name, _)| !new.contains_key(name)) {
        return Some("a vrrp_instance goes, and its VIPs with it");
    }
    let differs = old.iter().any(|(name, lines)| new.get(name).is_some_and(|other| other != lines));
    differs.then_some("two directors can be master until both have read it")
}

/// Returns the lines of each `vrrp_instance` on which its directors must agree.
fn instances(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut current = None;
    let mut depth = 0usize;
    for line in text.lines().map(str::trim) {
        if depth == 0 {
            current = line.strip_prefix("vrrp_instance ").map(|rest| rest.trim_end_matches('{').trim());
        }
        if let Some(name) = current {
            let lines = found.entry(name).or_default();
            if depth > 0 && !HARMLESS.iter().any(|harmless| line.starts_with(harmless)) {
                lines.insert(line);
            }
        }
        depth += line.matches('{').count();
        depth = depth.saturating_sub(line.matches('}').count());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ResourceId;
    use crate::topology::{HostName, SecretText, TextPiece};

    fn text(password: &str, priority: u8, vip: &str) -> SecretText {
        let mut text = SecretText::plain(format!("vrrp_instance a {{\n    priority {priority}\n    auth_pass "));
        text.push(TextPiece::Secret(Some(password.into())));
        text.push_str(&format!(
            "\n    virtual_ipaddress {{\n        {vip}\n    }}\n}}\nvirtual_server fwmark 1 {{\n}}\n"
        ));
        text
    }

    fn told(before: SecretText, after: SecretText) -> Option<&'static str> {
        let file = |text| Some(Resource::File { text, mode: 0o600 });
        disruption(&Change {
            id: ResourceId::new(&HostName::new("lb1"), ResourceKey::KeepalivedConfiguration),
            action: Action::Update,
            before: file(before),
            after: file(after),
            reason: Reason::TopologyChanged,
            previous: None,
            origin: None,
        })
    }

    #[test]
    fn directors_that_must_agree_and_do_not_for_a_while_are_told() {
        let two_masters = Some("two directors can be master until both have read it");
        assert_eq!(told(text("a", 1, "192.0.2.1"), text("b", 1, "192.0.2.1")), two_masters, "a password");
        assert_eq!(told(text("a", 1, "192.0.2.1"), text("a", 1, "192.0.2.2")), two_masters, "a VIP");
        assert_eq!(told(text("a", 1, "192.0.2.1"), text("a", 9, "192.0.2.1")), None, "a priority");
        let without = SecretText::plain("virtual_server fwmark 1 {\n}\n");
        assert_eq!(told(text("a", 1, "x"), without), Some("a vrrp_instance goes, and its VIPs with it"));
    }
}
