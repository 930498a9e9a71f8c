//! What the program does as the worker of a rehearsal's guest.

use serde::{Deserialize, Serialize};

use super::init::Guest;
use super::live::LiveConverger;
use super::phases::Rehearsal;
use super::report::Report;
use super::request::Request;

/// What the guest has to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A line about what happens.
    Progress(String),
    /// The result.
    Report(Box<Report>),
}

/// Rehearses what the host asks for; the entry that `main` hands to [`super::init::run_if_init`].
pub fn rehearse(guest: &Guest) -> Result<(), String> {
    let request: Request = guest.request()?;
    let topology = request.topology()?;
    let rehearsal = Rehearsal { topology: &topology, path: &request.path, requests: request.requests };
    let report = rehearsal.run(&mut LiveConverger, &mut |line| {
        // Whether the host listens shows at the latest when it is told the result.
        let _ = guest.emit(Event::Progress(line));
    })?;
    guest.emit(Event::Report(Box::new(report)))
}
