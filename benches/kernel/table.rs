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
///
/// Each table is written into a namespace in which there never was one: the kernel keeps what was deleted for two minutes
/// and looks through it for each destination that is added (`ip_vs_trash_get_dest`).
pub fn measure(services: usize, rounds: u32, tell: &dyn Fn(String) -> Result<(), String>) -> Result<(), String> {
    let commands = site::commands(services);
    let effects: Vec<Effect> = commands.iter().cloned().map(Effect::Ipvs).collect();
    let (mut limits, mut written, mut saved, mut read) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let namespace = fresh("effects", round)?;
        let mut host = LocalHost::namespace(&namespace, site::ROOT.as_ref()).map_err(|error| error.to_string())?;
        let mut with_effects = || {
            let effects = effects.clone();
            timed(|| {
                let results = host.perform_all(effects);
                results.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
            })
        };
        let bare = fresh("limit", round)?;
        let with_messages = || lvsctl::rehearsal::namespace::within(&bare, || raw::send(&commands));
        // Each is the first of the two as often as the other.
        if round % 2 == 0 {
            limits.push(with_messages()?);
            written.push(with_effects()?);
        } else {
            written.push(with_effects()?);
            limits.push(with_messages()?);
        }

        let file = File::create(SAVED).map_err(|error| error.to_string())?;
        saved.push(timed(|| site::ipvsadm(&namespace, "-Sn", Stdio::null(), file.into()))?);
        read.push(timed(|| match host.probe(&Probe::Ipvs).map_err(|error| error.to_string())? {
            Answer::Ipvs(read) if read.len() == services => Ok(()),
            _ => Err("the table was not read".to_owned()),
        })?);
    }
    let namespace = fresh("restored", 0)?;
    let file = File::open(SAVED).map_err(|error| error.to_string())?;
    let restored = timed(|| site::ipvsadm(&namespace, "-R", file.into(), Stdio::null()))?;

    let (limit, written, saved, read) = (best(limits)?, best(written)?, best(saved)?, best(read)?);
    tell(format!("{services} services × {} destinations, from nothing:", site::SERVERS))?;
    tell(row("messages in batches, the limit", limit, limit))?;
    tell(row("lvsctl's effects", written, limit))?;
    tell(row("ipvsadm -R", restored, limit))?;
    tell(row("ipvsadm -R against the effects", restored, written))?;
    tell("and read:".to_owned())?;
    tell(row("ipvsadm -Sn", saved, saved))?;
    tell(row("lvsctl's probe", read, saved))
}

/// Makes a namespace without a table.
fn fresh(what: &str, round: u32) -> Result<String, String> {
    let namespace = format!("{what}-{round}");
    site::lay_out(&namespace).map(|()| namespace)
}

/// Returns a line: what, how long, and how many times as long as something else.
pub fn row(what: &str, took: Duration, than: Duration) -> String {
    format!("  {what:<34} {:>9.3} s {:>8.2} ×", took.as_secs_f64(), took.as_secs_f64() / than.as_secs_f64())
}

fn timed(work: impl FnOnce() -> Result<(), String>) -> Result<Duration, String> {
    let started = Instant::now();
    work().map(|()| started.elapsed())
}

fn best(rounds: Vec<Duration>) -> Result<Duration, String> {
    rounds.into_iter().min().ok_or_else(|| "nothing was measured".to_owned())
}
