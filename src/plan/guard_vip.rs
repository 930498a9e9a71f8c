//! When keepalived lets go of the VIP by which somebody is logged in on a director.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Reading, election};
use crate::kinds::keepalived::blocks;
use crate::kinds::keepalived::vrrp::{Instance, instances};
use crate::observe::Observation;
use crate::resource::{Action, Change, Resource, ResourceId, ResourceKey};
use crate::topology::{HostName, SecretText};

/// What keepalived takes where no priority is written (keepalived.conf(5)).
const PRIORITY: u8 = 100;

/// Says how keepalived lets go of an address of its host, if it does so when the change is made.
pub(super) fn cuts(
    change: &Change,
    address: IpAddr,
    changes: &[&Change],
    observed: &BTreeMap<HostName, Reading>,
) -> Option<String> {
    let here = read(observed, &change.id.host)?;
    let is_lent = here.lent.iter().chain(&here.held).any(|(_, lent)| *lent == address);
    match (change.key(), change.action) {
        (ResourceKey::KeepalivedDaemon, _) if !is_lent => None,
        (ResourceKey::KeepalivedDaemon, Action::Delete) => Some("goes with keepalived, which is stopped".to_owned()),
        (ResourceKey::KeepalivedDaemon, Action::Replace) => Some("is dropped when keepalived starts anew".to_owned()),
        (ResourceKey::KeepalivedDaemon, Action::Update) => {
            let (before, after) = Files { changes, observed, address }.of(&change.id.host);
            reload(before.as_ref(), after.as_ref(), address)
        }
        _ => None,
    }
}

/// Says which change makes an address of a host pass to another director, and how, if one does.
pub(super) fn passes(
    host: &HostName,
    address: IpAddr,
    changes: &[&Change],
    observed: &BTreeMap<HostName, Reading>,
) -> Option<(ResourceId, String)> {
    let rival = Files { changes, observed, address }.rival(host)?;
    let files = changes.iter().filter(|change| *change.key() == ResourceKey::KeepalivedConfiguration);
    let by = |of: &HostName| files.clone().find(|change| change.id.host == *of).map(|change| change.id.clone());
    let how = format!("passes to {rival}, whose priority becomes the higher one");
    Some((by(host).or_else(|| by(&rival))?, how))
}

fn read<'a>(observed: &'a BTreeMap<HostName, Reading>, host: &HostName) -> Option<&'a Observation> {
    observed.get(host)?.as_ref().ok()
}

/// Says how an address is let go of when one file takes the place of another.
fn reload(before: Option<&Holder>, after: Option<&Holder>, address: IpAddr) -> Option<String> {
    let Some(after) = after else {
        return Some(format!("leaves when keepalived reads its file, which no longer has {address}"));
    };
    let before = before?;
    if before.instance.identity != after.instance.identity {
        return Some(format!("is dropped by {} until VRRP has elected anew", before.instance.name));
    }
    let differences = election::disagreements(&before.instance, &after.instance);
    (!differences.is_empty()).then(|| {
        format!(
            "can pass to another director, because the directors reject each other's adverts for a while ({})",
            differences.join(" and ")
        )
    })
}

/// The instance that holds an address, and how much it wants to.
struct Holder {
    instance: Instance,
    priority: u8,
    /// Whether it leaves the address with a director of lower priority that has it.
    is_patient: bool,
}

impl Holder {
    fn of(text: &SecretText, address: IpAddr) -> Option<Self> {
        let text = text.expose().unwrap_or_else(|| text.masked());
        let is_it = |held: &String| held.split('/').next().and_then(|held| held.parse().ok()) == Some(address);
        let instance = instances(&text).into_iter().find(|instance| instance.held.iter().any(is_it))?;
        let file = blocks(&text);
        let block = file.named("vrrp_instance").find(|block| block.words.get(1) == Some(&instance.name))?;
        let priority = block.value("priority").and_then(|priority| priority.parse().ok()).unwrap_or(PRIORITY);
        let is_patient = block.child("nopreempt").is_some();
        Some(Holder { instance, priority, is_patient })
    }
}

/// The files of all directors, before the changes and after them.
struct Files<'a> {
    changes: &'a [&'a Change],
    observed: &'a BTreeMap<HostName, Reading>,
    address: IpAddr,
}

