//! Files that a command writes, and what it asks of the repository that a topology is in.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::files::base_folder;

/// How long git is waited for: the plan does without the revision, and a folder on a network may never answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let mut git = Command::new("git");
    git.env_clear().envs(known).arg("-C").arg(base_folder(path)).args(["rev-parse", "--short", "HEAD"]);
    said(&mut git, PATIENCE).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Runs a program and returns what it says, unless it fails or takes too long.
fn said(command: &mut Command, within: Duration) -> Option<String> {
    let deadline = Instant::now() + within;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut pipe = child.stdout.take()?;
    let (sender, read) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        // Nobody listens any more when it took too long.
        let _ = sender.send(pipe.read_to_string(&mut text).map(|_| text));
    });
    let text = read.recv_timeout(within).ok().and_then(Result::ok);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return text.filter(|_| status.success()),
            Ok(None) if text.is_some() && Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
            _ => {
                // Not waited for: what hangs in the kernel does not end by this either.
                let _ = child.kill();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_not_waited_for() {
        let shell = |script: &str, within| said(Command::new("sh").args(["-c", script]), within);
        let begun = Instant::now();
        assert_eq!(shell("echo said; exec sleep 120", Duration::from_millis(50)), None);
        assert_eq!(shell("exec >&-; exec sleep 120", Duration::from_millis(50)), None, "its output has ended");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        assert_eq!(shell("echo said", Duration::from_secs(60)).as_deref(), Some("said\n"));
        assert_eq!(shell("echo said; exit 1", Duration::from_secs(60)), None);
    }
}
