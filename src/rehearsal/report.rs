//! What a rehearsal found: plain data, versioned, the same for people and for programs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::topology::{HostName, Protocol};

/// The version of the report's JSON; a minor version only adds.
pub const FORMAT_VERSION: &str = "1.0";

/// The whole result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`FORMAT_VERSION`].
    pub format_version: String,
    /// The topology's path as it was asked for.
    pub topology: String,
    /// Whether everything is as it should be.
    pub passed: bool,
    /// What is not, in plain words.
    pub failures: Vec<String>,
    /// The hosts that were laid out.
    pub hosts: Vec<HostReport>,
    /// Planning and applying.
    pub convergence: Convergence,
    /// The requests to each listen of each service.
    pub services: Vec<Traffic>,
    /// What happened when a master's keepalived was killed.
    pub failovers: Vec<FailoverReport>,
    /// How long the parts took.
    pub durations: Durations,
}

/// A host of the rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostReport {
    /// Its name.
    #[schemars(with = "String")]
    pub name: HostName,
    /// `director` or `real-server`.
    pub role: String,
    /// Its declared addresses.
    pub addresses: Vec<String>,
}

/// How many changes of each sort a plan holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSummary {
    /// Things to make.
    pub create: usize,
    /// Things to change in place.
    pub update: usize,
    /// Things to take away and make again.
    pub replace: usize,
    /// Things to take away.
    pub delete: usize,
}

impl PlanSummary {
    /// Returns the number of changes.
    pub fn total(&self) -> usize {
        self.create + self.update + self.replace + self.delete
    }
}

/// What an apply did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplySummary {
    /// How many changes were made.
    pub applied: usize,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// Planning, applying and planning again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Convergence {
    /// The plan for the empty hosts.
    pub plan: PlanSummary,
    /// What applying it did.
    pub apply: ApplySummary,
    /// The plan afterwards, which must be empty.
    pub replan: PlanSummary,
}

/// The requests to one listen of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// The VIP.
    pub vip: IpAddr,
    /// The service's name.
    pub service: String,
    /// The protocol.
    #[schemars(with = "String")]
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// The scheduler's name.
    pub scheduler: String,
    /// How many were sent; 0 for a protocol that the rehearsal does not speak.
    pub requests: u32,
    /// How many were answered.
    pub answered: u32,
    /// How many were not.
    pub failed: u32,
    /// The first few reasons.
    pub errors: Vec<String>,
    /// How many each host answered.
    #[schemars(with = "BTreeMap<String, u32>")]
    pub spread: BTreeMap<HostName, u32>,
    /// The hosts' weights.
    #[schemars(with = "BTreeMap<String, u32>")]
    pub weights: BTreeMap<HostName, u32>,
}

/// A failover that was made to happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailoverReport {
    /// The group's name.
    pub group: String,
    /// The director whose keepalived was killed.
    #[schemars(with = "String")]
    pub killed: HostName,
    /// The director that holds the VIPs afterwards, if one took over.
    #[schemars(with = "Option<String>")]
    pub taken_over_by: Option<HostName>,
    /// From the kill until another director held the VIPs, in milliseconds.
    pub takeover_ms: Option<u64>,
    /// Requests sent meanwhile, to all listens of the group.
    pub requests: u32,
    /// How many of them were not answered.
    pub failed: u32,
    /// The longest time for which a listen gave no answer, from the first request that failed to the next answer.
    pub outage_ms: u64,
    /// The requests to each listen afterwards.
    pub services: Vec<Traffic>,
    /// How many connections each director balanced afterwards, as its IPVS counts them.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub balanced_by: BTreeMap<HostName, u64>,
}

/// How long the parts took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Durations {
    /// From the start of the kernel to the guest's first process.
    pub boot_ms: u64,
    /// Laying out hosts and starting servers.
    pub lay_out_ms: u64,
    /// Planning, applying and planning again.
    pub converge_ms: u64,
    /// Until every service answered, and the requests.
    pub traffic_ms: u64,
    /// The failovers.
    pub failover_ms: u64,
    /// Everything.
    pub total_ms: u64,
}
