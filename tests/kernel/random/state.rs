//! What of a host's kernel a topology decides, as plain texts: the form in which `expected` and `reading` meet.

use std::collections::{BTreeMap, BTreeSet};

/// What of a host's kernel a topology decides.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Interface, address with prefix, and label where it is not the interface's name.
    pub addresses: BTreeSet<String>,
    /// Addresses and routes that may be there or not: which director is master is decided among them.
    pub floating: BTreeSet<String>,
    /// The gateways of default routes.
    pub routes: BTreeSet<String>,
    /// Rules by program and table, those of peers first, each with the jump as its first line.
    pub chains: BTreeMap<String, Vec<String>>,
    /// Values of parameters by name, and what else may be tuned: timeouts, daemons, offloads, options of modules.
    pub parameters: BTreeMap<String, String>,
    /// The virtual services as ipvsadm names them.
    pub services: BTreeMap<String, ServiceState>,
    /// What is somebody else's of the rules, by program, byte for byte.
    pub foreign: BTreeMap<String, String>,
    /// What the configuration of keepalived says, in order.
    pub configuration: Vec<String>,
    /// Whether keepalived runs and has a configuration.
    pub keepalived: (bool, bool),
}

/// A virtual service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceState {
    /// Scheduler, flags, persistence.
    pub way: String,
    /// Whether its destinations are keepalived's, and may be missing, or with `true` have weight 0.
    pub checked: Option<bool>,
    /// A destination that may stand in for the others.
    pub sorry: Option<String>,
    /// Forwarding method with thresholds, and weight.
    pub destinations: BTreeMap<String, (String, u32)>,
}

impl State {
    /// Returns in which ways a host is not as expected.
    pub fn differences(&self, read: &State) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, expected: String, read: String| {
            if expected != read {
                found.push(format!("{what}: expected {expected}, found {read}"));
            }
        };
        let settled: BTreeSet<&String> = read.addresses.difference(&self.floating).collect();
        compare("addresses", format!("{:?}", self.addresses), format!("{settled:?}"));
        compare("default routes", format!("{:?}", self.routes), format!("{:?}", read.routes));
        compare("keepalived runs, is configured", format!("{:?}", self.keepalived), format!("{:?}", read.keepalived));
        let lacking: Vec<_> = self.configuration.iter().filter(|fact| !read.configuration.contains(fact)).collect();
        let surplus: Vec<_> = read.configuration.iter().filter(|fact| !self.configuration.contains(fact)).collect();
        compare("keepalived.conf lacks, says", "[] []".to_owned(), format!("{lacking:?} {surplus:?}"));
        compare("lines of keepalived.conf", self.configuration.len().to_string(), read.configuration.len().to_string());
        compare("chains", format!("{:#?}", self.chains), format!("{:#?}", read.chains));
        compare("foreign rules", format!("{:#?}", self.foreign), format!("{:#?}", read.foreign));
        for (path, value) in &self.parameters {
            compare(path, value.clone(), read.parameters.get(path).cloned().unwrap_or_default());
        }
        let keys = |state: &State| format!("{:?}", state.services.keys().collect::<Vec<_>>());
        compare("services", keys(self), keys(read));
        for (name, expected) in &self.services {
            let Some(live) = read.services.get(name) else { continue };
            compare(name, expected.way.clone(), live.way.clone());
            compare(name, expected.destinations(live), live.others(expected.sorry.as_ref()));
        }
        found
    }
}

impl ServiceState {
    /// Returns the destinations; where health decides, those that `live` has, and with its weights of 0.
    fn destinations(&self, live: &ServiceState) -> String {
        let there = self.destinations.iter().filter_map(|(name, (method, weight))| {
            let found = live.destinations.get(name);
            match (self.checked, found) {
                (Some(_), None) => None,
                (Some(true), Some((_, 0))) => Some((name, method, 0)),
                _ => Some((name, method, *weight)),
            }
        });
        format!("{:?}", there.collect::<Vec<_>>())
    }

    /// Returns all destinations but the one that stands in for them.
    fn others(&self, sorry: Option<&String>) -> String {
        let others = self.destinations.iter().filter(|(name, _)| Some(*name) != sorry);
        format!("{:?}", others.map(|(name, (method, weight))| (name, method, *weight)).collect::<Vec<_>>())
    }
}
