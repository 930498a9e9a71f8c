//! The files and variables that a topology names, read from this machine.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::document::{MAXIMUM_BYTES, ReadSource};
use crate::source::{Problem, Problems, Span};
use crate::topology::{Connection, Secret, SecretReference, SecretValues, Topology, grammar};

/// Reads topologies from the file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskReader;

impl ReadSource for DiskReader {
    fn read(&self, path: &str) -> Result<String, String> {
        let file = fs::File::open(path).map_err(|error| reason(&error))?;
        // One byte more than is allowed, so that the loader sees that there are too many; a device has no end.
        let mut bytes = Vec::new();
        file.take(MAXIMUM_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
        if bytes.len() > MAXIMUM_BYTES {
            return Err(format!("it has more than {MAXIMUM_BYTES} bytes"));
        }
        String::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        let entries = fs::read_dir(folder).ok()?;
        let files = entries.filter_map(Result::ok).filter(|entry| entry.path().is_file());
        Some(files.filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

/// Returns the folder that a topology's relative paths start from: the path itself, or the folder of a file.
pub fn base_folder(path: &str) -> &Path {
    let path = Path::new(path);
    if path.is_dir() {
        return path;
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Looks up every secret that a topology refers to; no value is part of any problem.
pub fn secrets(topology: &Topology, base_folder: &Path) -> (SecretValues, Problems) {
    let mut values = SecretValues::default();
    let mut problems = Problems::default();
    for secret in topology.failovers.values().filter_map(|failover| failover.auth_pass.as_ref()) {
        let Secret::Reference(reference) = &secret.value else { continue };
        match look_up(reference, base_folder) {
            Ok(value) if grammar::is_password(&value) => values.insert(reference.clone(), value),
            Ok(value) => problems.push(unfit(reference, &value, secret.span)),
            Err(problem) => problems.push(problem.label(secret.span, "wanted here")),
        }
    }
    let (passwords, more) = sudo_passwords(topology, base_folder);
    values.extend(passwords);
    problems.extend(more);
    problems.sort();
    (values, problems)
}

/// Looks up the passwords that `sudo` asks for on the hosts, which every command needs that reaches them.
pub fn sudo_passwords(topology: &Topology, base_folder: &Path) -> (SecretValues, Problems) {
    let mut values = SecretValues::default();
    let mut problems = Problems::default();
    for host in topology.managed_hosts() {
        let Connection::Ssh { become_password: Some(reference), .. } = &host.connection.value else { continue };
        match look_up(&reference.value, base_folder) {
            Ok(value) if !value.is_empty() && !value.contains(['\n', '\0']) => {
                values.insert(reference.value.clone(), value);
            }
            Ok(_) => problems.push(
                Problem::error("bad-secret", format!("The secret {} is empty or has several lines", reference.value))
                    .label(reference.span, "wanted here")
                    .help("Put the password alone there, on one line"),
            ),
            Err(problem) => problems.push(problem.label(reference.span, "wanted here")),
        }
    }
    (values, problems)
}

/// Returns the variables of the environment that hold secrets of a topology.
pub fn variables(topology: &Topology) -> Vec<String> {
    let of_failovers = topology.failovers.values().filter_map(|failover| match failover.auth_pass.as_ref()?.value {
        Secret::Reference(ref reference) => Some(reference),
        Secret::Literal(_) => None,
    });
    let of_hosts = topology.managed_hosts().filter_map(|host| match &host.connection.value {
        Connection::Ssh { become_password, .. } => Some(&become_password.as_ref()?.value),
        _ => None,
    });
    let named = of_failovers.chain(of_hosts).filter_map(|reference| match reference {
        SecretReference::Environment(name) => Some(name.clone()),
        SecretReference::File(_) => None,
    });
    named.collect()
}

fn look_up(reference: &SecretReference, base_folder: &Path) -> Result<String, Problem> {
    match reference {
        SecretReference::Environment(name) => std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => {
                Problem::error("missing-secret", format!("The environment variable {name} is not set"))
                    .help(format!("Set it for this command: read -rs {name} && export {name}"))
            }
            std::env::VarError::NotUnicode(_) => {
                Problem::error("missing-secret", format!("The environment variable {name} is not UTF-8"))
                    .help("Set it to printable characters")
            }
        }),
        SecretReference::File(name) => {
            let path = base_folder.join(name);
            let shown = path.display();
            let unreadable = |reason: String| {
                Problem::error("missing-secret", format!("The secret's file {shown} cannot be read: {reason}"))
                    .help("Put the secret there, readable by you alone; the path is relative to the topology's folder")
            };
            let file = fs::File::open(&path).map_err(|error| unreadable(reason(&error)))?;
            // A secret is short; what is cut here is too long all the same.
            let mut text = String::new();
            file.take(4096).read_to_string(&mut text).map_err(|error| unreadable(reason(&error)))?;
            Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
        }
    }
}

fn unfit(reference: &SecretReference, value: &str, span: Span) -> Problem {
    let message = match value.len() {
        0 => format!("The secret {reference} is empty"),
        length if length > 8 => format!("The secret {reference} is longer than 8 bytes"),
        _ => format!("The secret {reference} holds a character that means something to keepalived"),
    };
    Problem::error("bad-secret", message)
        .label(span, "wanted here")
        .help("Use 1 to 8 printable characters without spaces, quotes and ! # { } \\ $ ~ @; keepalived would cut a longer one")
}

/// Says why a file cannot be had, without the number that Rust adds.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
