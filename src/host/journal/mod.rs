//! What an apply has done to a host and how it is taken back, on the host's own disk, until the apply is confirmed.
//!
//! An apply is one transaction over many hosts with one id; each host has its own journal of it, and nothing is performed
//! that its journal does not know how to take back. These are the states of a transaction on one host:
//!
//! ```text
//! (none) ──begin──▶ open ──watchdog──▶ armed ──effects──▶ performing ──read back──▶ verified
//!                    │                   │                     │                       │
//!                    │ no window         └────────┬────────────┴───────────┬───────────┘
//!                    ▼                            │ revert, or             │ confirm
//!                performing                       │ the window is over     ▼
//!                    │                            ▼                    confirmed ──close──▶ (none)
//!                    └──close, revert──▶      reverting ──▶ reverted       │
//!                                                 │                        └──revert, if another host was not confirmed
//!                                                 └──▶ unknown: what could not be taken back is listed
//! ```
//!
//! | state | on disk | who moves it on |
//! |---|---|---|
//! | open | a journal with its head, in place under its final name | the performer (the process that has the host's lock): arms the watchdog, or performs without |
//! | armed | the same; the watchdog holds the other end of a pipe | the performer, with the first run of effects |
//! | performing | before each run its undo, flushed to the disk; after it what became of it | the performer; the watchdog if nothing is heard for the window |
//! | verified | the same: only the client knows | the client, over a new connection |
//! | confirmed | a record that says so | the client, when all hosts are; `close` removes the journal with its texts |
//! | reverting | a record that says so, and what is back already if something failed and is tried again | whoever holds the journal's lock: watchdog, client, next apply, boot |
//! | reverted, unknown | no journal; `last.json` says what was taken back and what was not | the next apply, which tells it and removes it |
//!
//! **Two locks.** The host's lock (`/run/lvsctl.lock`) keeps two applies apart and is the performer's. The journal's own lock
//! is held by whoever appends to it, for one run of effects or for the whole of a revert, so that a performer that wakes up
//! late can do no more: it sees that the journal is no longer the one that it wrote. Both go with their process. A
//! performer that hangs in the middle of a run is ended by the revert, with the programs that it runs.
//!
//! **The window** begins with the last sign of life of the client: each call is one, and `Host::beat` is one that does
//! nothing else, so that an apply may drain for longer than the window while its client lives and is heard. A client that
//! is lost, stopped or cut off is reverted a window later. Time is the kernel's monotonic clock: setting a clock changes nothing.
//!
//! **Who is dead?** The host's lock is free, and a journal is there: its performer died. A journal with a window is then
//! taken back by its watchdog, or at once by the next apply; one without is closed by the next apply, which goes on from what it finds,
//! or by `lvsctl recover`.
//! A journal of another boot (`/proc/sys/kernel/random/boot_id`) is taken back as far as effects persist, which are files; the kernel
//! has forgotten the rest.
//!
//! **What is not known** to have been done is taken back as if it had been: every undo may be made twice. What the client
//! takes back itself is noted, and left alone later.
//!
//! ```text
//! record.rs     one line of a journal with its checksum: what is torn is not there
//! file.rs       the journal on the disk
//! performer.rs  the process that performs
//! place.rs      the run of the kernel and the network namespace in which that is
//! revert.rs     takes back what a journal says
//! undone.rs     what is back already
//! rules.rs      whether rules are as they were
//! unit.rs       has it taken back when the host comes up again
//! ```
//!
//! To journal something new, add a variant to [`record::Record`]; a reader of an older build refuses what it does not know,
//! and says which one has written it.

mod file;
mod performer;
mod place;
mod record;
mod revert;
mod rules;
#[cfg(test)]
mod tests;
mod undone;
mod unit;

pub(super) use file::{Journal, forget_last, is_watched, last, tidy, watch};
pub(super) use performer::{is_running, marker};
pub(super) use record::{Head, Intent, Record, mark};
pub(super) use revert::{Attempts, close, revert};
pub(super) use rules::Rules;
pub(super) use undone::Undone;
pub(super) use unit::{PROGRAM, install as install_unit};

use super::Transaction;
use super::process::Process;

impl Head {
    /// Makes the head of a journal that this process is about to keep.
    pub(super) fn new(transaction: &Transaction, is_agent: bool) -> Self {
        Head {
            version: record::VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            transaction: transaction.clone(),
            began: super::lock::now(),
            boot: place::boot(),
            namespace: place::namespace(),
            performer: performer::own(),
            session: Process::session(std::process::id()).unwrap_or_default(),
            is_agent,
        }
    }
}
