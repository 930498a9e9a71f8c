//! Virtual services and destinations of IPVS.
//!
//! `compile` says what a topology asks for, whoever programs it; `effects` says what is left to lvsctl and what to keepalived;
//! `ipvsadm` is the text form. The kernel does not tell who programmed a service: an observed one is lvsctl's until the
//! manifest or the desired state says otherwise.

mod compile;
mod effects;
pub mod ipvsadm;
#[cfg(test)]
mod tests;

use super::{Context, Kind, ParseError, Scope, Site};
use crate::effect::{Answer, Effect, LiveService, Probe};
use crate::resource::{Change, Entry, Programmer, Resource, ResourceKey};
use crate::source::Problems;
use crate::topology::Host;

pub use compile::{CONNECTION_TRACKING, LOOSE_TRACKING, destination_config, dotted_mask, programmer, service_config};
pub use effects::{DRAIN, RELOAD, becomes_direct};

/// The kind of virtual services and destinations.
#[derive(Clone, Copy, Debug)]
pub struct IpvsKind;

impl Kind for IpvsKind {
    fn name(&self) -> &'static str {
        "ipvs"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::IpvsService(_) | ResourceKey::IpvsDestination(..))
    }

    fn compile(&self, site: &Site<'_>, host: &Host, _problems: &mut Problems) -> Vec<Entry> {
        compile::entries(site, host)
    }

    fn probes(&self, _scope: &Scope<'_>) -> Vec<Probe> {
        vec![Probe::Ipvs]
    }

    fn parse(&self, _scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::Ipvs(services) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the IPVS table".into() });
            };
            services.iter().for_each(|service| observed(service, &mut entries));
        }
        Ok(entries)
    }

    fn effects(&self, change: &Change, context: &Context<'_>) -> Vec<Effect> {
        match change.key() {
            ResourceKey::IpvsService(key) => effects::service(change, context, *key),
            ResourceKey::IpvsDestination(service, key) => effects::destination(change, context, *service, *key),
            _ => Vec::new(),
        }
    }
}

fn observed(service: &LiveService, entries: &mut Vec<Entry>) {
    let programmer = Programmer::Lvsctl;
    let config = compile::canonical(&service.config, service.key.family());
    entries.push(Entry::new(ResourceKey::IpvsService(service.key), Resource::IpvsService { config, programmer }));
    for live in &service.destinations {
        let resource = Resource::IpvsDestination { config: live.config.clone(), programmer };
        let mut entry = Entry::new(ResourceKey::IpvsDestination(service.key, live.key), resource);
        entry.connections = Some((live.active, live.inactive));
        entries.push(entry);
    }
}
