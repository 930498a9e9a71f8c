//! What host and guest say to each other: a request into the guest, lines of JSON out of it.
//!
//! Both are files in the work folder, which the guest mounts by hostfs. The guest's page cache stands between the two, so
//! each line is synchronised when it is written; the host looks for new lines as long as the guest runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The file that carries the request.
const REQUEST: &str = "request.json";

/// The file that carries the lines.
const EVENTS: &str = "events.jsonl";

/// A line from the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message<Event> {
    /// The guest's first process is up.
    Booted {
        /// Time since the guest's kernel started, in milliseconds.
        milliseconds: u64,
    },
    /// Something that the guest's work has to tell.
    Event(Event),
    /// The guest's work is done.
    Finished {
        /// Why it failed, if it did.
        error: Option<String>,
    },
}

/// The guest's end.
#[derive(Clone, Debug)]
pub struct GuestEnd {
    folder: PathBuf,
}

impl GuestEnd {
    /// Opens the guest's end in the mounted work folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        GuestEnd { folder: folder.into() }
    }

    /// Reads the request.
    pub fn request<Request: DeserializeOwned>(&self) -> Result<Request, String> {
        let path = self.folder.join(REQUEST);
        let text = fs::read(&path).map_err(|error| format!("The request cannot be read: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| format!("The request cannot be understood: {error}"))
    }

    /// Writes one line; it has reached the host when this returns.
    pub fn send<Event: Serialize>(&self, message: &Message<Event>) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).open(self.folder.join(EVENTS))?;
        file.write_all(&line)?;
        file.sync_data()
    }
}

/// The host's end.
#[derive(Debug)]
pub struct HostEnd {
    events: File,
    pending: Vec<u8>,
}

impl HostEnd {
    /// Lays the request into the work folder and opens the file for the lines.
    pub fn create<Request: Serialize>(folder: &Path, request: &Request) -> io::Result<Self> {
        fs::write(folder.join(REQUEST), serde_json::to_vec(request)?)?;
        let events = OpenOptions::new().read(true).write(true).create_new(true).open(folder.join(EVENTS))?;
        Ok(HostEnd { events, pending: Vec::new() })
    }

    /// Returns the lines that were completed since the last call.
    pub fn receive<Event: DeserializeOwned>(&mut self) -> Result<Vec<Message<Event>>, String> {
        self.events.read_to_end(&mut self.pending).map_err(|error| format!("The guest cannot be heard: {error}"))?;
        let complete = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines: Vec<u8> = self.pending.drain(..complete).collect();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                serde_json::from_slice(line).map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(line)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_in_and_lines_come_out_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = HostEnd::create(folder.path(), &vec!["a", "b"]).unwrap();
        let guest = GuestEnd::new(folder.path());
        assert_eq!(guest.request::<Vec<String>>().unwrap(), ["a", "b"]);
        guest.send(&Message::Event("one".to_owned())).unwrap();
        guest.send(&Message::<String>::Finished { error: None }).unwrap();
        let received = host.receive::<String>().unwrap();
        assert_eq!(received, [Message::Event("one".to_owned()), Message::Finished { error: None }]);
        assert_eq!(host.receive::<String>().unwrap(), []);
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = HostEnd::create(folder.path(), &()).unwrap();
        let mut file = OpenOptions::new().append(true).open(folder.path().join(EVENTS)).unwrap();
        file.write_all(br#"{"event":"#).unwrap();
        assert_eq!(host.receive::<u8>().unwrap(), []);
        file.write_all(b"7}\n").unwrap();
        assert_eq!(host.receive::<u8>().unwrap(), [Message::Event(7)]);
    }

    #[test]
    fn a_line_of_another_kind_is_an_error_that_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = HostEnd::create(folder.path(), &()).unwrap();
        fs::write(folder.path().join(EVENTS), "Kernel panic\n").unwrap();
        assert!(host.receive::<u8>().unwrap_err().contains("Kernel panic"));
    }
}
