//! Each pair of a step of an apply and a fault ends in the old state, in the new one, or in a state that is reported as neither;
//! and the next apply comes to the same end as one that nothing happened to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::fault::{Broken, Fault, PATIENCE};
use super::site::{APPLY, Plan, QUIET, Site, side_by_side};
use crate::fleet::USER;
use crate::laboratory::{PASSWORD, Ran, Snapshot};
use crate::runner::{Test, test};

/// How many sites stand side by side in a guest.
const SITES: u8 = 2;

/// Every how many pairs one is tried in `make test`; `make soak` tries all.
const SAMPLE: usize = 9;

/// How long keepalived may take to be as it was: an election, a check, a reload.
const SETTLE: Duration = Duration::from_secs(20);

pub fn tests(soak: Option<u64>) -> Vec<Test> {
    let mut tests = vec![
        test("faults::client_agent_and_connection_at_steps", || matrix(&Fault::ALL[..4], SAMPLE)).within(300),
        test("faults::sudo_disk_and_commands_at_steps", || matrix(&Fault::ALL[4..7], SAMPLE)).within(300),
        test("faults::files_reboots_and_operators_at_steps", || matrix(&Fault::ALL[7..], SAMPLE)).within(300),
    ];
    if soak.is_some() {
        tests.extend([
            test("faults::soak_of_client_agent_and_connection", || matrix(&Fault::ALL[..4], 1)).within(1800),
            test("faults::soak_of_sudo_disk_and_commands", || matrix(&Fault::ALL[4..7], 1)).within(1800),
            test("faults::soak_of_files_reboots_and_operators", || matrix(&Fault::ALL[7..], 1)).within(1800),
        ]);
    }
    tests
}

/// Two directors with a failover and a server, two of them with sudo; the second state has more of everything.
fn plan(number: u8) -> Plan {
    let hosts = ["d1", "d2", "w1"].map(|host| format!("s{number}{host}"));
    let [first, second, server] = &hosts;
    let text = |weight: u32, more: &str| {
        format!(
            r#"
director "{first}" {{
    address "10.0.{number}.1/16"
    interface "eth0"
}}
director "{second}" {{
    address "10.0.{number}.2/16"
    interface "eth0"
    ssh "{second}" user="{USER}" become=#true
}}
real-server "{server}" {{
    address "10.0.{number}.11/16"
    interface "eth0"
    ssh "{server}" user="{USER}" become=#true
}}
failover "s{number}" {{
    director "{first}" priority=100
    director "{second}" priority=50
    virtual-router-id {number}
    interface "eth0"
    auth-pass (env)"VRRP_PASS"
}}
vip "10.0.{number}.100" failover="s{number}" forwarding="dr" {{
    service "s{number}-web" {{
        listen "tcp" 80
        scheduler "wrr"
        check "tcp" port=22 interval="1s" timeout="1s" retries=1 retry-delay="1s"
        server "{server}" weight={weight}
    }}
{more}
"#
        )
    };
    let more = format!(
        r#"    service "s{number}-marked" {{
        listen "tcp" 8000
        fwmark {number}
        scheduler "rr"
        server "{server}"
    }}
}}
vip "10.0.{number}.101" director="{first}" forwarding="dr" delivery="redirect" {{
    service "s{number}-static" {{
        listen "tcp" 8080
        scheduler "rr"
        server "{server}"
    }}
}}"#
    );
    Plan { states: [text(10, "}"), text(20, &more)], hosts: hosts.to_vec(), shared: "" }
}

/// Pairs of fault and step.
type Pairs = VecDeque<(Fault, usize)>;

/// What came of the pairs.
#[derive(Default)]
struct Tally {
    pairs: BTreeMap<Fault, usize>,
    old: usize,
    new: usize,
    partial: usize,
    steps: [usize; 2],
}

/// Tries every so manieth pair of some faults and of the steps of an apply in both directions.
fn matrix(faults: &[Fault], sample: usize) {
    let begun = Instant::now();
    let tally: Mutex<Tally> = Mutex::default();
    let waiting: Mutex<Option<[Pairs; 2]>> = Mutex::new(None);
    side_by_side(SITES, plan, |site| {
        site.lvsctl(QUIET, 0).expect(0);
        let old = site.snapshot();
        let mut states = [old, Snapshot::default()];
        let mut steps = [0, 0];
        for state in [1, 0] {
            let mut running = site.start(QUIET, state);
            steps[state] = site.watch.count(&mut running.child);
            running.end().expect(0);
            match state {
                1 => states[1] = site.snapshot(),
                _ => assert_equal(&site, &states[0], "there and back"),
            }
        }
        waiting.lock().expect("no panic").get_or_insert_with(|| [1, 0].map(|to| pairs(faults, steps[to], sample)));
        tally.lock().expect("no panic").steps = steps;
        let mut at = 0;
        loop {
            let to = 1 - at;
            let next = {
                let mut waiting = waiting.lock().expect("no panic");
                let queues = waiting.as_mut().expect("the pairs");
                // Those of the way there are first, those of the way back second.
                queues[at].pop_front()
            };
            let Some((fault, step)) = next else {
                let is_over =
                    waiting.lock().expect("no panic").as_ref().expect("the pairs").iter().all(VecDeque::is_empty);
                if is_over {
                    return;
                }
                site.lvsctl(QUIET, to).expect(0);
                at = to;
                continue;
            };
            let begun = Instant::now();
            let what = format!("site {}, {fault:?} at step {step} of {} to state {to}", site.number, steps[to]);
            let outcome = try_pair(&site, (fault, step), (&states[at], &states[to]), to);
            if let Some(end) = outcome.unwrap_or_else(|error| panic!("{what}: {error}")) {
                let mut tally = tally.lock().expect("no panic");
                *tally.pairs.entry(fault).or_default() += 1;
                match end {
                    End::Old => tally.old += 1,
                    End::New => tally.new += 1,
                    End::Partial => tally.partial += 1,
                }
                println!("{what}: {end:?} after {:.1?}", begun.elapsed());
            }
            at = to;
        }
    });
    let Tally { pairs, old, new, partial, steps } = tally.into_inner().expect("no panic");
    let count: usize = pairs.values().sum();
    println!(
        "{count} pairs of step and fault ({} steps there, {} back): {old} in the old state, {new} in the new one, {partial} \
         reported as neither; each was repaired by the next apply. {pairs:?} in {:.0?}",
        steps[1],
        steps[0],
        begun.elapsed()
    );
    assert_eq!(pairs.len(), faults.len(), "a fault was never tried");
}

