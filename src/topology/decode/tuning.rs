//! What is turned on a host: timeouts, the connection table, offloading.

use std::collections::BTreeMap;

use crate::document::Node;
use crate::source::{Problem, Problems, Spanned};
use crate::topology::{IpvsTimeout, Offload, Offloads, OwnSyncDaemon, OwnSyncDaemons, SyncOptions, SyncState, Tuning};

/// The longest timeout that every kernel takes: `INT_MAX / HZ` seconds where HZ is 1000 (`ip_vs_set_timeout`).
const LONGEST: u32 = 2_147_483;

/// What the kernel makes room for in a daemon that receives, at the least (`start_sync_thread`).
const LEAST_RECEIVED: u16 = 1024;

/// Decodes what is turned on a host.
pub fn tuning(node: &Node, problems: &mut Problems) -> Tuning {
    let bits = node.child("connection-table-bits").and_then(|child| child.argument(0)?.integer());
    Tuning {
        timeouts: node.child("timeouts").map(|child| timeouts(child, problems)).unwrap_or_default(),
        connection_table_bits: bits,
        offloads: offloads(node, problems),
        sync_daemons: sync_daemons(node, problems),
    }
}

fn timeouts(node: &Node, problems: &mut Problems) -> BTreeMap<IpvsTimeout, Spanned<u32>> {
    let mut timeouts = BTreeMap::new();
    for timeout in IpvsTimeout::ALL {
        let Some(written) = node.property(timeout.as_str()).and_then(|value| value.duration()) else { continue };
        match u32::try_from(written.value.as_secs()) {
            // ipvsadm's word for a timeout that stays as it is.
            Ok(0) => {}
            Ok(seconds) if seconds <= LONGEST => {
                timeouts.insert(timeout, Spanned::new(seconds, written.span));
            }
            _ => problems.push(
                Problem::error("out-of-range", format!("The timeout {timeout} is longer than a kernel can count"))
                    .label(written.span, "too long")
                    .help(format!("Use at most \"{LONGEST}s\"")),
            ),
        }
    }
    timeouts
}

fn offloads(node: &Node, problems: &mut Problems) -> Vec<Offloads> {
    let mut found: Vec<Offloads> = Vec::new();
    for child in node.children_named("offload") {
        let interface = child.property("interface").and_then(|value| value.text()).map(|text| text.map(str::to_owned));
        let switch = |offload: Offload| {
            let value = child.property(offload.as_str())?;
            Some((offload, Spanned::new(value.flag()?, value.span)))
        };
        let switches: BTreeMap<_, _> = Offload::ALL.into_iter().filter_map(switch).collect();
        let same = |known: &&Offloads| {
            known.interface.as_ref().map(|name| &name.value) == interface.as_ref().map(|name| &name.value)
        };
        match found.iter().find(same) {
            Some(first) => problems.push(
                Problem::error("duplicate-name", "The offloading of one interface is said twice")
                    .label(child.span, "said again")
                    .label(first.span, "said first")
                    .help("Write it in one line, or name another interface"),
            ),
            None => found.push(Offloads { interface, switches, span: child.span }),
        }
    }
    found
}

fn sync_daemons(node: &Node, problems: &mut Problems) -> OwnSyncDaemons {
    let mut daemons = OwnSyncDaemons::new();
    for child in node.children_named("sync-daemon") {
        let name = child.argument(0).and_then(|value| value.text());
        let Some(state) =
            SyncState::ALL.into_iter().find(|state| name.is_some_and(|name| name.value == state.as_str()))
        else {
            continue;
        };
        let daemon = OwnSyncDaemon {
            interface: child.property("interface").and_then(|value| value.text()).map(|text| text.map(str::to_owned)),
            id: child.property("id").and_then(|value| value.integer()).map_or(0, |id| id.value),
            options: sync_options(child),
            span: child.span,
        };
        if let (SyncState::Backup, Some(maxlen @ ..LEAST_RECEIVED)) = (state, daemon.options.maxlen) {
            let span = child.property("maxlen").map_or(child.span, |value| value.span);
            problems.push(
                Problem::error("out-of-range", format!("A backup daemon cannot be held to {maxlen} bytes"))
                    .label(span, "the kernel would take 1024 without a word")
                    .help("Use at least 1024; only a master daemon may send shorter messages"),
            );
        }
        match daemons.get(&state) {
            Some(first) => problems.push(
                Problem::error("duplicate-name", format!("The director would run two sync daemons as {state}"))
                    .label(child.span, "a second one")
                    .label(first.span, "the first one")
                    .help("Keep one: it synchronises the connections of every VIP, and the kernel has room for one"),
            ),
            None => {
                daemons.insert(state, daemon);
            }
        }
    }
    daemons
}

/// Decodes how synchronisation messages travel.
pub fn sync_options(node: &Node) -> SyncOptions {
    let number = |name: &str| node.property(name).and_then(|value| value.integer::<u16>()).map(|number| number.value);
    SyncOptions {
        group: node.property("group").and_then(|value| value.text()?.parse().ok()),
        port: number("port"),
        ttl: number("ttl").and_then(|ttl| u8::try_from(ttl).ok()),
        maxlen: number("maxlen"),
    }
}
