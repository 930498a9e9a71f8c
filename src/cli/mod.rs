//! The command line: one file a command, each of which parses, calls one function, renders, and returns an exit code.
//!
//! Results go to standard output, everything else to standard error.

mod agent;
mod apply;
mod check;
mod compile;
pub mod files;
mod folder;
mod operator;
mod output;
mod plan;
mod progress;
mod recover;
mod rehearse;
mod site;
mod write;

use clap::{Parser, Subcommand, ValueEnum};

pub use output::Output;

/// Exit code of an error, and of a plan that is not complete.
const ERROR: u8 = 1;
/// Exit code of `plan --detailed-exitcode` with changes.
const CHANGES: u8 = 2;
/// Exit code of an apply that a guard refused.
const GUARDED: u8 = 3;
/// Exit code of an apply whose plan is no longer the one that was shown.
const STALE: u8 = 4;

/// Plans, applies and rehearses Linux Virtual Server topologies.
#[derive(Debug, Parser)]
#[command(name = "lvsctl", version, max_term_width = 80)]
#[command(after_help = "Example:\n  lvsctl check prod/ && lvsctl plan prod/ && lvsctl apply prod/")]
pub struct Arguments {
    /// When to use colour: auto, always, never
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN", hide_possible_values = true)]
    pub color: Colour,
    /// What to say on standard error: error, warn, info, debug
    #[arg(long, global = true, value_enum, default_value = "info", value_name = "LEVEL", hide_possible_values = true)]
    pub log: Level,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How much to say on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Errors only
    Error,
    /// Warnings too
    Warn,
    /// Progress too
    Info,
    /// Everything
    Debug,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a topology and report every problem; touch no host
    Check(check::CheckArguments),
    /// Print the native files and commands for each host; touch no host
    Compile(compile::CompileArguments),
    /// Read every host and print what would change; change nothing
    Plan(plan::PlanArguments),
    /// Make the hosts what the topology says, and verify it
    Apply(apply::ApplyArguments),
    /// Take away all that lvsctl put on the hosts
    Destroy(apply::DestroyArguments),
    /// Try a topology in a disposable kernel: plan, apply, requests, failover
    Rehearse(rehearse::RehearseArguments),
    /// Answer and do what a client elsewhere asks for, over standard input and output
    #[command(hide = true)]
    Agent(agent::AgentArguments),
    /// Take back what an apply that died has left on this machine
    #[command(hide = true)]
    Recover(recover::RecoverArguments),
    /// Wait for the confirmation of an apply, and take it back without one
    #[command(hide = true)]
    Watchdog(recover::WatchdogArguments),
}

/// Does what the arguments say and returns the exit code.
pub fn run(arguments: &Arguments) -> u8 {
    let output = Output::new(arguments.color, arguments.log);
    let code = match &arguments.command {
        Command::Check(arguments) => check::run(arguments, &output),
        Command::Compile(arguments) => compile::run(arguments, &output),
        Command::Plan(arguments) => plan::run(arguments, &output),
        Command::Apply(arguments) => apply::run(arguments, &output),
        Command::Destroy(arguments) => apply::destroy(arguments, &output),
        Command::Rehearse(arguments) => rehearse::run(arguments, &output),
        Command::Agent(arguments) => agent::run(arguments, &output),
        Command::Recover(arguments) => recover::run(arguments, &output),
        Command::Watchdog(arguments) => recover::watch(arguments, &output),
    };
    if code == 0 && output.is_cut_off() { ERROR } else { code }
}