/// Returns every so manieth pair, so that each step and each fault has its turn.
fn pairs(faults: &[Fault], steps: usize, sample: usize) -> Pairs {
    let all = faults.iter().enumerate().flat_map(|(place, fault)| (1..=steps).map(move |step| (place, *fault, step)));
    let chosen = all.filter(|(place, _, step)| (step + place * 2) % sample == 0);
    chosen.map(|(_, fault, step)| (fault, step)).collect()
}

/// How a pair ended before it was repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Old,
    New,
    Partial,
}

/// Lets an apply go wrong, looks at what came of it, and repairs it.
fn try_pair(
    site: &Site<'_>,
    (fault, step): (Fault, usize),
    (old, new): (&Snapshot, &Snapshot),
    to: usize,
) -> Result<Option<End>, String> {
    let mut running = site.start(APPLY, to);
    let Some((at, held)) = site.watch.hold_at(step, &mut running.child) else {
        let ran = running.end();
        // On a machine that has no time for it even a client that lives is not heard within the window.
        let is_too_busy = matches!(ran.code, Some(1 | 6))
            && ["taken back", "arm the watchdog"].iter().any(|text| ran.stdout.contains(text));
        if is_too_busy {
            site.lvsctl(QUIET, to).expect(0);
        }
        return if ran.code == Some(0) || is_too_busy { Ok(None) } else { Err(format!("it ended by itself: {ran:?}")) };
    };
    let broken = Broken::of(fault, site, &mut running.child, (at, held));
    let second = (fault == Fault::SecondOperator).then(|| site.lvsctl(&["apply", "--auto-approve"], to));
    let in_time = broken.mend_connection(site);
    let ran = await_end(running)?;
    let is_unheard = broken.is_unheard();
    broken.mend(site);
    in_time?;
    if let Some(second) = second
        && !(second.code == Some(1) && second.stderr.contains("Another lvsctl works") || second.code == Some(0))
    {
        return Err(format!("the second operator: {second:?}"));
    }
    // At every second step the next apply comes before the watchdogs do.
    let is_early = is_unheard && step % 2 == 0;
    let end = if is_early { None } else { Some(judge(site, &ran, (old, new))?) };
    if end != Some(End::New) {
        let repaired = site.lvsctl(QUIET, to);
        if repaired.code != Some(0) {
            return Err(format!("the next apply: {repaired:?}\nafter {ran:?}"));
        }
        let differences = site.await_equal(new, SETTLE);
        if !differences.is_empty() {
            return Err(format!("repaired to another end:\n{}\nafter {ran:?}", differences.join("\n")));
        }
    }
    // What the next apply took back at once had come to nothing.
    Ok(Some(end.unwrap_or(End::Old)))
}

fn await_end(mut running: super::site::Running) -> Result<Ran, String> {
    let deadline = Instant::now() + PATIENCE;
    while running.child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if Instant::now() > deadline {
            let _ = running.child.kill();
            return Err(format!("it hangs: {:?}", running.end()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running.end())
}

/// Tells in which state the site is, which must be the one that was reported.
fn judge(site: &Site<'_>, ran: &Ran, (old, new): (&Snapshot, &Snapshot)) -> Result<End, String> {
    if ran.stdout.contains(PASSWORD) || ran.stderr.contains(PASSWORD) {
        return Err(format!("the password is shown: {ran:?}"));
    }
    let hosts: Vec<usize> = (0..site.hosts.len()).collect();
    let back = site.await_back(&hosts, Instant::now());
    let is = |state: &Snapshot, name: &str| match site.await_equal(state, SETTLE) {
        differences if differences.is_empty() => Ok(()),
        differences => Err(format!("not in the {name} state, but {ran:?} said so:\n{}", differences.join("\n"))),
    };
    match ran.code {
        // What was confirmed and not closed is tidied by the next apply.
        Some(0) => is(new, "new").map(|()| End::New),
        Some(1 | 6) if back.is_none() => Err(format!("a journal stays: {ran:?}")),
        Some(1 | 6) => is(old, "old").map(|()| End::Old),
        Some(5 | 7) if ran.stdout.trim().is_empty() => Err(format!("nothing is reported: {ran:?}")),
        Some(5 | 7) => Ok(End::Partial),
        None if back.is_none() => Err("a killed client's apply was neither confirmed nor taken back".to_owned()),
        None if site.await_equal(new, Duration::ZERO).is_empty() => Ok(End::New),
        None => is(old, "old").map(|()| End::Old),
        _ => Err(format!("an exit status that says nothing: {ran:?}")),
    }
}

fn assert_equal(site: &Site<'_>, state: &Snapshot, what: &str) {
    let differences = site.await_equal(state, SETTLE);
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}
