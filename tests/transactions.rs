//! An apply as one transaction over hosts in memory: confirmed on all of them, or taken back on all, whatever is lost.

mod fakes;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use fakes::Case;
use lvsctl::apply::{self, ApplyReport, Conduct, Earlier, HostEnd, OnFailure, Outcome, StepState, TakenUp};
use lvsctl::effect::Management;
use lvsctl::host::fake::FakeHost;
use lvsctl::host::{Cause, Host, HostError, Operator, Transaction, Transactions};
use lvsctl::survey::{Reach, Survey};
use lvsctl::topology::HostName;

/// Three hosts that depend on each other.
const CASE: &str = "reference";

fn conduct(on_failure: OnFailure, window: Option<Duration>) -> Conduct {
    let operator = Operator { user: "alice".into(), from: "desk".into(), command: "lvsctl apply".into() };
    let transaction = Transaction { id: "0123abcd".into(), plan: "sha256:0".into(), operator, window };
    Conduct { on_failure, transaction, allow: Vec::new(), awaits_elections: false }
}

/// A window that is over at once where a host is lost.
const WINDOW: Option<Duration> = Some(Duration::from_millis(100));

/// Applies with a window; `reopen` is asked for every connection that is made once more.
fn apply(case: &Case, reopen: impl Fn(&HostName, &FakeHost) + Send + Sync) -> ApplyReport {
    apply_on(Reach::default(), case, reopen)
}

fn apply_on(reach: Reach<'_>, case: &Case, reopen: impl Fn(&HostName, &FakeHost) + Send + Sync) -> ApplyReport {
    let survey = Survey::over(&case.wish.topology, &case.wish.secrets, case.goal, case.hosts()).reached(reach);
    let mut survey = survey.reopening(Box::new(move |name| {
        let fake = case.fakes.get(name).ok_or_else(HostError::interrupted)?;
        reopen(name, fake);
        let mut host = fake.clone();
        // A connection that cannot be made is no connection.
        host.beat()?;
        Ok(Box::new(host) as Box<dyn Host>)
    }));
    assert!(apply::take_up(&mut survey).failures.is_empty());
    let first = survey.plan().unwrap();
    apply::apply(&mut survey, first, conduct(OnFailure::Undo, WINDOW), &mut |_, _| {})
}

type State = BTreeMap<String, Vec<String>>;

fn without_modules(state: State) -> State {
    let keep = |line: &String| !line.starts_with("net.ipv4.vs.");
    state.into_iter().map(|(host, lines)| (host, lines.into_iter().filter(keep).collect())).collect()
}

fn left(fake: &FakeHost) -> Transactions {
    fake.clone().transactions().unwrap()
}

#[track_caller]
fn assert_went_back(case: &Case, before: State, report: &ApplyReport) {
    assert_eq!((report.outcome, report.outcome.exit_code()), (Outcome::RolledBack, 6), "{report:#?}");
    assert!(report.verified && report.steps.iter().all(|step| step.state != StepState::Applied), "{report:#?}");
    assert!(report.hosts.iter().all(|host| host.end == HostEnd::WentBack && host.window == WINDOW), "{report:#?}");
    assert!(without_modules(case.state()) == before, "the hosts are not as they were");
    for (name, fake) in &case.fakes {
        assert_eq!(left(fake), Transactions::default(), "{name}: the report has told it");
    }
}

#[test]
fn every_host_is_confirmed_over_a_connection_of_its_own() {
    let case = Case::load(CASE);
    let opened = AtomicUsize::new(0);
    let report = apply(&case, |_, fake| {
        opened.fetch_add(1, Ordering::Relaxed);
        assert!(left(fake).pending.is_some_and(|pending| pending.is_watched), "it is confirmed at the end");
    });
    assert_eq!(report.outcome, Outcome::Converged, "{report:#?}");
    assert_eq!(opened.into_inner(), case.fakes.len());
    assert_eq!(report.hosts.len(), case.fakes.len());
    assert!(report.hosts.iter().all(|host| host.end == HostEnd::Confirmed && host.window == WINDOW), "{report:#?}");
    for (name, fake) in &case.fakes {
        fake.let_the_window_pass();
        assert_eq!(left(fake), Transactions::default(), "{name}");
    }
    assert!(case.plan().plan.is_empty());
}

