//! Parameters that a host turns out not to have.

use crate::effect::Capabilities;
use crate::kinds::{ids, module};
use crate::resource::{HostState, ResourceKey};
use crate::source::{Problem, Problems};
use crate::topology::{HostName, SysctlKey};

/// Complains about every desired parameter that a live host does not have and that nothing of the plan can bring.
///
/// A module that is yet to be loaded brings its own, and an interface that is yet to come has some of each.
pub fn missing(
    host: &HostName,
    desired: &HostState,
    (observed, capabilities): (&HostState, &Capabilities),
    problems: &mut Problems,
) {
    for (key, entry) in desired {
        let ResourceKey::Sysctl(name) = key else { continue };
        let module = module::behind(name).map(|module| ids::module(host, module).key);
        let is_brought = module.is_some_and(|module| !observed.contains_key(&module))
            || interface_of(name).is_some_and(|interface| capabilities.link(interface).is_none());
        let (false, false, Some(origin)) = (observed.contains_key(key), is_brought, entry.origin) else { continue };
        problems.push(
            Problem::error("unknown-sysctl", format!("{host} has no kernel parameter {name}"))
                .label(origin, "asked for here")
                .help(format!(
                    "Look at what `sysctl -a` lists on {host}; what a module brings is there once it is loaded"
                )),
        );
    }
}

/// Returns the interface that a parameter belongs to, unless it is of all.
fn interface_of(name: &SysctlKey) -> Option<&str> {
    let parts: Vec<&str> = name.path().split('/').collect();
    match parts[..] {
        ["net", "ipv4" | "ipv6", "conf" | "neigh", interface, ..] => {
            Some(interface).filter(|interface| !matches!(*interface, "all" | "default"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fixture::capabilities;
    use crate::resource::{Entry, Resource};
    use crate::topology::fixture::span;

    fn state(keys: &[&str]) -> HostState {
        let entry = |path: &&str| match path.strip_prefix("module ") {
            Some(name) => Entry::new(ResourceKey::Module(name.into()), Resource::Module),
            None => Entry::new(ResourceKey::Sysctl(SysctlKey::from_path(path)), Resource::Sysctl("1".into())),
        };
        keys.iter().map(entry).map(|entry| (entry.key.clone(), entry.origin(span()))).collect()
    }

    #[test]
    fn what_nothing_brings_is_missing() {
        let desired = state(&[
            "net/core/nothing",
            "net/core/somaxconn",
            "net/ipv4/conf/eth0/nothing",
            "net/ipv4/conf/tunl0/rp_filter",
            "net/ipv4/vs/nothing",
        ]);
        let capabilities = capabilities(&[("eth0", None, &[])]);
        let complaints = |observed: &[&str]| {
            let mut problems = Problems::default();
            missing(&HostName::new("lb1"), &desired, (&state(observed), &capabilities), &mut problems);
            problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
        };
        let always =
            ["lb1 has no kernel parameter net.core.nothing", "lb1 has no kernel parameter net.ipv4.conf.eth0.nothing"];
        assert_eq!(complaints(&["net/core/somaxconn"]), always);
        let loaded = complaints(&["net/core/somaxconn", "module ip_vs"]);
        assert_eq!(loaded[2..], ["lb1 has no kernel parameter net.ipv4.vs.nothing"]);
    }
}
