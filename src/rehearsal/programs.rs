//! Programs that keepalived runs on a director, and that this machine does not have.
//!
//! keepalived refuses a configuration that names a program or a user that is not there. What is missing is made in the
//! guest, whose root is a layer of its own: the program succeeds and does nothing, the user owns nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::topology::{CheckKind, Notify, Topology};

/// What stands for a missing program.
const STAND_IN: &str = "#!/bin/sh\nexit 0\n";

/// Where users and groups are looked up.
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// The first number that is given to a missing user; Debian gives none so high (Debian Policy, section 9.2.2).
const FIRST_USER: u32 = 61_000;

/// Who runs when no user is named.
const ROOT: &str = "root";

/// Makes the programs and users that are missing; returns the programs that it made.
pub fn stand_in(topology: &Topology) -> Result<Vec<String>, String> {
    let named = named(topology);
    let users: BTreeSet<&str> = named.values().flatten().map(String::as_str).collect();
    add_missing(USERS, &users, |user, number| format!("{user}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin"))?;
    add_missing(GROUPS, &users, |user, number| format!("{user}:x:{number}:"))?;
    let mut made = Vec::new();
    for program in named.into_keys().filter(|program| !Path::new(program).exists()) {
        make(Path::new(&program)).map_err(|error| format!("{program} cannot be stood in for: {error}"))?;
        made.push(program);
    }
    Ok(made)
}

fn make(program: &Path) -> std::io::Result<()> {
    if let Some(folder) = program.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(program, STAND_IN)?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

fn add_missing(path: &str, users: &BTreeSet<&str>, line: impl Fn(&str, u32) -> String) -> Result<(), String> {
    let mut text = fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    let known: BTreeSet<String> = text.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
    let missing: Vec<&&str> = users.iter().filter(|user| !known.contains(**user)).collect();
    for (user, number) in missing.iter().zip(FIRST_USER..) {
        text.push_str(&line(user, number));
        text.push('\n');
    }
    match missing.is_empty() {
        true => Ok(()),
        false => fs::write(path, text).map_err(|error| format!("{path} cannot be written: {error}")),
    }
}

/// Returns the paths of all programs, each with its users.
fn named(topology: &Topology) -> BTreeMap<String, BTreeSet<String>> {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |line: &str, user: &str| {
        let program = line.split(' ').next().unwrap_or_default().to_owned();
        named.entry(program).or_default().insert(user.to_owned());
    };
    for failover in topology.failovers.values() {
        for script in &failover.options.scripts {
            add(&script.run.value, &script.user);
        }
        let notify = &failover.options.notify;
        for run in [&notify.master, &notify.backup, &notify.fault, &notify.any].into_iter().flatten() {
            add(&run.value, notify.user.as_deref().unwrap_or(ROOT));
        }
    }
    let told = |notify: &Notify, add: &mut dyn FnMut(&str, &str)| {
        [&notify.up, &notify.down].into_iter().flatten().for_each(|command| add(&command.line, &command.user));
    };
    for (_, service) in topology.services() {
        if let Some(quorum) = &service.supervision.quorum {
            told(&quorum.notify, &mut add);
        }
        for server in &service.servers {
            told(&server.notify, &mut add);
            if let Some(CheckKind::Script(script)) = server.check.as_ref().map(|check| &check.kind) {
                add(&script.run, &script.user);
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::{at, reference_site};

    #[test]
    fn every_program_is_named_with_its_users() {
        let mut topology = reference_site();
        assert!(named(&topology).is_empty());
        let options = &mut topology.failovers.get_mut("ext").unwrap().options;
        options.notify.master = Some(at("/opt/told master now".to_owned()));
        options.notify.fault = Some(at("/opt/told fault".to_owned()));
        options.notify.user = Some("nobody".to_owned());
        let service = topology.vips.values_mut().flat_map(|vip| &mut vip.services).next().unwrap();
        let command = |line: &str| crate::topology::Command { line: line.into(), user: ROOT.into() };
        service.servers[0].notify.down = Some(command("/opt/told down"));
        service.servers[0].notify.up = Some(command("/opt/up"));
        let found: Vec<String> =
            named(&topology).into_iter().map(|(path, users)| format!("{path} {users:?}")).collect();
        assert_eq!(found, [r#"/opt/told {"nobody", "root"}"#, r#"/opt/up {"root"}"#]);
    }
}
