//! A rule of iptables in canonical form.
//!
//! Rules that lvsctl writes are held typed, so that `--set-mark 1` and `--set-xmark 0x1/0xffffffff` are one value. A
//! live rule that says anything further is kept as its text, and is therefore different from every typed one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::topology::{MacAddress, PortRange, Protocol};

/// Matches a protocol and the ports that packets go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMatch {
    /// The protocol (`-p`).
    pub protocol: Protocol,
    /// The destination ports (`--dport`); `None` for every port.
    pub ports: Option<PortRange>,
}

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleTarget {
    /// Leaves the chain.
    Return,
    /// Sets the packet's mark, all 32 bits of it.
    Mark(u32),
    /// Sends the packet to this host's own address, and to this port if one is named.
    Redirect(Option<u16>),
}

/// What a rule beside a virtual service does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceRule {
    /// Announces to clients that segments may be at most so large (`TCPMSS`).
    ClampSegments(u16),
    /// Gives what IPVS sends to a real server the director's own address as its source (`MASQUERADE`).
    Masquerade {
        /// The VIP that it came for (`-m ipvs --vaddr`).
        vip: IpAddr,
    },
    /// Keeps the first packet of a connection out of connection tracking (`CT --notrack`).
    Untrack,
    /// Opens the connection in the server's place, with segments of at most this size (`SYNPROXY`).
    SynProxy(u16),
    /// Drops what belongs to no connection.
    DropInvalid,
}

/// A rule of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainRule {
    /// A rule of the forms that lvsctl writes.
    Known {
        /// The destination address (`-d`), a single one.
        destination: Option<IpAddr>,
        /// The interface that the packet came in on (`-i`).
        interface: Option<String>,
        /// Protocol and ports.
        ports: Option<PortMatch>,
        /// The sender's hardware address (`-m mac --mac-source`).
        mac_source: Option<MacAddress>,
        /// What happens.
        target: RuleTarget,
    },
    /// A rule that stands beside a virtual service.
    Service {
        /// What it does.
        what: ServiceRule,
        /// The address that packets go to, or come from where segments are clamped.
        address: IpAddr,
        /// Protocol and ports at that address.
        ports: PortMatch,
    },
    /// The peer-MAC rule of a peer whose address is not known, because no host was contacted.
    UnknownPeer {
        /// The peer's name and interface.
        peer: String,
    },
    /// Any other rule, as `iptables-save` prints it after `-A CHAIN `.
    Other(String),
}
