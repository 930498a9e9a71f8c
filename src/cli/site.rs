//! Loads the topology that a command is about, and says what is wrong with it.

use std::collections::BTreeSet;

use clap::Args;
use sha2::{Digest, Sha256};

use super::files::{DiskReader, base_folder, secrets};
use super::write::revision;
use super::{Level, Output};
use crate::lint;
use crate::plan::HostStatus;
use crate::source::{Problems, SourceMap};
use crate::survey::{Survey, Surveyed};
use crate::topology::{HostName, SecretValues, Topology};
use crate::view::plan_json::{Source, SourceDocument};
use crate::view::problems;

/// Which topology, and which of its hosts.
#[derive(Debug, Args)]
pub struct SiteArguments {
    /// The topology: a file, or a folder of *.kdl files
    #[arg(default_value = ".", value_name = "PATH")]
    pub path: String,
    /// Only this host; repeatable
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
}

/// A topology that was read without an error.
pub struct Site {
    /// The path that it was read from.
    pub path: String,
    /// The topology.
    pub topology: Topology,
    /// Its texts.
    pub sources: SourceMap,
    /// Its warnings.
    pub problems: Problems,
    /// Its secrets.
    pub secrets: SecretValues,
    /// The hosts that were named, if any were.
    pub only: Option<BTreeSet<HostName>>,
}

impl Site {
    /// Loads a topology with its secrets; after an error, which is printed, there is none.
    pub fn load(arguments: &SiteArguments, output: &Output) -> Option<Site> {
        let mut site = Self::load_without_secrets(arguments, output)?;
        let (values, found) = secrets(&site.topology, base_folder(&site.path));
        let failed = found.has_errors();
        show(&found, &site.sources, output);
        if failed {
            return None;
        }
        site.secrets = values;
        Some(site)
    }

    /// Loads a topology for a command that contacts no host.
    pub fn load_without_secrets(arguments: &SiteArguments, output: &Output) -> Option<Site> {
        let loaded = lint::load(&arguments.path, &DiskReader);
        show(&loaded.problems, &loaded.sources, output);
        let topology = loaded.topology?;
        if is_empty(&topology, &arguments.path, output) {
            return None;
        }
        let mut only = BTreeSet::new();
        for name in &arguments.hosts {
            let name = HostName::new(name);
            if !topology.hosts.contains_key(&name) {
                let known: Vec<&str> = topology.hosts.keys().map(HostName::as_str).collect();
                let help = format!("The topology has {}", known.join(", "));
                output.error(&format!("The topology has no host {:?}", name.as_str()), Some(&help));
                return None;
            }
            only.insert(name);
        }
        Some(Site {
            path: arguments.path.clone(),
            topology,
            sources: loaded.sources,
            problems: loaded.problems,
            secrets: SecretValues::default(),
            only: (!only.is_empty()).then_some(only),
        })
    }

    /// Reads the hosts and plans; after an error, which is printed, there is no plan.
    pub fn survey(&self, survey: &mut Survey<'_>, output: &Output) -> Option<Surveyed> {
        match survey.plan() {
            Ok(surveyed) => {
                show(&surveyed.problems, &self.sources, output);
                if !surveyed.problems.has_errors() {
                    return Some(surveyed);
                }
                // A problem may only be there because a host did not answer.
                for (name, status) in &surveyed.plan.hosts {
                    if let HostStatus::Unread { error, help } = status {
                        output.error(&format!("{name} could not be read: {error}"), help.as_deref());
                    }
                }
                None
            }
            Err(cycle) => {
                output.error(&cycle.to_string(), Some("This is a fault of lvsctl: please report it with the topology"));
                None
            }
        }
    }

    /// Returns what the topology was read from.
    pub fn source(&self) -> Source {
        let files = self.sources.files().iter().map(|file| SourceDocument {
            path: file.name.clone(),
            sha256: Sha256::digest(file.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect(),
        });
        Source { revision: revision(&self.path), files: files.collect() }
    }
}

/// Tells whether a topology has no host, which is an error: more likely a file was cut off than a site given up.
pub fn is_empty(topology: &Topology, path: &str, output: &Output) -> bool {
    if topology.hosts.is_empty() {
        output.error(
            &format!("{path} declares no host"),
            Some("To give a site up, use lvsctl destroy with its topology"),
        );
    }
    topology.hosts.is_empty()
}

/// Prints problems to standard error.
pub fn show(found: &Problems, sources: &SourceMap, output: &Output) {
    if !found.is_empty() {
        output.message(Level::Error, problems::human(found, sources, output.messages.colour).trim_end());
    }
}
