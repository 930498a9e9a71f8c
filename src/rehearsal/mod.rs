//! A topology in a disposable kernel: planned, applied, load-balanced with real packets, failed over.
//!
//! [`rehearse`] boots a guest ([`vm`]) with this program as its first process ([`init`]) and its worker ([`guest`]). There,
//! [`phases`] goes through the rehearsal: [`layout`] places every host, [`network`] and [`servers`] make it so, a
//! [`converge`]r plans and applies, [`traffic`] asks, [`failover`] kills a master, and [`judge`] says what is wrong. The
//! kernel tests use the same guest with work of their own.

#![allow(clippy::disallowed_methods)]

mod addresses;
mod archive;
mod base;
pub mod channel;
pub mod client;
pub mod converge;
pub mod distribution;
mod emulated;
mod extended_state;
mod failover;
pub mod guest;
pub mod init;
mod judge;
mod keeper;
pub mod kernel;
pub mod layout;
pub mod live;
pub mod names;
pub mod namespace;
pub mod network;
pub mod phases;
pub mod prerequisites;
mod processor;
mod programs;
pub mod report;
pub mod request;
mod responders;
pub mod servers;
mod settle;
pub mod target;
pub mod traffic;
mod user_mode;
pub mod vm;
mod watch;

use std::time::Duration;

use thiserror::Error;

use guest::Event;
use kernel::Kernel;
use prerequisites::MissingPackages;
use report::Report;
use request::Request;
use vm::{Machine, MachineError};

/// The guest's memory without any host, in mebibytes.
const MEMORY: u32 = 256;

/// What each host adds: a web server or a keepalived, and its files.
const MEMORY_PER_HOST: u32 = 24;

/// A rehearsal without a report.
#[derive(Debug, Error)]
pub enum RehearsalError {
    /// A program is not installed.
    #[error(transparent)]
    Missing(#[from] MissingPackages),
    /// The guest did not do its work.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The guest said that all is well and sent nothing.
    #[error("The guest sent no report")]
    NoReport,
}

impl RehearsalError {
    /// Returns what to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            RehearsalError::Missing(missing) => Some(missing.help()),
            RehearsalError::Machine(error) => error.help(),
            RehearsalError::NoReport => None,
        }
    }
}

/// Rehearses a topology of so many hosts in a guest of its own; `progress` hears what happens in lines of text.
pub fn rehearse(
    request: &Request,
    hosts: usize,
    timeout: Duration,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, RehearsalError> {
    prerequisites::check(&[prerequisites::USER_MODE, prerequisites::GUEST, prerequisites::REHEARSAL])?;
    let memory = u32::try_from(hosts).ok().and_then(|hosts| hosts.checked_mul(MEMORY_PER_HOST)).unwrap_or(0) + MEMORY;
    let mut report = None;
    let outcome = Machine { kernel: Kernel::UserMode, memory, timeout }.run(request, &mut |event| match event {
        Event::Progress(line) => progress(&line),
        Event::Report(received) => report = Some(*received),
    })?;
    let mut report = report.ok_or(RehearsalError::NoReport)?;
    report.durations.boot_ms = outcome.boot.as_millis() as u64;
    report.durations.total_ms = outcome.total.as_millis() as u64;
    Ok(report)
}
