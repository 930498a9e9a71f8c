//! From drafts to the topology: follows names, fills in what depends on more than one node, and looks across nodes.
//!
//! Every check here needs at least two nodes. One that needs a single node belongs into `decode`, one about a single
//! value into the tables of `grammar`, and advice that is not an error into `lint`.

mod addresses;
mod failover_options;
mod failover_scripts;
mod failovers;
mod keys;
mod paths;
mod servers;
mod supervision;
mod sync_groups;
mod tunnels;
mod sync;
mod vips;

use std::collections::BTreeMap;

use super::decode::Draft;
use super::{Topology, VipHolder};
use crate::document::suggest;
use crate::source::{Problem, Problems, Spanned};

/// Resolves a whole document; what could not be resolved is left out and has been reported.
pub fn document(draft: &Draft, problems: &mut Problems) -> Topology {
    let mut topology = Topology {
        hosts: draft.hosts.clone(),
        failovers: draft.failovers.clone(),
        sync_groups: draft.sync_groups.clone(),
        vips: BTreeMap::new(),
        email: draft.email.clone(),
        confirm: draft.confirm,
    };
    addresses::check(&topology, problems);
    failovers::check_members(draft, problems);
    let placed = vips::distinct(draft, problems);
    for vip in placed {
        let known = vips::check_holder(draft, vip, problems);
        // A VIP without a known holder is looked into all the same, for the sake of its servers.
        let holder = match (&vip.holder, known) {
            (Some(holder), true) => holder.clone(),
            _ => VipHolder::Failover(Spanned::new(String::new(), vip.span)),
        };
        let resolved = vips::resolve(draft, vip, holder, &topology, problems);
        if known && vip.usable {
            vips::check_network(&topology, &resolved, problems);
            paths::check(&topology, &resolved, problems);
        }
        topology.vips.insert(resolved.address.value, resolved);
    }
    failovers::check_together(&topology, problems);
    failover_options::check(&topology, problems);
    failover_scripts::check(&topology, problems);
    sync_groups::check(draft, &topology, problems);
    sync::check(&topology, problems);
    keys::check(&topology, problems);
    topology
}

/// Makes the error for a name that nothing declares.
pub fn undeclared<'a>(
    sort: &str,
    name: &Spanned<impl AsRef<str>>,
    known: impl Iterator<Item = &'a str> + Clone,
    declare: &str,
) -> Problem {
    let help = match suggest::closest(name.value.as_ref(), known.clone()) {
        Some(close) => format!("Did you mean \"{close}\"?"),
        None => format!("Declare it: {declare}"),
    };
    Problem::error("undeclared", format!("No {sort} \"{}\" is declared", name.value.as_ref()))
        .label(name.span, "not declared")
        .help(help)
}
