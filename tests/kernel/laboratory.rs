//! A whole site in the guest, worked on with the real command line, and looked at with the machine's own tools.
//!
//! Every host of a topology is a namespace on one network, with a client behind a gateway, as in a rehearsal. The topology
//! is written down with its connections led there, and `lvsctl` is this very program under its own name, so that what the
//! tests run is what an operator runs. [`Laboratory::snapshot`] sees a host with other eyes than lvsctl's.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use lvsctl::cli;
use lvsctl::document::ReadSource;
use lvsctl::rehearsal::layout::Layout;
use lvsctl::rehearsal::target::{Target, offers, targets};
use lvsctl::rehearsal::{names, network, servers, traffic};
use lvsctl::topology::{HostName, Topology};
use serde_json::Value;

use crate::lab;

/// The name under which this program is lvsctl.
const LVSCTL: &str = "lvsctl";

/// The folder of agents on a host.
const AGENTS: &str = "/run/lvsctl-agent";

/// The password of every laboratory's directors.
pub const PASSWORD: &str = "cbrt3245";

/// Where the topology is.
const FOLDER: &str = "/run/operator";

/// Is lvsctl, if this program was started as such.
pub fn run_if_lvsctl() -> Option<ExitCode> {
    let name = PathBuf::from(std::env::args_os().next()?);
    // As an agent it has a name that is a digest.
    let is_lvsctl = name.file_name() == Some(OsStr::new(LVSCTL)) || name.parent() == Some(Path::new(AGENTS));
    is_lvsctl.then(|| ExitCode::from(cli::run(&cli::Arguments::parse())))
}

/// What a run of lvsctl came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Ran {
    /// Asserts the exit status.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Returns the result, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

struct Text<'a>(&'a str);

impl ReadSource for Text<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

