//! One step of a sequence: a topology applied over what is there, and judged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lvsctl::apply::{self, OnFailure, Outcome};
use lvsctl::document::ReadSource;
use lvsctl::host::Operator;
use lvsctl::source::Severity;
use lvsctl::survey::{Goal, Reach, Survey, Surveyed};
use lvsctl::topology::{SecretReference, SecretValues, Topology};

use super::progress::note;
use super::resolve::PASSWORDS;
use super::rig::{FOREIGN_LOOPBACK, Rig, Snapshot, foreign_address, has_foreign_rules};
use super::site::Site;
use super::state::State;
use super::{expected, reading, writing};
use crate::runner::count;

/// How long the directors may take to agree on a master: 8 s where the backup is master first, and as much again several
/// times over on a busy machine.
const ELECTION: Duration = Duration::from_secs(45);

/// Takes a host's disk over and runs what the unit runs, below the folder that is its `/`.
const RESTORED: &str = "
cp -a $OLD/etc/. $ROOT/etc
cp -a $OLD/var/lib/. $ROOT/var/lib
unit=$ROOT/etc/systemd/system/lvsctl-restore.service
[ ! -e $unit ] || $(sed -n 's/^ExecStart=//p' $unit | sed \"s|/etc/|$ROOT/etc/|\")
";

/// Starts keepalived as its unit does.
const STARTED: &str = "
[ -e $ROOT/etc/keepalived/keepalived.conf ] || exit 0
setsid keepalived -n -l -f $ROOT/etc/keepalived/keepalived.conf -p $ROOT/run/keepalived.pid \
    -r $ROOT/run/keepalived_vrrp.pid -c $ROOT/run/keepalived_checkers.pid >/dev/null 2>&1 </dev/null &
";

/// What the run was like.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed as a whole")]
pub struct Tally {
    cases: usize,
    changes: usize,
    passes: BTreeMap<usize, usize>,
    applying: Duration,
    planning: Duration,
    reading: Duration,
    slowest: Duration,
}

/// The hosts with how they were before the first topology.
pub struct Bench {
    rig: Rig,
    base: BTreeMap<String, Snapshot>,
}

/// The topology's file, and the one that it may include.
struct Files([String; 2]);

impl ReadSource for Files {
    fn read(&self, path: &str) -> Result<String, String> {
        Ok(self.0[usize::from(path.ends_with(writing::HOSTS))].clone())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

impl Bench {
    /// Lays the hosts out and looks at them.
    pub fn new() -> Self {
        let rig = Rig::new();
        let base = rig.snapshot();
        Bench { rig, base }
    }

    /// Goes from whatever is there to a topology, and judges.
    pub fn step(&mut self, site: &Site, tally: &mut Tally) -> Result<(), String> {
        let topology = self.load(site)?;
        let secrets = secrets();
        let started = Instant::now();
        let mut survey = Survey::connect(&topology, &secrets, Goal::Converge, None, Reach::default());
        let passes = converge(&mut survey, tally)?;
        note("applied");
        tally.applying += started.elapsed();
        tally.slowest = tally.slowest.max(started.elapsed());
        *tally.passes.entry(passes).or_default() += 1;
        tally.cases += 1;
        let looked = Instant::now();
        self.as_expected(site)?;
        tally.reading += looked.elapsed();
        note("read");
        // An apply has converged when a plan directly afterwards is empty. Meanwhile checks have failed, and a master was
        // found.
        let planned = Instant::now();
        let planned_anew = self.no_changes(&mut survey, "some time later");
        tally.planning += planned.elapsed();
        planned_anew
    }

    fn load(&self, site: &Site) -> Result<Topology, String> {
        let loaded = lvsctl::topology::load("topology.kdl", &Files(writing::files(site, &self.rig.ground)));
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
            // It has a label, as a VIP that somebody left might have.
            let own = foreign_address(place.number);
            ids.insert(format!("{name}/address/eth0/{}", own.trim_end_matches("/24")));
            let chains = ["iptables/mangle", "iptables/nat", "ip6tables/mangle", "ip6tables/nat"];
            for chain in chains.iter().filter(|_| has_foreign_rules(place.number)) {
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
        self.await_daemons(site);
        let mut found = Vec::new();
        let (mut floating, mut held) = (BTreeSet::new(), Vec::new());
        for (is_director, _, place) in self.rig.places() {
            let expected = expected::expected(site, &self.rig, &self.base, &place.name);
            let live = reading::read(&self.rig, &place.name, &expected.parameters);
            found.extend(expected.differences(&live).into_iter().map(|text| format!("{}: {text}", place.name)));
            floating.extend(expected.floating);
            held.extend(is_director.then_some(live));
        }
        match found.is_empty() {
            // Most often the directors have agreed by now.
            true if has_one_holder_each(&held, &floating) => Ok(()),
            true => self.await_one_holder_each(&floating),
            false => Err(format!("the kernel is not as expected: {}", found.join("\n"))),
        }
    }

    /// Waits until keepalived runs the daemons that synchronise connections: it starts them when it knows who is master.
    fn await_daemons(&self, site: &Site) {
        let limit = Instant::now() + ELECTION;
        let is_synchronised = site.failovers.iter().any(|failover| failover.sync.is_some());
        for place in self.rig.ground.directors.iter().filter(|_| is_synchronised) {
            while Instant::now() < limit && reading::tuned(self.rig.host(&place.name))["daemons"].is_empty() {
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }

    /// Waits until every floating address is on exactly one director.
    fn await_one_holder_each(&self, floating: &BTreeSet<String>) -> Result<(), String> {
        let limit = Instant::now() + ELECTION;
        let places = || self.rig.ground.directors.iter();
        let holders = |text: &String| places().filter(|place| reading::holds(self.rig.host(&place.name), text)).count();
        loop {
            while Instant::now() < limit && floating.iter().any(|text| holders(text) != 1) {
                std::thread::sleep(Duration::from_millis(50));
            }
            // Now with interfaces, prefixes, labels and gateways. The backup is master first, and may give way meanwhile.
            let held: Vec<State> = places().map(|place| reading::read_addresses(&self.rig, &place.name)).collect();
            if has_one_holder_each(&held, floating) {
                return Ok(());
            }
            if Instant::now() > limit {
                return Err(format!("nobody or everybody holds some of {floating:?}: {held:?}"));
            }
        }
    }

    /// Boots the hosts again: kernels without anything of lvsctl's, the disks as they were, and what the units run.
    pub fn reboot(&mut self, site: &Site) -> Result<(), String> {
        let next = Bench::new();
        for ((is_director, _, old), (_, _, new)) in self.rig.places().zip(next.rig.places()) {
            let script = RESTORED.replace("$OLD", &old.root).replace("$ROOT", &new.root);
            let host = next.rig.host(&new.name);
            host.run(&["sh", "-ec", &script]);
            if is_director {
                // Its own unit comes after this one.
                host.run(&["sh", "-ec", &STARTED.replace("$ROOT", &new.root)]);
            }
        }
        // The old hosts end here.
        *self = next;
        let next = self;
        let topology = next.load(site)?;
        let secrets = secrets();
        let mut survey = Survey::connect(&topology, &secrets, Goal::Converge, None, Reach::default());
        let limit = Instant::now() + ELECTION;
        while !read(&mut survey)?.plan.is_empty() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(200));
        }
        let judged = next.no_changes(&mut survey, "after a reboot").and_then(|()| next.as_expected(site));
        judged.map_err(|problem| format!("after a reboot: {problem}"))
    }

    /// Takes everything away and compares all that can be seen with the beginning.
    pub fn destroy(&mut self, site: &Site) -> Result<(), String> {
        let topology = self.load(site)?;
        let secrets = secrets();
        let mut survey = Survey::connect(&topology, &secrets, Goal::Destroy, None, Reach::default());
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

/// Tells whether each floating address, with interface, prefix and label, is on exactly one of the directors that were read.
fn has_one_holder_each(held: &[State], floating: &BTreeSet<String>) -> bool {
    let count = |text: &String| held.iter().filter(|state| state.addresses.contains(text)).count();
    floating.iter().all(|text| count(text) == 1)
}

/// Returns the passwords that topologies refer to.
fn secrets() -> SecretValues {
    let mut secrets = SecretValues::default();
    secrets.insert(SecretReference::Environment("RANDOM_PASSWORD".into()), PASSWORDS[0].1.to_owned());
    secrets
}

/// Applies as the command does, and returns how many passes it took.
fn converge(survey: &mut Survey<'_>, tally: &mut Tally) -> Result<usize, String> {
    survey.lock(&Operator::default(), Duration::ZERO).map_err(|(host, error)| format!("{host}: {error}"))?;
    let surveyed = read(survey)?;
    let plan = changes(&surveyed);
    tally.changes += surveyed.plan.steps.len();
    count("changes", surveyed.plan.steps.len());
    let (first, mut later) = (surveyed.plan.id.clone(), Vec::new());
    note(&format!("surveyed {} steps", surveyed.plan.steps.len()));
    let report = apply::apply(survey, surveyed, OnFailure::Undo, &mut |plan, steps| {
        if plan.id != first {
            later.extend(steps.iter().map(|step| step.id.to_string()));
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
