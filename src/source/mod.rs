//! Where text came from, so that every later complaint can point at it.
//!
//! A [`Span`] names bytes of a [`SourceFile`] in the [`SourceMap`]; a [`Spanned`] value carries one without letting it
//! take part in comparison; a [`Problem`] is an error or a warning about one or more spans. [`plain`] makes text that came from
//! elsewhere fit for a terminal. Nothing here reads a file.

mod file;
pub mod plain;
mod problem;
mod span;

pub use file::{FileId, Position, SourceFile, SourceMap};
pub use problem::{Label, Problem, ProblemReport, Problems, Severity};
pub use span::{Span, Spanned};
