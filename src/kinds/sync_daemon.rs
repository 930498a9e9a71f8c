//! The synchronisation of connections on directors without a failover: one daemon that sends, one that receives.
//!
//! Under a failover keepalived starts the daemons, because the one that sends is to be the master's. Here they are lvsctl's,
//! over netlink, and belong to the network namespace. A daemon cannot be changed in place, so an update stops it and starts
//! it anew.

use super::{Context, Kind, ParseError, Scope, Site, ids, module};
use crate::effect::{Answer, Effect, Probe, SyncDaemonConfig};
use crate::resource::{Change, Entry, Resource, ResourceKey};
use crate::source::{Problem, Problems};
use crate::topology::Host;

/// The kind of daemons.
#[derive(Clone, Copy, Debug)]
pub struct SyncDaemonKind;

impl Kind for SyncDaemonKind {
    fn name(&self) -> &'static str {
        "sync-daemon"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::SyncDaemon(_))
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (state, daemon) in &host.tuning.sync_daemons {
            let written = daemon.interface.as_ref().map(|name| name.value.as_str());
            let Some(interface) = written.or_else(|| site.interface_of(host)) else {
                let message = format!("The interface of the sync daemon of {} is not known", host.name.value);
                problems.push(
                    Problem::warning("sync-interface-unknown", message)
                        .label(daemon.span, "which interface this is about is only known on the live host")
                        .help("Name it: interface=\"eth1\""),
                );
                continue;
            };
            let options = &daemon.options;
            let config = SyncDaemonConfig {
                interface: interface.to_owned(),
                id: daemon.id,
                group: options.group.unwrap_or(SyncDaemonConfig::GROUP),
                port: options.port.unwrap_or(SyncDaemonConfig::PORT),
                ttl: options.ttl.unwrap_or(SyncDaemonConfig::TTL),
                maxlen: options.maxlen,
            };
            let entry = Entry::new(ResourceKey::SyncDaemon(*state), Resource::SyncDaemon(config));
            entries.push(entry.origin(daemon.span).requires(ids::module(&host.name.value, module::IP_VS)));
        }
        entries
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let asked = scope.keys.iter().any(|key| self.owns(key));
        asked.then_some(Probe::SyncDaemons).into_iter().collect()
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::SyncDaemons(daemons) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the sync daemons".into() });
            };
            for (state, config) in daemons {
                let key = ResourceKey::SyncDaemon(*state);
                if scope.keys.contains(&key) {
                    entries.push(Entry::new(key, Resource::SyncDaemon(config.clone())));
                }
            }
        }
        Ok(entries)
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let ResourceKey::SyncDaemon(state) = change.key() else {
            return Vec::new();
        };
        let stop = change.before.as_ref().map(|_| Effect::StopSyncDaemon(*state));
        let start = match &change.after {
            Some(Resource::SyncDaemon(config)) => Some(Effect::StartSyncDaemon(*state, config.clone())),
            _ => None,
        };
        stop.into_iter().chain(start).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fixture::*;
    use crate::topology::fixture::{at, reference_site, span};
    use crate::topology::{HostName, OwnSyncDaemon, SyncOptions, SyncState};

    #[test]
    fn what_is_left_open_is_the_kernels_and_an_update_stops_first() {
        let mut topology = reference_site();
        let director = topology.hosts.get_mut(&HostName::new("lb01")).unwrap();
        let options = SyncOptions { group: ip("ff02::81").into(), maxlen: Some(500), ..SyncOptions::default() };
        let daemon = OwnSyncDaemon { interface: Some(at("eth1".into())), id: 7, options, span: span() };
        let plain = OwnSyncDaemon { interface: None, options: SyncOptions::default(), ..daemon.clone() };
        director.tuning.sync_daemons = [(SyncState::Master, plain), (SyncState::Backup, daemon)].into();
        let (entries, _) = compile(&SyncDaemonKind, &topology, &Facts::new(), "lb01");
        let config = |entry: &Entry| match &entry.resource {
            Resource::SyncDaemon(config) => config.clone(),
            other => panic!("{other:?}"),
        };
        let (master, backup) = (config(&entries[0]), config(&entries[1]));
        assert_eq!((master.interface.as_str(), master.port, master.ttl, master.maxlen), ("eth0", 8848, 1, None));
        assert_eq!((backup.interface.as_str(), backup.group, backup.maxlen), ("eth1", ip("ff02::81"), Some(500)));
        let key = ResourceKey::SyncDaemon(SyncState::Master);
        let live =
            Answer::SyncDaemons([(SyncState::Master, master.clone()), (SyncState::Backup, backup.clone())].into());
        assert_eq!(parse(&SyncDaemonKind, std::slice::from_ref(&key), &[live]).unwrap().len(), 1);
        let moved = change(&key, Some(Resource::SyncDaemon(master)), Some(Resource::SyncDaemon(backup.clone())));
        let start = Effect::StartSyncDaemon(SyncState::Master, backup);
        assert_eq!(effects(&SyncDaemonKind, &moved), [Effect::StopSyncDaemon(SyncState::Master), start]);
    }
}
