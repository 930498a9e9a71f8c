//! Tells on standard error how far the hosts are: one line that changes on a terminal, plain lines elsewhere.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::operator::duration;
use super::{Level, Output};
use crate::host::{PARALLELISM, Patience, ssh};
use crate::survey::{Reach, Stage};
use crate::topology::{Connection, HostName, Topology};

/// How hosts are reached.
#[derive(Clone, Debug, Args)]
pub struct ReachArguments {
    /// How many hosts to contact at once
    #[arg(long, default_value_t = PARALLELISM, value_name = "N")]
    parallelism: NonZeroUsize,
    /// How long a host may keep silent while it is connected to, lets somebody in, or works
    #[arg(long, value_parser = duration, default_value = "20s", value_name = "TIME")]
    timeout: Duration,
}

/// How many hosts are named that are still waited for.
const NAMED: usize = 3;

/// What is known of the hosts that are contacted.
#[derive(Default)]
struct Count {
    under_way: BTreeSet<HostName>,
    finished: usize,
    failed: usize,
}

/// How far the hosts of a site are.
pub struct Progress<'a> {
    output: &'a Output,
    /// Where lines are wanted: hosts of this machine answer at once, and nobody waits for them.
    is_remote: bool,
    hosts: usize,
    bar: Option<ProgressBar>,
    count: Mutex<Count>,
}

impl<'a> Progress<'a> {
    /// Begins to tell of the hosts of a topology.
    pub fn new(topology: &Topology, output: &'a Output) -> Self {
        let over_ssh = |connection: &Connection| matches!(connection, Connection::Ssh { .. });
        let is_remote = topology.managed_hosts().any(|host| over_ssh(&host.connection.value));
        let hosts = topology.managed_hosts().count();
        let is_shown = is_remote && output.wants(Level::Info) && std::io::stderr().is_terminal();
        let bar = is_shown.then(|| {
            let bar = ProgressBar::with_draw_target(Some(hosts as u64), ProgressDrawTarget::stderr());
            // The template is a constant; were it wrong, the bar would look as it does by default.
            ProgressStyle::with_template("{prefix} {pos}/{len} {wide_msg}")
                .map_or(bar.clone(), |style| bar.with_style(style))
        });
        Progress { output, is_remote, hosts, bar, count: Mutex::default() }
    }

    /// Returns how to reach the hosts, with this as what hears of it.
    pub fn reach<'b>(&self, arguments: &ReachArguments, hears: &'b (dyn Fn(&HostName, Stage) + Sync)) -> Reach<'b> {
        let within = arguments.timeout;
        Reach {
            patience: Patience { connect: within, handshake: within, login: within, answer: within },
            parallelism: arguments.parallelism,
            progress: hears,
        }
    }

    /// Hears how far a host is.
    pub fn hear(&self, name: &HostName, stage: Stage) {
        if !self.is_remote {
            return;
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let doing = match stage {
            Stage::Connecting | Stage::Connected => "Connecting",
            Stage::Reading | Stage::Read | Stage::Failed => "Reading",
        };
        match stage {
            Stage::Connecting | Stage::Reading => {
                count.under_way.insert(name.clone());
            }
            Stage::Connected | Stage::Read | Stage::Failed => {
                count.under_way.remove(name);
                count.finished += 1;
                count.failed += usize::from(stage == Stage::Failed);
            }
        }
        match &self.bar {
            Some(bar) => self.draw(bar, &count, doing),
            None => self.say(name, stage, &count),
        }
        if count.under_way.is_empty() {
            self.clear();
        }
        if count.finished == self.hosts {
            *count = Count::default();
        }
    }

    /// Takes the changing line away, so that something else can be written.
    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            bar.reset();
        }
    }

    fn draw(&self, bar: &ProgressBar, count: &Count, doing: &'static str) {
        // The line is somebody else's while a passphrase is asked for.
        if ssh::is_asking() {
            return;
        }
        bar.set_prefix(doing);
        bar.set_position(count.finished as u64);
        let names: Vec<&str> = count.under_way.iter().take(NAMED).map(HostName::as_str).collect();
        let more = if count.under_way.len() > NAMED { ", …" } else { "" };
        bar.set_message(format!("{}{more}", names.join(", ")));
    }

    fn say(&self, name: &HostName, stage: Stage, count: &Count) {
        let what = match stage {
            Stage::Connecting | Stage::Reading => return,
            Stage::Connected => "connected",
            Stage::Read => "read",
            Stage::Failed => "failed",
        };
        self.output.message(Level::Info, &format!("{name}: {what} ({}/{})", count.finished, self.hosts));
    }
}
