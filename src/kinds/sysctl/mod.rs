//! Kernel parameters: those that balancing takes, and those that the operator asks for.
//!
//! Values are compared as they are. For `arp_ignore` and `arp_announce` the kernel uses the larger of `all` and the
//! interface (`IN_DEV_MAXCONF` in `include/linux/inetdevice.h`); a live value above the desired one is nevertheless a
//! difference, because 8 for instance stops ARP altogether. To make lvsctl need a further parameter, add it in `needs`.
//!
//! A parameter that the host does not have (`None` in the answer) is simply not there: its module may be about to be
//! loaded. One that no module brings makes the write fail, with the host's own message.

mod missing;
mod needs;

use super::{Context, Kind, ParseError, Scope, Site, delivery, ids, module};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{Action, Change, Entry, Resource, ResourceKey};
use crate::source::{Problem, Problems, Span};
use crate::topology::{Host, SysctlKey};
pub use missing::missing;
use needs::{FORWARDING_IPV4, FORWARDING_IPV6, Need};

/// The kind of kernel parameters.
#[derive(Clone, Copy, Debug)]
pub struct SysctlKind;

/// Separates the words of a value by single spaces, since the kernel prints tabs where people write spaces.
pub fn normalise(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Kind for SysctlKind {
    fn name(&self) -> &'static str {
        "sysctl"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::Sysctl(_))
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        if !host.managed {
            return Vec::new();
        }
        let mut needs = needs::of(site, host);
        if let Some(need) = needs.get(&SysctlKey::from_path(FORWARDING_IPV6)) {
            let facts = site.facts.get(&host.name.value);
            if facts.is_some_and(|facts| facts.has_advertised_route) {
                problems.push(advertised_route(host, need));
            }
        }
        let mut values: Vec<(SysctlKey, String, Span)> = Vec::new();
        for (key, written) in &host.sysctls {
            let value = normalise(&written.value);
            if let Some(need) = needs.get(&needs::same_parameter(key)).filter(|need| !(need.accepts)(&value)) {
                problems.push(conflict(host, key, &value, written.span, need));
            }
            values.push((key.clone(), value, written.span));
        }
        for (key, _, _) in &values {
            needs.remove(key);
        }
        values.extend(needs.into_iter().map(|(key, need)| (key, need.value.to_owned(), need.origin)));
        values.sort();
        let all: Vec<SysctlKey> = values.iter().map(|(key, ..)| key.clone()).collect();
        values
            .into_iter()
            .map(|(key, value, origin)| {
                let mut entry = Entry::new(ResourceKey::Sysctl(key.clone()), Resource::Sysctl(value)).origin(origin);
                if let Some(module) = module::behind(&key) {
                    entry = entry.requires(ids::module(&host.name.value, module));
                }
                if let Some(device) = delivery::interface_of(&key) {
                    entry = entry.requires(ids::link(&host.name.value, device));
                }
                if let Some(switch) = resets(&key).filter(|switch| all.contains(switch)) {
                    entry = entry.requires(ids::sysctl(&host.name.value, switch));
                }
                entry
            })
            .collect()
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let keys: Vec<SysctlKey> = scope
            .keys
            .iter()
            .filter_map(|key| match key {
                ResourceKey::Sysctl(key) => Some(key.clone()),
                _ => None,
            })
            .collect();
        if keys.is_empty() { Vec::new() } else { vec![Probe::Sysctls(keys)] }
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::Sysctls(values) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the values of parameters".into() });
            };
            for (key, value) in values {
                let key = ResourceKey::Sysctl(key.clone());
                if let (Some(value), true) = (value, scope.keys.contains(&key)) {
                    entries.push(Entry::new(key, Resource::Sysctl(normalise(value))));
                }
            }
        }
        Ok(entries)
    }

    /// A deletion puts back what was there before lvsctl; a parameter itself cannot be taken away.
    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let default = match change.key() {
            ResourceKey::Sysctl(key) => needs::kernel_default(key).map(|value| Resource::Sysctl(value.to_owned())),
            _ => None,
        };
        let wanted = match change.action {
            Action::Create | Action::Update | Action::Replace => change.after.as_ref(),
            Action::Delete => change.previous.as_ref().or(default.as_ref()),
        };
        match (change.key(), wanted) {
            (ResourceKey::Sysctl(key), Some(Resource::Sysctl(value))) => {
                vec![Effect::WriteSysctl { key: key.clone(), value: value.clone() }]
            }
            _ => Vec::new(),
        }
    }
}

/// Tells whether a parameter is the switch by which a host sends on the packets of a family.
pub fn is_forwarding(key: &SysctlKey) -> bool {
    [FORWARDING_IPV4, FORWARDING_IPV6].contains(&key.path())
}

/// Returns the switch whose change overwrites a parameter (`inet_forward_change` in `net/ipv4/devinet.c` and
/// `dev_forward_change` in `net/ipv6/addrconf.c`), and which must therefore be set first.
fn resets(key: &SysctlKey) -> Option<SysctlKey> {
    let switch = if key.path().starts_with("net/ipv4/conf/") {
        FORWARDING_IPV4
    } else if key.path().starts_with("net/ipv6/conf/") {
        FORWARDING_IPV6
    } else {
        return None;
    };
    (key.path() != switch).then(|| SysctlKey::from_path(switch))
}

/// The kernel takes such routes away when it begins to forward, and no more of them (`rt6_purge_dflt_routers`).
fn advertised_route(host: &Host, need: &Need) -> Problem {
    let name = &host.name.value;
    Problem::warning("advertised-route", format!("{name} loses its default route of IPv6 when it begins to forward"))
        .label(need.origin, need.because)
        .label(host.name.span, "got the route from a router's advertisement")
        .help(format!("Give {name} a route of its own, or set net.ipv6.conf.INTERFACE.accept_ra to 2 there"))
}

fn conflict(host: &Host, key: &SysctlKey, value: &str, span: Span, need: &Need) -> Problem {
    let message = format!("{key} = {value} on {} contradicts what its services need", host.name.value);
    let problem = match need.vital {
        true => Problem::error("sysctl-conflict", message),
        false => Problem::warning("sysctl-conflict", message),
    };
    problem
        .label(span, "asked for here")
        .label(need.origin, format!("needs {}: {}", need.value, need.because))
        .help(format!("Set it to {}, or leave it out", need.value))
}

#[cfg(test)]
mod tests;
