//! Every effect of several applies fails once, on hosts in memory, and what is then reported is what is there.

mod fakes;

use std::collections::{BTreeMap, BTreeSet};

use fakes::{Case, seen};
use lvsctl::apply::{ApplyReport, OnFailure, Outcome, StepState};
use lvsctl::effect::{Effect, IpvsCommand};
use lvsctl::host::HostError;
use lvsctl::resource::{BootFile, ResourceKey};
use lvsctl::topology::HostName;

/// Cases that create, edit, drain, delete, and pass services to and from keepalived, and turn everything else once.
const CASES: [&str; 20] = [
    "reference",
    "nat-static",
    "dr-loopback",
    "in-place",
    "server-removed",
    "server-removed-checked",
    "static-to-keepalived",
    "keepalived-to-static",
    "vip-moved",
    "drift",
    "secret-changed",
    "destroy",
    "tun",
    "tuning",
    "fullnat",
    "delivery-changed",
    "virtual-mac",
    "failover-options",
    "marks-of-many-ports",
    "vip-between-failovers",
];

type State = BTreeMap<String, Vec<String>>;

fn refused() -> HostError {
    HostError::Kernel { doing: "do this".into(), errno: "EIO".into(), meaning: "the test says so".into() }
}

/// What modules bring, as it is listed: parameters, and interfaces that are down.
const BROUGHT: [&str; 2] = ["net.ipv4.vs.", "net.netfilter."];
const ENDS: [&str; 4] = ["tunl0", "ip6tnl0", "gre0", "ip6gre0"];

/// Leaves out what a loaded module brings, which stays.
fn without_modules(state: State) -> State {
    let is_end = |line: &str, end: &str| {
        line.starts_with(&format!("net.ipv4.conf.{end}."))
            || line.starts_with(&format!("Link {{ name: \"{end}\"")) && line.ends_with("is_up: false, addresses: [] }")
    };
    let is_brought =
        |line: &String| BROUGHT.iter().any(|start| line.starts_with(start)) || ENDS.iter().any(|end| is_end(line, end));
    let keep = |line: &String| !is_brought(line);
    state.into_iter().map(|(host, lines)| (host, lines.into_iter().filter(keep).collect())).collect()
}

