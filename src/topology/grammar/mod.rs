//! The language as tables: every node, argument and property that there is, with its shape and default.
//!
//! The decoder reads documents that [`crate::document::check`] has held against [`LANGUAGE`], `schemas/topology.json` is
//! written from it ([`published`]), and a name that this version does not act on stands here as "later". To add to the
//! language, add a rule here and read it in `decode`.

mod failover;
mod failover_options;
mod failover_text;
mod host;
mod policy;
mod published;
mod service;
mod supervision;
mod text;
mod tuning;

pub use failover_text::is_raw_line;
pub use published::published;
pub use text::{is_host_address, is_password, is_vip};

use crate::document::grammar::{NODE, NodeRule, Occurs, Shape, needed};

/// Every node that may stand at the top of a topology.
pub static LANGUAGE: &[NodeRule] = &[
    NodeRule {
        name: "include",
        summary: "Reads a further file, as if its nodes stood here",
        example: "include \"web.kdl\"",
        occurs: Occurs::Any,
        arguments: &[needed("path", Shape::Text(&text::PATH), "The file, relative to the one that includes it")],
        ..NODE
    },
    host::DIRECTOR,
    host::REAL_SERVER,
    failover::FAILOVER,
    failover_options::SYNC_GROUP,
    failover::EMAIL,
    service::VIP,
    service::POOL,
    policy::POLICY,
];
