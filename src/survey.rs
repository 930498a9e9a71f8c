//! Reads every host of a site at once and plans: what `plan`, `apply`, `destroy` and the rehearsal have in common.
//!
//! Hosts are contacted in parallel, each over one connection, twice: first for what they have (interfaces, hardware addresses), which
//! the compiler may need of one host for another, then for their state.

mod at_once;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

pub use at_once::at_most;

use crate::compile::{Desired, compile};
use crate::effect::Capabilities;
use crate::host::{self, HostError, Operator, PARALLELISM, Patience, connect, fan_out};
use crate::kinds::{Site, address, boot, chain, sysctl};
use crate::observe::{Observation, observe};
use crate::plan::{Cycle, Names, Plan, Reading, plan};
use crate::resource::HostState;
use crate::source::{Problem, Problems};
use crate::topology::{Host, HostName, SecretValues, Topology};

/// Connections to the hosts that answered.
pub type Hosts = BTreeMap<HostName, Box<dyn host::Host>>;

/// What is to become of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// They become what the topology says.
    Converge,
    /// All that lvsctl put there goes away.
    Destroy,
}

/// How hosts are reached.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// How long each part of reaching a host may take.
    pub patience: Patience,
    /// How many hosts are contacted at once.
    pub parallelism: NonZeroUsize,
    /// Hears how far each host is.
    pub progress: &'a (dyn Fn(&HostName, Stage) + Sync),
}

impl Default for Reach<'_> {
    fn default() -> Self {
        Reach { patience: Patience::default(), parallelism: PARALLELISM, progress: &|_, _| {} }
    }
}

/// How far a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is being connected to.
    Connecting,
    /// It answers.
    Connected,
    /// Its state is being read.
    Reading,
    /// Its state was read.
    Read,
    /// It cannot be reached, or its state not be read.
    Failed,
}

/// A connection to a host that was made once more, or why there is none.
pub type Reopened = Result<Box<dyn host::Host>, HostError>;

/// What connects to a host once more.
pub type Reopen<'a> = Box<dyn Fn(&HostName) -> Reopened + Send + Sync + 'a>;

/// A site that is being worked on: its connections and what was learnt over them.
pub struct Survey<'a> {
    topology: &'a Topology,
    secrets: &'a SecretValues,
    goal: Goal,
    reach: Reach<'a>,
    /// The hosts that answered.
    pub hosts: Hosts,
    /// Those of the other hosts that answered: what one host needs to know of another is asked of them, and no more.
    bystanders: Hosts,
    /// What connects to a host once more, unless the connections were made elsewhere.
    reopen: Option<Reopen<'a>>,
    facts: BTreeMap<HostName, Capabilities>,
    unreached: BTreeMap<HostName, HostError>,
    /// Whether the hosts were asked what earlier applies have left.
    has_asked: bool,
}

/// A plan with what the compiler had to say.
pub struct Surveyed {
    /// The plan.
    pub plan: Plan,
    /// What was desired of each host.
    pub desired: Desired,
    /// What was observed of each host.
    pub observed: BTreeMap<HostName, Reading>,
    /// Problems that only show with live hosts.
    pub problems: Problems,
}

impl<'a> Survey<'a> {
    /// Connects to the managed hosts of a topology, or to those of them that are named, many at once.
    pub fn connect(
        topology: &'a Topology,
        secrets: &'a SecretValues,
        goal: Goal,
        only: Option<&BTreeSet<HostName>>,
        reach: Reach<'a>,
    ) -> Self {
        let mut survey = Survey {
            topology,
            secrets,
            goal,
            reach,
            hosts: Hosts::new(),
            bystanders: Hosts::new(),
            reopen: Some(Box::new(move |name| match topology.hosts.get(name) {
                Some(host) => connect(host, secrets, &reach.patience),
                None => Err(HostError::interrupted()),
            })),
            facts: BTreeMap::new(),
            unreached: BTreeMap::new(),
            has_asked: false,
        };
        let hosts: Vec<&Host> = topology.managed_hosts().collect();
        let reached = fan_out(hosts, reach.parallelism, |host| {
            let name = host.name.value.clone();
            (reach.progress)(&name, Stage::Connecting);
            let result = connect(host, secrets, &reach.patience);
            (reach.progress)(&name, if result.is_ok() { Stage::Connected } else { Stage::Failed });
            (name, result)
        });
        let names = topology.managed_hosts().map(|host| host.name.value.clone());
        for (name, reached) in names.zip(reached) {
            let is_wanted = only.is_none_or(|only| only.contains(&name));
            match reached.map_or_else(|| Err(HostError::interrupted()), |(_, result)| result) {
                Ok(connection) if is_wanted => {
                    survey.hosts.insert(name, connection);
                }
                Ok(connection) => {
                    survey.bystanders.insert(name, connection);
                }
                Err(error) if is_wanted => {
                    survey.unreached.insert(name, error);
                }
                // One that does not answer is nobody's concern here.
                Err(_) => {}
            }
        }
        survey
    }