/// Waits until so many are here, and tells whether they came.
fn meet(here: &(Mutex<usize>, Condvar), all: usize) -> bool {
    let mut count = here.0.lock().unwrap();
    *count += 1;
    here.1.notify_all();
    let waited = here.1.wait_timeout_while(count, Duration::from_secs(60), |count| *count < all);
    !waited.unwrap().1.timed_out()
}

#[test]
fn hosts_are_reached_once_more_at_the_same_time_and_as_few_as_is_wanted() {
    let case = Case::load(CASE);
    let (all, here) = (case.fakes.len(), Default::default());
    let report = apply(&case, |_, _| assert!(meet(&here, all), "the others wait for this one"));
    assert_eq!(report.outcome, Outcome::Converged, "{report:#?}");
    // So are those that are lost and looked for until they have gone back.
    let case = Case::load(CASE);
    let (before, tries, here) = (without_modules(case.state()), AtomicUsize::new(0), Default::default());
    let report = apply(&case, |_, fake| {
        let nth = tries.fetch_add(1, Ordering::Relaxed);
        if nth < all {
            fake.let_the_window_pass();
            fake.pull_the_cable();
        } else {
            assert!(nth >= 2 * all || meet(&here, all), "the others wait for this one");
            fake.plug_the_cable_in();
        }
    });
    assert_went_back(&case, before, &report);
    let (case, now, most) = (Case::load(CASE), AtomicUsize::new(0), AtomicUsize::new(0));
    let reach = Reach { parallelism: NonZeroUsize::MIN, ..Reach::default() };
    let report = apply_on(reach, &case, |_, _| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Time enough for another one to come along.
        std::thread::sleep(Duration::from_millis(20));
        now.fetch_sub(1, Ordering::SeqCst);
    });
    assert_eq!((report.outcome, most.into_inner()), (Outcome::Converged, 1), "{report:#?}");
}

#[test]
fn if_one_host_cannot_be_reached_once_more_all_go_back() {
    let case = Case::load(CASE);
    let before = without_modules(case.state());
    let last = case.fakes.keys().next_back().unwrap().clone();
    let tries = AtomicUsize::new(0);
    let report = apply(&case, |name, fake| {
        // It comes back when it has taken itself back.
        if *name == last && tries.fetch_add(1, Ordering::Relaxed) == 0 {
            fake.let_the_window_pass();
            fake.pull_the_cable();
        } else {
            fake.plug_the_cable_in();
        }
    });
    assert!(report.errors[0].contains("cannot be confirmed, and so all hosts go back"), "{report:#?}");
    assert_went_back(&case, before, &report);
}

#[test]
fn if_one_host_went_back_by_itself_the_others_do_as_well() {
    let case = Case::load(CASE);
    let before = without_modules(case.state());
    let first = case.fakes.keys().next().unwrap().clone();
    let report = apply(&case, |name, fake| {
        if *name == first {
            fake.let_the_window_pass();
        }
    });
    assert!(report.errors[0].contains("it was taken back before it could be confirmed"), "{report:#?}");
    assert_went_back(&case, before, &report);
}

