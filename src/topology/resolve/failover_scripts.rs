//! What failovers track, and what it does to their priorities.

use crate::document::suggest;
use crate::source::{Problem, Problems};
use crate::topology::{Failover, Member, Script, Topology};

/// The priorities that VRRP leaves to directors that own no address (RFC 5798, section 5.2.4).
const PRIORITIES: std::ops::RangeInclusive<i32> = 1..=254;

/// Checks the scripts of every failover.
pub fn check(topology: &Topology, problems: &mut Problems) {
    let mut failovers: Vec<&Failover> = topology.failovers.values().collect();
    failovers.sort_by_key(|failover| failover.name.span);
    for (position, failover) in failovers.iter().enumerate() {
        check_tracked(failover, problems);
        check_priorities(failover, problems);
        for earlier in failovers.iter().take(position) {
            check_shared(earlier, failover, problems);
        }
    }
}

fn check_tracked(failover: &Failover, problems: &mut Problems) {
    let options = &failover.options;
    for tracked in &options.tracked_scripts {
        if options.scripts.iter().any(|script| script.name.value == tracked.value) {
            continue;
        }
        let known = options.scripts.iter().map(|script| script.name.value.as_str());
        let help = match suggest::closest(&tracked.value, known) {
            Some(close) => format!("Did you mean \"{close}\"?"),
            None => format!("Declare it in this failover: `script \"{}\" run=\"/PROGRAM\"`", tracked.value),
        };
        problems.push(
            Problem::error("undeclared", format!("The failover has no script \"{}\"", tracked.value))
                .label(tracked.span, "not declared")
                .help(help),
        );
    }
}

/// keepalived cuts a priority that leaves the range, so that two directors may end up with the same one.
fn check_priorities(failover: &Failover, problems: &mut Problems) {
    let weighted = || failover.options.scripts.iter().filter(|script| script.weight.value != 0);
    let sum = |wanted: fn(i32) -> bool| {
        let weights = weighted().map(|script| i32::from(script.weight.value)).filter(|weight| wanted(*weight));
        weights.fold(0, i32::saturating_add)
    };
    let (least, most) = (sum(|weight| weight < 0), sum(|weight| weight > 0));
    for member in failover.members.values().filter(|member| member.priority.value > 0) {
        let priority = i32::from(member.priority.value);
        let (low, high) = (priority.saturating_add(least), priority.saturating_add(most));
        let out = [low, high].into_iter().find(|reached| !PRIORITIES.contains(reached));
        if let (Some(reached), Some(script)) = (out, weighted().next()) {
            problems.push(out_of_range(member, script, reached));
        }
    }
    // Whatever fails on the master, a backup that is well must come out above it.
    let mut priorities: Vec<i32> =
        failover.members.values().map(|member| i32::from(member.priority.value)).filter(|one| *one > 0).collect();
    priorities.sort_unstable_by(|one, other| other.cmp(one));
    let [first, second, ..] = priorities.as_slice() else { return };
    for script in weighted() {
        if first - i32::from(script.weight.value).abs() > *second {
            problems.push(
                Problem::warning("weight-without-effect", "The script's failure leaves the master what it is")
                    .label(script.weight.span, "less than the directors' priorities differ")
                    .label(failover.name.span, format!("priorities {first} and {second}"))
                    .help(format!("Use a weight beyond {}, or none: then a failure gives up the VIPs", first - second)),
            );
        }
    }
}

fn out_of_range(member: &Member, script: &Script, reached: i32) -> Problem {
    Problem::warning("priority-range", format!("The priority of {} would reach {reached}", member.director.value))
        .label(member.priority.span, "with what the scripts add")
        .label(script.weight.span, "a weight")
        .help("Keep priority and weights together within 1 to 254; keepalived cuts what is beyond")
}

/// keepalived has one space of script names on a director.
fn check_shared(earlier: &Failover, later: &Failover, problems: &mut Problems) {
    if later.members.keys().all(|director| !earlier.members.contains_key(director)) {
        return;
    }
    for script in &later.options.scripts {
        let first = earlier.options.scripts.iter().find(|first| first.name.value == script.name.value);
        if let Some(first) = first.filter(|first| !first.is_same(script)) {
            problems.push(
                Problem::error("conflict", format!("Two scripts of one director are called \"{}\"", script.name.value))
                    .label(script.name.span, "does something else")
                    .label(first.name.span, "than this one")
                    .help("Give one of the two another name, or make both the same"),
            );
        }
    }
}
