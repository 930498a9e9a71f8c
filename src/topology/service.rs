//! VIPs, virtual services, the servers behind them and the checks that watch those.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HostName, Notify, Supervision};
use crate::source::{Span, Spanned};

/// A transport protocol that IPVS balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, `IPPROTO_TCP` 6.
    Tcp,
    /// UDP, `IPPROTO_UDP` 17.
    Udp,
    /// SCTP, `IPPROTO_SCTP` 132.
    Sctp,
}

impl Protocol {
    /// Returns the name that ipvsadm, iptables and /etc/protocols use.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a packet gets from the director to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// Masquerading: addresses and ports are rewritten, replies pass the director.
    Nat,
    /// Direct routing: only the hardware address is rewritten.
    Dr,
    /// IP in IP tunnelling.
    Tun,
    /// Masquerading with the director's own address as the source as well; to IPVS itself that is [`Forwarding::Nat`].
    FullNat,
    /// Handled by the director itself (`IP_VS_CONN_F_LOCALNODE`); seen live, never written.
    Local,
    /// Passed on to the original destination (`IP_VS_CONN_F_BYPASS`); seen live, never written.
    Bypass,
}

impl Forwarding {
    /// Returns the method as IPVS knows it.
    pub fn in_kernel(self) -> Self {
        if self == Forwarding::FullNat { Forwarding::Nat } else { self }
    }

    /// Tells whether addresses and ports are rewritten.
    pub fn translates(self) -> bool {
        self.in_kernel() == Forwarding::Nat
    }
}

/// How a packet is wrapped on its way to a real server under tunnelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// The UDP port on the real server.
        port: u16,
        /// How it is protected: 1 by the checksum of UDP, 2 by one that is offloaded (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
        flags: u16,
    },
    /// Generic routing encapsulation.
    Gre {
        /// How it is protected: 1 by a checksum.
        flags: u16,
    },
}

impl Tunnel {
    /// The flag for a checksum (`IP_VS_TUNNEL_ENCAP_FLAG_CSUM`).
    pub const CHECKSUM: u16 = 1;

    /// Tells whether this is the plain form, which is the kernel's default.
    pub fn is_plain(&self) -> bool {
        *self == Tunnel::Ipip
    }
}

/// How a real server comes to accept packets for the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// The VIP is on `lo`, and ARP is kept quiet about it.
    Loopback,
    /// The VIP is on the interface at which tunnelled packets come out, such as `tunl0`.
    Tunnel,
    /// The VIP is on a dummy interface of its own.
    Dummy,
    /// iptables redirects packets for the VIP to the real server's own address.
    Redirect,
    /// Nothing is done.
    None,
}

/// A port, or a range of ports with both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first port; 0 stands for every port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    /// Makes a range of one port.
    pub fn single(port: u16) -> Self {
        PortRange { first: port, last: port }
    }

    /// Returns the port of a range of one.
    pub fn as_single(self) -> Option<u16> {
        (self.first == self.last).then_some(self.first)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_single() {
            Some(port) => write!(formatter, "{port}"),
            None => write!(formatter, "{}-{}", self.first, self.last),
        }
    }
}

/// A protocol and port that a service answers on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The protocol.
    pub protocol: Protocol,
    /// The port, or with a mark a range of them.
    pub ports: PortRange,
    /// Where it was written.
    pub span: Span,
}

/// How IPVS chooses a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// The kernel's name: rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh.
    pub name: String,
    /// `sh` and `mh`: take another server when the chosen one has weight 0 (`IP_VS_SVC_F_SCHED1`).
    pub fallback: bool,
    /// `sh` and `mh`: hash the source port as well (`IP_VS_SVC_F_SCHED2`).
    pub port: bool,
}

/// Keeps a client on its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// How long after the last connection; whole seconds, at least one.
    pub timeout: Duration,
    /// Clients in one network of this prefix count as one; `None` means each address by itself.
    pub netmask: Option<u8>,
}

/// What keepalived does with a server whose check fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Removes it from the kernel's table.
    #[default]
    Remove,
    /// Sets its weight to 0.
    Inhibit,
}

/// What an HTTP or HTTPS check asks and expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpCheck {
    /// The path, with its leading slash.
    pub path: String,
    /// The expected status, 100 to 999; `None` accepts every 2xx.
    pub status: Option<u16>,
    /// The `Host` header; keepalived sends the server's address if absent.
    pub host: Option<String>,
    /// The MD5 digest of the page, 32 hexadecimal digits (`genhash(1)`).
    pub digest: Option<String>,
    /// A regular expression that the page must match.
    pub regex: Option<String>,
    /// Whether the TLS handshake names `host` (RFC 6066, section 3).
    pub sni: bool,
}

/// What a UDP check sends and expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpCheck {
    /// What is sent, in hexadecimal; keepalived's own bytes if absent.
    pub payload: Option<String>,
    /// Whether an answer must come; without one, the server counts as up unless it refuses the datagram.
    pub reply: bool,
}

