//! Runs kernel tests in two guests a processor and prints them the way libtest does.
//!
//! There are two kernels. A test runs in User Mode Linux; one that is made with [`Test::on_both_kernels`] runs once more,
//! as `distribution::NAME`, on a distribution's kernel with iptables-nft, and one with [`Test::on_distribution_kernel`]
//! only there. It is for the cases in which that kernel differs: emulation is slow.
//!
//! `declared` is what a test says of itself, `options` what the command line asks for, and `guest` runs the tests in the guest.
//! Here the host deals them out.
//!
//! A test is a process of its own in the guest: what it prints is its own, a panic is an exit status, and one that hangs
//! is killed at its deadline. Whatever namespaces, daemons and files it left go with it.

mod declared;
mod guest;
mod options;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::rehearsal::distribution::DistributionKernel;
use lvsctl::rehearsal::kernel::Kernel;
use lvsctl::rehearsal::prerequisites;
use lvsctl::rehearsal::vm::{Machine, MachineError, Outcome};

use crate::carried::Carried;
use crate::seed::{SEED_VARIABLE, seed};

pub use declared::{Test, test};
pub use guest::{TEST_VARIABLE, run_if_test, run_in_guest, running};

use guest::{Finished, Request};
use options::Options;

/// How much longer than its deadline a test may take, for machines that do something else as well.
const SLACK: u32 = 4;

/// The variable that asks for the long test and says how long; without it there is no such test.
pub const SOAK_VARIABLE: &str = "LVSCTL_SOAK";

/// The variables of the host that tests may read: those that begin with one of these.
const PASSED_ON: &[&str] = &["PROPTEST_", "LVSCTL_TEST_", SOAK_VARIABLE, "RUST_BACKTRACE"];

/// How long all tests together may take, unless one of them alone may take longer or `LVSCTL_TEST_TIMEOUT` says how many
/// seconds.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// Where tools/fetch-kernel puts the distribution's kernel.
const DISTRIBUTION_KERNEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/distribution-kernel");

/// The kernels' memory in mebibytes; the emulated one begins with its initial root in it, twice for a moment.
const USER_MODE_MEMORY: u32 = 1024;
const DISTRIBUTION_MEMORY: u32 = 1024;

/// Runs the tests that the command line asks for; what cargo and libtest know, as far as it makes sense here.
pub fn run_on_host(tests: &[Test]) -> ExitCode {
    let options = Options::parse(std::env::args().skip(1));
    let chosen: Vec<&Test> = tests.iter().filter(|test| options.takes(test.name)).collect();
    if options.list {
        chosen.iter().for_each(|test| println!("{}: test", test.name));
        println!("\n{} tests, 0 benchmarks", chosen.len());
        return ExitCode::SUCCESS;
    }
    let mut lists = vec![prerequisites::GUEST, prerequisites::REHEARSAL, prerequisites::KERNEL_TESTS];
    let is_emulated = chosen.iter().any(|test| test.is_emulated());
    lists.extend(is_emulated.then_some(prerequisites::DISTRIBUTION));
    lists.extend(chosen.iter().any(|test| !test.is_emulated()).then_some(prerequisites::USER_MODE));
    if let Err(error) = prerequisites::check(&lists) {
        eprintln!("error: {error}\n  help: {}", error.help());
        return ExitCode::FAILURE;
    }
    if let Err(error) = distribution_kernel().map(drop)
        && is_emulated
    {
        eprintln!("error: {error}\n  help: tools/fetch-kernel");
        return ExitCode::FAILURE;
    }
    if chosen.is_empty() {
        println!(
            "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; {} filtered out\n",
            tests.len()
        );
        return ExitCode::SUCCESS;
    }
    let guests = options.guests.min(chosen.len());
    println!("\nrunning {} tests in {guests} disposable kernels", chosen.len());
    println!("random topologies have the seed {} (again with {SEED_VARIABLE}={0})", seed());
    let started = Instant::now();
    let finished: Mutex<Vec<Finished>> = Mutex::default();
    let waiting = Mutex::new(shares(&chosen, guests).into_iter());
    let next = || waiting.lock().expect("no panic").next();
    let outcomes: Vec<Result<Outcome, MachineError>> = thread::scope(|scope| {
        let work = || std::iter::from_fn(next).map(|share| run_guest(&share, &finished)).collect::<Vec<_>>();
        let running: Vec<_> = (0..guests).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    let finished = finished.into_inner().expect("no panic");
    summarise(&options, &chosen, tests.len(), &finished, &outcomes, started.elapsed())
}

/// How many guests are booted after each other where one would do: whoever is done early takes the next. An emulated one
/// takes long to boot.
const ROUNDS: usize = 6;

/// Deals the tests out so that every guest has about as much to do, the longest first; those that want a guest of their
/// own come first.
fn shares<'a>(chosen: &[&'a Test], guests: usize) -> Vec<Vec<&'a Test>> {
    let (alone, together): (Vec<&Test>, Vec<&Test>) = chosen.iter().partition(|test| test.alone);
    let mut shares: Vec<Vec<&Test>> = alone.into_iter().map(|test| vec![test]).collect();
    let (mut emulated, mut user_mode): (Vec<&Test>, Vec<&Test>) = together.iter().partition(|test| test.is_emulated());
    for (tests, rounds) in [(&mut emulated, 1), (&mut user_mode, ROUNDS)] {
        tests.sort_by_key(|test| std::cmp::Reverse(test.deadline));
        let mut hands: Vec<Vec<&Test>> = vec![Vec::new(); guests * rounds];
        for test in tests {
            let length = |hand: &Vec<&Test>| hand.iter().map(|test| test.deadline).sum::<Duration>();
            if let Some(hand) = hands.iter_mut().min_by_key(|hand| length(hand)) {
                hand.push(test);
            }
        }
        shares.extend(hands.into_iter().filter(|hand| !hand.is_empty()));
    }
    shares
}

