//! Kernel modules that must be there before anything else is done.
//!
//! Only what nothing else loads in time is listed: IPVS and its schedulers, because a sysctl or a service is refused
//! without them, connection tracking where the operator sets one of its parameters, what makes the end of a tunnel, and what a
//! virtual hardware address takes. The tables of iptables come with `iptables-restore` by themselves.
//!
//! A module is never unloaded: it may carry the connections of others, and a host that is a network namespace shares it
//! with the whole machine. A deletion has therefore no effect but that the manifest forgets the module; since a host is
//! only asked about modules that are desired or owned, a forgotten one is never listed as foreign either.

use std::collections::BTreeMap;

use super::{Context, Kind, ParseError, Scope, Site, delivery, fou, ids};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{Action, Change, Entry, Resource, ResourceKey};
use crate::source::{Problems, Span};
use crate::topology::{Host, Role, SysctlKey};

/// The module that balances.
pub const IP_VS: &str = "ip_vs";

/// The module that tracks connections.
const CONNTRACK: &str = "nf_conntrack";

/// The module of interfaces that have a hardware address of their own on top of another one.
const MACVLAN: &str = "macvlan";

/// The kind of modules.
#[derive(Clone, Copy, Debug)]
pub struct ModuleKind;

/// Returns the module without which a parameter does not exist, if it takes one.
pub fn behind(key: &SysctlKey) -> Option<&'static str> {
    let path = key.path();
    if path.starts_with("net/ipv4/vs/") {
        Some(IP_VS)
    } else if path.starts_with("net/netfilter/nf_conntrack_") || path == "net/nf_conntrack_max" {
        Some(CONNTRACK)
    } else {
        None
    }
}

impl Kind for ModuleKind {
    fn name(&self) -> &'static str {
        "module"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::Module(_))
    }

    fn compile(&self, site: &Site<'_>, host: &Host, _problems: &mut Problems) -> Vec<Entry> {
        if !host.managed {
            return Vec::new();
        }
        let mut modules: BTreeMap<String, Span> = BTreeMap::new();
        if host.role == Role::Director {
            modules.insert(IP_VS.to_owned(), host.name.span);
            for span in site.topology.failovers_of(&host.name.value).filter_map(|failover| failover.options.virtual_mac)
            {
                modules.entry(MACVLAN.to_owned()).or_insert(span);
            }
            for service in site.topology.vips_of(&host.name.value).flat_map(|vip| &vip.services) {
                modules.entry(format!("ip_vs_{}", service.scheduler.name)).or_insert(service.name.span);
                if let Some(engine) = &service.engine {
                    modules.entry(format!("ip_vs_pe_{engine}")).or_insert(service.name.span);
                }
                if let Some(span) = service.syn_proxy {
                    modules.entry(CONNTRACK.to_owned()).or_insert(span);
                }
            }
        }
        for vip in site.topology.vips.values() {
            for server in delivery::parts(vip, host) {
                if let Some(end) = delivery::tunnel_end(vip, server) {
                    modules.entry(end.module.to_owned()).or_insert(server.span);
                }
                if fou::port(server).is_some() {
                    modules.entry(fou::MODULE.to_owned()).or_insert(server.span);
                }
            }
        }
        for (key, value) in &host.sysctls {
            if let Some(module) = behind(key) {
                modules.entry(module.to_owned()).or_insert(value.span);
            }
        }
        modules
            .into_iter()
            .map(|(name, span)| {
                let entry = Entry::new(ResourceKey::Module(name.clone()), Resource::Module).origin(span);
                let sized = name == IP_VS && host.tuning.connection_table_bits.is_some();
                let entry = if sized { entry.requires(ids::module_options(&host.name.value)) } else { entry };
                if name.starts_with("ip_vs_") { entry.requires(ids::module(&host.name.value, IP_VS)) } else { entry }
            })
            .collect()
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let names: Vec<String> = scope
            .keys
            .iter()
            .filter_map(|key| match key {
                ResourceKey::Module(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        if names.is_empty() { Vec::new() } else { vec![Probe::Modules(names)] }
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::Modules(names) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the loaded modules".into() });
            };
            let keys = names.iter().map(|name| ResourceKey::Module(name.replace('-', "_")));
            entries.extend(keys.filter(|key| scope.keys.contains(key)).map(|key| Entry::new(key, Resource::Module)));
        }
        Ok(entries)
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        match (change.action, change.key()) {
            (Action::Create | Action::Update | Action::Replace, ResourceKey::Module(name)) => {
                vec![Effect::LoadModule(name.clone())]
            }
            // Unloading could cut the connections of others; see the top of this file.
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
