//! Loads the topology that a command is about, and says what is wrong with it.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use sha2::{Digest, Sha256};

use super::files::{DiskReader, base_folder, secrets, sudo_passwords, variables};
use super::write::revision;
use super::{Level, Output};
use crate::host;
use crate::lint;
use crate::plan::HostStatus;
use crate::source::{Problem, Problems, SourceMap};
use crate::survey::{Survey, Surveyed};
use crate::topology::{HostName, Loaded, SecretValues, Topology};
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

/// A topology that no command goes on with; why has been printed.
pub struct Refused {
    /// The path that it was read from.
    pub path: String,
    /// Its texts.
    pub sources: SourceMap,
    /// What is wrong with it.
    pub problems: Problems,
}

impl Refused {
    fn because(
        problem: Problem,
        path: String,
        sources: SourceMap,
        mut problems: Problems,
        output: &Output,
    ) -> Box<Self> {
        let mut further = Problems::default();
        further.push(problem);
        show(&further, &sources, output);
        problems.extend(further);
        Box::new(Refused { path, sources, problems })
    }

    /// Returns what the topology was read from.
    pub fn source(&self) -> Source {
        source(&self.path, &self.sources)
    }
}

impl Site {
    /// Loads a topology with its secrets; errors are printed.
    pub fn load(arguments: &SiteArguments, output: &Output) -> Result<Site, Box<Refused>> {
        Self::load_with(arguments, output, secrets)
    }

    /// Loads a topology of which everything is to be taken away, for which its hosts must be reached and no more.
    pub fn load_to_destroy(arguments: &SiteArguments, output: &Output) -> Result<Site, Box<Refused>> {
        Self::load_with(arguments, output, sudo_passwords)
    }

    fn load_with(
        arguments: &SiteArguments,
        output: &Output,
        look_up: fn(&Topology, &Path) -> (SecretValues, Problems),
    ) -> Result<Site, Box<Refused>> {
        let mut site = Self::load_without_secrets(arguments, output)?;
        host::ssh::withhold(variables(&site.topology));
        let (values, found) = look_up(&site.topology, base_folder(&site.path));
        let failed = found.has_errors();
        show(&found, &site.sources, output);
        site.problems.extend(found);
        if failed {
            return Err(Box::new(Refused { path: site.path, sources: site.sources, problems: site.problems }));
        }
        site.secrets = values;
        Ok(site)
    }

    /// Loads a topology for a command that contacts no host.
    pub fn load_without_secrets(arguments: &SiteArguments, output: &Output) -> Result<Site, Box<Refused>> {
        let Loaded { topology, sources, problems } = lint::load(&arguments.path, &DiskReader);
        show(&problems, &sources, output);
        let path = arguments.path.clone();
        let Some(topology) = topology else {
            return Err(Box::new(Refused { path, sources, problems }));
        };
        if let Some(problem) = no_host(&topology, &path) {
            return Err(Refused::because(problem, path, sources, problems, output));
        }
        let only: BTreeSet<HostName> = arguments.hosts.iter().map(|name| HostName::new(name)).collect();
        if let Some(name) = only.iter().find(|name| !topology.hosts.contains_key(*name)) {
            let known: Vec<&str> = topology.hosts.keys().map(HostName::as_str).collect();
            let problem = Problem::error("unknown-host", format!("The topology has no host {:?}", name.as_str()))
                .help(format!("The topology has {}", known.join(", ")));
            return Err(Refused::because(problem, path, sources, problems, output));
        }
        Ok(Site {
            path: arguments.path.clone(),
            topology,
            sources,
            problems,
            secrets: SecretValues::default(),
            only: (!only.is_empty()).then_some(only),
        })
    }

    /// Reads the hosts and plans. After an error, which is printed, there is no plan to go by; what was read is returned.
    pub fn survey(&self, survey: &mut Survey<'_>, output: &Output) -> Result<Surveyed, Option<Box<Surveyed>>> {
        match survey.plan() {
            Ok(surveyed) => {
                show(&surveyed.problems, &self.sources, output);
                if !surveyed.problems.has_errors() {
                    return Ok(surveyed);
                }
                // A problem may only be there because a host did not answer.
                for (name, status) in &surveyed.plan.hosts {
                    if let HostStatus::Unread { error, help } = status {
                        output.error(&format!("{name} could not be read: {error}"), help.as_deref());
                    }
                }
                Err(Some(Box::new(surveyed)))
            }
            Err(cycle) => {
                output.error(&cycle.to_string(), Some("This is a fault of lvsctl: please report it with the topology"));
                Err(None)
            }
        }
    }

    /// Returns what the topology was read from.
    pub fn source(&self) -> Source {
        source(&self.path, &self.sources)
    }
}

fn source(path: &str, sources: &SourceMap) -> Source {
    let files = sources.files().iter().map(|file| SourceDocument {
        path: file.name.clone(),
        sha256: Sha256::digest(file.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    Source { revision: revision(path), files: files.collect() }
}

/// Returns what is wrong with a topology without a host: more likely a file was cut off than a site given up.
pub fn no_host(topology: &Topology, path: &str) -> Option<Problem> {
    let problem = || {
        Problem::error("no-host", format!("{path} declares no host"))
            .help("Declare a director. To give a site up, use lvsctl destroy with its topology")
    };
    topology.hosts.is_empty().then(problem)
}

/// Prints problems to standard error.
pub fn show(found: &Problems, sources: &SourceMap, output: &Output) {
    if !found.is_empty() {
        output.message(Level::Error, problems::human(found, sources, output.messages.colour).trim_end());
    }
}
