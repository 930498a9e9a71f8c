//! What can be turned on a host beside its services.

use std::time::Duration;

use super::text;
use crate::document::grammar::{Choice, NODE, NodeRule, Occurs, Shape, ValueRule, needed, optional};

const SECONDS: Shape = Shape::Duration { least: Duration::ZERO, step: Duration::from_secs(1) };

/// IPVS's timeouts.
pub const TIMEOUTS: NodeRule = NodeRule {
    name: "timeouts",
    summary: "After which time without a packet IPVS forgets a connection; \"0s\" leaves a timeout as it is",
    example: "timeouts tcp=\"900s\" tcp-fin=\"120s\" udp=\"300s\"",
    occurs: Occurs::Optional,
    default: Some("as they are on the host"),
    properties: &[
        optional("tcp", SECONDS, "as it is on the host", "An established TCP connection"),
        optional("tcp-fin", SECONDS, "as it is on the host", "A TCP connection that is being closed"),
        optional("udp", SECONDS, "as it is on the host", "A UDP exchange"),
    ],
    ..NODE
};

/// The size of IPVS's connection table.
pub const TABLE_BITS: NodeRule = NodeRule {
    name: "connection-table-bits",
    summary: "The size of IPVS's connection table as a power of two, from the next time that ip_vs is loaded",
    example: "connection-table-bits 20",
    occurs: Occurs::Optional,
    default: Some("what the kernel was built with, usually 12"),
    arguments: &[needed("bits", Shape::Integer { least: 8, most: 27 }, "20 makes 1,048,576 buckets")],
    ..NODE
};

/// Offloading.
pub const OFFLOAD: NodeRule = NodeRule {
    name: "offload",
    summary: "What an interface does on several packets at once; what is not named stays as it is",
    example: "offload gro=#true lro=#false",
    occurs: Occurs::Any,
    default: Some("as it is on the host"),
    properties: &[
        optional("interface", Shape::Text(&text::INTERFACE), "the host's own interface", "The interface"),
        optional("gro", Shape::Flag, "as it is on the host", "Merge received packets, and split what is forwarded"),
        optional("gso", Shape::Flag, "as it is on the host", "Split packets late"),
        optional("lro", Shape::Flag, "as it is on the host", "Merge received packets for good: breaks forwarding"),
    ],
    ..NODE
};

/// The multicast group of the synchronisation.
pub const GROUP: ValueRule =
    optional("group", Shape::Text(&text::GROUP), "224.0.0.81", "The multicast group, of either family");
/// Its port.
pub const SYNC_PORT: ValueRule = optional("port", Shape::Integer { least: 1, most: 65535 }, "8848", "The UDP port");
/// How far its messages go.
pub const TTL: ValueRule =
    optional("ttl", Shape::Integer { least: 1, most: 255 }, "1", "How many networks a message may pass");
/// How long they are.
pub const MAXLEN: ValueRule = optional(
    "maxlen",
    Shape::Integer { least: 100, most: 65507 },
    "what fits into the interface's packets",
    "The longest message in bytes",
);

/// A daemon that a director runs without keepalived.
pub const SYNC_DAEMON: NodeRule = NodeRule {
    name: "sync-daemon",
    summary: "Sends or receives the connection table, on a director whose failover does not do so",
    example: "sync-daemon \"master\" interface=\"eth1\" id=1",
    occurs: Occurs::Any,
    default: Some("no synchronisation"),
    arguments: &[needed(
        "state",
        Shape::Word(&[Choice::new("master"), Choice::new("backup")]),
        "\"master\" sends, \"backup\" receives; a director may do both",
    )],
    properties: &[
        optional("interface", Shape::Text(&text::INTERFACE), "the director's own", "The interface of the multicast"),
        optional("id", Shape::Integer { least: 0, most: 255 }, "0", "Daemons listen to those of their own id"),
        GROUP,
        SYNC_PORT,
        TTL,
        MAXLEN,
    ],
    ..NODE
};
