//! What a rehearsal found, for people; as JSON the report is its own versioned document.

use std::collections::BTreeMap;

use super::describe;
use super::paint::Paint;
use crate::rehearsal::report::{FailoverReport, PlanSummary, Report, Traffic};
use crate::topology::HostName;

/// How wide the text is at most, colour not counted.
const WIDTH: usize = 80;

/// Where the second column begins.
const INDENT: usize = 12;

/// Renders a report.
pub fn human(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    let verdict = if report.passed { paint.good("PASSED") } else { paint.bad("FAILED") };
    let took = seconds(report.durations.total_ms);
    text.push_str(&format!("{} {verdict} in {took}\n\n", paint.heading(&format!("Rehearsal of {}", report.topology))));
    let names = |role: &str| {
        let hosts = report.hosts.iter().filter(|host| host.role == role);
        hosts.map(|host| host.name.to_string()).collect::<Vec<_>>()
    };
    row(&mut text, "directors", &names("director").join(", "));
    row(&mut text, "servers", &names("real-server").join(", "));
    row(&mut text, "plan", &plan(&report.convergence.plan));
    let apply = &report.convergence.apply;
    let failed = if apply.failures.is_empty() { String::new() } else { format!(", {} failed", apply.failures.len()) };
    row(&mut text, "apply", &format!("{} applied{failed}", apply.applied));
    row(&mut text, "plan again", &plan(&report.convergence.replan));

    traffic(&mut text, &report.services, "", paint);
    for failover in &report.failovers {
        text.push('\n');
        text.push_str(&format!("{}\n", paint.heading(&format!("failover {}", describe::clean(&failover.group)))));
        text.push_str(&takeover(failover, paint));
        traffic(&mut text, &failover.services, ", after the failover", paint);
        let balanced = failover.balanced_by.iter().filter(|(_, count)| **count > 0);
        let balanced: Vec<_> = balanced.map(|(name, count)| format!("{count} by {name}")).collect();
        if !balanced.is_empty() {
            row(&mut text, "balanced", &balanced.join(", "));
        }
    }
    if !report.failures.is_empty() {
        text.push_str(&format!("\n{}\n", paint.bad("Not as it should be")));
        for failure in &report.failures {
            text.push_str(&wrapped("  - ", 4, &describe::clean(failure)));
        }
    }
    let durations = &report.durations;
    text.push('\n');
    let parts = [
        ("boot", durations.boot_ms),
        ("lay out", durations.lay_out_ms),
        ("converge", durations.converge_ms),
        ("requests", durations.traffic_ms),
        ("failover", durations.failover_ms),
    ];
    let parts: Vec<String> = parts.iter().map(|(name, ms)| format!("{name} {}", seconds(*ms))).collect();
    text.push_str(&wrapped(&column("time"), INDENT, &parts.join(", ")));
    text
}

fn traffic(text: &mut String, services: &[Traffic], when: &str, paint: Paint) {
    let mut last = None;
    for service in services {
        if last != Some(service.vip) {
            text.push_str(&format!("\n{}\n", paint.heading(&format!("vip {}{when}", service.vip))));
            last = Some(service.vip);
        }
        let name = format!("  {} {}/{}", describe::clean(&service.service), service.port, service.protocol);
        let answered = format!("{}/{}", service.answered, service.requests);
        let answered = match (service.requests, service.failed) {
            (0, _) => "not asked".to_owned(),
            (_, 0) => paint.good(&answered),
            _ => paint.bad(&answered),
        };
        text.push_str(&format!("{name:<28} {answered} answered\n"));
        let unit = unit(&service.spread);
        for (host, count) in &service.spread {
            let weight = service.weights.get(host).map(|weight| format!("weight {weight}"));
            let bar = "#".repeat(*count as usize / unit);
            let host = describe::clean(host.as_str());
            let line = format!("    {host:<16} {count:>6} {:<12} {bar}", weight.unwrap_or_default());
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}

/// Returns how many answers one mark of a bar stands for, so that the longest fits.
fn unit(spread: &BTreeMap<HostName, u32>) -> usize {
    let longest = spread.values().copied().max().unwrap_or(0) as usize;
    longest.div_ceil(WIDTH - 42).max(1)
}

fn takeover(failover: &FailoverReport, paint: Paint) -> String {
    let mut text = String::new();
    row(&mut text, "killed", &format!("the keepalived of {}", failover.killed));
    match (&failover.taken_over_by, failover.takeover_ms) {
        (Some(director), Some(after)) => {
            row(&mut text, "taken over", &format!("by {director} after {}", seconds(after)));
        }
        _ => row(&mut text, "taken over", &paint.bad("by nobody")),
    }
    let lost = format!("{} of {} requests lost", failover.failed, failover.requests);
    let lost = match failover.failed {
        0 => lost,
        _ => format!("{lost}, {} without an answer", seconds(failover.outage_ms)),
    };
    row(&mut text, "meanwhile", &lost);
    text
}

fn plan(summary: &PlanSummary) -> String {
    let counts = [
        (summary.create, "create"),
        (summary.update, "update"),
        (summary.replace, "replace"),
        (summary.delete, "delete"),
    ];
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, verb)| format!("{count} {verb}")).collect();
    if parts.is_empty() { "no changes".to_owned() } else { parts.join(", ") }
}

