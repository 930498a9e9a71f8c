//! A running keepalived, and the words that it has read.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use lvsctl::topology::{Check, CheckKind, Family, HttpCheck, Secret};
use rustix::process::{Pid, Signal, kill_process};

use super::{director, site};
use crate::lab::Namespace;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("keepalived::odd_words_are_read_as_they_are", odd_words_are_read_as_they_are)]
}

/// A keepalived in a namespace; it is killed when it is dropped.
pub struct Daemon<'a> {
    namespace: &'a Namespace,
    process: Child,
}

impl<'a> Daemon<'a> {
    /// Starts keepalived in the foreground with a configuration, logging and dumping what it reads to a file.
    pub fn start(namespace: &'a Namespace, text: &str) -> Self {
        write(namespace, text);
        let path = |name: &str| namespace.root().join("run").join(name);
        let log = File::create(path("keepalived.log")).expect("the log");
        let process = namespace.enter(|| {
            let mut command = Command::new("keepalived");
            command.args(["-n", "-l", "-D", "-d", "-f"]).arg(configuration(namespace));
            command
                .arg("-p")
                .arg(path("k.pid"))
                .arg("-r")
                .arg(path("k_vrrp.pid"))
                .arg("-c")
                .arg(path("k_checkers.pid"));
            command.stdout(log.try_clone().expect("the log")).stderr(log).spawn().expect("keepalived starts")
        });
        Daemon { namespace, process }
    }

    /// Makes keepalived read its configuration again.
    pub fn reload(&self) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::HUP).expect("keepalived runs");
    }

    /// Returns what keepalived has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.namespace.root().join("run/keepalived.log")).expect("the log")
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// Returns where the namespace's configuration lies.
pub fn configuration(namespace: &Namespace) -> PathBuf {
    namespace.root().join("etc/keepalived/keepalived.conf")
}

/// Writes the namespace's configuration.
pub fn write(namespace: &Namespace, text: &str) {
    let path: &Path = &configuration(namespace);
    fs::write(path, text).expect("the configuration");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

/// Waits until something is true; the time is for a busy machine.
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool, explain: impl FnOnce() -> String) {
    let limit = Instant::now() + Duration::from_secs(45);
    while !is_true() {
        assert!(Instant::now() < limit, "{what} did not come about:\n{}", explain());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn odd_words_are_read_as_they_are() {
    let odd = "/a!b#c{d}e'f$g~user;(h)[i]*|^`<>@%20";
    let mut topology = site::reference();
    let page = HttpCheck { path: odd.into(), status: None, host: Some("www.x#y{z}".into()), ..HttpCheck::default() };
    let vip = topology.vips.values_mut().next().expect("a VIP");
    for (service, server) in vip.services.iter_mut().map(|service| service.servers.split_at_mut(1)) {
        for server in service.iter_mut().chain(server) {
            server.check = Some(Check { ..site::check(CheckKind::Http(page.clone())) });
        }
    }
    vip.services.push(site::service("plain", 8080, None, vec![site::server(151, Family::Ipv4, None)]));
    let email = &mut topology.email.as_mut().expect("an email").value;
    email.to = vec!["a!b#c@d".into(), "x@y".into()];
    topology.failovers.get_mut("ext").expect("a failover").auth_pass =
        Some(site::at(Secret::Literal("}#! {'$@".into())));
    let namespace = director();
    let text = site::text(&topology, "lb01").expect("a configuration");
    let daemon = Daemon::start(&namespace, &text);
    let wanted = [
        format!("Checked url = {odd}\n"),
        "Virtual host = www.x#y{z}\n".to_owned(),
        "Password = }#! {'$@\n".to_owned(),
        "    a!b#c@d\n".to_owned(),
        "VRRP Instance = ext\n".to_owned(),
    ];
    for line in &wanted {
        eventually(line, || daemon.log().contains(line.as_str()), || format!("{text}\n{}", daemon.log()));
    }
}
