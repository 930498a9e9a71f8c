//! The folder into which `lvsctl compile` writes: what an earlier run left there and is no longer written goes.
//!
//! A list in the folder names the files that lvsctl wrote there. Nothing else is ever removed, and a folder with files but
//! without a list is somebody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::write;

/// The list's name.
const LIST: &str = "lvsctl-files.json";

/// The files that lvsctl wrote, by host.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Written {
    hosts: BTreeMap<String, BTreeSet<String>>,
}

impl Written {
    /// Reads the list of a folder; a folder that is not there or empty has an empty one.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let path = folder.join(LIST);
        let unreadable = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| unreadable(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_dir(folder).map(Iterator::count) {
                Ok(1..) => Err(format!(
                    "{} holds files and no list of lvsctl's own: name a new or an empty folder",
                    folder.display()
                )),
                Ok(_) => Ok(Written::default()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Written::default()),
                Err(error) => Err(format!("{} cannot be read: {error}", folder.display())),
            },
            Err(error) => Err(unreadable(&error)),
        }
    }

    /// Notes what a host's files are now, and returns those of its earlier ones that are no longer among them.
    pub fn replace(&mut self, host: &str, files: BTreeSet<String>) -> Vec<PathBuf> {
        let earlier = match files.is_empty() {
            true => self.hosts.remove(host).unwrap_or_default(),
            false => self.hosts.insert(host.to_owned(), files.clone()).unwrap_or_default(),
        };
        let stale = earlier.into_iter().filter(|file| !files.contains(file));
        // A list that somebody altered must not lead out of the folder.
        stale.filter(|file| is_name(host) && is_name(file)).map(|file| Path::new(host).join(file)).collect()
    }

    /// Returns the hosts of which files were written.
    pub fn hosts(&self) -> Vec<String> {
        self.hosts.keys().cloned().collect()
    }

    /// Writes the list.
    pub fn save(&self, folder: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        write::private(&folder.join(LIST), &(text + "\n"))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Removes a file of an earlier run, and the host's folder with the last one; what is gone already is fine.
pub fn remove(folder: &Path, file: &Path) -> Result<(), String> {
    let path = folder.join(file);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", path.display()))
        }
        _ => {
            // A folder that holds something of somebody else's stays.
            let _ = path.parent().map(fs::remove_dir);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_no_longer_written_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let mut written = Written::load(&out).unwrap();
        assert!(written.replace("lb1", set(&["a", "b"])).is_empty());
        assert!(written.replace("web1", set(&["a"])).is_empty());
        written.save(&out).unwrap();
        for file in ["lb1/a", "lb1/b", "lb1/by-hand", "web1/a"] {
            write::private(&out.join(file), "text").unwrap();
        }
        let mut written = Written::load(&out).unwrap();
        let stale: Vec<PathBuf> =
            [written.replace("lb1", set(&["a"])), written.replace("web1", set(&[]))].into_iter().flatten().collect();
        assert_eq!(stale, [Path::new("lb1/b"), Path::new("web1/a")]);
        stale.iter().for_each(|file| remove(&out, file).unwrap());
        assert_eq!(written.hosts(), ["lb1"]);
        assert!(out.join("lb1/by-hand").exists() && !out.join("lb1/b").exists() && !out.join("web1").exists());
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused_and_a_crooked_list_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
        assert!(Written::load(folder.path()).unwrap_err().contains("empty folder"));
        let mut crooked: Written =
            serde_json::from_str(r#"{"hosts": {"..": ["passwd"], "lb1": ["../../passwd", "ok"]}}"#).unwrap();
        assert!(crooked.replace("..", set(&[])).is_empty());
        assert_eq!(crooked.replace("lb1", set(&[])), [Path::new("lb1/ok")]);
    }
}
