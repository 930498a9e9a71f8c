//! The synchronisation of connection tables between directors.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::source::{Span, Spanned};

/// Which half of the synchronisation a daemon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncState {
    /// It sends what it learns of connections.
    Master,
    /// It receives that.
    Backup,
}

impl SyncState {
    /// Both halves; a director may do both at once.
    pub const ALL: [SyncState; 2] = [SyncState::Master, SyncState::Backup];

    /// Returns the name that the language and ipvsadm use.
    pub fn as_str(self) -> &'static str {
        match self {
            SyncState::Master => "master",
            SyncState::Backup => "backup",
        }
    }
}

impl fmt::Display for SyncState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How synchronisation messages travel; what is `None` is the kernel's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncOptions {
    /// The multicast group.
    pub group: Option<IpAddr>,
    /// The UDP port.
    pub port: Option<u16>,
    /// How many routers a message may pass.
    pub ttl: Option<u8>,
    /// The longest message in bytes.
    pub maxlen: Option<u16>,
}

/// Synchronisation under a failover, where keepalived runs the daemons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    /// The interface of the multicast; `None` means the failover's.
    pub interface: Option<Spanned<String>>,
    /// The daemon's sync id, 0 to 255; `None` means the virtual router id.
    pub id: Option<Spanned<u8>>,
    /// How messages travel.
    pub options: SyncOptions,
    /// Where it was asked for.
    pub span: Span,
}

/// A daemon that a director runs without keepalived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSyncDaemon {
    /// The interface of the multicast; `None` means the director's own.
    pub interface: Option<Spanned<String>>,
    /// The daemon's sync id, 0 to 255.
    pub id: u8,
    /// How messages travel.
    pub options: SyncOptions,
    /// Where it was asked for.
    pub span: Span,
}

/// The daemons of one director.
pub type OwnSyncDaemons = BTreeMap<SyncState, OwnSyncDaemon>;
