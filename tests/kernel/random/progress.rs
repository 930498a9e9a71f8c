//! What a long run is doing, for who waits: a guest shows what a test prints only when the test has ended.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use crate::runner::TEST_VARIABLE;

/// The variable that names a folder of the machine in which each sequence writes a file.
const VARIABLE: &str = "LVSCTL_TEST_PROGRESS";

/// Where the guest sees that folder.
const FOLDER: &str = "/run/progress";

/// Notes what is being done, with the seconds since the beginning, if somebody wants to know.
pub fn note(text: &str) {
    static STARTED: OnceLock<Option<Instant>> = OnceLock::new();
    let Some(started) = STARTED.get_or_init(|| {
        let folder = std::env::var(VARIABLE).ok()?;
        fs::create_dir_all(FOLDER).ok()?;
        let mounted = Command::new("mount").args(["-t", "hostfs", "none", FOLDER, "-o", &folder]).status();
        mounted.is_ok_and(|status| status.success()).then(Instant::now)
    }) else {
        return;
    };
    let name = std::env::var(TEST_VARIABLE).unwrap_or_default().replace("::", "_");
    let file = OpenOptions::new().create(true).append(true).open(format!("{FOLDER}/{name}"));
    // A run goes on without its audience.
    let _ = file.and_then(|mut file| writeln!(file, "{:.1} {text}", started.elapsed().as_secs_f64()));
}
