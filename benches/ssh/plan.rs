//! How long a whole plan of many hosts takes, beside the shortest thing that OpenSSH's client can do on each of them, and
//! beside what Ansible asks of a host before it does anything.
//!
//! All hosts are this machine behind one sshd, whose folder `/run` is the benchmark's own: the agent that lvsctl brings lies there.

use std::fmt::Write;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use super::site::Site;
use super::{AT_ONCE, ROUNDS, SESSIONS, duel, timed, xargs};

/// Says that `/run` is the benchmark's own.
const APART: &str = "LVSCTL_BENCH_APART";

/// Starts the benchmark once more where `/run` is its own, unless it is there; returns what came of that.
pub fn apart() -> Option<ExitCode> {
    if std::env::var_os(APART).is_some() || !rustix::process::geteuid().is_root() {
        return None;
    }
    let script = "mount -t tmpfs -o mode=0755 tmpfs /run && mkdir -m 0755 /run/sshd && exec \"$@\"";
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(own);
    let error = command.args(std::env::args_os().skip(1)).env(APART, "1").exec();
    println!("unshare does not start: {error}");
    Some(ExitCode::FAILURE)
}

/// Measures and prints; without root, or without a build that can be brought to a host, says why not.
pub fn compare(site: &Site) {
    let program = released();
    if !rustix::process::geteuid().is_root() || !program.is_file() {
        println!("a whole plan: left out, because it needs root and {} (make release)", program.display());
        return;
    }
    let topology = write(site, "topology.kdl", &topology(site, SESSIONS));
    // The first one brings the agent, which the others find.
    plan(&program, &write(site, "one.kdl", &self::topology(site, 1)));
    let (ours, theirs) = duel(|| plan(&program, &topology), || xargs(site));
    println!("\na whole plan of {SESSIONS} hosts, {AT_ONCE} at once, best of {ROUNDS} rounds");
    row("lvsctl plan", ours);
    row(&format!("xargs -P{AT_ONCE} ssh HOST true"), theirs);
    println!("{:<28}{:>9.3}", "ratio", ours.as_secs_f64() / theirs.as_secs_f64());
    if Command::new("ansible").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("ansible: left out, because it is not installed (apt-get install ansible-core)");
        return;
    }
    let facts = timed(|| ansible(site));
    row(&format!("ansible -f {AT_ONCE} -m setup"), facts);
    println!("{:<28}{:>9.3}", "ratio", ours.as_secs_f64() / facts.as_secs_f64());
}

/// Prints a name and a time.
pub fn row(name: &str, time: Duration) {
    println!("{name:<28}{:>9.3} s", time.as_secs_f64());
}

/// Returns where `make release` leaves the program.
fn released() -> PathBuf {
    let target = format!("target/{}-unknown-linux-gnu/release/lvsctl", std::env::consts::ARCH);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(target)
}

/// Real servers with a parameter each: what is asked of a host does not depend on how much of it is to be as it is.
fn topology(site: &Site, hosts: usize) -> String {
    let (port, key, identity) = (site.server.port, site.fingerprint("host_ed25519"), site.path().join("user"));
    let mut text = String::new();
    for host in 0..hosts {
        let address = format!("10.99.{}.{}/16", host / 250, host % 250 + 1);
        let _ = writeln!(
            text,
            "real-server \"h{host}\" {{ address {address:?}; interface \"lo\"; ssh \"127.0.0.1\" port={port} \
             identity={identity:?} host-key={key:?}; sysctl \"net.ipv4.ip_forward\" 1; }}"
        );
    }
    text
}

fn write(site: &Site, name: &str, text: &str) -> PathBuf {
    let path = site.path().join(name);
    fs::write(&path, text).expect("a file");
    path
}

fn plan(program: &Path, topology: &Path) {
    let mut command = Command::new(program);
    command.args(["--log", "error", "plan", "--timeout", "120s", "--parallelism"]).arg(AT_ONCE.to_string());
    let output = command.arg(topology).output().expect("lvsctl starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn ansible(site: &Site) {
    let mut inventory = String::new();
    for host in 0..SESSIONS {
        let _ = writeln!(inventory, "h{host}");
    }
    let inventory = write(site, "inventory", &inventory);
    let mut command = Command::new("ansible");
    command.args(["all", "-m", "setup", "-f"]).arg(AT_ONCE.to_string()).arg("-i").arg(inventory);
    command.arg("--ssh-common-args").arg(format!("-F {}", site.configuration().display()));
    // Its quickest way, without a file for each module on the other side.
    command.env("ANSIBLE_PIPELINING", "1");
    // It makes folders in the homes of both sides where nobody says another place.
    command.env("HOME", site.path()).env("ANSIBLE_REMOTE_TMP", site.path().join("remote"));
    command.env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3").env("ANSIBLE_LOCAL_TEMP", site.path().join("local"));
    assert!(command.stdout(Stdio::null()).status().expect("ansible starts").success(), "ansible");
}
