//! Advice about topologies that can be used.
//!
//! Each rule is a file here with its explanation beside it (`RULE.md`), and one line in [`registry`]; `tests/lints.rs`
//! fails if the line is forgotten, if the explanation's example does not trip the rule, or if its repair does. What makes
//! a topology unusable is no lint: it belongs into `topology`.

mod backup_only;
mod literal_secret;
mod nat_gateway;

use crate::document::ReadSource;
use crate::source::Problems;
use crate::topology::{self, Loaded, Topology};

/// Looks for one sort of mistake.
#[derive(Debug)]
pub struct Rule {
    /// The name, in kebab case; it is the code of the rule's problems.
    pub name: &'static str,
    /// Why the rule is there, an example that trips it, and the repair, in Markdown.
    pub explanation: &'static str,
    /// Reports what the rule finds.
    pub check: fn(&Topology, &mut Problems),
}

/// Returns every rule in the order of names.
pub fn registry() -> &'static [Rule] {
    &[backup_only::RULE, literal_secret::RULE, nat_gateway::RULE]
}

/// Returns a rule by its name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    registry().iter().find(|rule| rule.name == name)
}

/// Runs every rule.
pub fn run(topology: &Topology) -> Problems {
    let mut problems = Problems::default();
    registry().iter().for_each(|rule| (rule.check)(topology, &mut problems));
    problems
}

/// Reads a topology and runs every rule on it, if it can be used.
pub fn load(path: &str, reader: &dyn ReadSource) -> Loaded {
    let mut loaded = topology::load(path, reader);
    if let Some(topology) = &loaded.topology {
        loaded.problems.extend(run(topology));
        loaded.problems.sort();
    }
    loaded
}
