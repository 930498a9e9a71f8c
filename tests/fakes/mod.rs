//! A case: a folder with a topology, and the hosts in memory that it is about.
//!
//! `topology.kdl` is what is wanted. `before.kdl`, if there is one, was applied earlier. `hosts.txt`, if there is one, says
//! what the hosts were like before lvsctl ever came and, after a line `--- afterwards`, what somebody did by hand since
//! `before.kdl` was applied; [`script`] lists the words. A host starts with the interfaces that its topology declares.

#![allow(dead_code)]

mod script;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lvsctl::apply::{self, ApplyReport, OnFailure};
use lvsctl::cli::files::DiskReader;
use lvsctl::document::ReadSource;
use lvsctl::effect::{Answer, Probe};
use lvsctl::host::Host;
use lvsctl::host::fake::FakeHost;
use lvsctl::lint;
use lvsctl::resource::BootFile;
use lvsctl::source::{Problems, SourceMap};
use lvsctl::survey::{Goal, Hosts, Survey, Surveyed};
use lvsctl::topology::{Family, HostName, IpvsTimeout, Secret, SecretReference, SecretValues, Topology};
use lvsctl::view::plan_json::{Source, SourceDocument};
use lvsctl::view::problems;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A topology with its texts and its secrets.
pub struct Wish {
    pub topology: Topology,
    pub sources: SourceMap,
    pub problems: Problems,
    pub secrets: SecretValues,
}

/// A case with its hosts as they are before the plan.
pub struct Case {
    pub wish: Arc<Wish>,
    pub goal: Goal,
    pub fakes: BTreeMap<HostName, FakeHost>,
}

/// Returns the folder of a case.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// Returns the names of all cases.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder("")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Reads files below a folder by the names that stand in the golden files.
struct Below(PathBuf);

impl ReadSource for Below {
    fn read(&self, path: &str) -> Result<String, String> {
        DiskReader.read(self.0.join(path).to_str().unwrap())
    }

    fn list(&self, path: &str) -> Option<Vec<String>> {
        DiskReader.list(self.0.join(path).to_str().unwrap())
    }
}

/// The topologies that were loaded; a case is loaded once for every effect that fails in it.
static LOADED: Mutex<BTreeMap<PathBuf, Arc<Wish>>> = Mutex::new(BTreeMap::new());

impl Wish {
    /// Loads a topology, which must have no error, unless that was done before.
    pub fn once(folder: &Path, file: &str) -> Arc<Self> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(loaded.entry(folder.join(file)).or_insert_with(|| Arc::new(Wish::load(folder, file))))
    }

    /// Loads a topology, which must have no error. The value of each secret is its variable's name in small
    /// letters and without underscores.
    pub fn load(folder: &Path, file: &str) -> Self {
        let loaded = lint::load(file, &Below(folder.to_owned()));
        let topology = loaded
            .topology
            .unwrap_or_else(|| panic!("{folder:?}:\n{}", problems::human(&loaded.problems, &loaded.sources, false)));
        let mut secrets = SecretValues::default();
        for secret in topology.failovers.values().filter_map(|failover| failover.auth_pass.as_ref()) {
            if let Secret::Reference(SecretReference::Environment(name)) = &secret.value {
                secrets.insert(SecretReference::Environment(name.clone()), name.to_lowercase().replace('_', ""));
            }
        }
        Wish { topology, sources: loaded.sources, problems: loaded.problems, secrets }
    }
}

impl Case {
    /// Loads a case and brings its hosts to where its plan begins.
    pub fn load(name: &str) -> Self {
        let folder = folder(name);
        let wish = Wish::once(&folder, "topology.kdl");
        let before = folder.join("before.kdl").exists().then(|| Wish::once(&folder, "before.kdl"));
        let script = std::fs::read_to_string(folder.join("hosts.txt")).unwrap_or_default();
        let (at_first, afterwards) = script.split_once("--- afterwards\n").unwrap_or((&script, ""));
        let mut fakes = BTreeMap::new();
        for topology in [Some(&wish), before.as_ref()].into_iter().flatten().map(|wish| &wish.topology) {
            for host in topology.managed_hosts() {
                fakes.entry(host.name.value.clone()).or_insert_with(|| fake(host));
            }
        }
        let goal = if script.contains("goal destroy") { Goal::Destroy } else { Goal::Converge };
        let mut case = Case { wish, goal, fakes };
        script::run(&mut case.fakes, at_first);
        if let Some(before) = before {
            let mut survey = Survey::over(&before.topology, &before.secrets, Goal::Converge, case.hosts());
            let first = survey.plan().unwrap();
            let report = apply::apply(&mut survey, first, OnFailure::Keep, &mut |_, _| {});
            assert_eq!(report.outcome.exit_code(), 0, "{name}: before.kdl: {report:#?}");
        }
        script::run(&mut case.fakes, afterwards);
        case
    }

    /// Opens a connection to every host.
    pub fn hosts(&self) -> Hosts {
        let managed = |name: &HostName| self.wish.topology.hosts.get(name).is_none_or(|host| host.managed);
        let hosts = self.fakes.iter().filter(|(name, _)| managed(name));
        hosts.map(|(name, fake)| (name.clone(), Box::new(fake.clone()) as Box<dyn Host>)).collect()
    }

