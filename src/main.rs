//! The `lvsctl` command: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use lvsctl::cli;

fn main() -> ExitCode {
    ExitCode::from(cli::run(&cli::Arguments::parse()))
}
