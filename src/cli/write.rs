//! Files that a command writes, and what it asks of the repository that a topology is in.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::files::base_folder;

/// Writes a file that only its owner may read, with the folders above it.
///
/// A file that is there is replaced whole: the text goes to a temporary file beside it first.
pub fn private(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing to be done if even this fails; the error says which file it is about.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

/// Returns the short revision of the repository that a topology is in, if git knows one.
pub fn revision(path: &str) -> Option<String> {
    // The rest of the environment may hold secrets, which git would hand to whatever it starts.
    let known = ["PATH", "HOME", "XDG_CONFIG_HOME"].into_iter();
    let known = known.filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
    let output = Command::new("git")
        .env_clear()
        .envs(known)
        .arg("-C")
        .arg(base_folder(path))
        .args(["rev-parse", "--short", "HEAD"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