/// The connection to a host is lost in the middle, at each effect; the host goes back by itself and is found again.
#[test]
fn a_host_that_is_lost_and_comes_back_has_gone_back() {
    let effects = {
        let case = Case::load(CASE);
        let before: BTreeMap<_, _> =
            case.fakes.iter().map(|(name, fake)| (name.clone(), fake.performed().len())).collect();
        assert_eq!(apply(&case, |_, _| {}).outcome, Outcome::Converged);
        case.fakes.iter().map(|(name, fake)| (name.clone(), fake.performed().len() - before[name])).collect::<Vec<_>>()
    };
    let mut lost = 0;
    for (host, effects) in effects {
        for place in (1..effects).step_by(2) {
            let case = Case::load(CASE);
            let before = without_modules(case.state());
            case.fakes[&host].pull_the_cable_at(place);
            let report = apply(&case, |_, fake| {
                fake.let_the_window_pass();
                fake.plug_the_cable_in();
            });
            let wanted = [Outcome::RolledBack, Outcome::Failed];
            assert!(wanted.contains(&report.outcome), "{host}, effect {place}: {report:#?}");
            assert!(without_modules(case.state()) == before, "{host}, effect {place}");
            lost += 1;
        }
    }
    assert!(lost > 10, "{lost}");
    println!("{lost} times a host was lost and found");
}

/// A walk that failed has taken back what it did; only the host that was lost has to do it by its journal.
#[test]
fn what_the_client_took_back_is_not_taken_back_twice() {
    let case = Case::load(CASE);
    let before = without_modules(case.state());
    let lost = case.fakes.keys().next().unwrap().clone();
    case.fakes[&lost].pull_the_cable_at(3);
    let report = apply(&case, |_, fake| {
        fake.let_the_window_pass();
        fake.plug_the_cable_in();
    });
    assert_went_back(&case, before, &report);
    for (name, fake) in &case.fakes {
        assert_eq!(fake.times_taken_back(), usize::from(*name == lost), "{name}");
    }
}

#[test]
fn what_a_host_could_not_take_back_makes_the_outcome_unknown() {
    let case = Case::load(CASE);
    let (first, last) = (case.fakes.keys().next().unwrap().clone(), case.fakes.keys().next_back().unwrap().clone());
    let tries = AtomicUsize::new(0);
    let report = apply(&case, |name, fake| {
        if *name == first {
            fake.cannot_take_back("something that no plan looks at");
        }
        if *name == last && tries.fetch_add(1, Ordering::Relaxed) == 0 {
            fake.let_the_window_pass();
            fake.pull_the_cable();
        } else {
            fake.plug_the_cable_in();
        }
    });
    assert_eq!((report.outcome, report.outcome.exit_code()), (Outcome::Unknown, 7), "{report:#?}");
    for host in &report.hosts {
        let end = if host.host == first { HostEnd::Unknown } else { HostEnd::WentBack };
        assert_eq!(host.end, end, "{report:#?}");
    }
    assert!(report.errors.iter().any(|error| error.contains("something that no plan looks at")), "{report:#?}");
}

/// A client that was stopped for longer than the window, after each wave, finds hosts that went back by themselves: also
/// those of which the next wave wants nothing, which have no occasion to refuse.
#[test]
fn a_client_that_wakes_up_late_takes_nothing_back() {
    let waves = Case::load(CASE).plan().plan.waves.len();
    let silent: usize = (0..waves - 1).map(wakes_up_late_after).sum();
    assert!(silent > 0, "each host had a step in each wave");
}

/// Stops the client after a wave, and returns how many hosts have begun by then and have no step in the next one.
fn wakes_up_late_after(wave: usize) -> usize {
    use lvsctl::effect::Effect;
    let case = Case::load(CASE);
    let before = without_modules(case.state());
    let survey = Survey::over(&case.wish.topology, &case.wish.secrets, case.goal, case.hosts());
    let mut survey = survey.reopening(Box::new(|name| Ok(Box::new(case.fakes[name].clone()) as Box<dyn Host>)));
    let first = survey.plan().unwrap();
    let hosts_of = |waves: &[Vec<usize>]| -> BTreeSet<HostName> {
        waves.iter().flatten().map(|step| first.plan.steps[*step].change.id.host.clone()).collect()
    };
    let (begun, next) = (hosts_of(&first.plan.waves[..=wave]), hosts_of(&first.plan.waves[wave + 1..=wave + 1]));
    let (mut counts, mut ended) = (BTreeMap::new(), 0);
    let report = apply::apply(&mut survey, first, conduct(OnFailure::Undo, WINDOW), &mut |_, _| {
        if ended == wave {
            for (name, fake) in &case.fakes {
                fake.let_the_window_pass();
                counts.insert(name.clone(), fake.performed().len());
            }
        }
        ended += 1;
    });
    assert_eq!(report.outcome, Outcome::RolledBack, "after wave {wave}: {report:#?}");
    assert!(without_modules(case.state()) == before, "after wave {wave} the hosts are not as they were");
    let is_manifest = |effect: &Effect| match effect {
        Effect::WriteFile { path, .. } | Effect::RemoveFile { path } => path.ends_with("/manifest.json"),
        _ => false,
    };
    for (name, fake) in &case.fakes {
        let late: Vec<Effect> =
            fake.performed()[counts[name]..].iter().filter(|one| !is_manifest(one)).cloned().collect();
        assert!(late.is_empty(), "after wave {wave}, {name}: {late:?}");
    }
    begun.difference(&next).count()
}

