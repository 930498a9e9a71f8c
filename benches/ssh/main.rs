//! How long a login on many hosts takes, and a whole plan of them, beside OpenSSH's own client: `make bench`, on a machine with nothing
//! else to do. The plan needs root and the build of `make release`.
//!
//! In the first part both open [`SESSIONS`] sessions to a real sshd on the loopback interface, [`AT_ONCE`] at a time, and run `true` in each; the same
//! keys, the same server, one after the other, [`ROUNDS`] times. The best round counts: what disturbs a machine only ever adds.

#![allow(dead_code, clippy::disallowed_methods)]

mod plan;
#[path = "../../tests/ssh/server.rs"]
mod server;
#[path = "../../tests/ssh/site.rs"]
mod site;

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::host::ssh::Patience;
use lvsctl::host::ssh::SshSession;
use site::Site;

const SESSIONS: usize = 200;
const AT_ONCE: usize = 32;
const ROUNDS: usize = 3;

/// Many logins at once may each take long where there are few processors.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(60),
    handshake: Duration::from_secs(60),
    login: Duration::from_secs(60),
    answer: Duration::from_secs(60),
};

fn main() -> ExitCode {
    if let Some(code) = plan::apart() {
        return code;
    }
    // The server must take as many at once as there are (sshd_config(5), MaxStartups). With a higher SHLVL, bash leaves out the
    // user's .bashrc, which may take longer than all the rest.
    let site = Site::with("LogLevel VERBOSE\nMaxStartups 500:30:1000\nSetEnv SHLVL=5");
    let (ours, theirs) = duel(|| lvsctl(&site), || xargs(&site));
    println!("{SESSIONS} sessions, {AT_ONCE} at once, best of {ROUNDS} rounds");
    plan::row("lvsctl", ours);
    plan::row(&format!("xargs -P{AT_ONCE} ssh HOST true"), theirs);
    println!("{:<28}{:>9.3}", "ratio", ours.as_secs_f64() / theirs.as_secs_f64());
    plan::compare(&site);
    ExitCode::SUCCESS
}

/// Does two things in turn and returns the time of the quickest round of each.
fn duel(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (Duration, Duration) {
    let rounds = (0..ROUNDS).map(|_| (timed(&mut ours), timed(&mut theirs)));
    rounds.fold((Duration::MAX, Duration::MAX), |best, round| (best.0.min(round.0), best.1.min(round.1)))
}

fn timed(action: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    action();
    begun.elapsed()
}

/// Asks OpenSSH for the configuration, logs in and runs a program to its end, for each host anew.
fn lvsctl(site: &Site) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < SESSIONS {
                    let mut session = SshSession::open(&site.target(), &PATIENCE).unwrap();
                    assert_eq!(session.run("true").unwrap().finish().unwrap().status, 0);
                }
            });
        }
    });
}

fn xargs(site: &Site) {
    let command = format!(
        "seq {SESSIONS} | xargs -P{AT_ONCE} -I N ssh -n -F {} -o BatchMode=yes lb1 true",
        site.configuration().display()
    );
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}
