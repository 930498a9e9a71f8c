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

use crate::runner::{Test, count, running, test};
use crate::seed::seed;

/// How many topologies each of the sequences of `make test` goes through.
const CASES: u64 = 12;

/// How many topologies each of the sequences of `make soak` goes through, and what their names begin with.
const SOAK_CASES: u64 = 40;
const SOAK: &str = "random::soak_";

/// After how many topologies everything is taken away and compared with the beginning.
const BETWEEN_DESTROYS: u64 = 20;

/// After how many topologies the hosts are booted again, the first time after half as many.
const BETWEEN_REBOOTS: u64 = 20;

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
    let tests = sequences.into_iter().map(|(name, run)| test(name, run).within(400));
    tests.chain(soak.into_iter().flat_map(soak_parts)).collect()
}

/// Returns the sequences of a long run, which the guests share out between them: each is done in some minutes, so that no guest is
/// left without work before the end. They live as long as the process.
fn soak_parts(cases: u64) -> impl Iterator<Item = Test> {
    let parts = 1..=cases.div_ceil(SOAK_CASES);
    parts.map(|part| test(format!("{SOAK}{part:04}").leak(), run_soak_part).within(SOAK_CASES * 20))
}

fn run_soak_part() {
    let name = running();
    let part: u64 = name.strip_prefix(SOAK).and_then(|number| number.parse().ok()).expect("the number of a part");
    let cases = crate::soak().expect("LVSCTL_SOAK");
    run(100 + part, SOAK_CASES.min(cases - (part - 1) * SOAK_CASES));
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
        count("topologies", 1);
        let end = case + 1 == first + cases;
        let boots = (case + BETWEEN_REBOOTS / 2).is_multiple_of(BETWEEN_REBOOTS);
        let result = result.and_then(|()| {
            if boots {
                count("reboots", 1);
                bench.reboot(&draw.site())?;
            }
            Ok(())
        });
        let result = result.and_then(|()| match end || (case + 1).is_multiple_of(BETWEEN_DESTROYS) {
            true => {
                count("destroys", 1);
                bench.destroy(&draw.site())
            }
            false => Ok(()),
        });
        let Err(problem) = result else {
            previous = Some(draw);
            continue;
        };
        note(&format!("FAILED {problem}"));
        count("failures", 1);
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
