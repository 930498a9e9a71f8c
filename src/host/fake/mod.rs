//! A host in memory, for the tests of other layers: it refuses what the kernel refuses.
//!
//! It passes the same contract as the real kernel (`tests/contract`), so a test on it says something about a machine. A
//! clone is another connection to the same host: with it a test looks at the host, or alters it behind the back of the
//! code under test. What is not modelled: packets, health checks, VRRP, and how iptables rewrites a rule.

mod failures;
mod iptables;
mod keepalived;
mod network;
mod system;
mod table;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::failures::Failures;
use self::iptables::Rules;
use self::keepalived::Daemon;
use self::network::Network;
use self::table::Table;
use self::transaction::Journal;
use super::{
    Armed, Cause, Host, HostError, Operator, Reversible, TakenBack, Transaction, Transactions, in_runs, program,
};
use crate::effect::{
    Answer, Capabilities, DestinationConfig, DestinationKey, Effect, FileState, IptablesVariant, IpvsCommand, Link,
    LinkAddress, Management, Probe, ServiceKey,
};
use crate::topology::{Family, SysctlKey};
use ipnet::IpNet;

/// A connection to a host in memory.
#[derive(Debug)]
pub struct FakeHost {
    state: Arc<Mutex<State>>,
    holds_lock: bool,
    /// The transaction that was begun over this connection.
    performing: Option<String>,
}

#[derive(Debug)]
struct State {
    modules: BTreeSet<String>,
    sysctls: BTreeMap<SysctlKey, String>,
    network: Network,
    rules: BTreeMap<Family, Rules>,
    table: Table,
    files: BTreeMap<String, FileState>,
    links: BTreeMap<String, String>,
    daemon: Daemon,
    iptables: Option<IptablesVariant>,
    keepalived: Option<String>,
    is_locked: bool,
    journal: Journal,
    management: Option<Management>,
    performed: Vec<Effect>,
    failures: Failures,
}

impl Default for FakeHost {
    fn default() -> Self {
        FakeHost::new()
    }
}

impl Clone for FakeHost {
    fn clone(&self) -> Self {
        FakeHost { state: Arc::clone(&self.state), holds_lock: false, performing: None }
    }
}

