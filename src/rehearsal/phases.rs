//! The order of a rehearsal inside the guest: lay out, converge, ask, fail over, judge.

use std::time::{Duration, Instant};

use super::converge::Converger;
use super::failover::{fail_over, groups, holders};
use super::judge;
use super::layout::Layout;
use super::report::{Convergence, Durations, FORMAT_VERSION, FailoverReport, HostReport, Report, Traffic};
use super::target::{Target, offers, targets};
use super::traffic::{ask, await_answer};
use super::{names, network, programs, servers, settle};
use crate::topology::{Role, Topology};

/// How long the services may take until each has answered once.
const READY: Duration = Duration::from_secs(60);

/// What is rehearsed.
pub struct Rehearsal<'a> {
    /// The topology, with the connections that the operator wrote.
    pub topology: &'a Topology,
    /// The topology's path, for the report.
    pub path: &'a str,
    /// How many requests each listen gets.
    pub requests: u32,
}

impl Rehearsal<'_> {
    /// Runs everything; `tell` hears what happens in lines of text. An error means that nothing could be judged.
    pub fn run(&self, converger: &mut dyn Converger, tell: &mut dyn FnMut(String)) -> Result<Report, String> {
        let mut durations = Durations::default();
        let started = Instant::now();
        let layout = Layout::of(self.topology);
        network::build(&layout)?;
        names::resolve(self.topology)?;
        for program in programs::stand_in(self.topology)? {
            tell(format!("{program} is not on this machine: one that always succeeds stands for it"));
        }
        servers::start(&layout, &offers(self.topology))?;
        durations.lay_out_ms = millis(started);
        tell(format!("{} hosts laid out, servers listen", layout.places.len()));

        let started = Instant::now();
        let topology = layout.relocated(self.topology);
        let convergence = converge(&topology, converger, tell)?;
        durations.converge_ms = millis(started);
        let mut failures = judge::convergence(&convergence);
        let can_serve = convergence.apply.failures.is_empty();

        let targets = if can_serve { targets(&topology) } else { Vec::new() };
        let started = Instant::now();
        for group in groups(&topology, &targets) {
            let name = &group.failover.name.value;
            match settle::master(&layout, &group, started + READY) {
                Some(master) => tell(format!("failover {name}: {master} is master")),
                None => failures.push(format!("failover {name}: no master within {} s", READY.as_secs())),
            }
        }
        let mut services = Vec::new();
        for (target, answers) in targets.iter().zip(self.ask_all(&targets, tell)) {
            failures.extend(judge::traffic(target, &answers, ""));
            services.push(answers);
        }
        durations.traffic_ms = millis(started);

        let started = Instant::now();
        let mut failovers: Vec<FailoverReport> = Vec::new();
        for group in groups(&topology, &targets) {
            let name = &group.failover.name.value;
            let masters = holders(&layout, &group);
            let alive: Vec<_> =
                masters.iter().filter(|name| failovers.iter().all(|past| past.killed != **name)).collect();
            let [master] = alive.as_slice() else {
                failures.push(format!("failover {name}: {} live directors hold its VIPs, expected one", alive.len()));
                continue;
            };
            let left = group.failover.members.keys().filter(|name| failovers.iter().all(|past| past.killed != **name));
            if left.count() < 2 {
                tell(format!("failover {name}: not tried, because an earlier one left {master} alone"));
                continue;
            }
            tell(format!("failover {name}: the keepalived of {master} is killed"));
            let report = fail_over(&layout, &group, master, self.requests)?;
            failures.extend(judge::failover(&report, &group.targets));
            tell(told_failover(&report));
            failovers.push(report);
        }
        durations.failover_ms = millis(started);

        Ok(Report {
            format_version: FORMAT_VERSION.to_owned(),
            topology: self.path.to_owned(),
            passed: failures.is_empty(),
            failures,
            hosts: self.hosts(),
            convergence,
            services,
            failovers,
            durations,
        })
    }

    fn ask_all(&self, targets: &[Target], tell: &mut dyn FnMut(String)) -> Vec<Traffic> {
        let deadline = Instant::now() + READY;
        let can_answer =
            |target: &&Target| target.language.is_some() && target.weights.values().any(|weight| *weight > 0);
        for target in targets.iter().filter(can_answer) {
            if let Err(error) = await_answer(target, deadline) {
                tell(format!("{}: no answer within {} s: {error}", target.title(), READY.as_secs()));
            }
        }
        let answers = targets.iter().map(|target| {
            let answers = ask(target, self.requests);
            tell(told_traffic(target, &answers));
            answers
        });
        answers.collect()
    }

    fn hosts(&self) -> Vec<HostReport> {
        let hosts = self.topology.hosts.values();
        let host = |host: &crate::topology::Host| HostReport {
            name: host.name.value.clone(),
            role: match host.role {
                Role::Director => "director".to_owned(),
                Role::RealServer => "real-server".to_owned(),
            },
            addresses: host.addresses.iter().map(|address| address.value.to_string()).collect(),
        };
        hosts.map(host).collect()
    }
}

fn converge(
    topology: &Topology,
    converger: &mut dyn Converger,
    tell: &mut dyn FnMut(String),
) -> Result<Convergence, String> {
    let plan = converger.plan(topology)?;
    tell(format!("plan: {} changes", plan.total()));
    let apply = converger.apply(topology)?;
    tell(format!("apply: {} changes made, {} failed", apply.applied, apply.failures.len()));
    let replan = converger.plan(topology)?;
    tell(format!("plan again: {} changes", replan.total()));
    Ok(Convergence { plan, apply, replan })
}

fn told_traffic(target: &Target, answers: &Traffic) -> String {
    if target.language.is_none() {
        return format!("{}: not asked, a rehearsal does not speak {}", target.title(), target.protocol);
    }
    let spread: Vec<String> = answers.spread.iter().map(|(host, count)| format!("{host} {count}")).collect();
    format!("{}: {} of {} answered, {}", target.title(), answers.answered, answers.requests, spread.join(", "))
}

fn told_failover(report: &FailoverReport) -> String {
    let lost = format!("{} of {} requests failed", report.failed, report.requests);
    match (&report.taken_over_by, report.takeover_ms) {
        (Some(director), Some(after)) => {
            format!("failover {}: {director} is master after {:.1} s, {lost}", report.group, after as f64 / 1000.0)
        }
        _ => format!("failover {}: nobody took over, {lost}", report.group),
    }
}

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}
