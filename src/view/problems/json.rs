//! Problems as one JSON document of our own, whose version only changes with its form.

use serde::Serialize;

use super::level;
use crate::source::{Problem, Problems, Severity, SourceMap};

#[derive(Serialize)]
struct Document<'a> {
    format_version: &'static str,
    lvsctl_version: &'static str,
    complete: bool,
    diagnostics: Vec<Diagnostic<'a>>,
    summary: Summary,
}

/// A problem as JSON.
#[derive(Debug, Serialize)]
pub struct Diagnostic<'a> {
    /// The stable name of the kind of problem.
    pub code: &'a str,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: &'a str,
    /// What to write instead.
    pub help: Option<&'a str>,
    /// The places, the most telling one first.
    pub labels: Vec<Place<'a>>,
}

/// A place as JSON.
#[derive(Debug, Serialize)]
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

#[derive(Serialize)]
struct Summary {
    errors: usize,
    warnings: usize,
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
