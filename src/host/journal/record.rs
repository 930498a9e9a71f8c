//! One line of a journal: a checksum and what it is of, so that a line that was torn by a crash is not there.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::rules::Rules;
use crate::effect::Effect;
use crate::host::transaction::Transaction;
use crate::host::unmasked::{Unmasked, UnmaskedUndo};

/// The version of the format.
pub(in crate::host) const VERSION: u32 = 2;

/// How many digits of the checksum stand before a line.
const DIGITS: usize = 16;

/// The longest line that says how far a transaction is, in bytes; one with the texts of an undo is longer, or says nothing.
const SHORT: usize = 64;

/// What a journal says. It has no `Debug`, because undo texts may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::host) enum Record {
    /// What it is about; always the first.
    Head(Box<Head>),
    /// That a run of effects is about to be performed, and what takes each of them back.
    Intent(Vec<Intent>),
    /// Which effects of the last intent were performed, or may have been.
    Done(Vec<bool>),
    /// What was taken back already, each by its [`mark`].
    Undone(Vec<String>),
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
    /// The rules before the effect, if it changes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::host) rules: Option<Rules>,
}

/// What a journal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::host) struct Head {
    /// [`VERSION`].
    pub(in crate::host) version: u32,
    /// The version of lvsctl that writes it.
    #[serde(default)]
    pub(in crate::host) build: String,
    /// What the client said.
    pub(in crate::host) transaction: Transaction,
    /// When that was, in seconds since 1970.
    pub(in crate::host) began: u64,
    /// During which run of the kernel.
    pub(in crate::host) boot: String,
    /// In which network namespace: the device and the inode of its file, which are numbers of this run of the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::host) namespace: Option<(u64, u64)>,
    /// The process that performs, and when it started in clock ticks.
    pub(in crate::host) performer: (u32, u64),
    /// The session of that process, in which its programs are.
    #[serde(default)]
    pub(in crate::host) session: u32,
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
    /// Whether something was written rightly that this build does not know.
    pub(super) is_foreign: bool,
}

enum Line {
    Known(Box<Record>),
    /// What is whole and not understood was not torn: another build has written it.
    Foreign,
    Torn,
}

/// Reads the lines of a journal. The last one may be torn and is left out then.
pub(super) fn read(bytes: &[u8]) -> Lines {
    let mut read = Lines::default();
    let mut is_torn = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match parse(line) {
            Line::Known(record) => {
                read.is_damaged |= is_torn;
                read.records.push(*record);
            }
            Line::Foreign => read.is_foreign = true,
            Line::Torn => is_torn = true,
        }
    }
    read
}

/// Leaves out the lines that only taking back asks for: what remains has the head, and says how far the transaction is.
pub(super) fn outline(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    lines.filter(|(place, line)| *place == 0 || line.len() <= SHORT).flat_map(|(_, line)| line).copied().collect()
}

/// Returns which version of lvsctl has written a journal, as far as its first line tells.
pub(super) fn build_of(bytes: &[u8]) -> String {
    let first = bytes.split(|byte| *byte == b'\n').next().and_then(whole);
    let head = first.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let build = head.and_then(|head| Some(head.get("head")?.get("build")?.as_str()?.to_owned()));
    build.filter(|build| !build.is_empty()).unwrap_or_else(|| "of another version".to_owned())
}

/// Returns what tells an effect that takes something back apart from others.
pub(in crate::host) fn mark(effect: &Effect) -> String {
    // What cannot be written as JSON would not have come into a journal either.
    checksum(&serde_json::to_string(&Unmasked::from(effect)).unwrap_or_default())
}

fn parse(line: &[u8]) -> Line {
    let Some(text) = line.strip_suffix(b"\n").and_then(whole) else { return Line::Torn };
    serde_json::from_str(text).map_or(Line::Foreign, |record| Line::Known(Box::new(record)))
}

/// Returns the text of a line that is as it was written.
fn whole(line: &[u8]) -> Option<&str> {
    let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (checksum(text) == sum).then_some(text)
}

fn checksum(text: &str) -> String {
    let mut digits: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(DIGITS);
    digits
}
