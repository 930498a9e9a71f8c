//! From checked nodes to drafts: what each node says by itself, with its spans, names not yet followed.
//!
//! [`crate::document::check`] has judged every name, sort and bound before, so a decoder drops what it cannot read
//! without a word, and complains only about what the tables cannot say: things that exclude or need each other within
//! one node. `resolve` follows names and looks across nodes. To read a new node, add it to the tables in `grammar` and
//! here, in the file of its concept.

mod check;
mod failover;
mod failover_options;
mod failover_scripts;
mod host;
mod pool;
mod service;
mod supervision;
mod text;
mod tuning;
mod vip;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use check::check;
pub use pool::{PoolDraft, ServerDraft};
pub use service::ServiceDraft;
pub use text::{mail_server, port_range};
pub use vip::VipDraft;

use crate::document::Node;
use crate::source::{Problem, Problems, Span, Spanned};
use crate::topology::{Email, Failover, Host, HostName, SyncGroup};

/// Everything that a document says, before names are followed.
#[derive(Debug, Default)]
pub struct Draft {
    /// The hosts by name.
    pub hosts: BTreeMap<HostName, Host>,
    /// The failovers by name.
    pub failovers: BTreeMap<String, Failover>,
    /// The groups of failovers by name.
    pub sync_groups: BTreeMap<String, SyncGroup>,
    /// The pools by name.
    pub pools: BTreeMap<String, PoolDraft>,
    /// The VIPs in the order of writing; an address may occur more than once.
    pub vips: Vec<VipDraft>,
    /// The mail settings.
    pub email: Option<Spanned<Email>>,
    /// How long hosts wait for a confirmation.
    pub confirm: Option<Duration>,
    /// Names that are declared, even where the declaration is too broken to be used: using them is no further error.
    pub declared: BTreeSet<(&'static str, String)>,
}

/// Decodes the nodes of a whole document.
pub fn document(nodes: &[Node], problems: &mut Problems) -> Draft {
    let mut draft = Draft::default();
    let mut first_of: BTreeMap<(&'static str, String), Span> = BTreeMap::new();
    for node in nodes {
        let sort = match node.name.value.as_str() {
            // Directors and real servers share one space of names, because plans and manifests name hosts.
            "director" | "real-server" => "host",
            "failover" => "failover",
            "sync-group" => "sync-group",
            "pool" => "pool",
            "vip" => {
                draft.vips.extend(vip::vip(node, problems));
                continue;
            }
            "email" => {
                draft.declared.insert(("email", String::new()));
                draft.email = draft.email.take().or_else(|| failover::email(node));
                continue;
            }
            "policy" => {
                let window = node.child("confirm").and_then(|confirm| confirm.argument(0)?.duration());
                draft.confirm = draft.confirm.or(window.map(|window| window.value));
                continue;
            }
            _ => continue,
        };
        let Some(name) = node.argument(0).and_then(|name| name.text()) else { continue };
        draft.declared.insert((sort, name.value.to_owned()));
        if let Some(first) = first_of.insert((sort, name.value.to_owned()), name.span) {
            problems.push(duplicate(sort, name.value, name.span, first));
            continue;
        }
        match sort {
            "host" => {
                let host = host::host(node, name, problems);
                draft.hosts.insert(host.name.value.clone(), host);
            }
            "failover" => {
                let failover = failover::failover(node, name, problems);
                draft.failovers.insert(name.value.to_owned(), failover);
            }
            "sync-group" => {
                let group = failover_options::sync_group(node, name, problems);
                draft.sync_groups.insert(name.value.to_owned(), group);
            }
            _ => {
                draft.pools.insert(name.value.to_owned(), pool::pool(node, problems));
            }
        }
    }
    draft
}

/// Makes the error for a name that is taken.
pub fn duplicate(sort: &str, name: &str, span: Span, first: Span) -> Problem {
    Problem::error("duplicate-name", format!("Two {sort}s have the name \"{name}\""))
        .label(span, "declared again")
        .label(first, "declared first")
        .help("Give one of the two another name")
}
