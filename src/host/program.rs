//! Runs a program to its end, within a deadline, and keeps what it says.
//!
//! No shell is involved. A program is looked for in `PATH` and in the folders for system programs, which a plain user's
//! `PATH` may lack, and runs in English. It inherits the network namespace of the calling thread.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::journal::marker;
use super::rights::Right;
use super::{HostError, streams};

/// Where Debian keeps system programs.
const SYSTEM: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];

/// How long the pipes of a program that has ended are read on: what it started may hold them open for good.
const REST: Duration = Duration::from_secs(3);

/// What came of a program.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// How it ended.
    pub(super) status: ExitStatus,
    /// Its standard output.
    pub(super) stdout: String,
    /// Its standard error.
    pub(super) stderr: String,
    /// Whether its standard output was read to the end.
    pub(super) is_complete: bool,
}

impl Output {
    /// Returns both texts, trimmed, standard error first.
    pub(super) fn text(&self) -> String {
        let parts: Vec<&str> =
            [&self.stderr, &self.stdout].into_iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
        parts.join("\n")
    }

    /// Says how it ended, such as `exit status 5`.
    pub(super) fn ending(&self) -> String {
        ending(self.status)
    }
}

/// Says how a program ended.
pub(super) fn ending(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

/// Returns the path of a program, if it is installed.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = env::split_paths(&path).filter(|folder| folder.is_absolute());
    own.chain(SYSTEM.map(PathBuf::from)).collect()
}

/// Prepares a program that is installed.
///
/// Of the environment it gets where to look for programs and nothing else: the operator's holds secrets, and a daemon
/// would keep them for as long as it runs.
pub(super) fn command(doing: &str, program: &str) -> Result<Command, HostError> {
    let path = find(program).ok_or_else(|| missing(doing, program))?;
    let mut command = Command::new(path);
    with_plain_environment(&mut command);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Leaves a program nothing of the environment but where to look for programs, and says which process runs it.
pub(super) fn with_plain_environment(command: &mut Command) {
    // The folders were parts of such a list, so they can be joined again.
    command.env_clear().env("LC_ALL", "C").env("PATH", env::join_paths(folders()).unwrap_or_default());
    let (variable, process) = marker();
    command.env(variable, process);
}

/// Makes the error of a program that is not installed.
pub(super) fn missing(doing: &str, program: &str) -> HostError {
    HostError::MissingProgram { doing: doing.into(), program: program.into(), package: package(program).into() }
}

/// Runs a program with a text on its standard input and returns what came of it, whatever its exit status.
pub(super) fn run(
    doing: &str,
    program: &str,
    arguments: &[&dyn AsRef<OsStr>],
    input: Option<&str>,
    within: Duration,
) -> Result<Output, HostError> {
    let mut command = command(doing, program)?;
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    run_prepared(doing, program, command, input, within)
}

/// Runs a program that was prepared elsewhere, as [`run`] does.
pub(super) fn run_prepared(
    doing: &str,
    program: &str,
    mut command: Command,
    input: Option<&str>,
    within: Duration,
) -> Result<Output, HostError> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error: io::Error| HostError::file("run", program, &error);
    let mut child = command.spawn().map_err(failed)?;
    let served = streams::serve(&mut child, input, within, REST).map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr, is_complete) = (text(&served.stdout), text(&served.stderr), served.is_complete);
    match served.status {
        Some(status) => Ok(Output { status, stdout, stderr, is_complete }),
        None => Err(HostError::Timeout { doing: format!("{doing} ({program})"), within }),
    }
}

/// Runs a program that must succeed and returns its standard output.
pub(super) fn succeed(
    doing: &str,
    program: &str,
    arguments: &[&dyn AsRef<OsStr>],
    input: Option<&str>,
    within: Duration,
) -> Result<String, HostError> {
    let output = run(doing, program, arguments, input, within)?;
    match (output.status.success(), output.is_complete) {
        (true, true) => Ok(output.stdout),
        // Half of the rules of a host would be taken for all of them.
        (true, false) => Err(HostError::Timeout { doing: format!("{doing} to the end ({program})"), within: REST }),
        (false, _) => Err(failure(doing, program, &output)),
    }
}

