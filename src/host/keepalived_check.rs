//! keepalived as a program that is asked: is this file in order, and which version are you?

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::keepalived_stand_in::stand_in;
use super::{HostError, program};
use crate::topology::SecretText;

const PROGRAM: &str = "keepalived";

/// How long it may take to answer; it looks up host names and interfaces.
const WITHIN: Duration = Duration::from_secs(10);

/// keepalived 2.2.7 now and then ends a test by its own signal, before it has said anything.
const TEST_ATTEMPTS: u32 = 3;
const ENDED_BY_ITSELF: i32 = 143;
const SIGTERM: i32 = 15;

/// Asks keepalived whether a file is in order; every complaint counts (exit status 5), as it may do the unexpected.
pub(super) fn test(doing: &str, temporary: &Path, path: &str, text: &SecretText) -> Result<(), HostError> {
    let output = ask(doing, temporary)?;
    let stand_in = text.expose().as_deref().and_then(stand_in);
    let (Some(SIGTERM), Some(stand_in)) = (output.status.signal(), stand_in) else {
        return judge(doing, &output, temporary, path, text);
    };
    let put = |content: &str| fs::write(temporary, content).map_err(|error| HostError::file("write", path, &error));
    put(&stand_in)?;
    let output = ask(doing, temporary)?;
    put(&text.expose().unwrap_or_default())?;
    let synced = File::open(temporary).and_then(|file| file.sync_all());
    synced.map_err(|error| HostError::file("write", path, &error))?;
    judge(doing, &output, temporary, path, text)
}

fn ask(doing: &str, temporary: &Path) -> Result<program::Output, HostError> {
    let run = || program::run(doing, PROGRAM, &[&"-t", &"-f", &temporary], None, WITHIN);
    for _ in 1..TEST_ATTEMPTS {
        let output = run()?;
        if output.status.code() != Some(ENDED_BY_ITSELF) || !output.text().is_empty() {
            return Ok(output);
        }
    }
    run()
}

fn judge(
    doing: &str,
    output: &program::Output,
    temporary: &Path,
    path: &str,
    text: &SecretText,
) -> Result<(), HostError> {
    if output.status.success() {
        return Ok(());
    }
    let complaints = output.text().replace(temporary.to_string_lossy().as_ref(), path);
    let text = text.mask(&without_passwords(&complaints));
    Err(HostError::Program { doing: doing.into(), program: "keepalived -t".into(), exit: output.ending(), text })
}

/// Takes out every line that speaks of a password, whatever it says.
pub(super) fn without_passwords(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| if line.to_ascii_lowercase().contains("auth_pass") { "(a line about auth_pass)" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the installed version, such as `2.2.7`; a program that did not change is asked once, because starting it is slow.
pub(super) fn version() -> Option<String> {
    static KNOWN: Mutex<Option<(PathBuf, SystemTime, String)>> = Mutex::new(None);
    let path = program::find(PROGRAM)?;
    let changed = fs::metadata(&path).and_then(|data| data.modified()).ok();
    // The hosts of a laboratory are the same machine; they wait here for the first answer.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, at, version)) = &*known
        && (of, Some(*at)) == (&path, changed)
    {
        return Some(version.clone());
    }
    let output = program::run("ask for the version", PROGRAM, &[&"--version"], None, WITHIN).ok()?;
    let version = version_in(&output.text())?;
    *known = changed.map(|changed| (path, changed, version.clone()));
    Some(version)
}

fn version_in(text: &str) -> Option<String> {
    let word = text.split_whitespace().find_map(|word| word.strip_prefix('v'))?;
    word.starts_with(|first: char| first.is_ascii_digit()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_and_passwords_are_never_shown() {
        assert_eq!(version_in("Keepalived v2.2.7 (01/16,2022)\n\nCopyright").as_deref(), Some("2.2.7"));
        assert_eq!(without_passwords("(Line 3) AUTH_pass hunter2\nbad"), "(a line about auth_pass)\nbad");
    }
}
