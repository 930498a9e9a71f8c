//! JSON Schemas of every document, made from the types that write them.
//!
//! `schemas/NAME.v1.json` holds what [`all`] returns; `tests/schemas.rs` keeps the two equal and holds recorded documents
//! against them. To add a document, derive `JsonSchema` for it and add a line here.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::{apply, plan_json, problems};
use crate::rehearsal::report::Report;

/// Returns the schema of each document with its name.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        ("apply", schema::<apply::ApplyDocument>()),
        ("check", schema::<problems::json::Document<'_>>()),
        ("plan", schema::<plan_json::PlanDocument<'_>>()),
        ("rehearsal", schema::<Report>()),
    ]
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}
