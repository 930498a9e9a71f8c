//! What the worker thread holds open on a host, and which part answers which probe and performs which effect.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ethtool::Ethtool;
use super::files::Files;
use super::fou::{self, Fou};
use super::genl::Table;
use super::keepalived::Keepalived;
use super::lock::Lock;
use super::rtnetlink::Network;
use super::{HostError, drain, in_runs, iptables, keepalived_check, lock, module, program, sysctl};
use crate::effect::{Answer, BOOT_PROGRAMS, Capabilities, Effect, IpvsCommand, LiveService, Probe, ServiceKey};
use crate::topology::{Family, SecretText, SysctlKey};

/// The module that must be there before the IPVS table may be asked for.
const IPVS: &str = "ip_vs";

/// The first and the longest pause between two looks at something that is waited for.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long systemd may take to read its units.
const UNITS: Duration = Duration::from_secs(30);

/// The pauses between two looks at something that is waited for, longer and longer.
pub(super) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Pauses(FIRST_PAUSE)
    }
}

impl Pauses {
    /// Returns the next pause.
    pub(super) fn next(&mut self) -> Duration {
        let longer = (self.0 * 3 / 2).min(LONGEST_PAUSE);
        std::mem::replace(&mut self.0, longer)
    }
}

/// What is open on a host.
pub(super) struct Session {
    files: Files,
    systemd: bool,
    /// keepalived's version, once it was found: starting it only to ask is slow.
    version: Option<String>,
    table: Option<Table>,
    network: Option<Network>,
    lock: Option<Lock>,
}

impl Session {
    /// Begins on a host; its files are below `root`. Only a machine can have systemd, a namespace of it cannot.
    pub(super) fn new(root: &Path, is_machine: bool) -> Self {
        let systemd = is_machine && PathBuf::from("/run/systemd/system").is_dir();
        Session { files: Files::new(root), systemd, version: None, table: None, network: None, lock: None }
    }

    /// Tells what the host has.
    pub(super) fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        if self.version.is_none() {
            self.version = keepalived_check::version();
        }
        Ok(Capabilities {
            iptables: iptables::variant(Family::Ipv4),
            has_legacy_rules: iptables::has_legacy_rules()?,
            keepalived: self.version.clone(),
            systemd: self.systemd,
            links: self.network()?.links()?,
            missing_boot_programs: BOOT_PROGRAMS
                .into_iter()
                .filter(|(name, _)| program::find(name).is_none())
                .map(|(name, _)| name.to_owned())
                .collect(),
            has_advertised_route: self.has_advertised_route()?,
            policy_routing: self.network()?.policy_routing()?,
            connection_table_bits: module::connection_table_bits(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        })
    }

    /// Answers a question.
    pub(super) fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError> {
        Ok(match probe {
            Probe::Modules(names) => {
                Answer::Modules(names.iter().filter(|name| module::is_present(name)).cloned().collect())
            }
            Probe::Sysctls(keys) => Answer::Sysctls(sysctl::read(keys)?),
            Probe::Links => Answer::Links(self.network()?.links()?),
            Probe::FouPorts if !module::is_present(fou::MODULE) => Answer::FouPorts(BTreeMap::new()),
            Probe::FouPorts => Answer::FouPorts(Fou::open()?.ports()?),
            Probe::DefaultRoutes => Answer::DefaultRoutes(self.network()?.default_routes()?),
            Probe::Iptables(family) => Answer::Iptables(*family, iptables::save(*family)?),
            Probe::Ipvs if !module::is_present(IPVS) => Answer::Ipvs(Vec::new()),
            Probe::Ipvs => Answer::Ipvs(self.with_table(Table::read)?),
            Probe::IpvsTimeouts if !module::is_present(IPVS) => Answer::IpvsTimeouts(BTreeMap::new()),
            Probe::IpvsTimeouts => Answer::IpvsTimeouts(self.with_table(Table::timeouts)?),
            Probe::SyncDaemons if !module::is_present(IPVS) => Answer::SyncDaemons(BTreeMap::new()),
            Probe::SyncDaemons => Answer::SyncDaemons(self.with_table(Table::daemons)?),
            Probe::Offloads(device) => Answer::Offloads(device.clone(), Ethtool::open()?.offloads(device)?),
            Probe::File(path) => Answer::File(path.clone(), self.files.read(path)?),
            Probe::Link(path) => Answer::Link(path.clone(), self.files.read_link(path)?),
            Probe::Keepalived => Answer::Daemon(self.keepalived().state()?),
        })
    }

