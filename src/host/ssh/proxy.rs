//! A program that stands for a connection: `ssh -W` through jump hosts, or the operator's ProxyCommand.
//!
//! It has one end of a socket pair as its standard input and output. What it says on its standard error is kept for the error
//! that it may explain, and it is ended and reaped with the connection. Both programs are the operator's own, run where `ssh`
//! would run them, and so they have the operator's environment.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, io};

use super::config::{Endpoint, Route};
use super::stream::{plain, unreachable};
use crate::host::{HostError, program};

/// How much of what a proxy says is kept.
const KEPT: usize = 4096;

/// How long a proxy has to end by itself when its connection has ended.
const REST: Duration = Duration::from_millis(500);

/// How long an error waits for a proxy that failed, to say how it ended: a busy machine may not have come to that.
const ACCOUNT: Duration = Duration::from_secs(2);

/// How long between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(5);

/// A running proxy.
pub(super) struct Proxy {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    /// Reads what it says, to the end.
    listener: Option<JoinHandle<()>>,
    /// What it is called in errors.
    name: String,
}

impl Proxy {
    /// Starts the endpoint's proxy and returns our end of its connection.
    pub(super) fn start(endpoint: &Endpoint) -> Result<(OwnedFd, Self), HostError> {
        let (mut command, name) = match &endpoint.route {
            Route::Jump(hops) => (jump(endpoint, hops)?, format!("ssh -W through {hops}")),
            Route::Command(text) => (shell(endpoint, text)?, "the ProxyCommand".to_owned()),
            Route::Direct => return Err(unreachable(endpoint, "there is no proxy to start")),
        };
        let failed = |error: io::Error| unreachable(endpoint, &format!("{name} cannot be started: {}", plain(&error)));
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let output: OwnedFd = theirs.try_clone().map_err(failed)?.into();
        command.stdin(OwnedFd::from(theirs)).stdout(output).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        // The command holds their end of the pair open until it is dropped.
        drop(command);
        let said = Arc::new(Mutex::new(Vec::new()));
        let listener = child.stderr.take().map(|mut pipe| {
            let said = Arc::clone(&said);
            thread::spawn(move || listen(&mut pipe, &said))
        });
        Ok((ours.into(), Proxy { child, said, listener, name }))
    }

    /// Tells what the proxy said, and how it ended if it has.
    pub(super) fn account(&mut self) -> String {
        let deadline = Instant::now() + ACCOUNT;
        let ending = match self.wait(deadline) {
            Some(ending) => {
                // Its last words may not have been read yet, and what it started may never end saying more.
                while self.listener.as_ref().is_some_and(|one| !one.is_finished()) && Instant::now() < deadline {
                    thread::sleep(PAUSE);
                }
                format!("{} ended with {ending}", self.name)
            }
            None => format!("{} is still running", self.name),
        };
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = super::printable(&String::from_utf8_lossy(&said));
        match said.is_empty() {
            true => ending,
            false => format!("{ending} and said: {said}"),
        }
    }

    fn wait(&mut self, deadline: Instant) -> Option<String> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(program::ending(status)),
                Ok(None) if Instant::now() < deadline => thread::sleep(PAUSE),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its connection has ended by now, and that ends an `ssh -W`; nothing else may outlive it, not even as a zombie.
        if self.wait(Instant::now() + REST).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Keeps the beginning of what is said and lets go of the rest, so that nobody who says much has to wait.
fn listen(pipe: &mut impl Read, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(said.len()).min(length);
        said.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

/// Prepares `ssh -W` to the last of the jump hosts, which goes through those before it.
fn jump(endpoint: &Endpoint, hops: &str) -> Result<Command, HostError> {
    let (before, last) = hops.rsplit_once(',').map_or((None, hops), |(before, last)| (Some(before), last));
    let mut command = ssh("connect through a jump host", endpoint.configuration.as_deref())?;
    if let Some(before) = before {
        command.arg("-J").arg(before);
    }
    // Nobody is asked where nobody is; a host key that is not known is refused then.
    if !super::prompt::is_possible() {
        command.args(["-o", "BatchMode=yes"]);
    }
    let host = &endpoint.host;
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    command.arg("-W").arg(format!("{bracketed}:{}", endpoint.port));
    command.arg("--").arg(format!("ssh://{}", last.strip_prefix("ssh://").unwrap_or(last)));
    Ok(command)
}

/// Variables of the environment that hold secrets of the topology.
static WITHHELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Keeps variables of the environment from OpenSSH's programs and a ProxyCommand: what a topology's secrets are in.
pub fn withhold(names: impl IntoIterator<Item = String>) {
    WITHHELD.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
}

fn without_secrets(command: &mut Command) {
    for name in WITHHELD.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        command.env_remove(name);
    }
}

/// Prepares OpenSSH's client, with the operator's environment, without a terminal and without what it may forward.
pub(super) fn ssh(doing: &str, configuration: Option<&std::path::Path>) -> Result<Command, HostError> {
    let path = program::find("ssh").ok_or_else(|| program::missing(doing, "ssh"))?;
    let mut command = Command::new(path);
    without_secrets(&mut command);
    command.args(["-T", "-a", "-x"]);
    if let Some(file) = configuration {
        command.arg("-F").arg(file);
    }
    Ok(command)
}

/// Prepares the ProxyCommand as OpenSSH runs it: `exec` and the command, by the operator's shell.
fn shell(endpoint: &Endpoint, text: &str) -> Result<Command, HostError> {
    let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| OsString::from("/bin/sh"));
    let mut command = Command::new(shell);
    without_secrets(&mut command);
    command.arg("-c").arg(format!("exec {}", endpoint.for_shell(text)?));
    Ok(command)
}
