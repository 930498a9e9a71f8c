//! Random topologies on the real kernel: one applied, then the next over the same hosts, then the next.
//!
//! After each the kernel must be as the topology says, read with the usual tools and judged by a meaning of its own
//! ([`expected`], not the compiler), a further plan must be empty, and what is somebody else's must be as it was. Now and
//! then everything is taken away, and the hosts must be as before the first topology. See docs/testing.md for seeds.

mod bench;
mod configuration;
mod expected;
mod expected_server;
mod generate;
mod knobs;
mod progress;
mod reading;
mod relatives;
mod report;
mod resolve;
mod rig;
mod site;
mod state;
mod watch;
mod writing;

use bench::{Bench, Tally};
use generate::{Draw, drawn};
use progress::note;
use report::report;

use crate::runner::{Test, test};
use crate::seed::seed;

/// How many topologies each of the sequences of `make test` goes through.
const CASES: u64 = 6;

/// After how many topologies everything is taken away and compared with the beginning.
const BETWEEN_DESTROYS: u64 = 20;

/// After how many topologies the hosts are booted again, the first time after half as many.
const BETWEEN_REBOOTS: u64 = 20;

/// After how many topologies a word is said.
const BETWEEN_REPORTS: u64 = 50;

/// How many failures are worth hearing of in one run.
const FAILURES: usize = 5;

pub fn tests(soak: Option<u64>) -> Vec<Test> {
    // The guests share the sequences out between them.
    let sequences: [(&str, fn()); 8] = [
        ("random::topologies_follow_each_other_1", || run(1, CASES)),
        ("random::topologies_follow_each_other_2", || run(2, CASES)),
        ("random::topologies_follow_each_other_3", || run(3, CASES)),
        ("random::topologies_follow_each_other_4", || run(4, CASES)),
        ("random::topologies_follow_each_other_5", || run(5, CASES)),
        ("random::topologies_follow_each_other_6", || run(6, CASES)),
        ("random::topologies_follow_each_other_7", || run(7, CASES)),
        ("random::topologies_follow_each_other_8", || run(8, CASES)),
    ];
    let mut tests: Vec<Test> = sequences.into_iter().map(|(name, run)| test(name, run).within(400)).collect();
    if let Some(cases) = soak {
        let cases = cases.div_ceil(2);
        let halves: [(&str, fn()); 2] = [("random::soak_1", || soak_run(1)), ("random::soak_2", || soak_run(2))];
        tests.extend(halves.into_iter().map(|(name, run)| test(name, run).within(300 + cases * 20)));
    }
    tests
}

fn soak_run(part: u64) {
    run(100 + part, crate::soak().expect("LVSCTL_SOAK").div_ceil(2));
}

/// Runs so many cases from a seed that is printed; each part of the same seed has cases of its own.
fn run(part: u64, cases: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = seed();
    let first = number("LVSCTL_TEST_FIRST").unwrap_or(0);
    let cases = number("LVSCTL_TEST_CASES").unwrap_or(cases);
    println!("seed {seed}: {cases} topologies (again with LVSCTL_TEST_SEED={seed})");
    let mut failures = Vec::new();
    let mut bench = Bench::new();
    let mut previous: Option<Draw> = None;
    let mut tally = Tally::default();
    for case in first..first + cases {
        let draw = drawn((seed, part), case);
        note(&format!("case {case}"));
        let result = bench.step(&draw.site(), &mut tally);
        let end = case + 1 == first + cases;
        let boots = (case + BETWEEN_REBOOTS / 2).is_multiple_of(BETWEEN_REBOOTS);
        let result = result.and_then(|()| {
            if boots {
                bench.reboot(&draw.site())?;
            }
            Ok(())
        });
        let result = result.and_then(|()| match end || (case + 1).is_multiple_of(BETWEEN_DESTROYS) {
            true => bench.destroy(&draw.site()),
            false => Ok(()),
        });
        let Err(problem) = result else {
            previous = Some(draw);
            if (case + 1).is_multiple_of(BETWEEN_REPORTS) {
                println!("{} topologies", case + 1 - first);
            }
            continue;
        };
        note(&format!("FAILED {problem}"));
        drop(bench);
        report(seed, case, previous.as_ref(), &draw, &problem);
        failures.push(format!("case {case}: {}", problem.lines().next().unwrap_or_default()));
        if failures.len() >= FAILURES {
            break;
        }
        bench = Bench::new();
        previous = None;
    }
    println!("{tally:#?}");
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
}
