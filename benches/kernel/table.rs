//! The IPVS table alone: written and read by lvsctl's host, by ipvsadm, and by nothing but messages.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lvsctl::effect::{Answer, Effect, Probe};
use lvsctl::host::{Host, LocalHost};

use crate::{raw, site};

/// Where ipvsadm's own form of the table is kept.
const SAVED: &str = "/run/table";

/// Measures, and tells lines of the table in docs/performance.md.
pub fn measure(services: usize, rounds: u32, tell: &dyn Fn(String) -> Result<(), String>) -> Result<(), String> {
    let commands = site::commands(services);
    let effects: Vec<Effect> = commands.iter().cloned().map(Effect::Ipvs).collect();
    let mut host = LocalHost::namespace(site::NAMESPACE, site::ROOT.as_ref()).map_err(|error| error.to_string())?;
    let clear = || site::in_namespace("ipvsadm", &["-C"], Stdio::null(), Stdio::null());

    let limit = best(rounds, || {
        clear()?;
        lvsctl::rehearsal::namespace::within(site::NAMESPACE, || raw::send(&commands))
    })?;
    let written = best(rounds, || {
        clear()?;
        let started = Instant::now();
        let results = host.perform_all(&effects);
        let took = started.elapsed();
        results.into_iter().collect::<Result<(), _>>().map(|()| took).map_err(|error| error.to_string())
    })?;
    let saved = best(rounds, || {
        let file = File::create(SAVED).map_err(|error| error.to_string())?;
        timed(|| site::in_namespace("ipvsadm", &["-Sn"], Stdio::null(), file.into()))
    })?;
    let read = best(rounds, || {
        timed(|| match host.probe(&Probe::Ipvs).map_err(|error| error.to_string())? {
            Answer::Ipvs(read) if read.len() == services => Ok(()),
            _ => Err("the table was not read".to_owned()),
        })
    })?;
    let restored = best(1, || {
        clear()?;
        let file = File::open(SAVED).map_err(|error| error.to_string())?;
        timed(|| site::in_namespace("ipvsadm", &["-R"], file.into(), Stdio::null()))
    })?;
    clear()?;

    tell(format!("{services} services × {} destinations, from nothing:", site::SERVERS))?;
    tell(row("messages in batches, the limit", limit, limit))?;
    tell(row("lvsctl's effects", written, limit))?;
    tell(row("ipvsadm -R", restored, limit))?;
    tell("and read:".to_owned())?;
    tell(row("ipvsadm -Sn", saved, saved))?;
    tell(row("lvsctl's probe", read, saved))
}

/// Returns a line: what, how long, and how many times as long as something else.
pub fn row(what: &str, took: Duration, than: Duration) -> String {
    format!("  {what:<34} {:>9.3} s {:>8.2} ×", took.as_secs_f64(), took.as_secs_f64() / than.as_secs_f64())
}

fn timed(work: impl FnOnce() -> Result<(), String>) -> Result<Duration, String> {
    let started = Instant::now();
    work().map(|()| started.elapsed())
}

fn best(rounds: u32, mut work: impl FnMut() -> Result<Duration, String>) -> Result<Duration, String> {
    let rounds: Result<Vec<Duration>, String> = (0..rounds).map(|_| work()).collect();
    rounds?.into_iter().min().ok_or_else(|| "nothing was measured".to_owned())
}
