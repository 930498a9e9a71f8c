//! One line of a journal: a checksum and what it is of, so that a line that was torn by a crash is not there.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::transaction::Transaction;
use crate::host::unmasked::UnmaskedUndo;
use crate::topology::Family;

/// The version of the format.
pub(in crate::host) const VERSION: u32 = 1;

/// How many digits of the checksum stand before a line.
const DIGITS: usize = 16;

/// What a journal says. It has no `Debug`, because undo texts may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::host) enum Record {
    /// What it is about; always the first.
    Head(Head),
    /// That a run of effects is about to be performed, and what takes each of them back.
    Intent(Vec<Intent>),
    /// Which effects of the last intent were performed, or may have been.
    Done(Vec<bool>),
    /// That the apply was confirmed.
    Confirmed,
    /// That the host goes back.
    Reverting,
}

/// What takes an effect back.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::host) struct Intent {
    /// The effects.
    pub(in crate::host) undo: UnmaskedUndo,
    /// The digest of the rules of a family before the effect, if it changes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::host) rules: Option<(Family, String)>,
}

/// What a journal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::host) struct Head {
    /// [`VERSION`].
    pub(in crate::host) version: u32,
    /// What the client said.
    pub(in crate::host) transaction: Transaction,
    /// When that was, in seconds since 1970.
    pub(in crate::host) began: u64,
    /// During which run of the kernel.
    pub(in crate::host) boot: String,
    /// The process that performs, and when it started in clock ticks.
    pub(in crate::host) performer: (u32, u64),
    /// Whether that works for a client elsewhere, whose connection may hang.
    pub(in crate::host) is_agent: bool,
}

/// Returns a record as a line.
pub(super) fn line(record: &Record) -> String {
    // What cannot be written as JSON would be a fault of this build, and is found by its tests.
    let text = serde_json::to_string(record).unwrap_or_default();
    format!("{} {text}\n", checksum(&text))
}

/// What was read from a journal.
#[derive(Default)]
pub(super) struct Lines {
    /// Its records in order.
    pub(super) records: Vec<Record>,
    /// Whether something in the middle of it could not be read: more than a torn end.
    pub(super) is_damaged: bool,
}

/// Reads the lines of a journal. The last one may be torn and is left out then.
pub(super) fn read(bytes: &[u8]) -> Lines {
    let mut read = Lines::default();
    let mut is_torn = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match parse(line) {
            Some(record) => {
                read.is_damaged |= is_torn;
                read.records.push(record);
            }
            None => is_torn = true,
        }
    }
    read
}

fn parse(line: &[u8]) -> Option<Record> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, text) = line.split_once(' ')?;
    if checksum(text) == sum { serde_json::from_str(text).ok() } else { None }
}

fn checksum(text: &str) -> String {
    let mut digits: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(DIGITS);
    digits
}