/// Leaves out of the manifests what things that a module brought were like before: an apply that failed may have loaded it.
fn without_beginnings(mut state: State) -> State {
    for line in state.values_mut().flatten().filter(|line| line.contains("manifest.json")) {
        let entries = line.split("\\n").map(|entry| {
            match ENDS.iter().chain(&["net/ipv4/vs/", "net/netfilter/"]).any(|of| entry.contains(of)) {
                true => entry.split(r#",\"previous\""#).next().unwrap_or_default().trim_end_matches(['}', ',']),
                false => entry,
            }
        });
        *line = entries.collect::<Vec<_>>().join("\n");
    }
    state
}

/// Returns what each host is asked for when nothing fails, and what the hosts are like then.
fn uninterrupted(name: &str) -> (BTreeMap<HostName, Vec<Effect>>, State) {
    let case = Case::load(name);
    let before = performed(&case);
    let report = case.apply(OnFailure::Undo);
    assert_eq!(report.outcome, Outcome::Converged, "{name}: {report:#?}");
    let after = performed(&case).into_iter();
    let effects = after.map(|(host, effects)| (host.clone(), effects[before[&host].len()..].to_vec())).collect();
    (effects, case.state())
}

fn performed(case: &Case) -> BTreeMap<HostName, Vec<Effect>> {
    case.fakes.iter().map(|(name, fake)| (name.clone(), fake.performed())).collect()
}

/// Tells whether an effect stands between others of its sort, the files that restore a host: the first and the last of
/// them fail for all.
fn is_between_its_like(effects: &[Effect], place: usize) -> bool {
    let is_boot_file = |effect: Option<&Effect>| match effect {
        Some(Effect::WriteFile { path, .. } | Effect::WriteLink { path, .. } | Effect::RemoveFile { path }) => {
            BootFile::ALL.iter().any(|file| file.path() == path)
        }
        _ => false,
    };
    let around = [place.checked_sub(1), Some(place), place.checked_add(1)];
    around.into_iter().all(|at| is_boot_file(at.and_then(|at| effects.get(at))))
}

fn every_failure(
    cases: &[&str],
    on_failure: OnFailure,
    error: &HostError,
    check: impl Fn(&str, &Case, &dyn Fn() -> ApplyReport),
) {
    for name in cases {
        let (effects, converged) = uninterrupted(name);
        assert!(effects.values().map(Vec::len).sum::<usize>() > 3, "{name}: {effects:?}");
        for (host, effects) in effects {
            for place in (0..effects.len()).filter(|place| !is_between_its_like(&effects, *place)) {
                let case = Case::load(name);
                case.fakes[&host].fail_at(place, error.clone());
                let what = format!("{name}: effect {place} of {host}");
                check(&what, &case, &|| case.apply(on_failure));
                let report = case.apply(on_failure);
                assert_eq!(report.outcome, Outcome::Converged, "{what}, again: {report:#?}");
                assert_same(&what, without_beginnings(case.state()), without_beginnings(converged.clone()));
            }
        }
    }
}

#[track_caller]
fn assert_same(what: &str, left: State, right: State) {
    for (host, lines) in &left {
        let (left, right): (BTreeSet<_>, BTreeSet<_>) = (lines.iter().collect(), right[host].iter().collect());
        let differing: Vec<_> = left.symmetric_difference(&right).collect();
        assert!(differing.is_empty(), "{what}: {host} differs: {differing:#?}");
    }
}

fn ids(report: &ApplyReport, wanted: fn(&StepState) -> bool) -> BTreeSet<String> {
    // A manifest says what is there, whatever became of the plan.
    let steps = report.steps.iter().filter(|step| step.id.key != ResourceKey::Manifest);
    steps.filter(|step| wanted(&step.state)).map(|step| step.id.to_string()).collect()
}

fn rolls_back(what: &str, case: &Case, apply: &dyn Fn() -> ApplyReport) {
    let before = without_modules(case.state());
    let report = apply();
    let undone = report.steps.iter().any(|step| step.state == StepState::Undone);
    let wanted = if undone { (Outcome::RolledBack, 6) } else { (Outcome::Failed, 1) };
    assert_eq!((report.outcome, report.outcome.exit_code()), wanted, "{what}: {report:#?}");
    assert!(ids(&report, |state| *state == StepState::Applied).is_empty(), "{what}: {report:#?}");
    assert_same(what, without_modules(case.state()), before);
}

#[test]
fn a_failure_is_taken_back() {
    every_failure(&CASES, OnFailure::Undo, &refused(), rolls_back);
}

#[test]
fn a_failure_of_which_nobody_knows_what_it_did_is_taken_back() {
    let error = HostError::Timeout { doing: "do this".into(), within: std::time::Duration::from_secs(1) };
    every_failure(&["reference", "keepalived-to-static", "destroy"], OnFailure::Undo, &error, rolls_back);
}

/// An effect may be made and fail all the same: a file is in place, and its folder cannot be flushed.
#[test]
fn what_was_made_and_failed_is_taken_back() {
    let error = HostError::Timeout { doing: "do this".into(), within: std::time::Duration::from_secs(1) };
    for name in ["reference", "in-place", "server-removed", "tun"] {
        for (host, effects) in uninterrupted(name).0 {
            for place in (0..effects.len()).filter(|place| !is_between_its_like(&effects, *place)) {
                let what = format!("{name}: effect {place} of {host}, {:?}", effects[place]);
                let case = Case::load(name);
                let before = without_modules(case.state());
                case.fakes[&host].fail_after(place, error.clone());
                let report = case.apply(OnFailure::Undo);
                // Rules are put back only by who knows what they were.
                if matches!(effects[place], Effect::IptablesRestore { .. }) {
                    assert_eq!(report.outcome, Outcome::Unknown, "{what}: {report:#?}");
                } else {
                    assert!([Outcome::RolledBack, Outcome::Failed].contains(&report.outcome), "{what}: {report:#?}");
                    assert_same(&what, without_modules(case.state()), before);
                }
                assert_eq!(case.apply(OnFailure::Undo).outcome, Outcome::Converged, "{what}, again");
            }
        }
    }
}

#[test]
fn what_was_applied_is_kept_if_it_is_to_be_kept() {
    let check = |what: &str, case: &Case, apply: &dyn Fn() -> ApplyReport| {
        let before = without_modules(case.state());
        let plan = case.plan().plan;
        let planned: BTreeSet<String> = plan.steps.iter().map(|step| step.change.id.to_string()).collect();
        // A destination of keepalived is drained, and goes when keepalived reads its configuration.
        let drained = plan.steps.iter().filter(|step| matches!(step.change.key(), ResourceKey::IpvsDestination(..)));
        let drained = drained.filter(|step| !step.effects.iter().any(is_deletion) && step.change.after.is_none());
        let drained: BTreeSet<String> = drained.map(|step| step.change.id.to_string()).collect();
        let report = apply();
        let applied = ids(&report, |state| *state == StepState::Applied);
        if report.outcome == Outcome::Failed {
            assert!(applied.is_empty(), "{what}: {report:#?}");
            assert_same(what, without_modules(case.state()), before);
            return;
        }
        let stuck = ids(&report, |state| matches!(state, StepState::NotUndone(_)));
        let wanted = if stuck.is_empty() { (Outcome::Partial, 5) } else { (Outcome::Unknown, 7) };
        assert_eq!((report.outcome, report.outcome.exit_code()), wanted, "{what}: {report:#?}");
        // What keepalived has let go of cannot be had back while its new configuration is kept.
        assert!(stuck.is_empty() || what.starts_with("keepalived-to-static"), "{what}: {report:#?}");
        assert!(ids(&report, |state| *state == StepState::Undone).is_empty(), "{what}: {report:#?}");
        let remaining: BTreeSet<String> = report.remaining.iter().map(ToString::to_string).collect();
        let done_again: Vec<_> = applied.intersection(&remaining).filter(|id| !drained.contains(*id)).collect();
        assert!(done_again.is_empty(), "{what}: said to be applied and still to be done: {done_again:?} {report:#?}");
        for id in ids(&report, |state| !matches!(state, StepState::Applied)) {
            // keepalived puts its destinations there by itself; they can be there before their steps are looked at.
            let by_itself = !remaining.contains(&id) && planned.contains(&id);
            assert!(
                !by_itself
                    || id.contains("/ipvs/")
                    || id.contains("/module/")
                    || ENDS.iter().chain(&["lvsctl0"]).any(|device| id.contains(device)),
                "{what}: {id} is done: {report:#?}"
            );
        }
    };
    every_failure(&CASES, OnFailure::Keep, &refused(), check);
}

/// A host that is lost in the middle leaves nothing that its manifest does not name.
#[test]
fn nothing_is_unowned_after_a_crash() {
    for name in CASES {
        let (effects, converged) = uninterrupted(name);
        for (host, effects) in effects {
            for place in (0..effects.len()).filter(|place| !is_between_its_like(&effects, *place)) {
                let case = Case::load(name);
                let foreign: BTreeSet<String> = foreign(&case);
                case.fakes[&host].pull_the_cable_at(place);
                let report = case.apply(OnFailure::Keep);
                let nothing = report.outcome == Outcome::Failed && place == 0;
                assert!(nothing || report.outcome == Outcome::Unknown, "{name} {host} {place}: {report:#?}");
                assert!(!report.verified);
                case.fakes.values().for_each(lvsctl::host::fake::FakeHost::plug_the_cable_in);
                assert_eq!(self::foreign(&case), foreign, "{name}: lost at effect {place} of {host}");
                let report = case.apply(OnFailure::Undo);
                assert_eq!(report.outcome, Outcome::Converged, "{name} {host} {place}, again: {report:#?}");
                let what = format!("{name}: lost at effect {place} of {host}");
                assert_same(&what, without_beginnings(case.state()), without_beginnings(converged.clone()));
            }
        }
    }
}

fn is_deletion(effect: &Effect) -> bool {
    matches!(effect, Effect::Ipvs(IpvsCommand::DeleteDestination(..)))
}

fn foreign(case: &Case) -> BTreeSet<String> {
    let plan = case.plan().plan;
    let unowned = plan.foreign.into_iter().map(|foreign| foreign.id.to_string());
    unowned.collect()
}

/// What somebody else put there in the meantime stays theirs, and the manifest does not claim it.
#[test]
fn what_somebody_else_put_there_stays() {
    for on_failure in [OnFailure::Undo, OnFailure::Keep] {
        let case = Case::load("nat-static");
        let mut survey = case.survey();
        let first = survey.plan().unwrap();
        let director = HostName::new("lb1");
        fakes::by_hand(&case, "lb1 service tcp:203.0.113.10:80 rr");
        let report = lvsctl::apply::apply(&mut survey, first, on_failure, &mut |_, _| {});
        assert!(matches!(report.outcome, Outcome::RolledBack | Outcome::Partial), "{report:#?}");
        let failed: Vec<_> = report.steps.iter().filter(|step| matches!(step.state, StepState::Failed(_))).collect();
        assert_eq!(failed.len(), 1, "{report:#?}");
        assert!(failed[0].help.as_ref().is_some_and(|help| help.contains("plan again")), "{failed:?}");
        let lines = seen(&case.fakes[&director]);
        let service = lines.iter().find(|line| line.contains("LiveService") && line.contains("port: 80"));
        assert!(service.is_some_and(|line| line.contains("\"rr\"")), "{lines:#?}");
        let manifest = lines.iter().find(|line| line.contains("manifest.json")).unwrap();
        assert!(!manifest.contains("\\\"port\\\": 80"), "{manifest}");
    }
}