    /// Works on connections that were made elsewhere, such as those to the fake hosts of the tests.
    pub fn over(topology: &'a Topology, secrets: &'a SecretValues, goal: Goal, hosts: Hosts) -> Self {
        let reach = Reach::default();
        let (bystanders, facts, unreached) = (Hosts::new(), BTreeMap::new(), BTreeMap::new());
        Survey { topology, secrets, goal, reach, hosts, bystanders, reopen: None, facts, unreached, has_asked: false }
    }

    /// Says how to connect to the hosts once more.
    pub fn reopening(mut self, reopen: Reopen<'a>) -> Self {
        self.reopen = Some(reopen);
        self
    }

    /// Says how the hosts are reached.
    pub fn reached(mut self, reach: Reach<'a>) -> Self {
        self.reach = reach;
        self
    }

    /// Returns how many hosts are worked on at once.
    pub fn parallelism(&self) -> NonZeroUsize {
        self.reach.parallelism
    }

    /// Connects once more to those of the hosts that are wanted, many at once, so that one that does not answer delays no other.
    pub fn reopen(&mut self, is_wanted: impl Fn(&HostName) -> bool) -> Vec<(HostName, Reopened)> {
        let reopen = self.reopen.as_ref();
        let wanted = self.hosts.iter_mut().filter(|(name, _)| is_wanted(name));
        // The connections that are there still tell the hosts that their client lives.
        at_most(self.reach.parallelism, wanted, |name, _| match reopen {
            Some(reopen) => reopen(name),
            None => Err(HostError::Unreachable { text: "nobody said how to connect to it once more".to_owned() }),
        })
    }

    /// Takes the lock of every host for an apply; the first that is taken by somebody else ends it.
    ///
    /// Hosts are locked one by one in the order of their names, so that two who wait for each other's cannot wait for ever, and
    /// of two who do not wait one gets them all. It takes one round trip a host.
    pub fn lock(&mut self, operator: &Operator, patience: Duration) -> Result<(), (HostName, HostError)> {
        for (name, host) in &mut self.hosts {
            host.lock(operator, patience).map_err(|error| (name.clone(), error))?;
        }
        Ok(())
    }