    /// Performs in order, neighbouring IPVS commands as one batch, and waits for neighbouring destinations at once.
    pub(super) fn perform_all(&mut self, effects: &[Effect]) -> Vec<Result<(), HostError>> {
        in_runs(effects, |run| match run {
            [Effect::Ipvs(_), ..] => {
                let commands: Vec<&IpvsCommand> = run
                    .iter()
                    .filter_map(|effect| match effect {
                        Effect::Ipvs(command) => Some(command),
                        _ => None,
                    })
                    .collect();
                self.batch(&commands)
            }
            [Effect::AwaitDrained { .. }, ..] => self.await_drained(run),
            _ => run.iter().map(|effect| self.perform(effect)).collect(),
        })
    }

    /// Makes one change, or waits for one.
    pub(super) fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        match effect {
            Effect::LoadModule(name) => module::load(name, self.module_options().as_deref()),
            Effect::WriteSysctl { key, value } => sysctl::write(key, value),
            Effect::AddLink { device, sort } => self.network()?.add_link(device, sort),
            Effect::RemoveLink { device } => self.network()?.remove_link(device),
            Effect::SetLink { device, is_up } => self.network()?.set_link(device, *is_up),
            Effect::SetOffload { device, offload, on } => Ethtool::open()?.set(device, *offload, *on),
            Effect::AddFouPort { family, port } => Fou::open()?.add(*family, *port),
            Effect::RemoveFouPort { family, port } => Fou::open()?.remove(*family, *port),
            Effect::AddAddress { device, address, prefix, label } => {
                self.network()?.add_address(device, *address, *prefix, label.as_deref())
            }
            Effect::RemoveAddress { device, address, prefix } => {
                let network = self.network()?;
                sysctl::with_promotion(device, *address, || network.remove_address(device, *address, *prefix))
            }
            Effect::ReplaceDefaultRoute { via, device } => {
                self.network()?.replace_default_route(*via, device.as_deref())
            }
            Effect::RemoveDefaultRoute { via } => self.network()?.remove_default_route(*via),
            Effect::IptablesRestore { family, text } => iptables::restore(*family, text),
            Effect::Ipvs(command) => self.command(command),
            Effect::ReplaceDestination { service, destination, config, only_if_there, within } => {
                self.replace_destination((*service, *destination), config, *only_if_there, *within)
            }
            Effect::StartSyncDaemon(state, config) => self.with_table(|table| table.start_daemon(*state, config)),
            Effect::StopSyncDaemon(state) => self.with_table(|table| table.stop_daemon(*state)),
            Effect::AwaitService { service, present, within } => self.await_service(service, *present, *within),
            Effect::AwaitDrained { .. } => self.await_drained(std::slice::from_ref(effect)).into_iter().collect(),
            Effect::AwaitNoAddress { device, address, within } => self.await_no_address(device, *address, *within),
            Effect::AwaitNoSyncDaemon { within } => {
                self.wait(*within, |session| Ok(session.with_table(Table::daemons)?.is_empty())).map(drop)
            }
            Effect::WriteFile { path, text, mode, keepalived_test, keep_previous } => {
                self.write_file(path, text, *mode, *keepalived_test, *keep_previous)
            }
            Effect::WriteLink { path, target } => self.files.link(path, target),
            Effect::ReloadUnits => self.reload_units(),
            Effect::RemoveFile { path } => self.files.remove(path),
            Effect::StartKeepalived { configuration } => self.keepalived().start(configuration),
            Effect::ReloadKeepalived { configuration } => self.keepalived().reload(configuration),
            Effect::StopKeepalived => self.keepalived().stop(),
        }
    }

    /// Takes the host's lock and keeps it.
    pub(super) fn lock(&mut self) -> Result<(), HostError> {
        if self.lock.is_none() {
            self.lock = Some(lock::take(&self.files)?);
        }
        Ok(())
    }

    /// A host that is told to accept advertisements even as a router (`accept_ra` 2) keeps such a route.
    fn has_advertised_route(&mut self) -> Result<bool, HostError> {
        let devices = self.network()?.advertised_routes()?;
        let key = |device: &String| SysctlKey::from_path(&format!("net/ipv6/conf/{device}/accept_ra"));
        let values = sysctl::read(&devices.iter().map(key).collect::<Vec<_>>())?;
        Ok(values.values().flatten().any(|value| value != "2"))
    }

    fn keepalived(&self) -> Keepalived<'_> {
        Keepalived { files: &self.files, systemd: self.systemd }
    }

    fn write_file(&self, path: &str, text: &SecretText, mode: u32, test: bool, keep: bool) -> Result<(), HostError> {
        let doing = format!("write {path}");
        let content = text.expose().ok_or_else(|| HostError::MissingSecret { doing: doing.clone() })?;
        self.files.write(path, &content, mode, keep, |temporary| {
            if test { keepalived_check::test(&doing, temporary, path, text) } else { Ok(()) }
        })
    }

    /// Returns the folder of modprobe's options where it is not the machine's own.
    fn module_options(&self) -> Option<PathBuf> {
        let folder = self.files.locate("/etc/modprobe.d").ok()?;
        (folder != Path::new("/etc/modprobe.d") && folder.is_dir()).then_some(folder)
    }

    fn reload_units(&self) -> Result<(), HostError> {
        if !self.systemd {
            return Ok(());
        }
        let doing = "make systemd read its units again";
        program::succeed(doing, "systemctl", &[&"daemon-reload"], None, UNITS).map(drop)
    }

    fn network(&mut self) -> Result<&mut Network, HostError> {
        match &mut self.network {
            Some(network) => Ok(network),
            none => Ok(none.insert(Network::open()?)),
        }
    }

    /// Uses the table, and opens it anew the next time if an answer is still on its way.
    pub(super) fn with_table<T>(
        &mut self,
        use_it: impl FnOnce(&mut Table) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let table = match &mut self.table {
            Some(table) => table,
            none => none.insert(Table::open()?),
        };
        let result = use_it(table);
        if matches!(result, Err(HostError::Timeout { .. } | HostError::Malformed { .. })) {
            self.table = None;
        }
        result
    }

    fn batch(&mut self, commands: &[&IpvsCommand]) -> Vec<Result<(), HostError>> {
        let mut results = match self.with_table(|table| Ok(table.perform(commands))) {
            Ok(results) => results,
            Err(error) => vec![Err(error)],
        };
        if results.iter().any(|result| matches!(result, Err(HostError::Timeout { .. }))) {
            self.table = None;
        }
        // The table itself could not be opened: that is why none of them was performed.
        if let (Some(result), true) = (results.first().cloned(), results.len() < commands.len()) {
            results.resize(commands.len(), result);
        }
        results
    }

    pub(super) fn command(&mut self, command: &IpvsCommand) -> Result<(), HostError> {
        self.batch(&[command]).into_iter().collect()
    }

    fn find(&mut self, service: &ServiceKey) -> Result<Option<LiveService>, HostError> {
        if module::is_present(IPVS) { self.with_table(|table| table.find(service)) } else { Ok(None) }
    }

    fn await_service(&mut self, service: &ServiceKey, present: bool, within: Duration) -> Result<(), HostError> {
        if self.wait(within, |session| Ok(session.find(service)?.is_some() == present))? {
            return Ok(());
        }
        let what = if present { "in" } else { "out of" };
        Err(HostError::Timeout { doing: format!("wait for {service} to be {what} the IPVS table"), within })
    }

    fn await_drained(&mut self, effects: &[Effect]) -> Vec<Result<(), HostError>> {
        drain::wait(effects, |service| match module::is_present(IPVS) {
            true => self.with_table(|table| table.destinations(service)),
            false => Ok(Vec::new()),
        })
    }

    fn await_no_address(&mut self, device: &str, address: IpAddr, within: Duration) -> Result<(), HostError> {
        let is_gone = |session: &mut Session| {
            let links = session.network()?.links()?;
            let held = links.iter().filter(|link| link.name == device).flat_map(|link| &link.addresses);
            Ok(!held.into_iter().any(|held| held.network.addr() == address))
        };
        self.wait(within, is_gone).map(drop)
    }

    /// Looks again and again until something is so or the time is over; tells whether it is so.
    pub(super) fn wait(
        &mut self,
        within: Duration,
        mut is_so: impl FnMut(&mut Session) -> Result<bool, HostError>,
    ) -> Result<bool, HostError> {
        let deadline = Instant::now() + within;
        let mut pauses = Pauses::default();
        loop {
            if is_so(self)? {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(pauses.next().min(left));
        }
    }
}
