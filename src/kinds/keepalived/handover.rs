//! What keepalived lets go of when it reads a changed configuration, or ends: others may be about to take it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::passage::{self, passages};
use super::vrrp::instances;
use super::{addresses, digest, put};
use crate::effect::Effect;
use crate::kinds::Context;
use crate::kinds::ipvs::RELOAD;
use crate::resource::{HostState, Resource, ResourceKey};
use crate::topology::{SecretText, SyncState, TextPiece};

/// What makes keepalived run the daemons that synchronise connections.
const SYNC_DAEMON: &str = "lvs_sync_daemon ";

/// Returns what makes a keepalived that runs let go of what passes between its instances, before the file is put in place that
/// gives it to the other one.
pub(super) fn first_stage(
    (before, after): (&SecretText, &SecretText),
    mode: u32,
    is_foreign: bool,
    context: &Context<'_>,
) -> Vec<Effect> {
    let runs = context.observed.contains_key(&ResourceKey::KeepalivedDaemon);
    let Some(stage) = passage::first_stage(before, after).filter(|_| runs) else { return Vec::new() };
    let passing = passages(&instances(&before.masked()), &instances(&after.masked()));
    let passing: BTreeSet<String> = passing.into_iter().map(|passage| passage.what).collect();
    let passes = |address: &IpAddr| {
        passing.iter().any(|what| what.split('/').next().and_then(|text| text.parse().ok()) == Some(*address))
    };
    let mut effects = vec![put(&stage, mode, is_foreign), Effect::ReloadKeepalived { configuration: digest(&stage) }];
    // That it is gone shows that keepalived has read the first file.
    let gone = addresses(before).into_iter().filter(|(_, address)| passes(address));
    effects.extend(gone.map(|(device, address)| Effect::AwaitNoAddress { device, address, within: RELOAD }));
    effects
}

/// Returns what stops the daemons that keepalived is no longer to run: where the last instance of VRRP goes, 2.2.7 leaves
/// them behind.
pub(super) fn ended_daemons(context: &Context<'_>) -> Vec<Effect> {
    match says(context.observed, SYNC_DAEMON) && !says(context.desired, SYNC_DAEMON) {
        true => [SyncState::Master, SyncState::Backup].map(Effect::StopSyncDaemon).to_vec(),
        false => Vec::new(),
    }
}

/// Tells whether a line of keepalived's configuration begins with a keyword.
fn says(state: &HostState, keyword: &str) -> bool {
    match state.get(&ResourceKey::KeepalivedConfiguration).map(|entry| &entry.resource) {
        Some(Resource::File { text, .. }) => {
            let mut plain = text.pieces().iter().filter_map(|piece| match piece {
                TextPiece::Plain(text) => Some(text),
                TextPiece::Secret(_) => None,
            });
            plain.any(|text| text.lines().any(|line| line.trim_start().starts_with(keyword)))
        }
        _ => false,
    }
}

/// Returns what waits until keepalived has let go of the addresses and daemons that it is no longer to hold: somebody else may
/// be about to take them, and until then a reader would think that they are there.
pub(super) fn let_go(context: &Context<'_>) -> impl Iterator<Item = Effect> {
    let held = |state: &HostState| match state.get(&ResourceKey::KeepalivedConfiguration).map(|entry| &entry.resource) {
        Some(Resource::File { text, .. }) => addresses(text),
        _ => BTreeSet::new(),
    };
    let kept = held(context.desired);
    let gone = held(context.observed).into_iter().filter(move |address| !kept.contains(address));
    let ended = ended_daemons(context);
    let ends_itself = !ended.is_empty() && says(context.desired, "vrrp_instance ");
    let awaited = ends_itself.then_some(Effect::AwaitNoSyncDaemon { within: RELOAD });
    gone.map(|(device, address)| Effect::AwaitNoAddress { device, address, within: RELOAD }).chain(awaited).chain(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Capabilities;
    use crate::resource::Entry;
    use crate::topology::SecretText;

    fn state(text: &str) -> HostState {
        let file = Resource::File { text: SecretText::plain(text), mode: 0o600 };
        let entry = Entry::new(ResourceKey::KeepalivedConfiguration, file);
        [(entry.key.clone(), entry)].into()
    }

    #[test]
    fn daemons_that_keepalived_is_no_longer_to_run_are_awaited_and_stopped() {
        let with = "global_defs {\n    lvs_sync_daemon eth0 ext id 1\n}\nvrrp_instance ext {\n}\n";
        let without = "vrrp_instance ext {\n}\n";
        let (capabilities, changed) = (Capabilities::default(), BTreeSet::new());
        let effects = |observed: &str, desired: &str| {
            let (observed, desired) = (state(observed), state(desired));
            let context = Context {
                capabilities: &capabilities,
                changed: &changed,
                desired: &desired,
                observed: &observed,
                ahead: &std::collections::BTreeMap::new(),
            };
            let_go(&context).collect::<Vec<_>>()
        };
        let stopped = [SyncState::Master, SyncState::Backup].map(Effect::StopSyncDaemon);
        assert_eq!(effects(with, with), []);
        assert_eq!(effects(without, with), []);
        let gone = effects(with, without);
        assert_eq!((&gone[0], &gone[1..]), (&Effect::AwaitNoSyncDaemon { within: RELOAD }, &stopped[..]));
        // Without an instance keepalived stops nothing by itself.
        assert_eq!(effects(with, "global_defs {\n}\n"), stopped);
    }
}
