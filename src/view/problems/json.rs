//! Problems as one JSON document of our own, whose version only changes with its form.

use schemars::JsonSchema;
use serde::Serialize;

use super::level;
use crate::source::{Problem, Problems, Severity, SourceMap};

/// The document that `lvsctl check --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Document<'a> {
    /// The version of this format.
    pub format_version: &'static str,
    /// The version of lvsctl.
    pub lvsctl_version: &'static str,
    /// Whether everything could be looked at.
    pub complete: bool,
    /// The problems, by place.
    pub diagnostics: Vec<Diagnostic<'a>>,
    /// How many there are.
    pub summary: Summary,
}

/// A problem as JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnostic<'a> {
    /// The stable name of the kind of problem.
    pub code: &'a str,
    /// `error` or `warning`.
    #[schemars(extend("enum" = ["error", "warning"]))]
    pub severity: &'static str,
    /// What is wrong.
    pub message: &'a str,
    /// What to write instead.
    pub help: Option<&'a str>,
    /// The places, the most telling one first.
    pub labels: Vec<Place<'a>>,
}

/// A place as JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Place<'a> {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The first byte, counted from 0.
    pub offset: usize,
    /// How many bytes.
    pub length: usize,
    /// What is to be said about the place.
    pub text: &'a str,
}

/// How many problems there are.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// What makes the topology unusable.
    pub errors: usize,
    /// What does not.
    pub warnings: usize,
}

/// Renders problems as one JSON document; `complete` tells whether everything could be looked at.
pub fn json(problems: &Problems, sources: &SourceMap, complete: bool) -> String {
    let document = Document {
        format_version: crate::view::FORMAT_VERSION,
        lvsctl_version: env!("CARGO_PKG_VERSION"),
        complete,
        diagnostics: diagnostics(problems, sources),
        summary: Summary { errors: problems.count(Severity::Error), warnings: problems.count(Severity::Warning) },
    };
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

/// Returns problems as they stand in every JSON document.
pub fn diagnostics<'a>(problems: &'a Problems, sources: &SourceMap) -> Vec<Diagnostic<'a>> {
    problems.iter().map(|problem| diagnostic(problem, sources)).collect()
}

fn diagnostic<'a>(problem: &'a Problem, sources: &SourceMap) -> Diagnostic<'a> {
    let place = |label: &'a crate::source::Label| {
        sources.position(label.span).map(|position| Place {
            file: position.file,
            line: position.line,
            column: position.column,
            offset: label.span.offset,
            length: label.span.length,
            text: &label.text,
        })
    };
    Diagnostic {
        code: problem.code,
        severity: level(problem.severity),
        message: &problem.message,
        help: problem.help.as_deref(),
        labels: problem.labels.iter().filter_map(place).collect(),
    }
}