/// Reads a topology, which must be in order.
pub fn load(text: &str) -> Topology {
    let loaded = lvsctl::topology::load("topology.kdl", &Text(text));
    loaded.topology.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

/// A site; it ends with everything in it when it is dropped.
pub struct Laboratory {
    /// Where everything stands.
    pub layout: Layout,
    /// The topology with the connections that were written.
    pub topology: Topology,
}

impl Laboratory {
    /// Lays out the hosts of a topology, with web servers, and writes it down.
    pub fn new(text: &str) -> Self {
        let laboratory = Laboratory::without_servers(text);
        servers::start(&laboratory.layout, &offers(&laboratory.topology)).expect("the servers");
        laboratory
    }

    /// Lays out the hosts of a topology, on which nothing listens, and writes it down.
    pub fn without_servers(text: &str) -> Self {
        lab::clear();
        let topology = load(text);
        let layout = Layout::of(&topology);
        network::build(&layout).expect("the network");
        names::resolve(&topology).expect("the names");
        fs::create_dir_all(FOLDER).expect("the operator's folder");
        let laboratory = Laboratory { layout, topology };
        laboratory.write(text);
        eventually("addresses that are ready", || {
            let places = laboratory.layout.places.values();
            places
                .map(|place| lab::within(&place.namespace, &["ip", "address"]))
                .all(|text| !text.contains("tentative"))
        });
        laboratory
    }

    /// Writes another topology down over the same hosts.
    pub fn write(&self, text: &str) {
        fs::write(self.file(), self.led_here(text)).expect("the topology is written");
    }

    /// Writes the topology of some of the hosts down, and returns its path.
    pub fn write_part(&self, name: &str, text: &str) -> PathBuf {
        let path = Path::new(FOLDER).join(name);
        fs::write(&path, self.led_here(text)).expect("the topology is written");
        path
    }

    /// Returns the path of the topology.
    pub fn file(&self) -> PathBuf {
        Path::new(FOLDER).join("topology.kdl")
    }

    fn led_here(&self, text: &str) -> String {
        let mut led = String::new();
        for line in text.lines() {
            let name = ["director \"", "real-server \""].iter().find_map(|start| line.strip_prefix(start));
            match name.and_then(|rest| rest.split_once("\" {")) {
                Some((name, rest)) => {
                    let head = line.strip_suffix(rest).expect("the end of the line");
                    let place = &self.layout.places[&HostName::new(name)];
                    let _ = writeln!(led, "{head} netns {:?} root={:?}; {rest}", place.namespace, place.root);
                }
                None => {
                    let _ = writeln!(led, "{line}");
                }
            }
        }
        led
    }

    /// Returns the folder that is a host's `/`.
    pub fn root(&self, host: &str) -> PathBuf {
        PathBuf::from(&self.layout.places[&HostName::new(host)].root)
    }

    /// Returns the namespace of a host.
    pub fn namespace(&self, host: &str) -> &str {
        &self.layout.places[&HostName::new(host)].namespace
    }

    /// Runs a shell script on a host, which must succeed; `$ROOT` is its folder.
    pub fn run(&self, host: &str, script: &str) -> String {
        let root = format!("ROOT={}\n{script}", self.root(host).display());
        lab::within(self.namespace(host), &["sh", "-ec", &root])
    }

    /// Prepares lvsctl with the operator's environment; the topology's path comes last.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_for(&self.file(), arguments)
    }

    /// Prepares lvsctl with the operator's environment and a topology.
    pub fn command_for(&self, topology: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command_without_topology(arguments);
        command.arg(topology).env("VRRP_PASS", PASSWORD);
        command
    }

    /// Prepares lvsctl for a command that is about no topology.
    pub fn command_without_topology(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(LVSCTL).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.current_dir(FOLDER).stdin(Stdio::null());
        command
    }

    /// Runs lvsctl.
    pub fn lvsctl(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().expect("lvsctl starts").into()
    }

    /// Plans, which must succeed, and returns the document.
    pub fn plan(&self) -> Value {
        self.lvsctl(&["plan", "--format", "json"]).expect(0).json()
    }

    /// Applies, which must converge, and returns the document.
    pub fn apply(&self) -> Value {
        self.lvsctl(&["apply", "--auto-approve", "--format", "json"]).expect(0).json()
    }

    /// Returns the target of a service's first listen.
    pub fn target(&self, service: &str) -> Target {
        targets(&self.topology).into_iter().find(|target| target.service == service).expect("the service")
    }

    /// Waits until a service answers, sends it requests, and asserts that all arrive; returns who answered how many.
    pub fn serves(&self, service: &str, requests: u32) -> BTreeMap<String, u32> {
        let target = self.target(service);
        traffic::await_answer(&target, Instant::now() + Duration::from_secs(30)).expect("an answer");
        let answers = traffic::ask(&target, requests);
        assert_eq!((answers.answered, answers.failed), (requests, 0), "{answers:?}");
        answers.spread.into_iter().map(|(host, count)| (host.as_str().to_owned(), count)).collect()
    }

    /// Returns everything of all hosts that lvsctl could change, by host and sort.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.snapshot_of(|_| true);
        snapshot.0.insert("modules".to_owned(), modules().join("\n"));
        snapshot
    }

    /// Returns everything of some hosts that lvsctl could change, by host and sort.
    pub fn snapshot_of(&self, is_wanted: impl Fn(&HostName) -> bool) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, place) in self.layout.places.iter().filter(|(name, _)| is_wanted(name)) {
            let text = lab::within(&place.namespace, &["sh", "-c", LOOK]);
            let mut section = String::new();
            for line in text.lines() {
                match line.strip_prefix("==== ") {
                    Some(title) => section = format!("{name} {title}"),
                    None if line.starts_with('#') => {}
                    None => {
                        let text = snapshot.0.entry(section.clone()).or_default();
                        // The counters of a built-in chain are no state.
                        text.push_str(line.split(" [").next().unwrap_or_default());
                        text.push('\n');
                    }
                }
            }
            if let Some(addresses) = snapshot.0.get_mut(&format!("{name} addresses")) {
                // The kernel lists them as they came.
                let mut lines: Vec<&str> = addresses.lines().collect();
                lines.sort_unstable();
                *addresses = lines.join("\n");
            }
            files(Path::new(&place.root), &format!("{name} file "), &mut snapshot.0);
        }
        snapshot
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        lab::clear();
    }
}

