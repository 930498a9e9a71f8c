//! Kills the keepalived of a failover's master and watches the other director take over.
//!
//! SIGKILL takes keepalived's processes away without a last word: no advert of priority 0, no VIP taken down. The dead
//! director's kernel goes on balancing until the other one announces the VIPs, so requests may well lose nothing; the
//! report says what was measured, and IPVS's own counters say who balanced.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::layout::Layout;
use super::namespace::within;
use super::report::FailoverReport;
use super::target::Target;
use super::traffic::ask;
use super::watch::{Watch, longest_outage};
use crate::topology::{Failover, HostName, Topology};

/// The pid file of a keepalived's first process below a host's `run`.
const PARENT: &str = "keepalived.pid";

/// Those of the processes that it starts.
const CHILDREN: &[&str] = &["keepalived_vrrp.pid", "keepalived_checkers.pid"];

/// How long after the worst case of the protocol a takeover is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a first request may take to come through, before the kill and after the takeover.
const FIRST_REQUEST: Duration = Duration::from_secs(5);

/// How long the requests are watched on after a takeover.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Time between two looks.
const POLL: Duration = Duration::from_millis(10);

/// A failover group with what is served on its VIPs.
pub struct Group<'a> {
    /// The group.
    pub failover: &'a Failover,
    /// Its VIPs.
    pub vips: Vec<IpAddr>,
    /// The listens on them.
    pub targets: Vec<&'a Target>,
}

/// Returns the groups of two or more directors on whose VIPs something is served.
pub fn groups<'a>(topology: &'a Topology, targets: &'a [Target]) -> Vec<Group<'a>> {
    let failovers = topology.failovers.values().filter(|failover| failover.members.len() > 1);
    let groups = failovers.map(|failover| {
        let of_group = |target: &&Target| target.failover.as_deref() == Some(failover.name.value.as_str());
        let targets: Vec<_> = targets.iter().filter(of_group).filter(|target| target.language.is_some()).collect();
        let mut vips: Vec<IpAddr> = targets.iter().map(|target| target.vip).collect();
        vips.sort_unstable();
        vips.dedup();
        Group { failover, vips, targets }
    });
    groups.filter(|group| !group.targets.is_empty()).collect()
}

/// Returns the directors of a group that hold all of its VIPs.
pub fn holders(layout: &Layout, group: &Group<'_>) -> Vec<HostName> {
    let directors = group.failover.by_priority().into_iter();
    directors.filter(|director| group.vips.iter().all(|vip| holds(layout, director, *vip))).cloned().collect()
}

/// A local address can be bound to, and no process is needed to find that out.
fn holds(layout: &Layout, host: &HostName, address: IpAddr) -> bool {
    layout.places.get(host).is_some_and(|place| {
        within(&place.namespace, || UdpSocket::bind((address, 0)).map_err(|error| error.to_string())).is_ok()
    })
}

/// Makes a failover happen and measures it. The master is the one director that holds the VIPs.
pub fn fail_over(
    layout: &Layout,
    group: &Group<'_>,
    master: &HostName,
    requests: u32,
) -> Result<FailoverReport, String> {
    let mut watches = Vec::new();
    for target in &group.targets {
        watches.push(Watch::start(target)?);
    }
    let warm = Instant::now() + FIRST_REQUEST;
    while watches.iter().any(|watch| watch.is_speaking() && watch.answered() == 0) && Instant::now() < warm {
        std::thread::sleep(POLL);
    }
    let killed_at = Instant::now();
    kill_keepalived(layout, master)?;

    // RFC 5798: three adverts and the skew time, which is under one advert.
    let deadline = killed_at + group.failover.advert_interval * 4 + PATIENCE;
    let others: Vec<&HostName> =
        group.failover.by_priority().into_iter().filter(|director| *director != master).collect();
    let is_taken = |director: &&HostName| group.vips.iter().all(|vip| holds(layout, director, *vip));
    let mut taken_over_by = None;
    while taken_over_by.is_none() && Instant::now() < deadline {
        taken_over_by = others.iter().copied().find(is_taken).cloned();
        std::thread::sleep(POLL);
    }
    let taken_at = Instant::now();
    if let Some(director) = &taken_over_by {
        let before = balanced(layout, director);
        while balanced(layout, director) <= before && taken_at.elapsed() < FIRST_REQUEST {
            std::thread::sleep(POLL);
        }
        std::thread::sleep(AFTERWARDS.saturating_sub(taken_at.elapsed()));
    }
    let samples: Vec<_> = watches.into_iter().map(|watch| watch.finish(killed_at)).collect();

    let directors = group.failover.by_priority();
    let before: BTreeMap<_, _> = directors.iter().map(|name| ((*name).clone(), balanced(layout, name))).collect();
    let services = group.targets.iter().map(|target| ask(target, requests)).collect();
    let balanced_by = before
        .into_iter()
        .map(|(name, before)| (name.clone(), balanced(layout, &name).saturating_sub(before)))
        .collect();
    Ok(FailoverReport {
        group: group.failover.name.value.clone(),
        killed: master.clone(),
        takeover_ms: taken_over_by.is_some().then(|| (taken_at - killed_at).as_millis() as u64),
        taken_over_by,
        requests: samples.iter().map(|samples| samples.len() as u32).sum(),
        failed: samples.iter().flatten().filter(|sample| !sample.answered).count() as u32,
        outage_ms: samples.iter().map(|samples| longest_outage(samples).as_millis() as u64).max().unwrap_or(0),
        services,
        balanced_by,
    })
}