/// Hosts are asked for earlier applies once and not whenever they are read again.
#[test]
fn a_plan_does_not_warn_of_its_own_apply() {
    let case = Case::load(CASE);
    let mut survey = case.survey();
    survey.plan().unwrap();
    let (_, fake) = case.fakes.iter().next().unwrap();
    fake.clone().begin(&conduct(OnFailure::Undo, WINDOW).transaction).unwrap();
    let warned = |problems: lvsctl::source::Problems| problems.iter().any(|problem| problem.code == "unfinished-apply");
    assert!(!warned(survey.plan().unwrap().problems));
    assert!(warned(case.plan().problems), "another one does");
}

#[test]
fn a_host_that_does_not_come_back_is_unknown() {
    let case = Case::load(CASE);
    let lost = case.fakes.keys().next().unwrap().clone();
    case.fakes[&lost].pull_the_cable_at(3);
    let report = apply(&case, |_, _| {});
    assert_eq!((report.outcome, report.outcome.exit_code()), (Outcome::Unknown, 7), "{report:#?}");
    assert!(!report.verified);
    // It went back by itself, and the next one tells.
    case.fakes[&lost].let_the_window_pass();
    case.fakes[&lost].plug_the_cable_in();
    let mut survey = case.survey();
    let codes: Vec<_> = survey.plan().unwrap().problems.iter().map(|problem| problem.code).collect();
    assert!(codes.contains(&"apply-taken-back"), "{codes:?}");
    let told = ended(&mut survey).told;
    assert!(
        matches!(&told[..], [(host, Earlier::TakenBack(back))] if *host == lost && back.cause == Cause::Unconfirmed)
    );
    assert_eq!(left(&case.fakes[&lost]), Transactions::default());
    assert_eq!(case.apply(OnFailure::Undo).outcome, Outcome::Converged);
}

/// Ends what earlier applies have left, as a command does that tells it.
fn ended(survey: &mut Survey<'_>) -> TakenUp {
    let mut taken_up = apply::take_up(survey);
    taken_up.forget(survey);
    assert!(taken_up.failures.is_empty(), "{taken_up:?}");
    taken_up
}

#[test]
fn what_went_back_is_told_even_if_another_host_fails() {
    let case = Case::load(CASE);
    for fake in case.fakes.values() {
        fake.clone().begin(&conduct(OnFailure::Undo, WINDOW).transaction).unwrap();
    }
    let lost = case.fakes.keys().nth(1).unwrap();
    let mut survey = case.survey();
    case.fakes[lost].pull_the_cable();
    let mut taken_up = apply::take_up(&mut survey);
    let told: Vec<_> = taken_up.told.iter().map(|(name, _)| name).collect();
    assert_eq!(told, case.fakes.keys().filter(|name| *name != lost).collect::<Vec<_>>());
    let failed: Vec<_> = taken_up.failures.iter().map(|(name, _)| name).collect();
    assert_eq!((failed, taken_up.has_changed), (vec![lost], true));
    let others = || case.fakes.iter().filter(|(name, _)| *name != lost);
    assert!(others().all(|(_, fake)| left(fake).taken_back.is_some()), "nobody was told yet");
    taken_up.forget(&mut survey);
    assert!(others().all(|(_, fake)| left(fake) == Transactions::default()));
    case.fakes[lost].plug_the_cable_in();
    assert!(left(&case.fakes[lost]).pending.is_some(), "the next one ends it");
}

