//! How long a login on many hosts takes, beside OpenSSH's own client: `cargo bench --bench ssh`, on a machine with nothing else to do.
//!
//! Both open [`SESSIONS`] sessions to a real sshd on the loopback interface, [`AT_ONCE`] at a time, and run `true` in each; the same
//! keys, the same server, one after the other, [`ROUNDS`] times. The best round counts: what disturbs a machine only ever adds.

#![allow(dead_code, clippy::disallowed_methods)]

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
    // The server must take as many at once as there are (sshd_config(5), MaxStartups). With a higher SHLVL, bash leaves out the
    // user's .bashrc, which may take longer than all the rest.
    let site = Site::with("LogLevel VERBOSE\nMaxStartups 500:30:1000\nSetEnv SHLVL=5");
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        ours = ours.min(timed(|| lvsctl(&site)));
        theirs = theirs.min(timed(|| xargs(&site)));
    }
    println!("{SESSIONS} sessions, {AT_ONCE} at once, best of {ROUNDS} rounds");
    println!("lvsctl                    {:>8.3} s", ours.as_secs_f64());
    println!("xargs -P{AT_ONCE} ssh HOST true  {:>8.3} s", theirs.as_secs_f64());
    println!("ratio                     {:>8.3}", ours.as_secs_f64() / theirs.as_secs_f64());
    ExitCode::SUCCESS
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
