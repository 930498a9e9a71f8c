//! The tables in machine-readable form, for editors and generators.

use serde_json::{Value, json};

use super::LANGUAGE;
use crate::document::grammar::{NodeRule, Shape, ValueRule};
use crate::document::shape::show;

/// Returns the whole language as JSON, as `schemas/topology.json` holds it.
pub fn published() -> Value {
    json!({ "format_version": "1.0", "nodes": LANGUAGE.iter().map(node).collect::<Vec<_>>() })
}

fn node(rule: &NodeRule) -> Value {
    let mut published = json!({
        "name": rule.name,
        "summary": rule.summary,
        "supported": rule.supported,
    });
    if let (true, Some(fields)) = (rule.supported, published.as_object_mut()) {
        fields.insert("occurs".into(), rule.occurs.as_str().into());
        fields.insert("example".into(), rule.example.into());
        fields.insert("default".into(), rule.default.into());
        fields.insert("arguments".into(), rule.arguments.iter().map(value).collect());
        fields.insert("properties".into(), rule.properties.iter().map(value).collect());
        fields.insert("children".into(), rule.children.iter().map(node).collect());
    }
    published
}

fn value(rule: &ValueRule) -> Value {
    let mut published = json!({ "name": rule.name, "summary": rule.summary, "supported": rule.supported });
    if let (true, Some(fields)) = (rule.supported, published.as_object_mut()) {
        fields.insert("occurs".into(), rule.occurs.as_str().into());
        fields.insert("default".into(), rule.default.into());
        fields.insert("value".into(), shape(rule.shape));
    }
    published
}

fn shape(shape: Shape) -> Value {
    match shape {
        Shape::Text(rule) => json!({ "sort": "string", "what": rule.what, "rule": rule.rule }),
        Shape::TextOrNumber(rule) => json!({ "sort": "string-or-integer", "what": rule.what, "rule": rule.rule }),
        Shape::Word(choices) => {
            let words = |supported| -> Value {
                choices.iter().filter(|choice| choice.supported == supported).map(|choice| choice.name).collect()
            };
            json!({ "sort": "word", "words": words(true), "words_not_supported_yet": words(false) })
        }
        Shape::Integer { least, most } => {
            json!({ "sort": "integer", "minimum": i64::try_from(least).ok(), "maximum": i64::try_from(most).ok() })
        }
        Shape::Flag => json!({ "sort": "boolean" }),
        Shape::Duration { least, step } => {
            json!({ "sort": "duration", "minimum": show(least), "multiple_of": show(step) })
        }
        Shape::Secret(rule) => json!({ "sort": "secret", "annotations": ["env", "file"], "rule": rule.rule }),
    }
}
