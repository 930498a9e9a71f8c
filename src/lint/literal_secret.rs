//! A secret that stands in the topology itself.

use super::Rule;
use crate::source::{Problem, Problems};
use crate::topology::{Secret, Topology};

/// Finds secrets that are not references.
pub const RULE: Rule =
    Rule { name: "literal-secret", explanation: include_str!("literal_secret.md"), check: literal_secrets };

fn literal_secrets(topology: &Topology, problems: &mut Problems) {
    let secrets = topology.failovers.values().filter_map(|failover| failover.auth_pass.as_ref());
    for secret in secrets.filter(|secret| matches!(secret.value, Secret::Literal(_))) {
        problems.push(
            Problem::warning(RULE.name, "A secret is written in the topology")
                .label(secret.span, "anyone who reads the file knows it")
                .help("Write (env)\"VRRP_PASS\" or (file)\"secrets/vrrp\", and give it a new value"),
        );
    }
}
