//! What the unit tests of the kinds share: compiling, parsing and changing without a host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Context, Kind, Scope, Site};
use crate::effect::{Answer, Capabilities, Effect, IptablesVariant, Link, LinkAddress};
use crate::resource::{Action, Change, Entry, HostState, Reason, Resource, ResourceId, ResourceKey};
use crate::source::Problems;
use crate::topology::{HostName, SecretValues, Topology};

/// What the hosts that were reached are like.
pub type Facts = BTreeMap<HostName, Capabilities>;

/// Compiles one kind for one host and returns the problems' codes with their severity.
pub fn compile(kind: &dyn Kind, topology: &Topology, facts: &Facts, host: &str) -> (Vec<Entry>, Vec<String>) {
    let secrets = SecretValues::default();
    let site = Site { topology, facts, secrets: &secrets };
    let mut problems = Problems::default();
    let entries = kind.compile(&site, &topology.hosts[&HostName::new(host)], &mut problems);
    assert!(entries.iter().all(|entry| kind.owns(&entry.key) && entry.origin.is_some()), "{entries:?}");
    let keys: BTreeSet<_> = entries.iter().map(|entry| &entry.key).collect();
    assert_eq!(keys.len(), entries.len(), "two entries have one key: {entries:?}");
    let codes = problems.iter().map(|problem| format!("{:?} {}", problem.severity, problem.code)).collect();
    (entries, codes)
}

/// Returns each entry as its key, its resource and what it requires.
pub fn listing(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {:?}", entry.key, entry.resource)).collect()
}

/// Returns what an entry requires.
pub fn required(entry: &Entry) -> Vec<String> {
    entry.requires.iter().map(ResourceId::to_string).collect()
}

/// Parses answers in a scope of some keys, on a host with iptables.
pub fn parse(kind: &dyn Kind, keys: &[ResourceKey], answers: &[Answer]) -> Result<Vec<Entry>, String> {
    let keys = keys.iter().cloned().collect();
    let capabilities = capabilities(&[]);
    kind.parse(&Scope { capabilities: &capabilities, keys: &keys }, answers).map_err(|error| error.to_string())
}

/// Returns a host with iptables whose links have a name and addresses.
pub fn capabilities(links: &[(&str, Option<&str>, &[&str])]) -> Capabilities {
    let links = links.iter().map(|(name, mac, addresses)| Link {
        name: (*name).into(),
        mac: mac.map(|mac| mac.parse().unwrap()),
        sort: None,
        is_up: true,
        addresses: addresses
            .iter()
            .map(|text| {
                let (network, label) = text.split_once(' ').map_or((*text, None), |(at, label)| (at, Some(label)));
                LinkAddress { network: network.parse().unwrap(), label: label.map(str::to_owned) }
            })
            .collect(),
    });
    Capabilities { iptables: Some(IptablesVariant::Legacy), links: links.collect(), ..Capabilities::default() }
}

/// Makes a change.
pub fn change(key: &ResourceKey, before: Option<Resource>, after: Option<Resource>) -> Change {
    let action = match (&before, &after) {
        (None, _) => Action::Create,
        (_, None) => Action::Delete,
        _ => Action::Update,
    };
    let id = ResourceId::new(&HostName::new("host"), key.clone());
    Change { id, action, before, after, reason: Reason::New, previous: None, origin: None }
}

/// Returns the effects of a change.
pub fn effects(kind: &dyn Kind, change: &Change) -> Vec<Effect> {
    let (capabilities, changed) = (Capabilities::default(), BTreeSet::new());
    let nothing = HostState::new();
    let context = Context {
        capabilities: &capabilities,
        changed: &changed,
        desired: &nothing,
        observed: &nothing,
        ahead: &BTreeMap::new(),
    };
    kind.effects(change, &context)
}

/// Reads an address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