/// What a DNS check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsCheck {
    /// The name that is asked for.
    pub name: String,
    /// The type of record, such as `SOA`.
    pub record: String,
}

/// What a script check runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCheck {
    /// The program's absolute path and its arguments, split at spaces.
    pub run: String,
    /// Who runs it.
    pub user: String,
}

/// Which of keepalived's checkers watches a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A connection is accepted (`TCP_CHECK`).
    Tcp,
    /// A page is served (`HTTP_GET`).
    Http(HttpCheck),
    /// A page is served over TLS (`SSL_GET`).
    Https(HttpCheck),
    /// A datagram is not refused, or is answered (`UDP_CHECK`).
    Udp(UdpCheck),
    /// A name is resolved (`DNS_CHECK`).
    Dns(DnsCheck),
    /// A mail server greets (`SMTP_CHECK`), with the name that the client gives itself.
    Smtp(Option<String>),
    /// An ICMP echo is answered (`PING_CHECK`).
    Ping,
    /// A program on the director exits with 0 (`MISC_CHECK`).
    Script(ScriptCheck),
}

impl CheckKind {
    /// Tells whether the check tries a port.
    pub fn has_port(&self) -> bool {
        !matches!(self, CheckKind::Ping | CheckKind::Script(_))
    }

    /// Returns the word of the language.
    pub fn word(&self) -> &'static str {
        match self {
            CheckKind::Tcp => "tcp",
            CheckKind::Http(_) => "http",
            CheckKind::Https(_) => "https",
            CheckKind::Udp(_) => "udp",
            CheckKind::Dns(_) => "dns",
            CheckKind::Smtp(_) => "smtp",
            CheckKind::Ping => "ping",
            CheckKind::Script(_) => "script",
        }
    }
}

/// Watches a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is tried.
    pub kind: CheckKind,
    /// Time between two tries (`delay_loop`).
    pub interval: Duration,
    /// Time to wait for an answer (`connect_timeout`).
    pub timeout: Duration,
    /// Further tries before a server counts as failed (`retry`).
    pub retries: u32,
    /// Time between those tries (`delay_before_retry`).
    pub retry_delay: Duration,
    /// The port to try; `None` means the server's own.
    pub port: Option<u16>,
    /// Where it was written.
    pub span: Span,
}

/// A real server's part in a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The host.
    pub host: Spanned<HostName>,
    /// The host's address that receives the packets.
    pub address: IpAddr,
    /// The port on the server; `None` means the listened one.
    pub port: Option<Spanned<u16>>,
    /// Its share, 0 to 65535; 0 admits no new connection.
    pub weight: u32,
    /// Connections at which the server is taken out, 0 for no limit.
    pub upper: u32,
    /// Connections at which it is taken in again.
    pub lower: u32,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// How they are wrapped under tunnelling.
    pub tunnel: Tunnel,
    /// How it comes to accept them: the VIP's `delivery`, or what its forwarding method implies.
    pub delivery: Delivery,
    /// What watches it.
    pub check: Option<Check>,
    /// Who is told that it comes or goes.
    pub notify: Notify,
    /// Where it was written.
    pub span: Span,
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name, unique within the VIP.
    pub name: Spanned<String>,
    /// What it answers on; at least one.
    pub listens: Vec<Listen>,
    /// The firewall mark that keys the service, if it is keyed by one.
    pub fwmark: Option<Spanned<u32>>,
    /// How a server is chosen.
    pub scheduler: Scheduler,
    /// Whether clients stay on their server.
    pub persistence: Option<Persistence>,
    /// The kernel's engine that tells clients apart, such as `sip`; addresses without it.
    pub engine: Option<String>,
    /// Whether each packet is balanced by itself; UDP only.
    pub one_packet: bool,
    /// Whether the director opens connections in the servers' place, where that is asked for.
    pub syn_proxy: Option<Span>,
    /// How long a server that is taken out may finish; a time of lvsctl's own unless written.
    pub drain: Option<Duration>,
    /// What happens to a server whose check fails.
    pub on_failure: OnFailure,
    /// What the checks of its servers come to.
    pub supervision: Supervision,
    /// The servers in the order of writing.
    pub servers: Vec<Server>,
}

impl Service {
    /// Tells whether keepalived programs the service, which it does if any server has a check.
    pub fn is_checked(&self) -> bool {
        self.servers.iter().any(|server| server.check.is_some())
    }
}

/// Who holds a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VipHolder {
    /// The master of a failover.
    Failover(Spanned<String>),
    /// One director.
    Director(Spanned<HostName>),
}

/// A virtual address and what is served on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The address.
    pub address: Spanned<IpAddr>,
    /// The prefix, 32 or 128 unless written.
    pub prefix: u8,
    /// Who holds it.
    pub holder: VipHolder,
    /// The directors' interface for it; `None` means the failover's, else the director's own.
    pub interface: Option<Spanned<String>>,
    /// The address's label on the directors, such as `eth0:1`.
    pub label: Option<Spanned<String>>,
    /// The services in the order of writing.
    pub services: Vec<Service>,
}
