//! Random topologies on the real kernel: one applied, then the next over the same hosts, then the next.
//!
//! After each the kernel must be as the topology says, read with the usual tools and judged by a meaning of its own
//! ([`expected`], not the compiler), a further plan must be empty, and what is somebody else's must be as it was. Now and
//! then everything is taken away, and the hosts must be as before the first topology. See docs/testing.md for seeds.

mod expected;
mod generate;
mod reading;
mod rig;
mod site;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lvsctl::apply::{self, OnFailure, Outcome};
use lvsctl::document::ReadSource;
use lvsctl::source::Severity;
use lvsctl::survey::{Goal, Survey, Surveyed};
use lvsctl::topology::{SecretValues, Topology};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::runner::{Test, test};
use generate::Draw;
use rig::{FOREIGN_LOOPBACK, Rig, Snapshot};
use site::Site;
use state::State;

/// How many topologies each of the sequences of `make test` goes through.
const CASES: u64 = 25;

/// After how many topologies everything is taken away and compared with the beginning.
const BETWEEN_DESTROYS: u64 = 20;

/// How many failures are worth hearing of in one run.
const FAILURES: usize = 5;

/// How long the directors may take to agree on a master.
const ELECTION: Duration = Duration::from_secs(15);

pub fn tests(soak: Option<u64>) -> Vec<Test> {
    // The guests share the sequences out between them.
    let sequences: [(&str, fn()); 4] = [
        ("random::topologies_follow_each_other_1", || run(1, CASES)),
        ("random::topologies_follow_each_other_2", || run(2, CASES)),
        ("random::topologies_follow_each_other_3", || run(3, CASES)),
        ("random::topologies_follow_each_other_4", || run(4, CASES)),
    ];
    let mut tests: Vec<Test> = sequences.into_iter().map(|(name, run)| test(name, run).within(600)).collect();
    if let Some(cases) = soak {
        let cases = cases.div_ceil(2);
        let halves: [(&str, fn()); 2] = [("random::soak_1", || soak_run(1)), ("random::soak_2", || soak_run(2))];
        tests.extend(halves.into_iter().map(|(name, run)| test(name, run).within(300 + cases * 12)));
    }
    tests
}

fn soak_run(part: u64) {
    run(100 + part, crate::soak().expect("LVSCTL_SOAK").div_ceil(2));
}