/// What is looked at on a host. Neither program loads a module that is not there.
const LOOK: &str = "
echo ==== ipvs; [ ! -e /proc/net/ip_vs ] || ipvsadm -Sn
nft() { grep -q '^nf_tables ' /proc/modules; }
echo ==== iptables; ! { grep -qs . /proc/net/ip_tables_names || nft; } || iptables-save
echo ==== ip6tables; ! { grep -qs . /proc/net/ip6_tables_names || nft; } || ip6tables-save
echo ==== addresses; ip -o address
echo ==== routes; ip route show table all; ip -6 route show table all
echo ==== parameters; cd /proc/sys/net/ipv4
grep -s . ip_forward conf/*/arp_ignore conf/*/arp_announce conf/*/rp_filter conf/*/send_redirects vs/expire_nodest_conn \\
    ../ipv6/conf/all/forwarding || :
";

/// Everything of all hosts that lvsctl could change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(pub BTreeMap<String, String>);

impl Snapshot {
    /// Asserts that two are equal, and says where they are not.
    pub fn assert_equal(&self, other: &Snapshot, when: &str) {
        let differences = self.differences(other);
        assert!(differences.is_empty(), "{when}:\n{}", differences.join("\n"));
    }

    /// Returns the sections in which two differ, with both sides.
    pub fn differences(&self, other: &Snapshot) -> Vec<String> {
        let keys: std::collections::BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differing = keys.into_iter().filter(|key| self.0.get(*key) != other.0.get(*key));
        let side = |snapshot: &Snapshot, key: &String| {
            snapshot.0.get(key).map_or("(none)".to_owned(), |text| text.trim_end().to_owned())
        };
        differing.map(|key| format!("-- {key}\n{}\n++ {key}\n{}", side(self, key), side(other, key))).collect()
    }
}

/// Returns the loaded modules in order.
pub fn modules() -> Vec<String> {
    let text = fs::read_to_string("/proc/modules").expect("/proc/modules");
    let mut names: Vec<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names
}

/// Notes every file below a folder with its mode and content; what a daemon writes while it works is left out.
fn files(root: &Path, title: &str, into: &mut BTreeMap<String, String>) {
    for path in walk(root) {
        let below = path.strip_prefix(root).expect("a path below the root").to_string_lossy().into_owned();
        let is_restless = below.starts_with("run/nginx") || below.ends_with(".log") || below == "run/lvsctl.lock";
        // What makes the host a machine, and lvsctl itself.
        let is_machinery = [
            "boot",
            "run/lvsctl-agent",
            "run/ssh",
            "run/sudo",
            "run/xtables.lock",
            "sbin",
            "var/lib/sudo",
            "var/work",
            "work",
        ];
        if is_restless || is_machinery.iter().any(|start| below.starts_with(start)) {
            continue;
        }
        let data = fs::symlink_metadata(&path).expect("a file");
        let content = if data.is_file() { fs::read(&path).expect("a file that is read") } else { Vec::new() };
        let text = format!("{:o} {}\n{}", data.permissions().mode(), data.uid(), String::from_utf8_lossy(&content));
        into.insert(format!("{title}{below}"), text);
    }
}

/// Returns every file and folder below a folder, in order.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Waits until something is so; the time is for a slow guest.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the texts at a key of every object of a list, such as the ids of changes.
pub fn texts(list: &Value, key: &str) -> Vec<String> {
    let texts = list.as_array().expect("a list").iter();
    texts.map(|object| object[key].as_str().expect("a text").to_owned()).collect()
}
