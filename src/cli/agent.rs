//! `lvsctl agent`: what runs on a remote host.

use std::fs::File;

use clap::Args;
use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;

use super::{ERROR, Output};
use crate::host::LocalHost;
use crate::host::agent::{Rhythm, serve};

/// What `lvsctl agent` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "It is started by lvsctl over SSH and speaks a protocol of its own on standard input and output."
)]
pub struct AgentArguments {}

/// The first file descriptor that is not one of the standard streams.
const BEYOND_STANDARD_STREAMS: i32 = 3;

/// Serves until the client says that it is done, or is gone.
pub fn run(_arguments: &AgentArguments, output: &Output) -> u8 {
    let failed = |text: String| {
        output.error(&format!("The agent cannot go on: {text}"), None);
        ERROR
    };
    let (from_client, to_client) = match take_streams() {
        Ok(streams) => streams,
        Err(errno) => return failed(errno.to_string()),
    };
    // What is made here has the modes that lvsctl says, whatever the account of the login would take away.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let (host, heart) = match LocalHost::machine_for_client() {
        Ok(opened) => opened,
        Err(error) => return failed(error.to_string()),
    };
    match serve(Box::new(host), from_client, to_client, Rhythm::default(), move || heart.beat()) {
        Ok(()) => 0,
        Err(error) => failed(error.to_string()),
    }
}

/// Takes the standard streams for the protocol alone: whatever else reads or prints, a program that is called, or a panic,
/// finds an empty input, and an output that is the standard error.
fn take_streams() -> rustix::io::Result<(File, File)> {
    let from_client = fcntl_dupfd_cloexec(rustix::stdio::stdin(), BEYOND_STANDARD_STREAMS)?;
    let to_client = fcntl_dupfd_cloexec(rustix::stdio::stdout(), BEYOND_STANDARD_STREAMS)?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(nothing)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((from_client.into(), to_client.into()))
}
