//! `lvsctl check`.

use clap::{Args, ValueEnum};

use super::files::DiskReader;
use super::{ERROR, Output};
use crate::lint;
use crate::source::Severity;
use crate::view::problems;

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For pipelines
    Json,
}

/// What makes a check fail beside errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// Any warning
    Warnings,
}

/// What `lvsctl check` takes.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 no error, 1 an error (or a warning, with --deny warnings).\n\n\
    Example:\n  lvsctl check prod/ --deny warnings")]
pub struct CheckArguments {
    /// The topology: a file, or a folder of *.kdl files
    #[arg(default_value = ".", value_name = "PATH")]
    path: String,
    /// How to print the problems
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    format: Format,
    /// What to treat as an error
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
}

/// Checks.
pub fn run(arguments: &CheckArguments, output: &Output) -> u8 {
    let loaded = lint::load(&arguments.path, &DiskReader);
    let (errors, warnings) = (loaded.problems.count(Severity::Error), loaded.problems.count(Severity::Warning));
    match arguments.format {
        Format::Json => output.result(&problems::json(&loaded.problems, &loaded.sources, loaded.topology.is_some())),
        Format::Human => {
            output.result(&problems::human(&loaded.problems, &loaded.sources, output.paint.colour));
            let verdict = format!("{}: {errors} errors, {warnings} warnings\n", arguments.path);
            output.result(&if errors > 0 { output.paint.bad(&verdict) } else { verdict });
        }
    }
    let failed = errors > 0 || (warnings > 0 && arguments.deny == Some(Deny::Warnings));
    if failed { ERROR } else { 0 }
}