/// Kills all of a keepalived at once. A child whose parent dies is sent SIGTERM and says goodbye, and a parent whose child
/// dies starts it again: so the parent is stopped before the children are killed, and is killed last.
fn kill_keepalived(layout: &Layout, director: &HostName) -> Result<(), String> {
    let place = layout.places.get(director).ok_or_else(|| format!("No director is named {director}"))?;
    let run = Path::new(&place.root).join("run");
    let parent = pid(&run.join(PARENT))
        .ok_or_else(|| format!("No keepalived of {director} runs: {} holds no pid file of it", run.display()))?;
    let send = |pid: Pid, signal: Signal| {
        rustix::process::kill_process(pid, signal)
            .map_err(|error| format!("The keepalived of {director} cannot be killed: {error}"))
    };
    send(parent, Signal::STOP)?;
    for child in CHILDREN.iter().filter_map(|name| pid(&run.join(name))) {
        send(child, Signal::KILL)?;
    }
    send(parent, Signal::KILL)
}

fn pid(file: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?)
}

/// Returns how many connections a director's IPVS has balanced.
fn balanced(layout: &Layout, director: &HostName) -> u64 {
    let read = |namespace: &str| {
        within(namespace, || {
            fs::read_to_string("/proc/thread-self/net/ip_vs_stats_percpu").map_err(|error| error.to_string())
        })
    };
    let text = layout.places.get(director).and_then(|place| read(&place.namespace).ok()).unwrap_or_default();
    connections(&text)
}

/// Adds up the connections of each processor in `/proc/net/ip_vs_stats_percpu`, which are hexadecimal.
///
/// The line of all processors, `~`, and the file without `_percpu` are only brought up to date every two seconds
/// (`estimation_timer` in `net/netfilter/ipvs/ip_vs_est.c`).
fn connections(statistics: &str) -> u64 {
    let lines = statistics.lines().skip(2).take_while(|line| !line.trim_start().starts_with('~'));
    let numbers = lines.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok());
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::target::targets;
    use crate::topology::fixture::reference_site;

    #[test]
    fn only_groups_that_serve_are_failed_over() {
        let site = reference_site();
        let served = targets(&site);
        let found = groups(&site, &served);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].vips, ["10.4.1.190".parse::<IpAddr>().unwrap()]);
        assert_eq!(found[0].targets.len(), 2);
        assert!(groups(&site, &[]).is_empty());
        let mut alone = site.clone();
        alone.failovers.get_mut("ext").unwrap().members.remove(&HostName::new("lb02"));
        assert!(groups(&alone, &served).is_empty());
    }

    #[test]
    fn the_kernels_counters_are_hexadecimal() {
        let text = "       Total Incoming Outgoing\nCPU    Conns  Packets  Packets\n  0        F        0        0\n  \
                    1       10        0        0\n  ~        2        0        0\n\n     Conns/s   Pkts/s\n           2\n";
        assert_eq!(connections(text), 31);
        assert_eq!(connections(""), 0);
    }
}
