//! Turns plans, reports and problems into text: for people, and as versioned JSON.
//!
//! Views know the types of plans and reports and nothing else; the JSON documents have structs of their own, so that a
//! change of the types inside never changes what a pipeline reads.

pub mod apply;
pub mod columns;
pub mod describe;
pub mod paint;
pub mod plan_changes;
pub mod plan_human;
pub mod plan_json;
pub mod problems;
pub mod rehearsal;
pub mod resource_json;
pub mod schema;
pub mod textdiff;
pub mod traffic;

/// The version of every JSON document; a minor version only adds.
pub const FORMAT_VERSION: &str = "1.0";
