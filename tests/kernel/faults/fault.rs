//! What goes wrong, how it is brought about on a site, and how it is mended.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use super::site::{Site, WINDOW};
use super::watch::{Held, Reached};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    ClientKilled,
    AgentKilled,
    ConnectionDropped,
    ConnectionReset,
    SudoRefused,
    DiskFull,
    CommandHangs,
    FileRefused,
    HostRebooted,
    SecondOperator,
}

impl Fault {
    pub const ALL: [Fault; 10] = [
        Fault::ClientKilled,
        Fault::AgentKilled,
        Fault::ConnectionDropped,
        Fault::ConnectionReset,
        Fault::SudoRefused,
        Fault::DiskFull,
        Fault::CommandHangs,
        Fault::FileRefused,
        Fault::HostRebooted,
        Fault::SecondOperator,
    ];
}

/// The programs that hang, each once on a host.
const PROGRAMS: [&str; 3] = ["iptables-restore", "iptables-save", "keepalived"];

const HANGS: &str = "if mkdir /run/hung 2>/dev/null; then exec sleep 1000; fi";
const REFUSES: &str = "case \"$*\" in *-t*) echo 'Unknown keyword' >&2; exit 5;; esac";

/// How long a connection that is reset stays unusable.
const RESET: Duration = Duration::from_millis(500);

/// How long a command that hangs, or a host that is not there, may hold up an apply.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// Something that went wrong and is to be mended.
pub struct Broken {
    pub fault: Fault,
    at: Reached,
    since: Instant,
}

impl Broken {
    /// Makes it go wrong while everything stands still, and lets it go on.
    pub fn of(fault: Fault, site: &Site<'_>, child: &mut Child, (at, held): (Reached, Held)) -> Self {
        let host = at.host;
        match fault {
            Fault::ClientKilled => child.kill().expect("the client is killed"),
            Fault::AgentKilled => held.kill(host),
            Fault::ConnectionDropped => cut_hosts(site, at).into_iter().for_each(|host| site.cut(host, "dropped")),
            Fault::ConnectionReset => site.cut(host, "reset"),
            Fault::SudoRefused => {
                for host in 0..site.hosts.len() {
                    fs::rename(sudoers(site, host), sudoers(site, host).with_extension("away")).expect("the line");
                }
            }
            Fault::DiskFull => fill(&disk(site, host)),
            Fault::CommandHangs => PROGRAMS.iter().for_each(|program| put_before(site, program, HANGS)),
            Fault::FileRefused => put_before(site, "keepalived", REFUSES),
            Fault::HostRebooted | Fault::SecondOperator => {}
        }
        let since = Instant::now();
        drop(held);
        if fault == Fault::HostRebooted {
            site.fleet.reboot(&site.hosts[host]);
        }
        Broken { fault, at, since }
    }

    /// Goes on until the apply has ended; what would not mend itself is mended then.
    pub fn mend(self, site: &Site<'_>) {
        match self.fault {
            Fault::SudoRefused => {
                for host in 0..site.hosts.len() {
                    fs::rename(sudoers(site, host).with_extension("away"), sudoers(site, host)).expect("the line");
                }
            }
            Fault::DiskFull => fs::remove_file(disk(site, self.at.host)).expect("what filled the disk"),
            Fault::CommandHangs | Fault::FileRefused => {
                for host in &site.hosts {
                    let root = site.fleet.root(host);
                    for program in PROGRAMS {
                        let _ = fs::remove_file(root.join("sbin").join(program));
                    }
                    let _ = fs::remove_dir(root.join("run/hung"));
                }
            }
            _ => {}
        }
    }

    /// Mends a connection while the client is still looking for its hosts; says if a host was too late.
    pub fn mend_connection(&self, site: &Site<'_>) -> Result<(), String> {
        match self.fault {
            Fault::ConnectionDropped => {
                let cut = cut_hosts(site, self.at);
                let back = site.await_back(&cut, self.since);
                cut.into_iter().for_each(|host| site.join(host, "dropped"));
                back.map(drop).ok_or_else(|| format!("not taken back within {:?}", self.since.elapsed()))
            }
            Fault::ConnectionReset => {
                std::thread::sleep(RESET);
                site.join(self.at.host, "reset");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns how long a killed client's hosts may still take.
    pub fn is_unheard(&self) -> bool {
        self.fault == Fault::ClientKilled && self.since.elapsed() < WINDOW
    }
}

/// At every second step the client itself is cut off, and at the others one host is.
fn cut_hosts(site: &Site<'_>, at: Reached) -> Vec<usize> {
    if at.runs.is_multiple_of(2) { (0..site.hosts.len()).collect() } else { vec![at.host] }
}

fn sudoers(site: &Site<'_>, host: usize) -> PathBuf {
    site.fleet.root(&site.hosts[host]).join("etc/sudoers.d/lvsctl")
}

fn disk(site: &Site<'_>, host: usize) -> PathBuf {
    site.fleet.root(&site.hosts[host]).join("var/filler")
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    while file.write_all(&[0; 65_536]).is_ok() {}
    while file.write_all(&[0; 512]).is_ok() {}
}

/// Puts a script in front of a program on all hosts of a site.
fn put_before(site: &Site<'_>, program: &str, script: &str) {
    for host in &site.hosts {
        let place = site.fleet.root(host).join("sbin").join(program);
        fs::write(&place, format!("#!/bin/sh\n{script}\nexec /usr/sbin/{program} \"$@\"\n")).expect("a script");
        fs::set_permissions(&place, Permissions::from_mode(0o755)).expect("its mode");
    }
}
