//! What lvsctl runs on a host by itself: the watchdog of an apply, and what takes back an apply that a reboot cut short.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::operator::{duration, operator};
use super::{ERROR, Level, Output};
use crate::host::{self, Recovered, Watched};

/// What `lvsctl watchdog` takes.
#[derive(Debug, Args)]
pub struct WatchdogArguments {
    /// The folder that stands for /
    #[arg(long)]
    root: PathBuf,
    /// The host is this machine, and not a namespace of it
    #[arg(long)]
    machine: bool,
    /// The apply
    #[arg(long)]
    id: String,
    /// How long after the last sign of life it is taken back
    #[arg(long, value_parser = duration)]
    window: Duration,
}

/// What `lvsctl recover` takes.
#[derive(Debug, Args)]
#[command(after_help = "What an apply without a window had done stays. For a network namespace, run it \
    inside: what is in the kernel is taken back where it was done, and nowhere else.\n\nExit status: 0 nothing was to be done, or it was done; 1 error; 7 not everything could be taken \
    back.\n\nExample:\n  lvsctl recover")]
pub struct RecoverArguments {
    /// The folder that stands for /
    #[arg(long, default_value = "/")]
    root: PathBuf,
}

/// Exit code where not everything could be taken back.
const UNKNOWN: u8 = 7;

/// Watches.
pub fn watch(arguments: &WatchdogArguments, output: &Output) -> u8 {
    let WatchdogArguments { root, machine, id, window } = arguments;
    let watched = Watched { root: root.clone(), is_machine: *machine, id: id.clone(), window: *window };
    match host::watch(&watched) {
        Ok(()) => 0,
        Err(error) => {
            output.error(&error.to_string(), error.help().as_deref());
            ERROR
        }
    }
}

/// Takes back what an apply that died has left on this machine.
pub fn run(arguments: &RecoverArguments, output: &Output) -> u8 {
    match host::recover(&arguments.root, &operator("lvsctl recover")) {
        Ok(Recovered::Nothing) => {
            output.message(Level::Info, "No apply is open on this host");
            0
        }
        Ok(Recovered::Confirmed(pending)) => {
            output.message(Level::Info, &pending.tell());
            0
        }
        Ok(Recovered::Left(pending)) => {
            output
                .message(Level::Info, &format!("{}; it had no window, and so what it had done stays", pending.tell()));
            0
        }
        Ok(Recovered::TakenBack(taken_back)) => {
            output.message(Level::Info, &taken_back.tell());
            if taken_back.errors.is_empty() { 0 } else { UNKNOWN }
        }
        Err(error) => {
            output.error(&error.to_string(), error.help().as_deref());
            ERROR
        }
    }
}