#[test]
fn what_a_dead_apply_left_is_ended_by_the_next() {
    for (window, is_back) in [(WINDOW, true), (None, false)] {
        let case = Case::load(CASE);
        let (name, fake) = case.fakes.iter().next().unwrap();
        let mut dead = fake.clone();
        dead.begin(&conduct(OnFailure::Undo, window).transaction).unwrap();
        let warned = case.plan().problems.iter().any(|problem| problem.code == "unfinished-apply");
        assert!(warned, "a plan tells of it");
        let TakenUp { told, has_changed, .. } = ended(&mut case.survey());
        assert_eq!((told.len(), has_changed), (1, is_back));
        assert_eq!((&told[0].0, matches!(told[0].1, Earlier::TakenBack(_))), (name, is_back));
        assert_eq!(left(fake), Transactions::default());
    }
}

#[test]
fn the_address_that_we_came_in_on_is_guarded() {
    let case = Case::load("vip-moved");
    let named = case.plan().plan;
    assert!(named.guards.is_empty(), "{:?}", named.guards);
    let lost = named.steps.iter().find_map(|step| match step.change.key() {
        lvsctl::resource::ResourceKey::Address { address, .. } => Some((&step.change.id.host, *address)),
        _ => None,
    });
    let (host, address) = lost.expect("an address that is taken away");
    case.fakes[host].set_management(Management { address, port: 22, client: None });
    let guarded = case.plan().plan;
    assert_eq!(guarded.guards.len(), 1, "{:?}", guarded.guards);
    assert_eq!(guarded.guards[0].name, "management-address");
    assert_eq!(guarded.id, named.id, "what is to be done is the same");
}

/// What a later pass would do was not shown, and is refused as the first one's is.
#[test]
fn a_later_pass_is_guarded_as_the_first_one_is() {
    use lvsctl::effect::{Effect, IpvsCommand, ServiceKey};
    use lvsctl::resource::{Action, ResourceKey};
    use lvsctl::topology::Protocol;
    for (allow, outcome) in
        [(Vec::new(), Outcome::Partial), (vec!["management-address".to_owned()], Outcome::Converged)]
    {
        let case = Case::load("vip-moved");
        let mut survey = Survey::over(&case.wish.topology, &case.wish.secrets, case.goal, case.hosts());
        let first = survey.plan().unwrap();
        let created = first.plan.steps.iter().filter(|step| step.change.action == Action::Create);
        let service = created.into_iter().find_map(|step| match step.change.key() {
            ResourceKey::IpvsService(key @ ServiceKey::Address { protocol: Protocol::Tcp, address, port }) => {
                Some((step.change.id.host.clone(), *key, Management { address: *address, port: *port, client: None }))
            }
            _ => None,
        });
        let (host, service, management) = service.expect("a service that is made");
        let mut waves = 0;
        let conduct = Conduct { allow, ..conduct(OnFailure::Keep, None) };
        let report = apply::apply(&mut survey, first, conduct, &mut |plan, _| {
            waves += 1;
            if waves == plan.waves.len() {
                // Somebody takes the service away again, and logs in by its address and port.
                let away = Effect::Ipvs(IpvsCommand::DeleteService(service));
                case.fakes[&host].clone().perform(&away).unwrap();
                case.fakes[&host].set_management(management);
            }
        });
        assert_eq!(report.outcome, outcome, "{report:#?}");
        let told = report.errors.iter().any(|error| error.contains("Refused by the guard management-address"));
        assert_eq!(told, outcome == Outcome::Partial, "{report:#?}");
    }
}
