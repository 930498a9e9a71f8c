//! Failover between directors, as VRRP knows it (RFC 5798).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{FailoverOptions, HostName, Secret, SyncDaemon};
use crate::source::Spanned;

/// The version of the protocol that keepalived speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VrrpVersion {
    /// RFC 3768; the only one with authentication.
    #[default]
    V2,
    /// RFC 5798; the only one for IPv6 and for advert intervals under a second.
    V3,
}

/// What a director with a higher priority does when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// Takes over at once.
    Immediate,
    /// Takes over after a delay.
    After(Duration),
    /// Leaves the master alone.
    Never,
}

/// A director's part in a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The director.
    pub director: Spanned<HostName>,
    /// 1 to 254; the highest is the preferred master.
    pub priority: Spanned<u8>,
    /// The address that its adverts come from, if one is named.
    pub source_address: Option<Spanned<IpAddr>>,
}

/// Directors that keep one set of VIPs alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The group's name, which becomes the `vrrp_instance`.
    pub name: Spanned<String>,
    /// Its directors.
    pub members: BTreeMap<HostName, Member>,
    /// 1 to 255, unique on the segment.
    pub virtual_router_id: Spanned<u8>,
    /// The interface; `None` means each director's own.
    pub interface: Option<Spanned<String>>,
    /// Time between two adverts.
    pub advert_interval: Duration,
    /// Whether a better director takes over.
    pub preemption: Preemption,
    /// The password of VRRP version 2.
    pub auth_pass: Option<Spanned<Secret>>,
    /// The protocol's version.
    pub version: VrrpVersion,
    /// Whether adverts go to the other directors' own addresses instead of the multicast group.
    pub unicast: bool,
    /// Connection synchronisation, if asked for.
    pub sync_daemon: Option<SyncDaemon>,
    /// Whether keepalived mails on a transition.
    pub email: bool,
    /// Everything else.
    pub options: FailoverOptions,
}

impl Failover {
    /// Returns the directors, the preferred master first; equal priorities in the order of names.
    pub fn by_priority(&self) -> Vec<&HostName> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_key(|(name, member)| (std::cmp::Reverse(member.priority.value), (*name).clone()));
        members.into_iter().map(|(name, _)| name).collect()
    }
}

/// Where keepalived sends its mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The recipients.
    pub to: Vec<String>,
    /// The sender.
    pub from: String,
    /// The server's name or address.
    pub smtp: String,
    /// The server's port, 25 if absent.
    pub port: Option<u16>,
    /// How long to wait for the server.
    pub timeout: Duration,
}
