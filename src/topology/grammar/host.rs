//! Directors and real servers.

use super::text;
use super::tuning::{OFFLOAD, SYNC_DAEMON, TABLE_BITS, TIMEOUTS};
use crate::document::grammar::{NODE, NodeRule, Occurs, Shape, ValueRule, needed, optional};

const PORT: Shape = Shape::Integer { least: 1, most: 65535 };

const NAME: ValueRule = needed("name", Shape::Text(&text::NAME), "The host's name in this topology");

const ADDRESS: NodeRule = NodeRule {
    name: "address",
    summary: "An address of the host with its prefix; the first is its own, a director's DIP",
    example: "address \"10.4.1.181/24\"",
    occurs: Occurs::Some,
    arguments: &[needed("address", Shape::Text(&text::HOST_ADDRESS), "The address with its prefix")],
    ..NODE
};

const INTERFACE: NodeRule = NodeRule {
    name: "interface",
    summary: "The interface on which clients arrive",
    example: "interface \"eth0\"",
    occurs: Occurs::Optional,
    default: Some("the interface that holds the first address on the live host"),
    arguments: &[needed("name", Shape::Text(&text::INTERFACE), "The kernel's name for it")],
    properties: &[optional("mac", Shape::Text(&text::MAC), "read from the live host", "Its hardware address")],
    ..NODE
};

const SSH: NodeRule = NodeRule {
    name: "ssh",
    summary: "Reaches the host over SSH",
    example: "ssh \"lb1.example.net\" user=\"ops\"",
    occurs: Occurs::Optional,
    default: Some("ssh to the host's own name"),
    arguments: &[needed("host", Shape::Text(&text::SSH_HOST), "What `ssh` would be given")],
    properties: &[
        optional("user", Shape::Text(&text::USER), "OpenSSH's configuration", "The remote user"),
        optional("port", PORT, "OpenSSH's configuration", "The remote port"),
        optional("identity", Shape::Text(&text::PATH), "OpenSSH's configuration", "The private key's file"),
        optional(
            "host-key",
            Shape::Text(&text::HOST_KEY),
            "what known_hosts says",
            "The fingerprint of the host's key, which is then the only one that it may have",
        ),
        optional("become", Shape::Flag, "#false", "Whether to become root with sudo"),
        optional(
            "become-password",
            Shape::Secret(&text::REFERENCE),
            "none; asked for on a terminal if sudo wants one",
            "A reference to the password that sudo asks for",
        ),
    ],
    ..NODE
};

const LOCAL: NodeRule =
    NodeRule { name: "local", summary: "The host is this machine", example: "local", occurs: Occurs::Optional, ..NODE };

const NETNS: NodeRule = NodeRule {
    name: "netns",
    summary: "The host is a network namespace of this machine, for labs and tests",
    example: "netns \"lb01\" root=\"/run/lab/lb01\"",
    occurs: Occurs::Optional,
    arguments: &[needed("name", Shape::Text(&text::NAME), "The name below /run/netns")],
    properties: &[needed("root", Shape::Text(&text::PATH), "The folder that holds the host's etc, var and run")],
    ..NODE
};

const SYSCTL: NodeRule = NodeRule {
    name: "sysctl",
    summary: "Sets a kernel parameter",
    example: "sysctl \"net.ipv4.vs.expire_nodest_conn\" 1",
    occurs: Occurs::Any,
    arguments: &[
        needed("key", Shape::Text(&text::SYSCTL), "The parameter as sysctl(8) writes it"),
        needed("value", Shape::TextOrNumber(&text::SYSCTL_VALUE), "The value"),
    ],
    ..NODE
};

const MANAGED: NodeRule = NodeRule {
    name: "managed",
    summary: "Whether lvsctl logs in to the host; a real server only",
    example: "managed #false",
    occurs: Occurs::Optional,
    default: Some("#true"),
    arguments: &[needed("value", Shape::Flag, "#false for a destination that lvsctl never logs in to")],
    ..NODE
};

/// A host that balances.
pub const DIRECTOR: NodeRule = NodeRule {
    name: "director",
    summary: "A host that balances",
    example: "director \"lb01\" { address \"10.4.1.181/24\" }",
    occurs: Occurs::Any,
    arguments: &[NAME],
    children: &[ADDRESS, INTERFACE, SSH, LOCAL, NETNS, SYSCTL, MANAGED, TIMEOUTS, TABLE_BITS, OFFLOAD, SYNC_DAEMON],
    ..NODE
};

/// A host that serves.
pub const REAL_SERVER: NodeRule = NodeRule {
    name: "real-server",
    summary: "A host that serves",
    example: "real-server \"web1\" { address \"10.4.1.151/24\" }",
    occurs: Occurs::Any,
    arguments: &[NAME],
    children: &[ADDRESS, INTERFACE, SSH, LOCAL, NETNS, SYSCTL, MANAGED, OFFLOAD],
    ..NODE
};
