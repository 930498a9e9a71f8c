//! `keepalived.conf` as types: only what can be written without a complaint of `keepalived -t` can be said here.
//!
//! The names are those of keepalived.conf(5). Texts are [`Word`]s, so that rendering cannot fail. To support a further
//! keyword, add a field here, fill it in `build` and write it in `render`.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::quote::{RawLine, SecretWord, Word};
use crate::effect::{DestinationKey, ServiceKey};
use crate::topology::{Forwarding, Garp, Preemption, Scheduler, SyncOptions, Tunnel, VrrpVersion};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `global_defs`.
    pub global: GlobalDefs,
    /// Each `vrrp_script`.
    pub scripts: Vec<VrrpScript>,
    /// Each `vrrp_sync_group`, with its instances.
    pub sync_groups: Vec<(Word, Vec<Word>)>,
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
    /// `mcast_src_ip`.
    pub source: Option<IpAddr>,
    /// `use_vmac`, with the name of the interface that it makes.
    pub virtual_interface: Option<Word>,
    /// `garp_master_delay`, `garp_master_repeat` and `garp_master_refresh`.
    pub garp: Garp,
    /// `track_interface`.
    pub tracked_interfaces: Vec<Word>,
    /// `track_script`.
    pub tracked_scripts: Vec<Word>,
    /// `notify_master` and its like.
    pub notify: Vec<StateNotify>,
    /// `virtual_ipaddress`.
    pub addresses: Vec<VirtualAddress>,
    /// `virtual_ipaddress_excluded`.
    pub excluded: Vec<VirtualAddress>,
    /// `virtual_routes`.
    pub routes: Vec<VirtualRoute>,
    /// What the operator wrote in keepalived's own language.
    pub raw: Vec<RawLine>,
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
    /// `dev`; without it the address is on the interface of the virtual hardware address.
    pub device: Option<Word>,
    /// `label`.
    pub label: Option<Word>,
}

/// A line of `virtual_routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRoute {
    /// Where it leads.
    pub network: IpNet,
    /// `via`.
    pub via: IpAddr,
    /// `dev`; without it `keepalived -t` complains that it cannot track the route.
    pub device: Word,
}

/// `vrrp_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrrpScript {
    /// Its name.
    pub name: Word,
    /// `script`.
    pub run: Word,
    /// `interval`.
    pub interval: Duration,
    /// `weight`.
    pub weight: i16,
    /// `rise`.
    pub rise: u32,
    /// `fall`.
    pub fall: u32,
    /// `user`.
    pub user: Word,
}

/// A line such as `notify_master`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateNotify {
    /// The keyword.
    pub keyword: &'static str,
    /// The program with its arguments.
    pub run: Word,
    /// Who runs it.
    pub user: Word,
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
    /// `ops`.
    pub one_packet: bool,
    /// `persistence_engine`.
    pub engine: Option<Word>,
    /// `persistence_timeout` in seconds and `persistence_granularity` as a prefix.
    pub persistence: Option<(u32, Option<u8>)>,
    /// `alpha`.
    pub alpha: bool,
    /// `omega`.
    pub omega: bool,
    /// `quorum`, `hysteresis`, `quorum_up` and `quorum_down`.
    pub quorum: Option<Quorum>,
    /// `sorry_server`.
    pub sorry: Option<DestinationKey>,
    /// Each `real_server`.
    pub servers: Vec<RealServer>,
}

/// What makes a virtual server usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// `quorum`.
    pub weight: u32,
    /// `hysteresis`.
    pub hysteresis: u32,
    /// `quorum_up` and `quorum_down`.
    pub notify: Notify,
}

/// A program with its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program with its arguments.
    pub line: Word,
    /// The user.
    pub user: Word,
}

/// Who is told of a transition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `notify_up` or `quorum_up`.
    pub up: Option<Program>,
    /// `notify_down` or `quorum_down`.
    pub down: Option<Program>,
}

/// `real_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// Its identity.
    pub key: DestinationKey,
    /// `weight`.
    pub weight: u32,
    /// `lvs_method`, where it differs from the service's or is not plain.
    pub method: Option<(Forwarding, Tunnel)>,
    /// `inhibit_on_failure`.
    pub inhibit: bool,
    /// `uthreshold`, 0 for none.
    pub upper: u32,
    /// `lthreshold`, 0 for none.
    pub lower: u32,
    /// `notify_up` and `notify_down`.
    pub notify: Notify,
    /// What watches it.
    pub checker: Option<Checker>,
}

/// A checker of a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    /// What is tried.
    pub kind: CheckerKind,
    /// `connect_port`, where a port is tried.
    pub port: Option<u16>,
    /// `connect_timeout`, or `misc_timeout`.
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
    /// `UDP_CHECK` with its `payload` and `require_reply`.
    Udp(Option<Word>, bool),
    /// `DNS_CHECK` with its `name` and `type`.
    Dns(Word, Word),
    /// `SMTP_CHECK` with its `helo_name`.
    Smtp(Option<Word>),
    /// `PING_CHECK`.
    Ping,
    /// `MISC_CHECK` with its `misc_path` and `user`.
    Script(Word, Word),
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
    /// `digest`.
    pub digest: Option<Word>,
    /// `regex`.
    pub regex: Option<Word>,
    /// `enable_sni`, of the whole checker.
    pub sni: bool,
}
