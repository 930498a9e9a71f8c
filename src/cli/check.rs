//! `lvsctl check`.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use super::files::DiskReader;
use super::{ERROR, Output};
use crate::compile::compile;
use crate::source::Severity;
use crate::topology::{Loaded, SecretValues};
use crate::view::problems;
use crate::{kinds, lint};

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For pipelines
    Json,
    /// As annotations of a GitHub workflow
    Github,
    /// As SARIF 2.1.0, for code scanning
    Sarif,
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
    /// How to print the problems: human, json, github, sarif
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT", hide_possible_values = true)]
    format: Format,
    /// What to treat as an error: warnings
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    deny: Option<Deny>,
}

/// Checks.
pub fn run(arguments: &CheckArguments, output: &Output) -> u8 {
    let mut loaded = lint::load(&arguments.path, &DiskReader);
    if let Some(topology) = &loaded.topology {
        // Some mistakes only show in what a topology compiles to, such as two gateways for one real server.
        let site = kinds::Site { topology, facts: &BTreeMap::new(), secrets: &SecretValues::default() };
        compile(&site, &mut loaded.problems);
        super::site::no_host(topology, &arguments.path).into_iter().for_each(|problem| loaded.problems.push(problem));
        loaded.problems.sort();
    }
    let Loaded { topology, sources, problems: found } = &loaded;
    let (errors, warnings) = (found.count(Severity::Error), found.count(Severity::Warning));
    match arguments.format {
        Format::Json => output.result(&problems::json(found, sources, topology.is_some())),
        Format::Github => output.result(&problems::github(found, sources)),
        Format::Sarif => output.result(&problems::sarif(found, sources)),
        Format::Human => {
            super::site::show(found, sources, output);
            let verdict = match problems::summary(found) {
                Some(summary) => format!("{}: {summary}\n", arguments.path),
                None => format!("{}: no problem\n", arguments.path),
            };
            output.result(&if errors > 0 { output.paint.bad(&verdict) } else { verdict });
        }
    }
    let failed = errors > 0 || (warnings > 0 && arguments.deny == Some(Deny::Warnings));
    if failed { ERROR } else { 0 }
}
