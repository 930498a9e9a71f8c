//! The `lvsctl` command: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use lvsctl::cli;

fn main() -> ExitCode {
    // In a rehearsal's guest this program is the first process and its worker; it does not come back from that.
    lvsctl::rehearsal::init::run_if_init(lvsctl::rehearsal::guest::rehearse);
    ExitCode::from(cli::run(&cli::Arguments::parse()))
}