    /// Returns the topology that is worked on.
    pub fn topology(&self) -> &'a Topology {
        self.topology
    }

    /// Looks at what the hosts have, which is less than [`Survey::plan`] reads, and returns that of those that answer.
    pub fn look(&mut self) -> &BTreeMap<HostName, Capabilities> {
        self.refresh_facts();
        &self.facts
    }

    /// Compiles, observes and plans; may be called again to read the hosts anew.
    pub fn plan(&mut self) -> Result<Surveyed, Cycle> {
        let failed = self.refresh_facts();
        let unreached = self.unreached.iter().map(|(name, error)| (name.clone(), error.clone()));
        let mut observed: BTreeMap<HostName, Reading> =
            unreached.chain(failed).map(|(name, error)| (name, Err((error.to_string(), error.help())))).collect();
        let site = Site { topology: self.topology, facts: &self.facts, secrets: self.secrets };
        let mut problems = Problems::default();
        let mut desired = match self.goal {
            Goal::Converge => compile(&site, &mut problems),
            Goal::Destroy => Desired::new(),
        };
        desired.retain(|name, _| self.hosts.contains_key(name));
        let facts = &self.facts;
        let asked = self.hosts.iter_mut().filter(|(name, _)| !observed.contains_key(*name));
        let Reach { parallelism, progress, .. } = self.reach;
        let readings = at_most(parallelism, asked, |name, host| {
            progress(name, Stage::Reading);
            let capabilities = facts.get(name).cloned().unwrap_or_default();
            let read = observe(host, &capabilities, desired.get(name));
            progress(name, if read.is_ok() { Stage::Read } else { Stage::Failed });
            read
        });
        for (name, reading) in readings {
            let reading = reading
                .map(|observation| Observation { held: held(&site, &name), ..observation })
                .map(|observation| without_own_addresses(&site, &name, desired.get(&name), observation))
                .map_err(|error| (error.to_string(), error.help()));
            observed.insert(name, reading);
        }
        self.tell_of_earlier(&mut problems);
        for (name, state) in &mut desired {
            if let Some(Ok(observation)) = observed.get(name) {
                chain::keep_unknown_peers(state, &observation.state);
                sysctl::missing(name, state, (&observation.state, &observation.capabilities), &mut problems);
            }
            if let Some(host) = self.topology.hosts.get(name) {
                boot::add(host, state);
                if let Some(capabilities) = self.facts.get(name) {
                    boot::missing_programs(host, state, capabilities, &mut problems);
                }
            }
        }
        let plan = Plan { names: Names::of(self.topology), ..plan(&desired, &observed)? };
        Ok(Surveyed { plan, desired, observed, problems })
    }

    /// Warns of applies that are not over, and of those that hosts have taken back. A host that does not tell has nothing
    /// to tell, or says elsewhere what is wrong with it. They are asked once: what comes later is this survey's own apply.
    fn tell_of_earlier(&mut self, problems: &mut Problems) {
        if std::mem::replace(&mut self.has_asked, true) {
            return;
        }
        for (name, left) in at_most(self.reach.parallelism, self.hosts.iter_mut(), |_, host| host.transactions()) {
            let (Ok(left), Some(host)) = (left, self.topology.hosts.get(&name)) else { continue };
            let told = [
                left.pending.map(|pending| ("unfinished-apply", pending.tell())),
                left.taken_back.map(|taken_back| ("apply-taken-back", taken_back.tell())),
            ];
            for (code, text) in told.into_iter().flatten() {
                problems.push(Problem::warning(code, format!("{name}: {text}")).label(host.name.span, "this host"));
            }
        }
    }

    fn refresh_facts(&mut self) -> Vec<(HostName, HostError)> {
        let hosts = self.hosts.iter_mut().chain(self.bystanders.iter_mut());
        let answers = at_most(self.reach.parallelism, hosts, |_, host| host.capabilities());
        let mut failed = Vec::new();
        for (name, answer) in answers {
            match answer {
                Ok(capabilities) => {
                    self.facts.insert(name, capabilities);
                }
                Err(_) if self.bystanders.contains_key(&name) => {
                    self.facts.remove(&name);
                }
                Err(error) => {
                    self.facts.remove(&name);
                    failed.push((name, error));
                }
            }
        }
        failed
    }
}

impl Drop for Survey<'_> {
    fn drop(&mut self) {
        // Each connection says that it ends, and one that hangs delays no other.
        let hosts = std::mem::take(&mut self.hosts).into_values();
        let bystanders = std::mem::take(&mut self.bystanders).into_values();
        fan_out(hosts.chain(bystanders).collect(), self.reach.parallelism, drop);
        // Nobody logs in any more.
        host::ssh::forget_typed();
    }
}

/// Takes out the addresses that are neither lvsctl's nor a stranger's.
fn without_own_addresses(
    site: &Site<'_>,
    name: &HostName,
    desired: Option<&HostState>,
    mut observation: Observation,
) -> Observation {
    let Some(host) = site.topology.hosts.get(name) else { return observation };
    let owned = observation.manifest.as_ref().map(|manifest| &manifest.owned);
    observation.state.retain(|key, _| {
        desired.is_some_and(|desired| desired.contains_key(key))
            || owned.is_some_and(|owned| owned.contains_key(key))
            || !address::is_accounted_for(site.topology, host, key)
    });
    observation
}

/// Returns the VIPs of failovers that a director holds now.
fn held(site: &Site<'_>, name: &HostName) -> Vec<(String, std::net::IpAddr)> {
    let Some(facts) = site.facts.get(name) else {
        return Vec::new();
    };
    site.topology
        .failovers_of(name)
        .flat_map(|failover| site.topology.floating(failover).map(|floating| floating.address().value))
        .filter_map(|address| facts.link_with(address).map(|link| (link.name.clone(), address)))
        .collect()
}