impl Files<'_> {
    fn of(&self, host: &HostName) -> (Option<Holder>, Option<Holder>) {
        let key = ResourceKey::KeepalivedConfiguration;
        let holder = |resource: Option<&Resource>| match resource {
            Some(Resource::File { text, .. }) => Holder::of(text, self.address),
            _ => None,
        };
        match self.changes.iter().find(|change| change.id.host == *host && *change.key() == key) {
            Some(change) => (holder(change.before.as_ref()), holder(change.after.as_ref())),
            None => {
                let there = || read(self.observed, host)?.state.get(&key).map(|entry| &entry.resource);
                (holder(there()), holder(there()))
            }
        }
    }

    /// Returns the director that takes the address from one, if priorities say so after the changes and did not before.
    fn rival(&self, host: &HostName) -> Option<HostName> {
        let (before, after) = self.of(host);
        let (before, after) = (before?, after?);
        let mut others = self.observed.keys().filter(|other| *other != host);
        let takes = |other: &&HostName| {
            let (was, is) = self.of(other);
            let did = was.is_some_and(|was| was.priority > before.priority);
            is.is_some_and(|is| is.priority > after.priority && !is.is_patient && !did)
        };
        others.find(takes).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Entry, Reason};

    const FILE: &str = "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n priority 100\n advert_int 1\n version 2\n \
        virtual_ipaddress {\n 10.0.0.100/32\n }\n}\n";

    fn file(text: &str) -> Resource {
        Resource::File { text: SecretText::plain(text), mode: 0o600 }
    }

    fn change(host: &str, key: ResourceKey, before: Option<&str>, after: Option<&str>, action: Action) -> Change {
        let id = ResourceId::new(&HostName::new(host), key);
        let (before, after) = (before.map(file), after.map(file));
        Change { id, action, before, after, reason: Reason::TopologyChanged, previous: None, origin: None }
    }

    fn directors() -> BTreeMap<HostName, Reading> {
        let read = |name: &str, priority: &str| {
            let key = ResourceKey::KeepalivedConfiguration;
            let entry = Entry::new(key.clone(), file(&FILE.replace("100\n adv", &format!("{priority}\n adv"))));
            let lent = [("eth0".to_owned(), "10.0.0.100".parse().unwrap())].into();
            let state = [(key, entry)].into();
            (HostName::new(name), Ok(Observation { state, lent, ..Observation::default() }))
        };
        [read("d1", "100"), read("d2", "50")].into()
    }

    fn conf(host: &str, before: &str, after: &str) -> Change {
        change(host, ResourceKey::KeepalivedConfiguration, Some(before), Some(after), Action::Update)
    }

    /// Says what becomes of an address of the first director when something is done to its daemon.
    fn told(action: Action, after: Option<&str>, address: &str) -> Option<String> {
        let daemon = change("d1", ResourceKey::KeepalivedDaemon, None, None, action);
        let own = after.map(|after| conf("d1", FILE, after));
        let changes: Vec<&Change> = [Some(&daemon), own.as_ref()].into_iter().flatten().collect();
        cuts(&daemon, address.parse().unwrap(), &changes, &directors())
    }

    const OURS: &str = "10.0.0.100";

    #[track_caller]
    fn says(told: Option<String>, what: &str) {
        assert!(told.as_ref().is_some_and(|told| told.contains(what)), "{told:?}, not {what}");
    }

    #[test]
    fn a_vip_that_goes_with_keepalived_or_leaves_its_file_is_cut() {
        says(told(Action::Delete, None, OURS), "goes with keepalived");
        says(told(Action::Replace, None, OURS), "starts anew");
        says(told(Action::Update, Some(""), OURS), "no longer has 10.0.0.100");
        says(told(Action::Update, Some(&FILE.replace(".100/", ".101/")), OURS), "no longer has 10.0.0.100");
        says(told(Action::Update, Some(&FILE.replace("id 1", "id 2")), OURS), "dropped by a until VRRP");
        says(told(Action::Update, Some(&FILE.replace("version 2", "version 3")), OURS), "(the version)");
        assert_eq!(told(Action::Delete, None, "10.0.0.1"), None, "an address of the host's own");
        assert_eq!(told(Action::Create, None, OURS), None, "it starts");
    }

    #[test]
    fn a_vip_that_passes_to_another_director_by_priority_is_cut() {
        let with = |priority: &str| FILE.replace("100\n adv", &format!("{priority}\n adv"));
        let passes = |own: &str, peer: &str| {
            let (own, peer) = (conf("d1", FILE, own), conf("d2", &with("50"), peer));
            let changes: Vec<&Change> =
                [&own, &peer].into_iter().filter(|change| change.before != change.after).collect();
            let passes = passes(&HostName::new("d1"), OURS.parse().unwrap(), &changes, &directors());
            passes.map(|(id, how)| format!("{id}: {how}"))
        };
        let by = |host: &str| {
            Some(format!("{host}/keepalived/configuration: passes to d2, whose priority becomes the higher one"))
        };
        assert_eq!(passes(&with("40"), &with("50")), by("d1"));
        assert_eq!(passes(FILE, &with("150")), by("d2"));
        assert_eq!(passes(FILE, &with("150").replace("version", "nopreempt\n version")), None);
        assert_eq!(passes(&with("60"), &with("50")), None, "it is still the higher one");
    }

    #[test]
    fn what_keeps_the_vip_is_not_guarded() {
        let services = format!("{FILE}virtual_server 10.0.0.100 80 {{\n lb_algo rr\n}}\n");
        assert_eq!(told(Action::Update, Some(&services), OURS), None);
        assert_eq!(told(Action::Update, None, OURS), None, "it reads the file that is there");
    }
}
