//! keepalived: its configuration file and its running daemon.
//!
//! `build` makes the typed [`model`] of a director's configuration out of a topology, `render` writes it, and `quote` is the
//! only way for an operator's text into it. `observe` shows a live file without its passwords, `read` is the one parser of such
//! a file, and `vrrp` says what its instances hold. What keepalived does with the kernel's table after a reload is told in
//! `kinds::ipvs::effects`.

mod build;
mod handover;
#[cfg(test)]
mod hostile;
mod instance;
mod instance_text;
pub mod model;
mod observe;
mod order;
mod passage;
mod quote;
mod read;
mod render;
mod script;
mod server;
mod supervision;
#[cfg(test)]
mod tests;
pub mod vrrp;

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::chain::ChainKind;
use super::module::ModuleKind;
use super::sysctl::SysctlKind;
use super::{Context, Kind, ParseError, Scope, Site, delivery, ids};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{Action, Change, Entry, Resource, ResourceId, ResourceKey};
use crate::source::Problems;
use crate::topology::{Host, SecretText, TextPiece};

pub use observe::masked;
pub use passage::{Passage, passages};
pub use quote::{Refusal, SecretWord, Word};
pub use read::{Block, blocks};
pub use render::{HEADER, render, without};
pub use vrrp::addresses;

/// Where keepalived looks for its configuration.
pub const CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";

/// The mode of the configuration: it may hold a password.
pub const MODE: u32 = 0o600;

/// The kind of keepalived's configuration and daemon.
#[derive(Clone, Copy, Debug)]
pub struct KeepalivedKind;

/// Returns the digest of a configuration, SHA-256 in hexadecimal; a text with an unknown secret is taken masked.
pub fn digest(text: &SecretText) -> String {
    let shown = text.expose().unwrap_or_else(|| text.masked());
    Sha256::digest(shown.as_bytes()).iter().fold(String::new(), |mut digest, byte| {
        let _ = write!(digest, "{byte:02x}");
        digest
    })
}

/// Returns the effect that puts a configuration of lvsctl's own in place.
pub fn write(text: &SecretText) -> Effect {
    put(text, MODE, false)
}

/// Returns the effect that puts a configuration in place; `keep` saves the one that is there.
fn put(text: &SecretText, mode: u32, keep: bool) -> Effect {
    // What somebody else wrote is put back by an undo as it was, complaints included.
    let keepalived_test = is_own(text);
    Effect::WriteFile { path: CONFIGURATION.to_owned(), text: text.clone(), mode, keepalived_test, keep_previous: keep }
}

/// Tells whether lvsctl wrote a configuration, as far as the text shows.
fn is_own(text: &SecretText) -> bool {
    matches!(text.pieces().first(), Some(TextPiece::Plain(plain)) if plain.starts_with(HEADER))
}

impl Kind for KeepalivedKind {
    fn name(&self) -> &'static str {
        "keepalived"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::KeepalivedConfiguration | ResourceKey::KeepalivedDaemon)
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        let Some(origin) = build::origin(site, host) else {
            return Vec::new();
        };
        let Some(configuration) = build::configuration(site, host, problems) else {
            return Vec::new();
        };
        let text = render(&configuration);
        let daemon = Resource::Daemon { configuration: Some(digest(&text)) };
        let file = Entry::new(ResourceKey::KeepalivedConfiguration, Resource::File { text, mode: MODE });
        let file = file.origin(origin).requires_all(requirements(site, host));
        let daemon = Entry::new(ResourceKey::KeepalivedDaemon, daemon)
            .origin(origin)
            .requires(ids::keepalived_configuration(&host.name.value));
        vec![file, daemon]
    }

    fn probes(&self, _scope: &Scope<'_>) -> Vec<Probe> {
        vec![Probe::File(CONFIGURATION.to_owned()), Probe::Keepalived]
    }

    fn parse(&self, _scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            match answer {
                Answer::File(_, None) => {}
                Answer::File(_, Some(file)) => entries.push(Entry::new(
                    ResourceKey::KeepalivedConfiguration,
                    Resource::File { text: masked(&file.text), mode: file.mode },
                )),
                Answer::Daemon(daemon) => entries.extend(daemon.pid.map(|_| {
                    let configuration = daemon.configuration.clone();
                    Entry::new(ResourceKey::KeepalivedDaemon, Resource::Daemon { configuration })
                })),
                _ => {
                    let message = "expected a file and the state of keepalived".to_owned();
                    return Err(ParseError { kind: self.name(), message });
                }
            }
        }
        Ok(entries)
    }

    fn effects(&self, change: &Change, context: &Context<'_>) -> Vec<Effect> {
        match (change.action, &change.after) {
            (Action::Delete, _) => match change.key() {
                ResourceKey::KeepalivedDaemon => {
                    [Effect::StopKeepalived].into_iter().chain(handover::ended_daemons(context)).collect()
                }
                _ => vec![Effect::RemoveFile { path: CONFIGURATION.to_owned() }],
            },
            (_, Some(Resource::File { text, mode })) => {
                let Some(Resource::File { text: before, .. }) = &change.before else {
                    return vec![put(text, *mode, false)];
                };
                let foreign = !is_own(before);
                let mut effects = handover::first_stage((before, text), *mode, foreign, context);
                let is_kept = foreign && !effects.is_empty();
                effects.push(put(text, *mode, foreign && !is_kept));
                effects
            }
            (action, Some(Resource::Daemon { configuration })) => {
                let configuration = configuration.clone().unwrap_or_default();
                match action {
                    Action::Create => vec![Effect::StartKeepalived { configuration }],
                    _ => [Effect::ReloadKeepalived { configuration }]
                        .into_iter()
                        .chain(handover::let_go(context))
                        .collect(),
                }
            }
            _ => Vec::new(),
        }
    }
}

/// Returns what must be in place before keepalived on a director may take a VIP or send a packet on.
fn requirements(site: &Site<'_>, host: &Host) -> Vec<ResourceId> {
    // Their problems are reported by those kinds themselves.
    let mut reported = Problems::default();
    let kinds: [&dyn Kind; 3] = [&ModuleKind, &SysctlKind, &ChainKind];
    let here = kinds.into_iter().flat_map(|kind| kind.compile(site, host, &mut reported)).map(|entry| entry.key);
    let mut all: Vec<ResourceId> = here.map(|key| ResourceId::new(&host.name.value, key)).collect();
    for vip in site.topology.vips_of(&host.name.value) {
        let servers = vip.services.iter().flat_map(|service| &service.servers);
        all.extend(servers.flat_map(|server| delivery::requirements(site.topology, vip, server)));
    }
    all.extend(order::before(site, &host.name.value).into_iter().map(ids::keepalived_daemon));
    all
}
