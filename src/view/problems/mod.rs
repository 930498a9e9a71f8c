//! Problems for people, for programs and for code review, one file a form.

mod github;
pub mod json;
mod sarif;

pub use github::github;
pub use json::{Diagnostic, Place, diagnostics, json};
pub use sarif::sarif;

use crate::source::{Problems, Severity, SourceMap};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// The width that human output is laid out for.
const WIDTH: usize = 80;

/// How many problems people are shown; each costs a walk over its file.
const MAXIMUM_SHOWN: usize = 500;

/// Renders problems for a terminal, each with its lines of source.
pub fn human(problems: &Problems, sources: &SourceMap, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false).with_context_lines(1);
    let mut text = String::new();
    for problem in problems.iter().take(MAXIMUM_SHOWN) {
        if handler.render_report(&mut text, &problem.report(sources)).is_err() {
            // The handler fails where a span does not fit its text; the message is worth more than the picture.
            text.push_str(&problem.message);
            text.push('\n');
        }
        text.push('\n');
    }
    if let Some(more @ 1..) = problems.iter().len().checked_sub(MAXIMUM_SHOWN) {
        text.push_str(&format!(
            "{more} further problems are not shown; repair these first, or use a machine-readable form\n"
        ));
    }
    text
}

/// Counts the problems in a sentence, or returns `None` if there are none.
pub fn summary(problems: &Problems) -> Option<String> {
    let count = |severity, word: &str| match problems.count(severity) {
        0 => None,
        1 => Some(format!("1 {word}")),
        more => Some(format!("{more} {word}s")),
    };
    let counts: Vec<String> =
        [count(Severity::Error, "error"), count(Severity::Warning, "warning")].into_iter().flatten().collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
