//! Work inside a network namespace: on a thread that enters it, so that sockets and child processes belong to it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::thread::LinkNameSpaceType;

/// Moves the calling thread into a namespace for the rest of its life.
pub fn join(namespace: &str) -> Result<(), String> {
    let path = Path::new("/run/netns").join(namespace);
    let file = File::open(&path).map_err(|error| format!("The namespace {namespace} cannot be opened: {error}"))?;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| format!("The namespace {namespace} cannot be entered: {error}"))
}

/// Does something on a thread that is in a namespace and returns what comes of it.
pub fn within<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            join(namespace)?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(format!("The work in the namespace {namespace} panicked")))
    })
}

/// Runs a program to its end, feeds it a text, and returns its standard output; anything but success is an error that
/// carries what it said.
pub fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{program} cannot be run: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(told)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read all says why by itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(told)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{program} {} ended with {}: {}", arguments.join(" "), output.status, said.trim()))
    }
}
