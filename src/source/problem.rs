//! Errors and warnings about a topology, each with the spans it is about and the repair.
//!
//! A reader of the topology emits a [`Problem`] and goes on, so that one run reports every problem. To show one, ask for
//! its [`ProblemReport`], which speaks miette's protocol.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::{SourceMap, Span};

/// Tells an error, which stops the run, from a warning, which does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The topology cannot be used.
    Error,
    /// The topology can be used, and does something that its author may not want.
    Warning,
}

/// Says something about one span.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be said about the place.
    pub text: String,
}

/// Says what is wrong, where, and what repairs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The stable name of the kind of problem, in kebab case.
    pub code: &'static str,
    /// Whether the topology can still be used.
    pub severity: Severity,
    /// What is wrong: sentence case, no final period.
    pub message: String,
    /// The places, the most telling one first.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// Makes an error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, severity: Severity::Error, message: message.into(), labels: Vec::new(), help: None }
    }

    /// Makes a warning without a place.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(code, message) }
    }

    /// Adds a labelled place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Sets the repair.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Ties the problem to the texts that its spans point into.
    pub fn report(&self, sources: &SourceMap) -> ProblemReport {
        ProblemReport::new(self, sources)
    }
}

/// How many problems are kept; a text with more is hardly a topology, and could fill the memory with them.
const MAXIMUM_PROBLEMS: usize = 10_000;

/// Collects problems; order of emission is kept until [`Problems::sort`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    known: HashSet<Problem>,
}

impl Problems {
    /// Adds a problem unless the very same one is there; the last one that fits says that there are more.
    pub fn push(&mut self, problem: Problem) {
        let problem = match self.list.len() {
            MAXIMUM_PROBLEMS.. => return,
            kept if kept + 1 == MAXIMUM_PROBLEMS => {
                Problem::error("too-many-problems", format!("There are more than {MAXIMUM_PROBLEMS} problems"))
                    .help("Repair the first ones; the rest is not reported")
            }
            _ => problem,
        };
        if self.known.insert(problem.clone()) {
            self.list.push(problem);
        }
    }

    /// Takes over the problems of another collection.
    pub fn extend(&mut self, other: Problems) {
        other.list.into_iter().for_each(|problem| self.push(problem));
    }

    /// Tells whether any problem is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Counts errors and warnings.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|problem| problem.severity == severity).count()
    }

    /// Tells whether there is no problem at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Orders the problems by place, so that the same topology always prints the same bytes.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|problem| (problem.labels.first().map(|label| label.span), problem.code));
    }
}

/// A problem with its source text, ready for miette's handlers.
#[derive(Debug)]
pub struct ProblemReport {
    problem: Problem,
    /// Whether this shows a further place of another problem, and is none by itself.
    note: bool,
    source: Option<NamedSource<Arc<str>>>,
    elsewhere: Vec<ProblemReport>,
}

impl ProblemReport {
    fn new(problem: &Problem, sources: &SourceMap) -> Self {
        let home = problem.labels.first().map(|label| label.span.file);
        let (here, away): (Vec<_>, Vec<_>) =
            problem.labels.iter().cloned().partition(|label| Some(label.span.file) == home);
        let elsewhere = away
            .into_iter()
            .map(|label| {
                let place = Label { span: label.span, text: "here".to_owned() };
                let note = Problem { message: label.text, labels: vec![place], help: None, ..problem.clone() };
                ProblemReport { note: true, ..ProblemReport::new(&note, sources) }
            })
            .collect();
        let source = home
            .and_then(|file| sources.get(file))
            .map(|file| NamedSource::new(&file.name, file.shown.clone()).with_language("kdl"));
        ProblemReport { problem: Problem { labels: here, ..problem.clone() }, note: false, source, elsewhere }
    }
}

impl fmt::Display for ProblemReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problem.message)
    }
}

impl std::error::Error for ProblemReport {}

impl Diagnostic for ProblemReport {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.note).then(|| Box::new(self.problem.code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            _ if self.note => miette::Severity::Advice,
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(
            self.problem
                .labels
                .iter()
                .map(|label| LabeledSpan::new(Some(label.text.clone()), label.span.offset, label.span.length)),
        ))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        (!self.elsewhere.is_empty())
            .then(|| Box::new(self.elsewhere.iter().map(|report| report as &dyn Diagnostic)) as Box<_>)
    }
}
