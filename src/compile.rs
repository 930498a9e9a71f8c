//! Turns a topology into the desired state of each host.
//!
//! Every kind contributes its own entries and says what they require; this module only puts them together, notices two
//! kinds or two services that want one thing in different ways, and drops an edge to a thing that nobody asks for (such
//! as the address of a real server that lvsctl does not manage).

use std::collections::BTreeMap;

use crate::kinds::{Site, boot, registry};
use crate::resource::{Entry, HostState, ResourceId};
use crate::source::{Problem, Problems};
use crate::topology::HostName;

/// The desired state of every managed host.
pub type Desired = BTreeMap<HostName, HostState>;

/// Compiles every managed host of a site; problems that only show here are added to `problems`.
pub fn compile(site: &Site<'_>, problems: &mut Problems) -> Desired {
    let mut desired = Desired::new();
    for host in site.topology.managed_hosts() {
        let state = desired.entry(host.name.value.clone()).or_default();
        for kind in registry() {
            for entry in kind.compile(site, host, problems) {
                insert(state, entry, &host.name.value, problems);
            }
        }
        boot::add(host, state);
    }
    drop_unanswered_edges(&mut desired);
    desired
}

fn insert(state: &mut HostState, entry: Entry, host: &HostName, problems: &mut Problems) {
    match state.get_mut(&entry.key) {
        None => {
            state.insert(entry.key.clone(), entry);
        }
        Some(there) if there.resource == entry.resource => {
            for id in entry.requires {
                if !there.requires.contains(&id) {
                    there.requires.push(id);
                }
            }
        }
        Some(there) => {
            let mut problem = Problem::error(
                "conflicting-wishes",
                format!("{host}/{} is asked for in two different ways", entry.key),
            );
            for (span, text) in [(entry.origin, "asked for here"), (there.origin, "and differently here")] {
                if let Some(span) = span {
                    problem = problem.label(span, text);
                }
            }
            problems.push(problem.help("Make the two agree, or give them different addresses, ports or marks"));
        }
    }
}

fn drop_unanswered_edges(desired: &mut Desired) {
    let entries = desired.values_mut().flat_map(BTreeMap::values_mut);
    let mut edges: Vec<Vec<ResourceId>> = entries.map(|entry| std::mem::take(&mut entry.requires)).collect();
    let is_answered = |id: &ResourceId| desired.get(&id.host).is_some_and(|state| state.contains_key(&id.key));
    edges.iter_mut().for_each(|edges| edges.retain(is_answered));
    for (entry, edges) in desired.values_mut().flat_map(BTreeMap::values_mut).zip(edges) {
        entry.requires = edges;
    }
}
