//! What the host asks the guest to rehearse: the texts of the topology's files. The secrets that they refer to stay behind.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::ReadSource;
use crate::topology::{self, Loaded, Secret, Topology};

/// A rehearsal as the guest gets it; it is also where the guest reads the topology from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The topology's path, as the operator wrote it.
    pub path: String,
    /// How many requests each listen of each service gets.
    pub requests: u32,
    files: BTreeMap<String, String>,
    folders: BTreeMap<String, Vec<String>>,
}

impl Request {
    /// Loads a topology and remembers every file that was read on the way.
    pub fn load(path: &str, requests: u32, reader: &dyn ReadSource) -> (Loaded, Request) {
        let recorder = Recorder { reader, request: RefCell::default() };
        let loaded = topology::load(path, &recorder);
        (loaded, Request { path: path.to_owned(), requests, ..recorder.request.into_inner() })
    }

    /// Loads the topology again, from what was remembered, with a stand-in for a secret that is written in it.
    pub fn topology(&self) -> Result<Topology, String> {
        let loaded = topology::load(&self.path, self);
        let mut topology = loaded.topology.ok_or("The topology has errors; lvsctl check shows them")?;
        for secret in topology.failovers.values_mut().filter_map(|failover| failover.auth_pass.as_mut()) {
            if let Secret::Literal(text) = &mut secret.value {
                super::live::STAND_IN.clone_into(text);
            }
        }
        Ok(topology)
    }
}

impl ReadSource for Request {
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "it was not there when the rehearsal began".to_owned())
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        self.folders.get(folder).cloned()
    }
}

/// Passes on what a reader gives and keeps it.
struct Recorder<'a> {
    reader: &'a dyn ReadSource,
    request: RefCell<Request>,
}

impl ReadSource for Recorder<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let text = self.reader.read(path)?;
        self.request.borrow_mut().files.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        let names = self.reader.list(folder)?;
        // A folder may hold much that is no topology and is never read.
        let names: Vec<String> = names.into_iter().filter(|name| name.ends_with(".kdl")).collect();
        self.request.borrow_mut().folders.insert(folder.to_owned(), names.clone());
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Site;

    impl ReadSource for Site {
        fn read(&self, path: &str) -> Result<String, String> {
            match path {
                "site/a.kdl" => Ok("include \"parts/hosts.kdl\"\n".to_owned()),
                "site/parts/hosts.kdl" => Ok(HOSTS.to_owned()),
                _ => Err("No such file or directory".to_owned()),
            }
        }

        fn list(&self, folder: &str) -> Option<Vec<String>> {
            (folder == "site").then(|| vec!["README.md".to_owned(), "a.kdl".to_owned()])
        }
    }

    const HOSTS: &str = r#"
        director "d1" { address "10.0.0.1/24"; interface "eth0" mac="52:54:00:00:00:01"; }
        director "d2" { address "10.0.0.2/24"; interface "eth0" mac="52:54:00:00:00:02"; }
        failover "f" { director "d1" priority=100; director "d2" priority=50; virtual-router-id 5; auth-pass "hidden"; }
        vip "10.0.0.9" failover="f" forwarding="dr"
    "#;

    #[test]
    fn the_guest_reads_what_the_host_read() {
        let (loaded, request) = Request::load("site", 100, &Site);
        let text = serde_json::to_string(&request).unwrap();
        let request: Request = serde_json::from_str(&text).unwrap();
        let mut expected = loaded.topology.unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let secret = expected.failovers.get_mut("f").unwrap().auth_pass.as_mut().unwrap();
        assert_eq!(secret.value, Secret::Literal("hidden".to_owned()));
        secret.value = Secret::Literal("rehearse".to_owned());
        assert_eq!(request.topology().unwrap(), expected);
    }
}