impl FakeHost {
    /// Makes a host with `lo`, iptables and keepalived, on which nothing was ever configured.
    pub fn new() -> Self {
        let state = State {
            modules: BTreeSet::new(),
            sysctls: system::sysctls(),
            network: Network::default(),
            rules: BTreeMap::new(),
            table: Table::default(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            daemon: Daemon::default(),
            iptables: Some(IptablesVariant::Legacy),
            keepalived: Some("2.2.7".into()),
            is_locked: false,
            journal: Journal::default(),
            management: None,
            performed: Vec::new(),
            failures: Failures::default(),
        };
        let host = FakeHost { state: Arc::new(Mutex::new(state)), holds_lock: false, performing: None };
        let loopback = ["127.0.0.1/8", "::1/128"];
        ["all", "default"].into_iter().for_each(|pseudo| host.state().add_interface_sysctls(pseudo));
        host.with_link("lo", None, &loopback)
    }

    /// Adds an interface; addresses that cannot be read are left out.
    pub fn with_link(self, name: &str, mac: Option<&str>, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().filter_map(|text| text.parse::<IpNet>().ok());
        let addresses = addresses.map(|network| LinkAddress { network, label: None }).collect();
        let mac = mac.and_then(|text| text.parse().ok());
        let mut state = self.state();
        state.network.links.push(Link { name: name.into(), mac, sort: None, is_up: true, addresses });
        state.add_interface_sysctls(name);
        drop(state);
        self
    }

    /// Adds a parameter, or sets another value of one.
    pub fn with_sysctl(self, path: &str, value: &str) -> Self {
        self.state().sysctls.insert(SysctlKey::from_path(path), value.into());
        self
    }

    /// Says which iptables is installed.
    pub fn with_iptables(self, variant: Option<IptablesVariant>) -> Self {
        self.state().iptables = variant;
        self
    }

    /// Says which keepalived is installed.
    pub fn with_keepalived(self, version: Option<&str>) -> Self {
        self.state().keepalived = version.map(str::to_owned);
        self
    }

    /// Says by which connection a client is on the host.
    pub fn set_management(&self, management: Management) {
        self.state().management = Some(management);
    }

    /// Returns the names of all parameters that the host has now.
    pub fn parameters(&self) -> Vec<SysctlKey> {
        self.state().sysctls.keys().cloned().collect()
    }

    /// Returns every effect that was asked for, refused ones included, in order.
    pub fn performed(&self) -> Vec<Effect> {
        self.state().performed.clone()
    }

    /// Sets how many connections a destination carries, active and inactive.
    pub fn set_connections(&self, service: &ServiceKey, destination: &DestinationKey, active: u32, inactive: u32) {
        if let Some(found) = self.state().table.destination(service, destination) {
            (found.active, found.inactive) = (active, inactive);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        if self.holds_lock {
            self.state().is_locked = false;
        }
    }
}

impl Host for FakeHost {
    fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        let state = self.state();
        state.reach()?;
        Ok(Capabilities {
            missing_boot_programs: Vec::new(),
            has_advertised_route: false,
            policy_routing: Vec::new(),
            iptables: state.iptables,
            has_legacy_rules: false,
            management: state.management,
            keepalived: state.keepalived.clone(),
            systemd: false,
            links: state.network.links.clone(),
            connection_table_bits: state.modules.contains("ip_vs").then_some(12),
            kernel: "6.1.0".to_owned(),
        })
    }

    fn probe(&mut self, probe: &Probe) -> Result<Answer, HostError> {
        let state = self.state();
        state.reach()?;
        Ok(state.answer(probe))
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        let (_, result) = self.carry_out(effect);
        if result.as_ref().map_or_else(HostError::is_done_already, |()| true) {
            self.note_undone(effect);
        }
        result
    }

    /// Nobody lets go of it while this one waits.
    fn lock(&mut self, operator: &Operator, _patience: Duration) -> Result<(), HostError> {
        if self.holds_lock {
            return Ok(());
        }
        let mut state = self.state();
        state.reach()?;
        if state.is_locked {
            return Err(HostError::Locked { holder: format!("process {}, {operator}", std::process::id()) });
        }
        state.is_locked = true;
        drop(state);
        self.holds_lock = true;
        Ok(())
    }

    fn transactions(&mut self) -> Result<Transactions, HostError> {
        let state = self.state();
        state.reach()?;
        Ok(state.transactions())
    }

    fn begin(&mut self, transaction: &Transaction) -> Result<Armed, HostError> {
        let mut state = self.state();
        state.reach()?;
        let armed = state.begin(transaction)?;
        drop(state);
        self.performing = Some(transaction.id.clone());
        Ok(armed)
    }

    fn perform_reversibly(&mut self, steps: Vec<Reversible>) -> Vec<Result<(), HostError>> {
        let effects: Vec<Effect> = steps.iter().map(|step| step.effect.clone()).collect();
        let mut steps = steps.iter();
        in_runs(&effects, |run| {
            let results = run.iter().zip(steps.by_ref()).map(|(effect, step)| {
                self.state().intend(step)?;
                let (is_made, result) = self.carry_out(effect);
                if !is_made {
                    self.state().refused();
                }
                result
            });
            results.collect()
        })
    }

    fn beat(&mut self) -> Result<(), HostError> {
        self.state().reach()
    }

    fn confirm(&mut self, id: &str) -> Result<(), HostError> {
        let mut state = self.state();
        state.reach()?;
        state.confirm(id)
    }

    fn revert(&mut self, id: &str) -> Result<TakenBack, HostError> {
        let mut state = self.state();
        state.reach()?;
        state.revert(id, Cause::Asked)
    }

    fn close(&mut self, id: &str) -> Result<(), HostError> {
        let mut state = self.state();
        state.reach()?;
        state.close(id);
        Ok(())
    }

    fn forget(&mut self) -> Result<(), HostError> {
        let mut state = self.state();
        state.reach()?;
        state.forget();
        Ok(())
    }
}

impl State {
    fn answer(&self, probe: &Probe) -> Answer {
        match probe {
            Probe::Modules(names) => {
                Answer::Modules(names.iter().filter(|name| self.modules.contains(*name)).cloned().collect())
            }
            Probe::Sysctls(keys) => {
                Answer::Sysctls(keys.iter().map(|key| (key.clone(), self.sysctls.get(key).cloned())).collect())
            }
            Probe::Links => Answer::Links(self.network.links.clone()),
            Probe::FouPorts => Answer::FouPorts(self.network.fou_ports.clone()),
            Probe::DefaultRoutes => Answer::DefaultRoutes(self.network.routes.clone()),
            Probe::Iptables(family) => {
                Answer::Iptables(*family, self.rules.get(family).map(Rules::save).unwrap_or_default())
            }
            Probe::Ipvs => Answer::Ipvs(self.table.services.clone()),
            Probe::IpvsTimeouts if !self.modules.contains("ip_vs") => Answer::IpvsTimeouts(BTreeMap::new()),
            Probe::IpvsTimeouts => Answer::IpvsTimeouts(self.table.timeouts.clone()),
            Probe::SyncDaemons => Answer::SyncDaemons(self.table.daemons.clone()),
            Probe::Offloads(device) => Answer::Offloads(device.clone(), self.network.offloads(device)),
            Probe::File(path) => Answer::File(path.clone(), self.files.get(path).cloned()),
            Probe::Link(path) => {
                let file = self.files.get(path).map(|_| String::new());
                Answer::Link(path.clone(), self.links.get(path).cloned().or(file))
            }
            Probe::Keepalived => Answer::Daemon(self.daemon.state(self.configuration_text().as_deref())),
        }
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), HostError> {
        match effect {
            Effect::LoadModule(name) => self.load_module(name),
            Effect::WriteSysctl { key, value } => self.write_sysctl(key, value),
            Effect::AddLink { device, sort } => self.add_link(device, sort),
            Effect::RemoveLink { device } => self.remove_link(device),
            Effect::SetLink { device, is_up } => self.network.set_link(device, *is_up),
            Effect::SetOffload { device, offload, on } => self.network.set_offload(device, *offload, *on),
            Effect::AddFouPort { family, port } => {
                self.load_module("fou")?;
                self.network.add_fou_port(*family, *port)
            }
            Effect::RemoveFouPort { family, port } => self.network.remove_fou_port(*family, *port),
            Effect::AddAddress { device, address, prefix, label } => {
                self.network.add_address(device, *address, *prefix, label.as_deref())
            }
            Effect::RemoveAddress { device, address, prefix } => self.network.remove_address(device, *address, *prefix),
            Effect::ReplaceDefaultRoute { via, device } => self.network.replace_route(*via, device.as_deref()),
            Effect::RemoveDefaultRoute { via } => self.network.remove_route(*via),
            Effect::IptablesRestore { family, text } => match self.iptables {
                Some(_) => self.rules.entry(*family).or_default().restore(*family, text),
                None => Err(program::missing("change the rules", "iptables-restore")),
            },
            Effect::Ipvs(command) => {
                self.load_module("ip_vs")?;
                self.table.perform(command)
            }
            Effect::ReplaceDestination { service, destination, config, only_if_there, .. } => {
                let live = self.table.find(service);
                let there = live.and_then(|live| live.destinations.iter().find(|there| there.key == *destination));
                let weight = there.filter(|_| *only_if_there).map_or(config.weight, |there| there.config.weight);
                let config = DestinationConfig { weight, ..config.clone() };
                match there {
                    None if *only_if_there => Ok(()),
                    None => self.table.perform(&IpvsCommand::NewDestination(*service, *destination, config)),
                    Some(_) => self.table.perform(&IpvsCommand::SetDestination(*service, *destination, config)),
                }
            }
            Effect::StartSyncDaemon(state, config) => {
                self.load_module("ip_vs")?;
                self.table.start_daemon(*state, config, &self.network)
            }
            Effect::StopSyncDaemon(state) => {
                self.table.daemons.remove(state);
                Ok(())
            }
            Effect::AwaitService { service, present, within } => {
                if self.table.find(service).is_some() == *present {
                    return Ok(());
                }
                Err(HostError::Timeout { doing: format!("wait for {service}"), within: *within })
            }
            // Nothing here ever ends a connection, takes an address or stops a daemon, so the deadline passes, which is no error.
            Effect::AwaitDrained { .. } | Effect::AwaitNoAddress { .. } | Effect::AwaitNoSyncDaemon { .. } => Ok(()),
            Effect::WriteFile { path, text, mode, keepalived_test, keep_previous } => {
                self.write_file(path, text, *mode, *keepalived_test, *keep_previous)
            }
            Effect::WriteLink { path, target } => {
                self.files.remove(path);
                self.links.insert(path.clone(), target.clone());
                Ok(())
            }
            Effect::ReloadUnits => Ok(()),
            Effect::RemoveFile { path } => {
                self.files.remove(path);
                self.links.remove(path);
                Ok(())
            }
            Effect::StartKeepalived { configuration } => self.start_keepalived(configuration),
            Effect::ReloadKeepalived { configuration } => self.reload_keepalived(configuration),
            Effect::StopKeepalived => {
                self.stop_keepalived();
                Ok(())
            }
        }
    }
}
