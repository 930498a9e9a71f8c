//! `backup_only` on a director on which it does nothing, or too much.

use super::Rule;
use crate::source::{Problem, Problems};
use crate::topology::{Role, SyncState, SysctlKey, Topology};

/// Finds directors that would balance although they should not, or stop although they should.
pub const RULE: Rule = Rule { name: "backup-only", explanation: include_str!("backup_only.md"), check: backup_only };

/// The parameter.
const KEY: &str = "net/ipv4/vs/backup_only";

fn backup_only(topology: &Topology, problems: &mut Problems) {
    for host in topology.hosts_of(Role::Director) {
        let Some(value) = host.sysctls.get(&SysctlKey::from_path(KEY)).filter(|value| value.value != "0") else {
            continue;
        };
        let own = &host.tuning.sync_daemons;
        let by_keepalived = topology.failovers_of(&host.name.value).any(|failover| failover.sync_daemon.is_some());
        let problem = match (own.get(&SyncState::Backup), own.contains_key(&SyncState::Master)) {
            (Some(backup), true) => Problem::warning(
                RULE.name,
                format!("{} stops balancing: it receives connections as well as sending them", host.name.value),
            )
            .label(value.span, "a director with a backup daemon does not balance")
            .label(backup.span, "the backup daemon")
            .help("Take one of the two daemons away, or the parameter"),
            (None, _) if !by_keepalived => {
                Problem::warning(RULE.name, format!("backup_only does nothing on {}", host.name.value))
                    .label(value.span, "it acts while a backup sync daemon runs, and none does here")
                    .help("Add `sync-daemon` to the failover, or take the parameter away")
            }
            _ => continue,
        };
        problems.push(problem);
    }
}