/// Runs so many cases from a seed that is printed; each part of the same seed has cases of its own.
fn run(part: u64, cases: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed =
        number("LVSCTL_TEST_SEED").unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs()));
    let first = number("LVSCTL_TEST_FIRST").unwrap_or(0);
    let cases = number("LVSCTL_TEST_CASES").unwrap_or(cases);
    println!("seed {seed}: {cases} topologies (again with LVSCTL_TEST_SEED={seed})");
    let mut failures = Vec::new();
    let mut bench = Bench::new();
    let mut previous: Option<Draw> = None;
    let mut tally = Tally::default();
    for case in first..first + cases {
        let draw = drawn((seed, part), case);
        let result = bench.step(&draw.site(), &mut tally);
        let end = case + 1 == first + cases;
        let result = result.and_then(|()| match end || (case + 1).is_multiple_of(BETWEEN_DESTROYS) {
            true => bench.destroy(&draw.site()),
            false => Ok(()),
        });
        let Err(problem) = result else {
            previous = Some(draw);
            continue;
        };
        drop(bench);
        println!("{}", report(seed, case, previous.as_ref(), &draw, &problem));
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

/// Returns the topology of a case: every other one is a near relative of the one before.
fn drawn((seed, part): (u64, u64), case: u64) -> Draw {
    let fresh = |case: u64| {
        let mut bytes = [0; 32];
        for (at, number) in bytes.chunks_mut(8).zip([seed, case, part]) {
            at.copy_from_slice(&number.to_le_bytes());
        }
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let draw = generate::draw(2, 4).new_tree(&mut runner).expect("a topology").current();
        (draw, runner)
    };
    let (own, mut runner) = fresh(case);
    if case.is_multiple_of(2) {
        return own;
    }
    let (before, _) = fresh(case - 1);
    let mut coin = || runner.rng().random::<bool>();
    before.blend(&own, &mut coin)
}

/// Says what failed, whether it fails without the history before it, and how little of it is enough.
fn report(seed: u64, case: u64, previous: Option<&Draw>, draw: &Draw, problem: &str) -> String {
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
    let limit = Instant::now() + Duration::from_secs(90);
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
    let kdl = |draw: &Draw| draw.site().to_kdl(&ground);
    let before = one.as_ref().map_or("(nothing)".to_owned(), kdl);
    let problem_alone = told.unwrap_or_default();
    let after = kdl(&two);
    format!(
        "seed {seed} case {case} FAILED (LVSCTL_TEST_SEED={seed} LVSCTL_TEST_FIRST={} LVSCTL_TEST_CASES=2)\n{problem}\n\
         it fails alone: {fails_alone}\n--- first\n{before}\n--- then\n{after}\n--- which alone comes to\n{problem_alone}\n",
        case.saturating_sub(1)
    )
}

/// What the run was like.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed as a whole")]
struct Tally {
    cases: usize,
    changes: usize,
    passes: BTreeMap<usize, usize>,
    applying: Duration,
    planning: Duration,
    reading: Duration,
    slowest: Duration,
}

/// The hosts with how they were before the first topology.
struct Bench {
    rig: Rig,
    base: BTreeMap<String, Snapshot>,
}

struct OneFile(String);

impl ReadSource for OneFile {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

impl Bench {
    fn new() -> Self {
        let rig = Rig::new();
        let base = rig.snapshot();
        Bench { rig, base }
    }

    /// Goes from whatever is there to a topology, and judges.
    fn step(&mut self, site: &Site, tally: &mut Tally) -> Result<(), String> {
        let topology = self.load(site)?;
        let secrets = SecretValues::default();
        let started = Instant::now();
        let mut survey = Survey::connect(&topology, &secrets, Goal::Converge, None);
        let passes = converge(&mut survey, tally)?;
        tally.applying += started.elapsed();
        tally.slowest = tally.slowest.max(started.elapsed());
        *tally.passes.entry(passes).or_default() += 1;
        tally.cases += 1;
        let planned = Instant::now();
        self.no_changes(&mut survey, "directly afterwards")?;
        tally.planning += planned.elapsed();
        let looked = Instant::now();
        self.as_expected(site)?;
        tally.reading += looked.elapsed();
        // keepalived's checks have failed meanwhile, and a master was found.
        self.no_changes(&mut survey, "some time later")
    }

    fn load(&self, site: &Site) -> Result<Topology, String> {
        let loaded = lvsctl::topology::load("topology.kdl", &OneFile(site.to_kdl(&self.rig.ground)));
        let problems = &loaded.problems;
        let told = || format!("the topology is refused: {problems:?}");
        loaded.topology.ok_or_else(told)
    }

    fn no_changes(&self, survey: &mut Survey<'_>, when: &str) -> Result<(), String> {
        let surveyed = read(survey)?;
        if !surveyed.plan.is_empty() {
            return Err(format!("a plan {when} has changes: {}", changes(&surveyed)));
        }
        let listed: BTreeSet<String> = surveyed.plan.foreign.iter().map(|foreign| foreign.id.to_string()).collect();
        let missing: Vec<String> = self.foreign().into_iter().filter(|id| !listed.contains(id)).collect();
        let surplus: Vec<&String> = listed.iter().filter(|id| !self.foreign().contains(*id)).collect();
        match missing.is_empty() && surplus.is_empty() {
            true => Ok(()),
            false => Err(format!("foreign: {missing:?} are not listed, {surplus:?} are nobody's")),
        }
    }

    /// Returns what is somebody else's, as a plan names it.
    fn foreign(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for (is_director, _, place) in self.rig.places() {
            let name = &place.name;
            ids.insert(format!("{name}/address/lo/{FOREIGN_LOOPBACK}"));
            for chain in ["iptables/mangle", "iptables/nat", "ip6tables/mangle", "ip6tables/nat"] {
                ids.insert(format!("{name}/{chain}/FOREIGN"));
                ids.insert(format!("{name}/{chain}/PREROUTING"));
            }
            if is_director {
                for key in ["tcp:10.9.9.9:99", "tcp:10.9.9.9:99/10.9.0.99:99", "fwm:77"] {
                    ids.insert(format!("{name}/ipvs/{key}"));
                }
            }
        }
        ids
    }

    /// Compares every host with what the topology means, and what is foreign with what it was.
    fn as_expected(&self, site: &Site) -> Result<(), String> {
        let mut found = Vec::new();
        let mut floating = BTreeSet::new();
        for (_, _, place) in self.rig.places() {
            let expected = expected::expected(site, &self.rig, &self.base, &place.name);
            let live = reading::read(&self.rig, &place.name, &expected.parameters);
            found.extend(expected.differences(&live).into_iter().map(|text| format!("{}: {text}", place.name)));
            floating.extend(expected.floating);
        }
        match found.is_empty() {
            true => self.one_holder_each(&floating),
            false => Err(format!("the kernel is not as expected: {}", found.join("\n"))),
        }
    }

    /// Waits until every floating address is on exactly one director.
    fn one_holder_each(&self, floating: &BTreeSet<String>) -> Result<(), String> {
        let limit = Instant::now() + ELECTION;
        while !floating.is_empty() {
            let places = self.rig.ground.directors.iter();
            let held: Vec<State> = places.map(|place| reading::read_addresses(&self.rig, &place.name)).collect();
            let count = |address: &String| held.iter().filter(|state| state.addresses.contains(address)).count();
            if floating.iter().all(|address| count(address) == 1) {
                break;
            }
            if Instant::now() > limit {
                return Err(format!("nobody or everybody holds some of {floating:?}: {held:?}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Takes everything away and compares all that can be seen with the beginning.
    fn destroy(&mut self, site: &Site) -> Result<(), String> {
        let topology = self.load(site)?;
        let secrets = SecretValues::default();
        let mut survey = Survey::connect(&topology, &secrets, Goal::Destroy, None);
        converge(&mut survey, &mut Tally::default()).map_err(|problem| format!("destroy: {problem}"))?;
        let after = self.rig.snapshot();
        let mut found = Vec::new();
        for (name, base) in &self.base {
            let after = &after[name];
            for place in base.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                if base.get(place) != after.get(place) {
                    found.push(format!("{name}: {place} was {:?} and is {:?}", base.get(place), after.get(place)));
                }
            }
        }
        if found.is_empty() { Ok(()) } else { Err(format!("destroy leaves traces: {}", found.join("\n"))) }
    }
}

/// Applies as the command does, and returns how many passes it took.
fn converge(survey: &mut Survey<'_>, tally: &mut Tally) -> Result<usize, String> {
    survey.lock().map_err(|(host, error)| format!("{host}: {error}"))?;
    let surveyed = read(survey)?;
    let plan = changes(&surveyed);
    tally.changes += surveyed.plan.steps.len();
    let (first, mut later) = (surveyed.plan.id.clone(), Vec::new());
    let report = apply::apply(survey, surveyed, OnFailure::Undo, &mut |plan, step| {
        if plan.id != first {
            later.push(step.id.to_string());
        }
    });
    match report.outcome {
        Outcome::Converged => {
            if !later.is_empty() {
                println!("a further pass did {}; the first was {plan}", later.join(", "));
            }
            Ok(report.passes)
        }
        _ => Err(format!("the apply did not converge: {report:#?}\nthe plan was {plan}")),
    }
}

fn read(survey: &mut Survey<'_>) -> Result<Surveyed, String> {
    let surveyed = survey.plan().map_err(|cycle| cycle.to_string())?;
    let wrong: Vec<_> = surveyed.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    match wrong.is_empty() && surveyed.plan.is_complete() {
        true => Ok(surveyed),
        false => Err(format!("there is no plan: {wrong:#?} {:?}", surveyed.plan.hosts)),
    }
}

fn changes(surveyed: &Surveyed) -> String {
    let mut text = String::new();
    for (number, wave) in surveyed.plan.waves.iter().enumerate() {
        for step in wave.iter().map(|index| &surveyed.plan.steps[*index]) {
            let change = &step.change;
            text += &format!("\n  {number} {:?} {} ({:?})", change.action, change.id, change.reason);
            if change.before.is_some() && change.after.is_some() && change.key().to_string() != "manifest" {
                text += &format!("\n      {:?}\n      {:?}", change.before, change.after);
            }
        }
    }
    text
}
