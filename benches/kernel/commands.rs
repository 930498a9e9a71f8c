//! Whole commands, each a process of its own that says at its end what it took.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use lvsctl::cli;

use crate::site;

/// The name under which this program is lvsctl.
pub const LVSCTL: &str = "lvsctl-measured";

/// The variable that names the file in which a measured process says what it took.
const USAGE: &str = "LVSCTL_BENCH_USAGE";

/// The kernel's clock ticks a second in `/proc/PID/stat` (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Runs lvsctl if this process was started as lvsctl.
pub fn run_if_lvsctl() -> Option<ExitCode> {
    if std::env::args_os().next()? != LVSCTL {
        return None;
    }
    let code = cli::run(&cli::Arguments::parse());
    Some(note_usage(0.0).map_or(ExitCode::FAILURE, |()| ExitCode::from(code)))
}

/// Notes this process's user time since an earlier moment and the most memory that it ever had.
pub fn note_usage(since: f64) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let peak = peak.split_whitespace().next().unwrap_or_default();
    fs::write(std::env::var_os(USAGE).unwrap_or_default(), format!("{} {peak}", user_ticks()? - since))
}

/// Returns this process's user time in ticks.
pub fn user_ticks() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The fields after the program's name in parentheses begin with the third; user time is the fourteenth.
    let ticks = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(11));
    Ok(ticks.and_then(|ticks| ticks.parse().ok()).unwrap_or_default())
}

/// What a process took.
#[derive(Clone, Copy)]
pub struct Taken {
    wall: Duration,
    user: f64,
    mebibytes: f64,
}

/// Measures `check`, `plan` and, for the first site, `apply` and `destroy`.
pub fn measure(sites: &[usize], tell: &dyn Fn(String) -> Result<(), String>) -> Result<(), String> {
    let mut before: Vec<Taken> = Vec::new();
    for services in sites {
        let path = format!("/run/site-{services}.kdl");
        fs::write(&path, site::topology(*services)).map_err(|error| error.to_string())?;
        let objects = services * (site::SERVERS + 1);
        let lvsctl = |arguments: &[&str]| run(LVSCTL, &[arguments, &[&path]].concat(), Path::new("/run"));
        tell(format!("a site of {objects} objects:"))?;
        let taken = [lvsctl(&["check"])?, lvsctl(&["plan"])?];
        for (at, (name, taken)) in ["lvsctl check", "lvsctl plan, all to be created"].iter().zip(taken).enumerate() {
            tell(row(name, taken, before.get(at)))?;
        }
        if before.is_empty() {
            tell(row("lvsctl apply", lvsctl(&["apply", "--auto-approve"])?, None))?;
            tell(row("lvsctl plan, nothing to do", lvsctl(&["plan"])?, None))?;
            tell(row("lvsctl destroy", lvsctl(&["destroy", "--auto-approve"])?, None))?;
        }
        before = taken.to_vec();
    }
    Ok(())
}

/// Runs this program under another name; what it took is noted in a file in `folder`.
pub fn run(name: &str, arguments: &[&str], folder: &Path) -> Result<Taken, String> {
    let usage = folder.join("usage");
    let started = Instant::now();
    let output = Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .env(USAGE, &usage)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| error.to_string())?;
    let wall = started.elapsed();
    if !output.status.success() {
        return Err(format!("{arguments:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let usage = fs::read_to_string(usage).map_err(|error| error.to_string())?;
    let mut numbers = usage.split_whitespace().map(|word| word.parse::<f64>().unwrap_or(f64::NAN));
    let (ticks, kibibytes) = (numbers.next().unwrap_or(f64::NAN), numbers.next().unwrap_or(f64::NAN));
    Ok(Taken { wall, user: ticks / TICKS, mebibytes: kibibytes / 1024.0 })
}

/// Returns a line: what, what it took and, where there is a smaller site, how it grew.
pub fn row(what: &str, taken: Taken, before: Option<&Taken>) -> String {
    let growth = before.map_or(String::new(), |before| {
        format!("  {:.1} × the time, {:.1} × the memory", taken.user / before.user, taken.mebibytes / before.mebibytes)
    });
    let (wall, user, memory) = (taken.wall.as_secs_f64(), taken.user, taken.mebibytes);
    format!("  {what:<34} {wall:>9.3} s {user:>8.2} s user {memory:>7.0} MiB{growth}")
}
