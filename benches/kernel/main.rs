//! How fast lvsctl is, beside the tools that do the same: `make bench`, never part of `make test`.
//!
//! Each figure stands beside what it is compared with, measured in the same run in the same disposable kernel, so that the
//! ratios mean something on any machine. `docs/performance.md` holds a run.

#![allow(clippy::disallowed_methods)]

mod commands;
mod imagined;
mod raw;
mod site;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lvsctl::rehearsal::distribution::DistributionKernel;
use lvsctl::rehearsal::init::{Guest, run_if_init};
use lvsctl::rehearsal::kernel::Kernel;
use lvsctl::rehearsal::prerequisites;
use lvsctl::rehearsal::vm::Machine;
use serde::{Deserialize, Serialize};

/// Where tools/fetch-kernel puts the distribution's kernel.
const DISTRIBUTION_KERNEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/distribution-kernel");

/// How many services the smaller and the larger site have; each has [`site::SERVERS`] destinations.
const SERVICES: usize = 2000;
const MANY_SERVICES: usize = 10_000;

/// A guest's memory in mebibytes; the larger site is planned in it.
const MEMORY: u32 = 3072;

/// When to give up.
const TIMEOUT: Duration = Duration::from_secs(1800);

#[derive(Serialize, Deserialize)]
struct Request {
    /// The sites whose commands are measured, in services.
    sites: Vec<usize>,
    /// How often the shorter measurements are made; the best counts.
    rounds: u32,
}

fn main() -> ExitCode {
    if let Some(code) = commands::run_if_lvsctl() {
        return code;
    }
    if let Some(code) = imagined::run_if_imagined() {
        return code;
    }
    run_if_init(measure);
    // `--user-mode`, `--distribution` and `--imagined` take one part only.
    let wanted = |name: &str| {
        !std::env::args().any(|argument| argument.starts_with("--") && argument != name && argument != "--bench")
    };
    if wanted("--imagined") {
        println!("\nthis machine, with a host in memory\n");
        let tell = |line: String| {
            println!("{line}");
            Ok(())
        };
        if let Err(error) = imagined::measure(&[SERVICES, MANY_SERVICES], &tell) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    if !["--user-mode", "--distribution"].into_iter().any(wanted) {
        return ExitCode::SUCCESS;
    }
    let lists =
        [prerequisites::USER_MODE, prerequisites::DISTRIBUTION, prerequisites::GUEST, prerequisites::KERNEL_TESTS];
    if let Err(error) = prerequisites::check(&lists) {
        eprintln!("error: {error}\n  help: {}", error.help());
        return ExitCode::FAILURE;
    }
    let distribution = match DistributionKernel::find(Path::new(DISTRIBUTION_KERNEL)) {
        Ok(kernel) => Kernel::Distribution(kernel),
        Err(error) => {
            eprintln!("error: {error}\n  help: tools/fetch-kernel");
            return ExitCode::FAILURE;
        }
    };
    let kernels = [
        ("User Mode Linux", "--user-mode", Kernel::UserMode, vec![SERVICES, MANY_SERVICES]),
        ("a distribution's kernel under emulation", "--distribution", distribution, vec![SERVICES]),
    ];
    for (title, _, kernel, sites) in kernels.into_iter().filter(|(_, option, ..)| wanted(option)) {
        println!("\n{title}\n");
        let machine = Machine { kernel, memory: MEMORY, timeout: TIMEOUT };
        if let Err(error) = machine.run(&Request { sites, rounds: 6 }, &mut |line: String| println!("{line}")) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The guest's part.
fn measure(guest: &Guest) -> Result<(), String> {
    let request: Request = guest.request()?;
    let tell = |line: String| guest.emit(line);
    site::lay_out(site::NAMESPACE)?;
    table::measure(SERVICES, request.rounds, &tell)?;
    commands::measure(&request.sites, &tell)
}