    /// Returns a survey of the hosts for what is wanted.
    pub fn survey(&self) -> Survey<'_> {
        Survey::over(&self.wish.topology, &self.wish.secrets, self.goal, self.hosts())
    }

    /// Plans.
    pub fn plan(&self) -> Surveyed {
        self.survey().plan().unwrap_or_else(|cycle| panic!("{cycle}"))
    }

    /// Plans and applies.
    pub fn apply(&self, on_failure: OnFailure) -> ApplyReport {
        let mut survey = self.survey();
        let mut taken_up = apply::take_up(&mut survey);
        taken_up.forget(&mut survey);
        assert!(taken_up.failures.is_empty(), "{taken_up:?}");
        let first = survey.plan().unwrap_or_else(|cycle| panic!("{cycle}"));
        apply::apply(&mut survey, first, on_failure, &mut |_, _| {})
    }

    /// Returns everything that can be seen on every host that can be asked, as text.
    pub fn state_if_reachable(&self) -> BTreeMap<String, Vec<String>> {
        let reachable = self.fakes.iter().filter(|(_, fake)| (*fake).clone().capabilities().is_ok());
        reachable.map(|(name, fake)| (name.to_string(), seen(fake))).collect()
    }

    /// Returns everything that can be seen on every host, as text.
    pub fn state(&self) -> BTreeMap<String, Vec<String>> {
        self.fakes.iter().map(|(name, fake)| (name.to_string(), seen(fake))).collect()
    }
}

/// Returns everything that can be seen on a host. Who is asked for its parameters has to be told which, so all are listed.
pub fn seen(fake: &FakeHost) -> Vec<String> {
    let mut host = fake.clone();
    let files = ["/etc/keepalived/keepalived.conf", lvsctl::kinds::manifest::PATH, lvsctl::kinds::module_options::PATH];
    let mut probes = vec![
        Probe::Links,
        Probe::DefaultRoutes,
        Probe::Iptables(Family::Ipv4),
        Probe::Iptables(Family::Ipv6),
        Probe::Ipvs,
        Probe::IpvsTimeouts,
        Probe::SyncDaemons,
        Probe::Offloads("eth0".to_owned()),
        Probe::Keepalived,
        Probe::Sysctls(fake.parameters()),
    ];
    probes.extend(files.map(|path| Probe::File(path.to_owned())));
    probes.extend(BootFile::ALL.map(|file| match file {
        BootFile::Enablement => Probe::Link(file.path().to_owned()),
        _ => Probe::File(file.path().to_owned()),
    }));
    let answers = probes.iter().map(|probe| match host.probe(probe).unwrap() {
        Answer::File(path, state) => vec![format!("{path} {:?}", state.map(|state| (state.mode, state.text)))],
        Answer::Links(mut links) => {
            // Addresses of different families that come at once have no order.
            links.iter_mut().for_each(|link| link.addresses.sort_by_key(|held| held.network));
            links.iter().map(|link| format!("{link:?}")).collect()
        }
        Answer::Ipvs(mut services) => {
            // The order in which the kernel lists them means nothing.
            services.sort_by_key(|service| service.key);
            for service in &mut services {
                service.destinations.sort_by_key(|server| server.key);
                // The kernel revives a destination that comes back with its connections; the host in memory does not.
                service.destinations.iter_mut().for_each(|server| (server.active, server.inactive) = (0, 0));
            }
            services.iter().map(|service| format!("{service:?}")).collect()
        }
        // Without the module they are what they are with it to begin with.
        Answer::IpvsTimeouts(timeouts) => IpvsTimeout::ALL
            .map(|timeout| format!("{timeout} {}", timeouts.get(&timeout).copied().unwrap_or(timeout.kernel_default())))
            .into(),
        // A new process is no difference.
        Answer::Daemon(daemon) => vec![format!("{} {:?}", daemon.pid.is_some(), daemon.configuration)],
        Answer::Sysctls(values) => values.iter().map(|(key, value)| format!("{key} = {value:?}")).collect(),
        // A table that somebody has looked into and a chain without rules are no difference.
        Answer::Iptables(_, text) => {
            text.lines().filter(|line| line.starts_with("-A") || line.starts_with(":L")).map(str::to_owned).collect()
        }
        other => vec![format!("{other:?}")],
    });
    answers.flatten().collect()
}

/// Returns what a topology was read from, as a plan names it.
pub fn source(wish: &Wish) -> Source {
    let digest = |text: &str| Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let files = wish.sources.files().iter();
    let files = files.map(|file| SourceDocument { path: file.name.clone(), sha256: digest(&file.text) });
    Source { revision: None, files: files.collect() }
}

/// Returns a document as the command line prints it.
pub fn pretty(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).unwrap() + "\n"
}

fn fake(host: &lvsctl::topology::Host) -> FakeHost {
    let name = host.interface.as_ref().map_or("eth0", |interface| interface.name.value.as_str());
    let mac = host.interface.as_ref().and_then(|interface| interface.mac.as_ref()).map(|mac| mac.value.to_string());
    let mut links: Vec<(String, Vec<String>)> = vec![(name.to_owned(), Vec::new())];
    // The first address of each family is on the interface, and each further one on an interface of its own.
    let mut families = Vec::new();
    for network in &host.addresses {
        let family = Family::of(network.addr());
        match families.contains(&family) {
            true => links.push((format!("eth{}", links.len()), vec![network.value.to_string()])),
            false => links[0].1.push(network.value.to_string()),
        }
        families.push(family);
    }
    let mac = mac.unwrap_or_else(|| {
        let number = host.name.value.as_str().bytes().fold(0u8, u8::wrapping_add);
        format!("02:00:00:00:00:{number:02x}")
    });
    links.iter().fold(FakeHost::new(), |fake, (name, addresses)| {
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        fake.with_link(name, Some(&mac), &addresses)
    })
}

/// Does something on a host behind lvsctl's back.
pub fn by_hand(case: &Case, line: &str) {
    script::run(&mut case.fakes.clone(), line);
}
