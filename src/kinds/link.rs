//! Interfaces of real servers: the ends of tunnels, which a module makes and lvsctl brings up, and a dummy interface of its own.
//!
//! An end of a tunnel is given up by bringing it down again, if it was down before; it vanishes with its module only. The
//! dummy interface goes as it came, and takes its parameters along.

use std::collections::BTreeMap;

use super::{Context, Kind, ParseError, Scope, Site, delivery, ids};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{Action, Change, Entry, OWN_INTERFACE, Resource, ResourceKey};
use crate::source::{Problems, Span};
use crate::topology::{Delivery, Host};

/// The sort of interface that lvsctl makes itself (`IFLA_INFO_KIND`).
const DUMMY_SORT: &str = "dummy";

/// The kind of interfaces.
#[derive(Clone, Copy, Debug)]
pub struct LinkKind;

impl Kind for LinkKind {
    fn name(&self) -> &'static str {
        "link"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::Link(_))
    }

    fn compile(&self, site: &Site<'_>, host: &Host, _problems: &mut Problems) -> Vec<Entry> {
        if !host.managed {
            return Vec::new();
        }
        let mut links: BTreeMap<&str, (&str, Option<&str>, Span)> = BTreeMap::new();
        for vip in site.topology.vips.values() {
            for server in delivery::parts(vip, host) {
                if let Some(end) = delivery::tunnel_end(vip, server) {
                    links.entry(end.device).or_insert((end.sort, Some(end.module), server.span));
                }
                if server.delivery == Delivery::Dummy {
                    links.entry(OWN_INTERFACE).or_insert((DUMMY_SORT, None, server.span));
                }
            }
        }
        let entries = links.into_iter().map(|(device, (sort, module, origin))| {
            let resource = Resource::Link { sort: Some(sort.to_owned()), is_up: true };
            let entry = Entry::new(ResourceKey::Link(device.to_owned()), resource).origin(origin);
            module.map(|module| ids::module(&host.name.value, module)).into_iter().fold(entry, Entry::requires)
        });
        entries.collect()
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        match scope.keys.iter().any(|key| self.owns(key)) {
            true => vec![Probe::Links],
            false => Vec::new(),
        }
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::Links(links) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the interfaces".into() });
            };
            for link in links {
                let key = ResourceKey::Link(link.name.clone());
                if scope.keys.contains(&key) {
                    entries.push(Entry::new(key, Resource::Link { sort: link.sort.clone(), is_up: link.is_up }));
                }
            }
        }
        Ok(entries)
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let ResourceKey::Link(device) = change.key() else {
            return Vec::new();
        };
        let set = |is_up: bool| Effect::SetLink { device: device.clone(), is_up };
        let wanted = match change.action {
            Action::Delete => &change.previous,
            _ => &change.after,
        };
        match (&change.before, wanted) {
            (Some(Resource::Link { sort, .. }), None) if is_dummy(sort) => {
                vec![Effect::RemoveLink { device: device.clone() }]
            }
            // It came with its module, or it is not known how it was.
            (Some(Resource::Link { is_up: true, .. }), None) => vec![set(false)],
            // Another sort of interface has the name: making ours says so.
            (before, Some(Resource::Link { sort, is_up })) if is_dummy(sort) && sort_of(before) != sort.as_deref() => {
                let made = Effect::AddLink { device: device.clone(), sort: DUMMY_SORT.to_owned() };
                [made].into_iter().chain(is_up.then(|| set(true))).collect()
            }
            (Some(Resource::Link { is_up: was, .. }), Some(Resource::Link { is_up, .. })) if was == is_up => Vec::new(),
            (_, Some(Resource::Link { is_up, .. })) => vec![set(*is_up)],
            _ => Vec::new(),
        }
    }
}

fn is_dummy(sort: &Option<String>) -> bool {
    sort.as_deref() == Some(DUMMY_SORT)
}

fn sort_of(resource: &Option<Resource>) -> Option<&str> {
    match resource {
        Some(Resource::Link { sort, .. }) => sort.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
