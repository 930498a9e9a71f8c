//! Problems for people, for programs and for code review.

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use crate::source::{Problem, Problems, Severity, SourceMap};

/// The width that human output is laid out for.
const WIDTH: usize = 80;

/// Renders problems for a terminal, each with its lines of source.
pub fn human(problems: &Problems, sources: &SourceMap, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false).with_context_lines(1);
    let mut text = String::new();
    for problem in problems.iter() {
        if handler.render_report(&mut text, &problem.report(sources)).is_err() {
            // The handler fails where a span does not fit its text; the message is worth more than the picture.
            text.push_str(&problem.message);
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

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
        format_version: super::FORMAT_VERSION,
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
        severity: match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &problem.message,
        help: problem.help.as_deref(),
        labels: problem.labels.iter().filter_map(place).collect(),
    }
}
