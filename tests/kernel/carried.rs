//! Files that a test hands over to itself in a kernel that is booted again: what a disk keeps through a reboot.
//!
//! The first half [`keep`]s folders of its hosts, the runner carries them out of the guest and into the next one, and the
//! second half [`put_back`]s them. What is below `run` is not kept, as on a real machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::laboratory::walk;

/// Where the files stand in both guests.
const FOLDER: &str = "/run/carried";

/// The folders of a host that are on its disk.
const KEPT: [&str; 2] = ["etc", "var/lib"];

/// A file, a link or a folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Carried {
    path: PathBuf,
    mode: u32,
    content: Content,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Content {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
}

/// Notes what a host's disk keeps, under the host's name.
pub fn keep(host: &str, root: &Path) {
    for folder in KEPT {
        let to = Path::new(FOLDER).join(host);
        read(&root.join(folder)).into_iter().for_each(|one| write(&to.join(folder), &one));
    }
}

/// Puts what was kept of a host back below its folder.
pub fn put_back(host: &str, root: &Path) {
    let kept = read(&Path::new(FOLDER).join(host));
    assert!(!kept.is_empty(), "nothing was kept of {host}");
    kept.iter().for_each(|one| write(root, one));
}

/// Returns everything that was kept, and forgets it.
pub fn taken() -> Vec<Carried> {
    let all = read(Path::new(FOLDER));
    let _ = fs::remove_dir_all(FOLDER);
    all
}

/// Makes what was kept in another guest stand here.
pub fn given(all: &[Carried]) {
    all.iter().for_each(|one| write(Path::new(FOLDER), one));
}

fn read(folder: &Path) -> Vec<Carried> {
    let read = |path: PathBuf| {
        let data = fs::symlink_metadata(&path).expect("a file that is there");
        let content = match (data.is_symlink(), data.is_dir()) {
            (true, _) => Content::Link(fs::read_link(&path).expect("a link")),
            (_, true) => Content::Folder,
            _ => Content::File(fs::read(&path).expect("a file")),
        };
        let below = path.strip_prefix(folder).expect("a path below it").to_owned();
        Carried { path: below, mode: data.permissions().mode(), content }
    };
    walk(folder).into_iter().map(read).collect()
}

fn write(folder: &Path, one: &Carried) {
    let path = folder.join(&one.path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    match &one.content {
        Content::Folder => fs::create_dir_all(&path).expect("the folder"),
        Content::File(bytes) => fs::write(&path, bytes).expect("the file"),
        Content::Link(target) => return symlink(target, &path).expect("the link"),
    }
    fs::set_permissions(&path, Permissions::from_mode(one.mode)).expect("its mode");
}