fn row(text: &mut String, name: &str, value: &str) {
    let value = if value.is_empty() { "none" } else { value };
    text.push_str(&wrapped(&column(name), INDENT, value));
}

fn column(name: &str) -> String {
    format!("{name:<INDENT$}")
}

/// Breaks a text between words; the first line begins with `start`, the others are indented.
fn wrapped(start: &str, indent: usize, text: &str) -> String {
    let mut lines = vec![start.to_owned()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.trim().is_empty() || line == start => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{:indent$}{word}", "")),
        }
    }
    lines.join("\n") + "\n"
}

fn seconds(milliseconds: u64) -> String {
    format!("{:.1} s", milliseconds as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::report::{ApplySummary, Convergence, Durations, HostReport};
    use crate::topology::Protocol;

    fn traffic(port: u16, service: &str, spread: [u32; 2]) -> Traffic {
        let names = ["web1", "web2"].map(HostName::new);
        Traffic {
            vip: "10.4.1.190".parse().unwrap(),
            service: service.to_owned(),
            protocol: Protocol::Tcp,
            port,
            scheduler: "wrr".to_owned(),
            requests: 100,
            answered: spread.iter().sum(),
            failed: 100u32.saturating_sub(spread.iter().sum()),
            errors: vec![],
            spread: names.iter().cloned().zip(spread).collect(),
            weights: names.iter().cloned().zip([100, 100]).collect(),
        }
    }

    fn report(passed: bool) -> Report {
        let lost = if passed { [50, 50] } else { [50, 0] };
        let host =
            |name: &str, role: &str| HostReport { name: HostName::new(name), role: role.into(), addresses: vec![] };
        Report {
            format_version: "1.0".into(),
            topology: "examples/dr-fwmark-redirect".into(),
            passed,
            failures: match passed {
                true => vec![],
                false => vec![
                    "10.4.1.190:80/tcp http: 50 of 100 requests failed after the failover: connection timed out".into(),
                ],
            },
            hosts: vec![
                host("lb01", "director"),
                host("lb02", "director"),
                host("web1", "real-server"),
                host("web2", "real-server"),
            ],
            convergence: Convergence {
                plan: PlanSummary { create: 28, ..PlanSummary::default() },
                apply: ApplySummary { applied: 28, failures: vec![] },
                replan: PlanSummary::default(),
            },
            services: vec![traffic(80, "http", [50, 50]), traffic(443, "https", [50, 50])],
            failovers: vec![FailoverReport {
                group: "ext".into(),
                killed: HostName::new("lb01"),
                taken_over_by: Some(HostName::new("lb02")),
                takeover_ms: Some(3456),
                requests: 160,
                failed: if passed { 0 } else { 12 },
                outage_ms: if passed { 0 } else { 812 },
                services: vec![traffic(80, "http", lost)],
                balanced_by: [("lb01", 0), ("lb02", 100)].map(|(name, count)| (HostName::new(name), count)).into(),
            }],
            durations: Durations {
                boot_ms: 1300,
                lay_out_ms: 500,
                converge_ms: 2100,
                traffic_ms: 6100,
                failover_ms: 5800,
                total_ms: 16_500,
            },
        }
    }

    #[test]
    fn a_report_that_passed() {
        insta::assert_snapshot!(human(&report(true), Paint::default()));
    }

    #[test]
    fn a_report_that_failed() {
        insta::assert_snapshot!(human(&report(false), Paint::default()));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let mut wide = report(false);
        wide.services.push(Traffic {
            requests: 100_000,
            answered: 99_950,
            ..traffic(8080, "a-name-of-some-length", [99_900, 50])
        });
        wide.failures.push("word ".repeat(60));
        let text = human(&wide, Paint::default());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn the_json_says_which_format_it_is() {
        let text = serde_json::to_string(&report(true)).unwrap();
        assert!(text.starts_with(r#"{"format_version":"1.0","topology":"examples/dr-fwmark-redirect","passed":true"#));
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report(true));
    }
}
