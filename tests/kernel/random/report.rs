//! What is said of a failure: whether it needs its history, and how little of it is enough.

use std::time::{Duration, Instant};

use super::bench::{Bench, Tally};
use super::generate::Draw;
use super::rig::Rig;
use super::writing;
use crate::runner::TEST_VARIABLE;

/// How long smaller failures are looked for.
const SHRINKING: Duration = Duration::from_secs(90);

/// Says what failed, and then whether it fails without the history before it, and how little of it is enough.
pub fn report(seed: u64, case: u64, previous: Option<&Draw>, draw: &Draw, problem: &str) {
    let name = std::env::var(TEST_VARIABLE).unwrap_or_default();
    // Looking for less takes a while, and may come to no end.
    println!(
        "seed {seed} case {case} FAILED ({name} with LVSCTL_TEST_SEED={seed} LVSCTL_TEST_FIRST={} LVSCTL_TEST_CASES=2)\n\
         {problem}",
        case.saturating_sub(1)
    );
    let start = |text: &str| text.chars().take(30).collect::<String>();
    let alone = |previous: Option<&Draw>, draw: &Draw| {
        let mut bench = Bench::new();
        let mut tally = Tally::default();
        let first = previous.map_or(Ok(()), |previous| bench.step(&previous.site(), &mut tally));
        first
            .and_then(|()| bench.step(&draw.site(), &mut tally))
            .and_then(|()| bench.destroy(&draw.site()))
            .err()
            .filter(|other| start(other) == start(problem))
    };
    let (mut one, mut two) = (previous.cloned(), draw.clone());
    let mut told = alone(one.as_ref(), &two);
    let fails_alone = told.is_some();
    let limit = Instant::now() + SHRINKING;
    let mut shrinking = fails_alone;
    while shrinking && Instant::now() < limit {
        let without = one.iter().map(|_| (None, two.clone()));
        let less_before = one.iter().flat_map(Draw::simpler).map(|less| (Some(less), two.clone()));
        let less_after = two.simpler().into_iter().map(|less| (one.clone(), less));
        let mut tries = without.chain(less_before).chain(less_after).collect::<Vec<_>>().into_iter();
        let smaller = tries.find_map(|(one, two)| {
            let problem = (Instant::now() < limit).then(|| alone(one.as_ref(), &two)).flatten()?;
            Some((one, two, problem))
        });
        shrinking = smaller.is_some();
        if let Some(smaller) = smaller {
            (one, two, told) = (smaller.0, smaller.1, Some(smaller.2));
        }
    }
    let ground = Rig::new().ground.clone();
    let kdl = |draw: &Draw| writing::files(&draw.site(), &ground).concat();
    let before = one.as_ref().map_or("(nothing)".to_owned(), kdl);
    let problem_alone = told.unwrap_or_default();
    let after = kdl(&two);
    println!(
        "it fails alone: {fails_alone}\n--- first\n{before}\n--- then\n{after}\n--- which alone comes to\n{problem_alone}\n"
    );
}
