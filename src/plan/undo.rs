//! What takes a step back, effect by effect, because a step can fail half way.
//!
//! Most effects are taken back at once, in the reverse of the order in which they were made. What depends on what
//! keepalived has read comes afterwards, in the order in which it was made: keepalived is told to read its earlier file
//! only when that is in place again, and what it then takes out of the table or puts there is waited for.
//!
//! A loaded module stays, and with it the parameters that it brought: nobody knows who else relies on them by now.

use std::time::Duration;

use crate::effect::{DestinationConfig, DestinationKey, Effect, IpvsCommand, ServiceConfig, ServiceKey, Undo};
use crate::kinds::ipvs::RELOAD;
use crate::kinds::{boot, keepalived, manifest};
use crate::resource::{Change, HostState, Manifest, Resource, ResourceKey};
use crate::topology::IpvsTimeout;

/// Returns what takes each effect of a change back.
///
/// `inverse` holds the effects of the inverse change, and `passing` the services that keepalived takes over on this host.
pub fn undo(
    change: &Change,
    effects: &[Effect],
    inverse: &[Effect],
    observed: &HostState,
    passing: &[ServiceKey],
) -> Vec<Undo> {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Ipvs(command) => Undo::reverse(table(command, observed)),
            Effect::AwaitService { service, present, within } => {
                let (service, present, within) = (*service, !present, *within);
                Undo { afterwards: vec![Effect::AwaitService { service, present, within }], ..Undo::default() }
            }
            Effect::ReplaceDestination { service, destination: server, only_if_there, .. } => {
                let replace = |service, destination, config| Effect::ReplaceDestination {
                    service,
                    destination,
                    config,
                    only_if_there: *only_if_there,
                    // keepalived is told to read its earlier file after this.
                    within: Duration::ZERO,
                };
                Undo::reverse(destination(observed, (*service, *server), replace))
            }
            Effect::AwaitDrained { .. }
            | Effect::AwaitNoAddress { .. }
            | Effect::AwaitNoSyncDaemon { .. }
            | Effect::LoadModule(_) => Undo::default(),
            Effect::WriteSysctl { .. }
            | Effect::SetOffload { .. }
            | Effect::AddFouPort { .. }
            | Effect::RemoveFouPort { .. }
            | Effect::ReplaceDefaultRoute { .. }
            | Effect::RemoveDefaultRoute { .. }
            | Effect::IptablesRestore { .. } => Undo::reverse(inverse.iter().cloned()),
            Effect::AddLink { device, .. } => Undo::reverse([Effect::RemoveLink { device: device.clone() }]),
            Effect::RemoveLink { .. } | Effect::SetLink { .. } => Undo::reverse(links(effect, change, observed)),
            Effect::StartSyncDaemon(state, _) => Undo::reverse([Effect::StopSyncDaemon(*state)]),
            Effect::StopSyncDaemon(state) => Undo::reverse(match resource(observed, change.key()) {
                Some(Resource::SyncDaemon(config)) => Some(Effect::StartSyncDaemon(*state, config.clone())),
                _ => None,
            }),
            Effect::AddAddress { device, address, prefix, .. } => {
                let (device, address, prefix) = (device.clone(), *address, *prefix);
                Undo::reverse([Effect::RemoveAddress { device, address, prefix }])
            }
            Effect::RemoveAddress { device, address, prefix } => {
                let key = ResourceKey::Address { device: device.clone(), address: *address };
                let held = resource(observed, &key).and_then(|held| match held {
                    Resource::Address { label, .. } => Some(label.clone()),
                    _ => None,
                });
                let (device, address, prefix) = (device.clone(), *address, *prefix);
                Undo::reverse(held.map(|label| Effect::AddAddress { device, address, prefix, label }))
            }
            Effect::WriteFile { path, .. } | Effect::WriteLink { path, .. } | Effect::RemoveFile { path } => {
                Undo::reverse([file(path, change, observed)])
            }
            Effect::ReloadUnits => Undo { afterwards: vec![Effect::ReloadUnits], ..Undo::default() },
            Effect::StartKeepalived { .. } => {
                Undo { reverse: vec![Effect::StopKeepalived], afterwards: taken_along(passing, observed) }
            }
            Effect::StopKeepalived => {
                Undo::reverse(read_earlier(observed).map(|configuration| Effect::StartKeepalived { configuration }))
            }
            // What passed between instances passes back as it came, in two stages, and the earlier file is read at once.
            Effect::ReloadKeepalived { .. }
                if is_in_place(observed) && *change.key() == ResourceKey::KeepalivedConfiguration =>
            {
                let read = read_earlier(observed).map(|configuration| Effect::ReloadKeepalived { configuration });
                Undo::reverse(inverse.iter().cloned().chain(read))
            }
            Effect::ReloadKeepalived { .. } if is_in_place(observed) => {
                let read = read_earlier(observed).map(|configuration| Effect::ReloadKeepalived { configuration });
                let afterwards = read.into_iter().chain(taken_along(passing, observed)).collect();
                Undo { afterwards, ..Undo::default() }
            }
            Effect::ReloadKeepalived { .. } => Undo::default(),
        })
        .collect()
}

