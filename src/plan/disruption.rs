//! What traffic feels while a change is made, beside the servers and weights that [`super::impact`] counts.

use std::collections::BTreeSet;

use super::election::reload;
use super::sorts;
use crate::kinds::boot;
use crate::resource::{Action, ChainRule, Change, Reason, Resource, ResourceKey, ServiceRule};

/// Returns in what way a change is disruptive, if it is.
pub fn disruption(change: &Change) -> Option<String> {
    if change.action == Action::Update && *change.key() == ResourceKey::KeepalivedConfiguration {
        return configuration(change);
    }
    let told = match (change.action, change.key()) {
        (Action::Replace, ResourceKey::IpvsService(_)) => {
            Some("packets are lost between keepalived's removal and lvsctl's creation")
        }
        (Action::Delete, ResourceKey::IpvsService(_)) => Some("this director serves it no longer"),
        // lvsctl sends no gratuitous ARP for an address that it moves itself.
        (Action::Delete, ResourceKey::Address { .. }) if sorts::gives_up_vip(change) => {
            Some("a VIP leaves its director: its connections are cut, and neighbours find it elsewhere within a minute")
        }
        (Action::Update, ResourceKey::Address { .. }) if sorts::is_away_for_a_moment(change) => {
            Some("the address is taken away and put back, and whoever sends to it meanwhile hears that it is nowhere")
        }
        (_, ResourceKey::DefaultRoute(_)) if sorts::leads_elsewhere(change) => {
            Some("what leaves this host goes another way; of the old default route only the gateway can be put back")
        }
        (Action::Delete | Action::Update, ResourceKey::Sysctl(key)) if sorts::ends_forwarding(change, key) => {
            Some("this host forwards no packet any more, for anybody")
        }
        (Action::Delete, ResourceKey::KeepalivedDaemon) => {
            Some("keepalived gives up its VIPs, and their connections are cut")
        }
        (Action::Create | Action::Update, ResourceKey::Chain { .. }) if further_proxies(change) => {
            Some("connections that a service has already are cut when a SYN proxy comes before it")
        }
        (Action::Update, ResourceKey::IpvsDestination(..)) if sorts::becomes_direct(change) => Some(
            "the kernel cannot change this in place: its open connections are cut, with those that begin at that moment",
        ),
        (Action::Update, ResourceKey::IpvsDestination(..)) if sorts::is_sent_otherwise(change) => {
            Some("connections that are open go on in the old way, and are cut when it is taken down")
        }
        (Action::Update, ResourceKey::BootFiles) if boot::foreign(change).next().is_some() => {
            Some("replaces a file that lvsctl did not write, and keeps it beside the new one")
        }
        _ => None,
    };
    told.map(str::to_owned)
}

/// Tells whether a chain is to open connections for a service for which it did not.
///
/// Connection tracking does not know the connections of earlier, and the proxy drops what belongs to none.
fn further_proxies(change: &Change) -> bool {
    let proxied = |resource: &Option<Resource>| -> BTreeSet<ChainRule> {
        let Some(Resource::Chain { rules, .. }) = resource else { return BTreeSet::new() };
        let is_proxy = |rule: &&ChainRule| matches!(rule, ChainRule::Service { what: ServiceRule::SynProxy(_), .. });
        rules.iter().filter(is_proxy).cloned().collect()
    };
    !proxied(&change.after).is_subset(&proxied(&change.before))
}

fn configuration(change: &Change) -> Option<String> {
    let (Some(Resource::File { text: old, .. }), Some(Resource::File { text: new, .. })) =
        (&change.before, &change.after)
    else {
        return None;
    };
    if change.reason == Reason::Adopted {
        return Some(
            "replaces a file that lvsctl did not write, with the VIPs and services in it; it is kept as \
             keepalived.conf.before-lvsctl, with a number after that if another one is kept already"
                .to_owned(),
        );
    }
    // The texts themselves are compared, so that a changed password counts; nothing of them is shown.
    let (old, new) = (old.expose()?, new.expose()?);
    let told = reload(&old, &new);
    (!told.is_empty()).then(|| told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ResourceId;
    use crate::topology::{HostName, SecretText, TextPiece};

    fn text(password: &str, priority: u8, vip: &str) -> SecretText {
        let mut text = SecretText::plain(format!(
            "vrrp_instance a {{\n    priority {priority}\n    authentication {{\n    auth_pass "
        ));
        text.push(TextPiece::Secret(Some(password.into())));
        text.push_str(&format!(
            "\n    }}\n    virtual_ipaddress {{\n        {vip}\n    }}\n}}\nvirtual_server fwmark 1 {{\n}}\n"
        ));
        text
    }

    fn told(before: SecretText, after: SecretText) -> Option<String> {
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
        let two_masters = |what: &str| {
            Some(format!(
                "a: the directors reject each other's adverts until all have read it, and two can be master ({what})"
            ))
        };
        assert_eq!(told(text("a", 1, "192.0.2.1"), text("b", 1, "192.0.2.1")), two_masters("the password"));
        assert_eq!(told(text("a", 1, "192.0.2.1"), text("a", 1, "192.0.2.2")), two_masters("the advertised addresses"));
        assert_eq!(told(text("a", 1, "192.0.2.1"), text("a", 9, "192.0.2.1")), None, "a priority");
        let without = SecretText::plain("virtual_server fwmark 1 {\n}\n");
        let gone = Some("a: this vrrp_instance goes, and its VIPs with it".to_owned());
        assert_eq!(told(text("a", 1, "x"), without), gone);
    }
}
