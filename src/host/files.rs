//! Files below the host's root: read, replaced in one step, removed.
//!
//! A file is replaced by a rename, so that a reader, or a machine that loses power, finds the old or the new one and
//! never a half. The temporary file has the final mode from its first moment, because it may hold a secret.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::HostError;
use crate::effect::FileState;

/// The folder that only root may look into: the manifest tells what is on the host.
const PRIVATE: &str = "/var/lib/lvsctl";

/// The folder that goes with the last file in it.
const OWN: &str = "/etc/lvsctl/";

/// How many names are tried for a temporary file before something must be wrong.
const NAMES: u32 = 100;

/// How many files are kept beside one that lvsctl writes.
const MOST_KEPT: usize = 1000;

/// The files of one host.
#[derive(Clone, Debug)]
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    /// Names the folder that stands for `/`.
    pub(super) fn new(root: &Path) -> Self {
        Files { root: root.to_owned() }
    }

    /// Returns the folder that stands for `/`.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where an absolute path of the host is on this machine.
    pub(super) fn locate(&self, path: &str) -> Result<PathBuf, HostError> {
        let below = path.strip_prefix('/').map(Path::new);
        let below = below.filter(|below| below.components().all(|part| matches!(part, Component::Normal(_))));
        below.map(|below| self.root.join(below)).ok_or_else(|| HostError::Io {
            doing: "use".into(),
            path: path.into(),
            text: "the path must be absolute and without \"..\"".into(),
        })
    }

    /// Returns a file's mode and text, or `None` if there is no file.
    pub(super) fn read(&self, path: &str) -> Result<Option<FileState>, HostError> {
        let place = self.locate(path)?;
        let state = || {
            let mode = fs::metadata(&place)?.permissions().mode() & 0o7777;
            let text = String::from_utf8_lossy(&fs::read(&place)?).into_owned();
            Ok(FileState { mode, text })
        };
        match state() {
            Ok(state) => Ok(Some(state)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(HostError::file("read", path, &error)),
        }
    }

    /// Replaces a file in one step; `test` may refuse the temporary file before that, and `keep` saves the old one.
    pub(super) fn write(
        &self,
        path: &str,
        text: &str,
        mode: u32,
        keep: bool,
        test: impl FnOnce(&Path) -> Result<(), HostError>,
    ) -> Result<(), HostError> {
        let place = self.locate(path)?;
        let failed = |error: io::Error| HostError::file("write", path, &error);
        let folder = place.parent().unwrap_or(&self.root);
        self.make_folder(folder).map_err(failed)?;
        let (temporary, mut file) = Temporary::create(&place, mode).map_err(failed)?;
        // The mode at creation is cut by the umask.
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        test(&temporary.path)?;
        let kept = if keep { keep_previous(&place).map_err(failed)? } else { None };
        temporary.rename(&place).map_err(failed)?;
        // Only now, as until here it was the file itself.
        kept.map_or(Ok(()), |kept| close(&kept)).map_err(failed)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Returns what a symbolic link names: nothing for something else, `None` if there is nothing at all.
    pub(super) fn read_link(&self, path: &str) -> Result<Option<String>, HostError> {
        let place = self.locate(path)?;
        match fs::read_link(&place) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Some(String::new())),
            Err(error) => Err(HostError::file("read", path, &error)),
        }
    }

    /// Puts a symbolic link in the place of whatever is there, in one step.
    pub(super) fn link(&self, path: &str, target: &str) -> Result<(), HostError> {
        let place = self.make_folder_of(path)?;
        let failed = |error: io::Error| HostError::file("write", path, &error);
        Temporary::link(&place, target).map_err(failed)?.rename(&place).map_err(failed)?;
        let folder = place.parent().unwrap_or(&self.root);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Removes a file or a link; a missing one is fine.
    pub(super) fn remove(&self, path: &str) -> Result<(), HostError> {
        let place = self.locate(path)?;
        clear(&place).map_err(|error| HostError::file("remove what was left beside", path, &error))?;
        match fs::remove_file(&place) {
            Ok(()) if path.starts_with(OWN) => {
                self.remove_empty_folders(&place);
                Ok(())
            }
            Ok(()) => {
                let folder = place.parent().unwrap_or(&self.root);
                File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(|error| HostError::file("remove", path, &error))
            }
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(HostError::file("remove", path, &error)),
        }
    }

    /// Removes the folders above a file that was lvsctl's own, as far as nothing is in them.
    fn remove_empty_folders(&self, place: &Path) {
        let own = self.locate(OWN.trim_end_matches('/'));
        let own =
            own.iter().flat_map(|own| place.ancestors().skip(1).take_while(move |folder| folder.starts_with(own)));
        // One that cannot be removed has something in it.
        own.into_iter().take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
    }

    /// Makes the folder of a path that is about to be written by somebody else.
    pub(super) fn make_folder_of(&self, path: &str) -> Result<PathBuf, HostError> {
        let place = self.locate(path)?;
        self.make_folder(place.parent().unwrap_or(&self.root))
            .map_err(|error| HostError::file("write", path, &error))?;
        Ok(place)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let private = self.locate(PRIVATE).ok().filter(|private| folder.starts_with(private));
        if let Some(parent) = private.as_ref().and_then(|private| private.parent()) {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        DirBuilder::new().recursive(true).mode(if private.is_some() { 0o700 } else { 0o755 }).create(folder)
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Gives the file that is there a second name and returns it: `NAME.before-lvsctl`, or the next `NAME.before-lvsctl.N` that
/// is free. What was kept earlier stays, and what is kept already is not kept twice.
fn keep_previous(place: &Path) -> io::Result<Option<PathBuf>> {
    let content = match fs::read(place) {
        Ok(content) => content,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    for number in 1..=MOST_KEPT {
        let mut name = place.as_os_str().to_owned();
        name.push(kept_suffix(number));
        let name = PathBuf::from(name);
        match fs::hard_link(place, &name) {
            Ok(()) => return Ok(Some(name)),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) if fs::read(&name).is_ok_and(|kept| kept == content) => return Ok(None),
            Err(_) => {}
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{MOST_KEPT} earlier files are kept beside it already")))
}

/// Returns what follows the name of a file that is kept, counted from 1.
pub(super) fn kept_suffix(number: usize) -> String {
    match number {
        1 => ".before-lvsctl".to_owned(),
        _ => format!(".before-lvsctl.{number}"),
    }
}

/// Leaves a kept file to its owner alone: it may hold a secret that is still in use.
fn close(kept: &Path) -> io::Result<()> {
    let mode = fs::metadata(kept)?.permissions().mode() & 0o600;
    fs::set_permissions(kept, Permissions::from_mode(mode))
}

/// Returns what the names of all temporary files of a file begin with.
fn temporary_name(place: &Path) -> String {
    format!(".{}.lvsctl-", place.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes temporary files that a killed process left beside a file: they may hold a secret, and their writer held the
/// host's lock, so it is gone.
fn clear(place: &Path) -> io::Result<()> {
    let (start, own) = (temporary_name(place), format!("{}-", std::process::id()));
    let Some(folder) = place.parent().filter(|folder| folder.is_dir()) else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let of_another =
            name.to_str().and_then(|name| name.strip_prefix(&start)).is_some_and(|rest| !rest.starts_with(&own));
        match if of_another { fs::remove_file(entry.path()) } else { Ok(()) } {
            Err(error) if !is_missing(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A temporary file that is gone unless it was renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn create(place: &Path, mode: u32) -> io::Result<(Self, File)> {
        Self::make(place, |path| OpenOptions::new().write(true).create_new(true).mode(mode).open(path))
    }

    fn link(place: &Path, target: &str) -> io::Result<Self> {
        Self::make(place, |path| std::os::unix::fs::symlink(target, path)).map(|(temporary, ())| temporary)
    }

    /// Makes something under the first name that is free.
    fn make<T>(place: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Self, T)> {
        clear(place)?;
        let own = format!("{}{}-", temporary_name(place), std::process::id());
        for attempt in 0..NAMES {
            let path = place.with_file_name(format!("{own}{attempt}"));
            match make(&path) {
                Ok(made) => return Ok((Temporary { path, renamed: false }, made)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files of earlier runs are beside it"))
    }

    fn rename(mut self, place: &Path) -> io::Result<()> {
        fs::rename(&self.path, place)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_each_that_was_asked_for_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let path = "/etc/keepalived/keepalived.conf";
        assert_eq!(files.read(path), Ok(None));
        let keeps = |keep: bool, text: &str| files.write(path, text, 0o600, keep, |_| Ok(())).unwrap();
        keeps(true, "by hand");
        keeps(true, "own");
        keeps(false, "by another hand");
        keeps(true, "own");
        keeps(false, "by hand");
        keeps(true, "own");
        assert_eq!(files.read(path), Ok(Some(FileState { mode: 0o600, text: "own".into() })));
        files.remove(path).unwrap();
        files.remove(path).unwrap();
        let kept = ["keepalived.conf.before-lvsctl", "keepalived.conf.before-lvsctl.2"];
        assert_eq!(names(&root.path().join("etc/keepalived")), kept);
        let text = |name: &str| files.read(&format!("/etc/keepalived/{name}")).unwrap().unwrap().text;
        assert_eq!(kept.map(text), ["by hand", "by another hand"]);
    }

    #[test]
    fn a_refused_file_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        files.write("/etc/file", "old", 0o644, false, |_| Ok(())).unwrap();
        let refusal = HostError::NotTried;
        let seen = files.write("/etc/file", "new", 0o600, true, |temporary| {
            assert_eq!(fs::metadata(temporary).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_to_string(temporary).unwrap(), "new");
            Err(refusal.clone())
        });
        assert_eq!(seen, Err(refusal));
        assert_eq!(names(&root.path().join("etc")), ["file"]);
        assert_eq!(files.read("/etc/file").unwrap().unwrap().text, "old");
    }

    #[test]
    fn what_a_killed_process_left_goes_with_the_next_write_and_with_the_file() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let folder = root.path().join("etc");
        files.write("/etc/file", "old", 0o600, false, |_| Ok(())).unwrap();
        let own = format!(".file.lvsctl-{}-7", std::process::id());
        for name in [".file.lvsctl-1-0", ".other.lvsctl-1-0", &own] {
            fs::write(folder.join(name), "secret").unwrap();
        }
        files.write("/etc/file", "new", 0o600, false, |_| Ok(())).unwrap();
        let mut left = vec![own, ".other.lvsctl-1-0".into(), "file".into()];
        left.sort();
        assert_eq!(names(&folder), left);
        fs::write(folder.join(".file.lvsctl-1-0"), "secret").unwrap();
        files.remove("/etc/file").unwrap();
        left.retain(|name| name != "file");
        assert_eq!(names(&folder), left);
    }

    #[test]
    fn the_manifest_is_in_a_folder_of_its_own_and_paths_stay_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        files.write("/var/lib/lvsctl/manifest.json", "{}", 0o600, false, |_| Ok(())).unwrap();
        let mode = |below: &str| fs::metadata(root.path().join(below)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("var/lib"), mode("var/lib/lvsctl")), (0o755, 0o700));
        for path in ["etc/passwd", "/../etc/passwd", "/etc/../../passwd"] {
            assert!(matches!(files.read(path), Err(HostError::Io { .. })), "{path}");
        }
    }
}