/// Makes the error of a program that failed.
pub(super) fn failure(doing: &str, program: &str, output: &Output) -> HostError {
    let text = output.text();
    if let Some(right) = Right::of_program(program).filter(|right| right.is_missing()) {
        return HostError::MissingRights { doing: doing.into(), right: right.as_str().into() };
    }
    HostError::Program { doing: doing.into(), program: program.into(), exit: output.ending(), text }
}

/// Returns the Debian package that holds a program.
fn package(program: &str) -> &'static str {
    match Path::new(program).file_name().and_then(OsStr::to_str) {
        Some("keepalived") => "keepalived",
        Some("modprobe") => "kmod",
        Some("ssh" | "ssh-keygen") => "openssh-client",
        Some("setsid") => "util-linux",
        Some("systemctl") => "systemd",
        _ => "iptables",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_program_reads_its_input_and_its_end_is_told() {
        let text = "word ".repeat(100_000);
        let echoed = succeed("echo", "cat", &[], Some(&text), Duration::from_secs(60)).unwrap();
        assert_eq!(echoed, text);
        let failed = succeed("list", "ls", &[&"/nonexistent"], None, Duration::from_secs(60)).unwrap_err();
        assert!(failed.to_string().starts_with("Cannot list: ls ended with exit status 2: "), "{failed}");
    }

    #[test]
    fn a_program_learns_nothing_of_the_environment_but_where_programs_are() {
        let told = succeed("look around", "env", &[], None, Duration::from_secs(60)).unwrap();
        let mut names: Vec<_> = told.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "LVSCTL_PERFORMER", "PATH"]);
        assert!(told.contains("/usr/sbin"), "{told}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_and_a_missing_one_is_named() {
        let slow = run("wait", "sleep", &[&"120"], None, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(slow, HostError::Timeout { .. }), "{slow}");
        let missing = run("try", "no-such-program", &[], None, Duration::from_secs(60)).unwrap_err();
        assert!(matches!(&missing, HostError::MissingProgram { program, .. } if program == "no-such-program"));
    }

    #[test]
    fn a_program_that_prints_before_it_reads_does_not_stand_still_and_one_that_does_not_read_ends() {
        let text = "word ".repeat(100_000);
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; cat";
        let told = run("try", "sh", &[&"-c", &script], Some(&text), Duration::from_secs(10)).unwrap();
        assert!(told.status.success() && told.is_complete);
        assert_eq!((told.stdout.len(), told.stderr.len()), (300_000 + text.len(), 300_000));
        let deaf = run("try", "sh", &[&"-c", &"exec <&-; echo said"], Some(&text), Duration::from_secs(10)).unwrap();
        assert_eq!((deaf.status.code(), deaf.stdout.as_str()), (Some(0), "said\n"));
        let quiet = "exec >&- 2>&-; sleep 0.2; exit 4";
        let quiet = run("try", "sh", &[&"-c", &quiet], None, Duration::from_secs(10)).unwrap();
        assert_eq!((quiet.status.code(), quiet.is_complete), (Some(4), true));
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for() {
        let begun = Instant::now();
        let script = "echo said; sleep 120 & exit 3";
        let left = run("try", "sh", &[&"-c", &script], None, Duration::from_secs(60)).unwrap();
        assert_eq!((left.status.code(), left.stdout.as_str()), (Some(3), "said\n"));
        assert!(!left.is_complete, "somebody may still write");
        let cut =
            succeed("read", "sh", &[&"-c", &"echo said; sleep 120 &"], None, Duration::from_secs(60)).unwrap_err();
        assert!(matches!(cut, HostError::Timeout { .. }), "{cut}");
        let slow = run("wait", "sh", &[&"-c", &"sleep 120; true"], None, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(slow, HostError::Timeout { .. }), "{slow}");
        assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    }
}
