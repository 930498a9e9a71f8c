//! `keepalived.conf` as types: only what can be written without a complaint of `keepalived -t` can be said here.
//!
//! The names are those of keepalived.conf(5). Texts are [`Word`]s, so that rendering cannot fail. To support a further
//! keyword, add a field here, fill it in `build` and write it in `render`.

use std::net::IpAddr;
use std::time::Duration;

use super::quote::{SecretWord, Word};
use crate::effect::{DestinationKey, ServiceKey};
use crate::topology::{Forwarding, Preemption, Scheduler, SyncOptions, VrrpVersion};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `global_defs`.
    pub global: GlobalDefs,
    /// Each `vrrp_instance`.
    pub instances: Vec<VrrpInstance>,
    /// Each `virtual_server`.
    pub servers: Vec<VirtualServer>,
}

/// `global_defs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalDefs {
    /// `router_id`.
    pub router_id: Word,
    /// Where mail goes, if anywhere.
    pub mail: Option<Mail>,
    /// `lvs_sync_daemon`.
    pub sync_daemon: Option<SyncDaemon>,
}

/// `notification_email`, `notification_email_from`, `smtp_server` and `smtp_connect_timeout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The recipients.
    pub to: Vec<Word>,
    /// The sender.
    pub from: Word,
    /// The server.
    pub smtp: Word,
    /// Its port.
    pub port: u16,
    /// How long to wait for it.
    pub timeout: Duration,
}

/// `lvs_sync_daemon`: the synchronisation of connections follows the state of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    /// The interface.
    pub interface: Word,
    /// The instance.
    pub instance: Word,
    /// The sync id.
    pub id: u8,
    /// How messages travel.
    pub options: SyncOptions,
}

/// `vrrp_instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrrpInstance {
    /// Its name.
    pub name: Word,
    /// Whether it starts as the master (`state`).
    pub starts_as_master: bool,
    /// `interface`.
    pub interface: Word,
    /// `virtual_router_id`.
    pub virtual_router_id: u8,
    /// `priority`.
    pub priority: u8,
    /// `advert_int`.
    pub advert_interval: Duration,
    /// `version`.
    pub version: VrrpVersion,
    /// `nopreempt` or `preempt_delay`.
    pub preemption: Preemption,
    /// `auth_pass`.
    pub auth_pass: Option<SecretWord>,
    /// `unicast_src_ip` and `unicast_peer`.
    pub unicast: Option<Unicast>,
    /// `smtp_alert`.
    pub smtp_alert: bool,
    /// `virtual_ipaddress`.
    pub addresses: Vec<VirtualAddress>,
}

/// Adverts to named peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unicast {
    /// This director's address.
    pub source: IpAddr,
    /// The others'.
    pub peers: Vec<IpAddr>,
}

/// A line of `virtual_ipaddress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length.
    pub prefix: u8,
    /// `dev`.
    pub device: Word,
    /// `label`.
    pub label: Option<Word>,
}

/// `virtual_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServer {
    /// Its identity.
    pub key: ServiceKey,
    /// `delay_loop`.
    pub interval: Duration,
    /// `lb_algo` and the scheduler's flags.
    pub scheduler: Scheduler,
    /// `lb_kind`.
    pub forwarding: Forwarding,
    /// `persistence_timeout` in seconds and `persistence_granularity` as a prefix.
    pub persistence: Option<(u32, Option<u8>)>,
    /// Each `real_server`.
    pub servers: Vec<RealServer>,
}

/// `real_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// Its identity.
    pub key: DestinationKey,
    /// `weight`.
    pub weight: u32,
    /// `lvs_method`, where it differs from the service's.
    pub forwarding: Option<Forwarding>,
    /// `inhibit_on_failure`.
    pub inhibit: bool,
    /// `uthreshold`, 0 for none.
    pub upper: u32,
    /// `lthreshold`, 0 for none.
    pub lower: u32,
    /// What watches it.
    pub checker: Option<Checker>,
}

/// A checker of a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    /// What is tried.
    pub kind: CheckerKind,
    /// `connect_port`.
    pub port: u16,
    /// `connect_timeout`.
    pub timeout: Duration,
    /// `delay_loop`, where it differs from the service's.
    pub interval: Option<Duration>,
    /// `retry`.
    pub retries: u32,
    /// `delay_before_retry`.
    pub retry_delay: Duration,
}

/// The sort of a checker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckerKind {
    /// `TCP_CHECK`.
    Tcp,
    /// `HTTP_GET`.
    Http(Page),
    /// `SSL_GET`.
    Https(Page),
}

/// `url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `path`.
    pub path: Word,
    /// `status_code`; every 2xx if absent.
    pub status: Option<u16>,
    /// `virtualhost`.
    pub host: Option<Word>,
}