/// Returns what brings an interface back to how it was; one that came with its module was down.
fn links(effect: &Effect, change: &Change, observed: &HostState) -> Vec<Effect> {
    let was = match resource(observed, change.key()) {
        Some(Resource::Link { sort, is_up }) => (sort.clone(), *is_up),
        _ => (None, false),
    };
    let set = |device: &str, is_up| Effect::SetLink { device: device.to_owned(), is_up };
    match (effect, was) {
        (Effect::RemoveLink { device }, (Some(sort), is_up)) => {
            let made = Effect::AddLink { device: device.clone(), sort };
            let parameters = parameters_of(device, observed);
            [made].into_iter().chain(parameters).chain(is_up.then(|| set(device, true))).collect()
        }
        (Effect::SetLink { device, is_up }, (_, was_up)) if *is_up != was_up => vec![set(device, was_up)],
        _ => Vec::new(),
    }
}

/// Returns what gives an interface that was made anew the parameters back that went with it: it must be quiet before it is up.
fn parameters_of(device: &str, observed: &HostState) -> Vec<Effect> {
    let folders = ["ipv4", "ipv6"].map(|family| format!("net/{family}/conf/{device}/"));
    let of_it = observed.iter().filter_map(|(key, entry)| match (key, &entry.resource) {
        (ResourceKey::Sysctl(key), Resource::Sysctl(value)) => Some((key, value)),
        _ => None,
    });
    let of_it = of_it.filter(|(key, _)| folders.iter().any(|folder| key.path().starts_with(folder)));
    of_it.map(|(key, value)| Effect::WriteSysctl { key: key.clone(), value: value.clone() }).collect()
}

/// Returns what puts lvsctl's own services back which keepalived takes along when it lets go of them.
fn taken_along(passing: &[ServiceKey], observed: &HostState) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in passing {
        effects.push(Effect::AwaitService { service: *key, present: false, within: RELOAD });
        effects.extend(service(observed, *key, IpvsCommand::NewService).map(Effect::Ipvs));
        effects.extend(observed.keys().filter_map(|held| match held {
            ResourceKey::IpvsDestination(of, server) if of == key => {
                destination(observed, (*key, *server), IpvsCommand::NewDestination).map(Effect::Ipvs)
            }
            _ => None,
        }));
    }
    effects
}

