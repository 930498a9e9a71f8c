//! Hosts whose client cannot be heard any more go back within the window and five seconds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::site::{APPLY, Plan, QUIET, Site, WINDOW, side_by_side, stood_still};
use crate::laboratory::Ran;
use crate::runner::{Test, test};

/// How often `make test` cuts a connection, and `make soak`.
const RUNS: usize = 20;
const SOAK: usize = 300;

/// How many sites there are.
const SITES: u8 = 4;

pub fn tests(soak: Option<u64>) -> Vec<Test> {
    let mut tests = vec![test("faults::a_lost_connection_is_taken_back_in_time", || lost(RUNS)).within(180)];
    tests.extend(soak.map(|_| test("faults::soak_of_lost_connections", || lost(SOAK)).within(3600)));
    tests
}

/// The server of all sites, which is somebody else's.
const SERVER: &str = r#"
real-server "w1" {
    address "10.0.200.11/16"
    interface "eth0"
    managed #false
}
"#;

/// One director, with what lvsctl and keepalived program.
fn plan(number: u8) -> Plan {
    let host = format!("s{number}d1");
    let text = format!(
        r#"
director "{host}" {{
    address "10.0.{number}.1/16"
    interface "eth0"
}}
vip "10.0.{number}.100" director="{host}" forwarding="dr" {{
    service "s{number}-marked" {{
        listen "tcp" 80
        fwmark {number}
        scheduler "wrr"
        server "w1" weight=10
    }}
    service "s{number}-static" {{
        listen "tcp" 8080
        scheduler "rr"
        server "w1"
    }}
}}
"#
    );
    Plan { hosts: vec![host], states: [text.clone(), text], shared: SERVER }
}

fn lost(runs: usize) {
    let left = AtomicUsize::new(runs);
    let too_slow = AtomicUsize::new(0);
    let times: Mutex<Vec<Duration>> = Mutex::default();
    side_by_side(SITES, plan, |site| {
        let before = site.snapshot();
        let mut running = site.start(QUIET, 0);
        let all = site.watch.count(&mut running.child);
        running.end().expect(0);
        site.lvsctl(&["destroy", "--auto-approve", "--confirm", "none"], 0).expect(0);
        let mut step = site.number * all / usize::from(SITES);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            step = step % all + 1;
            match cut(&site, step, all) {
                Ok(took) => times.lock().expect("no panic").push(took),
                Err(ran) => {
                    // On a machine that has no time for it even a client that lives is not heard within the window.
                    let is_too_busy = ["taken back", "arm the watchdog"].iter().any(|text| ran.stdout.contains(text));
                    assert!(is_too_busy, "{ran:?}");
                    assert!(too_slow.fetch_add(1, Ordering::Relaxed) < runs, "the machine is too busy for this test");
                    left.fetch_add(1, Ordering::Relaxed);
                }
            }
            let differences = site.await_equal(&before, Duration::from_secs(10));
            assert!(differences.is_empty(), "cut at run {step} of {all}:\n{}", differences.join("\n"));
        }
    });
    let mut times = times.into_inner().expect("no panic");
    times.sort();
    println!(
        "{} lost connections were taken back after {:.2?} to {:.2?}, half of them within {:.2?}; {} more applies were not heard \
         within the window on this busy machine, which stood still for {:.0?}",
        times.len(),
        times[0],
        times[times.len() - 1],
        times[times.len() / 2],
        too_slow.into_inner(),
        stood_still()
    );
    assert_eq!(times.len(), runs);
    // Nothing goes back before its time: the client may only have been held up.
    assert!(times[0] > WINDOW - Duration::from_secs(3), "{:?}", times[0]);
}

/// Cuts an apply off at a step and returns how long its host took to go back; what it said if it ended before.
fn cut(site: &Site<'_>, step: usize, all: usize) -> Result<Duration, Ran> {
    let mut running = site.start(APPLY, 0);
    let Some((reached, held)) = site.watch.hold_at(step, &mut running.child) else { return Err(running.end()) };
    site.cut(0, "dropped");
    let since = Instant::now();
    drop(held);
    let what = format!("cut at run {} of {all}", reached.runs);
    let took = site.await_back(&[0], since);
    let took = took.unwrap_or_else(|| panic!("{what}: not taken back after {:?}", since.elapsed()));
    println!("{what}: taken back after {took:.2?}");
    let is_heard = step.is_multiple_of(4);
    if !is_heard {
        running.child.kill().expect("the client is killed");
    }
    site.join(0, "dropped");
    let ran = running.end();
    // A client that lives finds out what became of its hosts and says so.
    let says_so = ran.stdout.contains("Rolled back") || ran.stdout.contains("Unknown");
    assert!(!is_heard || matches!(ran.code, Some(6 | 7)) && says_so, "{what}: {ran:?}");
    if !is_heard {
        // The host's own note of it is for the next apply.
        let planned = site.lvsctl(&["plan"], 0);
        assert!(planned.stderr.contains("apply-taken-back"), "{what}: {planned:?}");
    }
    Ok(took)
}
