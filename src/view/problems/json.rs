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

#[derive(Serialize)]
struct Diagnostic<'a> {
    code: &'a str,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    labels: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: String,
    line: usize,
    column: usize,
    offset: usize,
    length: usize,
    text: &'a str,
}

#[derive(Serialize)]
struct Summary {
    errors: usize,
    warnings: usize,
}

/// Renders problems as one JSON document; `complete` tells whether everything could be looked at.
pub fn json(problems: &Problems, sources: &SourceMap, complete: bool) -> String {
    let document = Document {
        format_version: "1.0",
        lvsctl_version: env!("CARGO_PKG_VERSION"),
        complete,
        diagnostics: problems.iter().map(|problem| diagnostic(problem, sources)).collect(),
        summary: Summary { errors: problems.count(Severity::Error), warnings: problems.count(Severity::Warning) },
    };
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
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