fn table(command: &IpvsCommand, observed: &HostState) -> Option<Effect> {
    let command = match command {
        IpvsCommand::SetTimeout(timeout, _) => IpvsCommand::SetTimeout(*timeout, seconds(*timeout, observed)),
        IpvsCommand::NewService(key, _) => IpvsCommand::DeleteService(*key),
        IpvsCommand::NewDestination(key, server, _) => IpvsCommand::DeleteDestination(*key, *server),
        IpvsCommand::SetService(key, _) => service(observed, *key, IpvsCommand::SetService)?,
        IpvsCommand::DeleteService(key) => service(observed, *key, IpvsCommand::NewService)?,
        IpvsCommand::SetDestinationIfThere(key, server, _) => {
            destination(observed, (*key, *server), IpvsCommand::SetDestinationIfThere)?
        }
        IpvsCommand::SetDestination(key, server, _) => {
            destination(observed, (*key, *server), IpvsCommand::SetDestination)?
        }
        IpvsCommand::DeleteDestination(key, server) => {
            destination(observed, (*key, *server), IpvsCommand::NewDestination)?
        }
    };
    Some(Effect::Ipvs(command))
}

/// Returns how long a timeout was; without the module it was what the kernel starts with.
fn seconds(timeout: IpvsTimeout, observed: &HostState) -> u32 {
    match resource(observed, &ResourceKey::IpvsTimeout(timeout)) {
        Some(Resource::Timeout(seconds)) => *seconds,
        _ => timeout.kernel_default(),
    }
}

fn service<T>(observed: &HostState, key: ServiceKey, make: impl Fn(ServiceKey, ServiceConfig) -> T) -> Option<T> {
    match resource(observed, &ResourceKey::IpvsService(key))? {
        Resource::IpvsService { config, .. } => Some(make(key, config.clone())),
        _ => None,
    }
}

fn destination<T>(
    observed: &HostState,
    (key, server): (ServiceKey, DestinationKey),
    make: impl Fn(ServiceKey, DestinationKey, DestinationConfig) -> T,
) -> Option<T> {
    match resource(observed, &ResourceKey::IpvsDestination(key, server))? {
        Resource::IpvsDestination { config, .. } => Some(make(key, server, config.clone())),
        _ => None,
    }
}

/// Returns what puts a file back; a manifest keeps what was about to be owned until everything else is taken back.
fn file(path: &str, change: &Change, observed: &HostState) -> Effect {
    let recorded = |resource: &Option<Resource>| match resource {
        Some(Resource::Manifest(manifest)) => manifest.owned.clone(),
        _ => Default::default(),
    };
    if *change.key() == ResourceKey::Manifest {
        let mut owned = recorded(&change.after);
        owned.extend(recorded(&change.before));
        return manifest::write(&Manifest { owned, is_exposed: false });
    }
    match resource(observed, change.key()) {
        Some(Resource::BootFiles(files)) => boot::put_back(path, files),
        Some(Resource::File { text, mode }) => Effect::WriteFile {
            path: path.to_owned(),
            text: text.clone(),
            mode: *mode,
            // What was there goes back as it was, whatever keepalived thinks of it.
            keepalived_test: false,
            keep_previous: false,
        },
        _ => Effect::RemoveFile { path: path.to_owned() },
    }
}

/// Returns the digest of the configuration that a running keepalived had read.
fn read_earlier(observed: &HostState) -> Option<String> {
    match resource(observed, &ResourceKey::KeepalivedDaemon)? {
        Resource::Daemon { configuration } => Some(configuration.clone().unwrap_or_default()),
        _ => None,
    }
}

/// Tells whether the file holds what the daemon had read; if not, nobody can make it read that again.
fn is_in_place(observed: &HostState) -> bool {
    match resource(observed, &ResourceKey::KeepalivedConfiguration) {
        Some(Resource::File { text, .. }) => {
            read_earlier(observed).is_some_and(|read| read == keepalived::digest(text))
        }
        _ => false,
    }
}

fn resource<'a>(observed: &'a HostState, key: &ResourceKey) -> Option<&'a Resource> {
    observed.get(key).map(|entry| &entry.resource)
}