fn distribution_kernel() -> Result<Kernel, String> {
    DistributionKernel::find(Path::new(DISTRIBUTION_KERNEL))
        .map(Kernel::Distribution)
        .map_err(|error| error.to_string())
}

fn run_guest(share: &[&Test], finished: &Mutex<Vec<Finished>>) -> Result<Outcome, MachineError> {
    let mut halves = Vec::new();
    let outcome = boot(share, None, &mut |test: Finished| {
        let goes_on = share.iter().find(|one| one.name == test.name && one.after_reboot.is_some());
        match goes_on.filter(|_| test.failure.is_none()) {
            Some(one) => halves.push((*one, test)),
            None => finish(test, finished),
        }
    })?;
    for (test, first) in halves {
        let Finished { carried, output, milliseconds, .. } = first;
        boot(&[test], Some(carried), &mut |second: Finished| {
            let output = format!("{output}---- rebooted ----\n{}", second.output);
            finish(Finished { output, milliseconds: milliseconds + second.milliseconds, ..second }, finished);
        })?;
    }
    Ok(outcome)
}

fn finish(test: Finished, finished: &Mutex<Vec<Finished>>) {
    let verdict = if test.failure.is_some() { "FAILED" } else { "ok" };
    println!("test {} ... {verdict} ({:.2}s)", test.name, test.milliseconds as f64 / 1000.0);
    finished.lock().expect("no panic").push(test);
}

fn boot(
    share: &[&Test],
    rebooted: Option<Vec<Carried>>,
    on_end: &mut dyn FnMut(Finished),
) -> Result<Outcome, MachineError> {
    let passed_on = |name: &String| PASSED_ON.iter().any(|start| name.starts_with(start)) && name != SEED_VARIABLE;
    let seed = (SEED_VARIABLE.to_owned(), seed().to_string());
    let variables = std::env::vars().filter(|(name, _)| passed_on(name)).chain([seed]).collect();
    let request = Request {
        names: share.iter().map(|test| test.name.to_owned()).collect(),
        folder: std::env::current_dir().unwrap_or_else(|_| "/".into()),
        variables,
        rebooted,
    };
    let seconds = std::env::var("LVSCTL_TEST_TIMEOUT").ok().and_then(|text| text.parse().ok());
    let longest = share.iter().map(|test| test.deadline).max().unwrap_or_default();
    let timeout = seconds.map_or(TIMEOUT + longest * SLACK, Duration::from_secs);
    let (memory, kernel) = match share.iter().any(|test| test.is_emulated()) {
        true => (DISTRIBUTION_MEMORY, distribution_kernel().expect("it was there a moment ago")),
        false => (USER_MODE_MEMORY, Kernel::UserMode),
    };
    let machine = Machine { kernel, memory, timeout };
    machine.run(&request, on_end)
}

fn summarise(
    options: &Options,
    chosen: &[&Test],
    all: usize,
    finished: &[Finished],
    outcomes: &[Result<Outcome, MachineError>],
    took: Duration,
) -> ExitCode {
    let failed: Vec<&Finished> = finished.iter().filter(|test| test.failure.is_some()).collect();
    if options.nocapture {
        finished.iter().for_each(|test| println!("\n---- {} ----\n{}", test.name, test.output));
    }
    for outcome in outcomes {
        match outcome {
            Ok(outcome) if failed.is_empty() => println!("guest up after {:.2}s", outcome.boot.as_secs_f64()),
            Ok(outcome) => println!("\na guest's console:\n{}", outcome.console),
            Err(error) => println!("\nerror: {error}"),
        }
    }
    // What failed comes last: of a long output often only the end is kept.
    if !failed.is_empty() {
        println!("\nfailures:");
    }
    for test in &failed {
        println!("\n---- {} ----\n{}\n{}", test.name, test.output, test.failure.as_deref().unwrap_or_default());
    }
    let lost: Vec<&str> =
        chosen.iter().map(|test| test.name).filter(|name| !finished.iter().any(|test| test.name == *name)).collect();
    println!();
    failed.iter().for_each(|test| println!("{}: {}", test.name, test.failure.as_deref().unwrap_or_default()));
    lost.iter().for_each(|name| println!("{name}: did not run to its end"));
    let is_good = failed.is_empty() && lost.is_empty() && outcomes.iter().all(Result::is_ok);
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if is_good { "ok" } else { "FAILED" },
        finished.len() - failed.len(),
        failed.len() + lost.len(),
        all - chosen.len(),
        took.as_secs_f64()
    );
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
