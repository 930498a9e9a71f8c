//! `lvsctl rehearse`.

use std::time::Duration;

use clap::Args;

use super::files::DiskReader;
use super::plan::Format;
use super::{ERROR, Level, Output};
use crate::rehearsal;
use crate::rehearsal::request::Request;
use crate::view::rehearsal as view;

/// What `lvsctl rehearse` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing of this machine is touched, and no secret is looked up.\n\nExit status: 0 everything is as it should \
    be, 1 it is not, or an error.\n\nExample:\n  lvsctl rehearse prod/ --requests 1000"
)]
pub struct RehearseArguments {
    /// The topology: a file, or a folder of *.kdl files
    #[arg(default_value = ".", value_name = "PATH")]
    path: String,
    /// How many requests each port of each service gets
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// When to give up, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// How to print the report: human, json
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT", hide_possible_values = true)]
    format: Format,
}

/// Rehearses.
pub fn run(arguments: &RehearseArguments, output: &Output) -> u8 {
    let (mut loaded, request) = Request::load(&arguments.path, arguments.requests, &DiskReader);
    let problem = loaded.topology.as_ref().and_then(|topology| super::site::no_host(topology, &arguments.path));
    let is_refused = problem.is_some();
    problem.into_iter().for_each(|problem| loaded.problems.push(problem));
    super::site::show(&loaded.problems, &loaded.sources, output);
    let Some(topology) = loaded.topology.filter(|_| !is_refused) else { return ERROR };
    let timeout = Duration::from_secs(arguments.timeout);
    let told = rehearsal::rehearse(&request, topology.hosts.len(), timeout, &mut |line| {
        output.message(Level::Info, &output.messages.faint(line));
    });
    let report = match told {
        Ok(report) => report,
        Err(error) => {
            output.error(&error.to_string(), error.help().as_deref());
            return ERROR;
        }
    };
    match arguments.format {
        Format::Human => output.result(&view::human(&report, output.paint)),
        Format::Json => output.json(&report),
    }
    if report.passed { 0 } else { ERROR }
}
