//! Decides what of a rehearsal is not as it should be, and says it in plain words.

use super::report::{Convergence, FailoverReport, Traffic};
use super::target::Target;

/// The smallest deviation from the expected spread that counts, as a part of the requests.
const TOLERANCE: f64 = 0.05;

/// Judges planning and applying.
pub fn convergence(convergence: &Convergence) -> Vec<String> {
    let failed = convergence.apply.failures.iter().map(|failure| format!("Applying failed: {failure}"));
    let left = convergence.replan.total();
    let left = (left > 0).then(|| format!("The plan after applying still holds {left} changes"));
    failed.chain(left).collect()
}

/// Judges the requests to one target; `when` is empty or says when, as in " after the failover".
pub fn traffic(target: &Target, traffic: &Traffic, when: &str) -> Vec<String> {
    let title = target.title();
    if target.language.is_none() {
        return Vec::new();
    }
    let mut failures = Vec::new();
    if traffic.failed > 0 {
        let reason = traffic.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        failures.push(format!("{title}: {} of {} requests failed{when}{reason}", traffic.failed, traffic.requests));
    }
    for (host, count) in traffic.spread.iter().filter(|(_, count)| **count > 0) {
        match target.weights.get(host) {
            None => {
                failures.push(format!("{title}: {count} requests were answered by {host}, which is no server of it"))
            }
            Some(0) => failures.push(format!("{title}: {count} requests were answered by {host}, which has weight 0")),
            Some(_) => {}
        }
    }
    // Where requests were lost, the spread of the rest says nothing more.
    let expected = if traffic.failed == 0 { target.expected(traffic.answered) } else { None };
    for (host, expected) in expected.unwrap_or_default() {
        let count = traffic.spread.get(&host).copied().unwrap_or(0);
        let allowed = (f64::from(traffic.answered) * TOLERANCE).max(2.0);
        if (f64::from(count) - expected).abs() > allowed {
            failures.push(format!("{title}: {host} answered {count} requests{when}, expected {expected:.0}"));
        }
    }
    failures
}

/// Judges a failover. Requests that failed until the takeover are no failure of the site.
pub fn failover(report: &FailoverReport, targets: &[&Target]) -> Vec<String> {
    let Some(taken_over_by) = &report.taken_over_by else {
        return vec![format!("failover {}: nobody took over from {}", report.group, report.killed)];
    };
    let mut failures: Vec<String> = targets
        .iter()
        .zip(&report.services)
        .flat_map(|(target, traffic)| self::traffic(target, traffic, " after the failover"))
        .collect();
    if report.balanced_by.get(taken_over_by).copied().unwrap_or(0) == 0 {
        failures.push(format!("failover {}: {taken_over_by} took over and balanced nothing", report.group));
    }
    failures
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rehearsal::report::PlanSummary;
    use crate::rehearsal::target::targets;
    use crate::topology::HostName;
    use crate::topology::fixture::reference_site;

    fn target() -> Target {
        targets(&reference_site()).remove(0)
    }

    fn answered(spread: &[(&str, u32)], failed: u32) -> Traffic {
        let target = target();
        let spread: BTreeMap<_, _> = spread.iter().map(|(host, count)| (HostName::new(host), *count)).collect();
        let answered = spread.values().sum();
        Traffic {
            vip: target.vip,
            service: target.service,
            protocol: target.protocol,
            port: target.port,
            scheduler: target.scheduler,
            requests: answered + failed,
            answered,
            failed,
            errors: if failed > 0 { vec!["Connection refused".to_owned()] } else { vec![] },
            spread,
            weights: target.weights,
        }
    }

    #[test]
    fn even_answers_are_fine_and_uneven_ones_are_not() {
        assert_eq!(traffic(&target(), &answered(&[("web1", 49), ("web2", 51)], 0), ""), Vec::<String>::new());
        assert_eq!(
            traffic(&target(), &answered(&[("web1", 100), ("web2", 0)], 0), ""),
            [
                "10.4.1.190:80/tcp http: web1 answered 100 requests, expected 50",
                "10.4.1.190:80/tcp http: web2 answered 0 requests, expected 50"
            ]
        );
    }

    #[test]
    fn lost_requests_and_strangers_are_named() {
        let failures =
            traffic(&target(), &answered(&[("web1", 45), ("web2", 45), ("lb01", 1)], 9), " after the failover");
        assert_eq!(
            failures,
            [
                "10.4.1.190:80/tcp http: 9 of 100 requests failed after the failover: Connection refused",
                "10.4.1.190:80/tcp http: 1 requests were answered by lb01, which is no server of it"
            ]
        );
    }

    #[test]
    fn a_second_plan_must_be_empty() {
        let left =
            Convergence { replan: PlanSummary { update: 2, ..PlanSummary::default() }, ..Convergence::default() };
        assert_eq!(convergence(&left), ["The plan after applying still holds 2 changes"]);
        assert!(convergence(&Convergence::default()).is_empty());
    }

    #[test]
    fn a_failover_without_a_successor_failed() {
        let report = FailoverReport {
            group: "ext".into(),
            killed: HostName::new("lb01"),
            taken_over_by: None,
            takeover_ms: None,
            requests: 10,
            failed: 10,
            outage_ms: 5000,
            services: vec![],
            balanced_by: BTreeMap::new(),
        };
        assert_eq!(failover(&report, &[]), ["failover ext: nobody took over from lb01"]);
        let taken = FailoverReport { taken_over_by: Some(HostName::new("lb02")), ..report };
        assert_eq!(failover(&taken, &[]), ["failover ext: lb02 took over and balanced nothing"]);
    }
}
