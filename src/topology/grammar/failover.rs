//! Failover between directors, and mail about it.

use std::time::Duration;

use super::tuning::{GROUP, MAXLEN, SYNC_PORT, TTL};
use super::{failover_options, text};
use crate::document::grammar::{NODE, NodeRule, Occurs, Shape, needed, optional};

const SECOND: Duration = Duration::from_secs(1);

const MEMBER: NodeRule = NodeRule {
    name: "director",
    summary: "A director that takes part; two or more",
    example: "director \"lb01\" priority=100",
    occurs: Occurs::Some,
    arguments: &[needed("name", Shape::Text(&text::NAME), "A declared director")],
    properties: &[needed(
        "priority",
        Shape::Integer { least: 1, most: 254 },
        "The highest is the preferred master; 255 is for the owner of an address (RFC 5798)",
    )],
    children: &[failover_options::SOURCE_ADDRESS],
    ..NODE
};

const ROUTER_ID: NodeRule = NodeRule {
    name: "virtual-router-id",
    summary: "The number of the group, unique on its network segment",
    example: "virtual-router-id 125",
    occurs: Occurs::Once,
    arguments: &[needed("number", Shape::Integer { least: 1, most: 255 }, "1 to 255")],
    ..NODE
};

const INTERFACE: NodeRule = NodeRule {
    name: "interface",
    summary: "The interface of adverts and VIPs",
    example: "interface \"eth0\"",
    occurs: Occurs::Optional,
    default: Some("each director's own interface"),
    arguments: &[needed("name", Shape::Text(&text::INTERFACE), "The kernel's name for it")],
    ..NODE
};

const ADVERT_INTERVAL: NodeRule = NodeRule {
    name: "advert-interval",
    summary: "The time between two adverts; whole seconds under version 2, hundredths of a second under version 3",
    example: "advert-interval \"1s\"",
    occurs: Occurs::Optional,
    default: Some("\"1s\""),
    // 40.95 s is the most that VRRP version 3 can carry, and 255 s version 2; the decoder knows the version.
    arguments: &[needed(
        "time",
        Shape::Duration { least: Duration::from_millis(10), step: Duration::from_millis(10) },
        "The time",
    )],
    ..NODE
};

const PREEMPT: NodeRule = NodeRule {
    name: "preempt",
    summary: "Whether a director with a higher priority takes over from a working master",
    example: "preempt #false",
    occurs: Occurs::Optional,
    default: Some("#true"),
    arguments: &[optional("value", Shape::Flag, "#true", "#false leaves a working master alone")],
    // keepalived.conf(5): preempt_delay is at most 1000 s.
    properties: &[optional(
        "delay",
        Shape::Duration { least: SECOND, step: SECOND },
        "none",
        "How long to wait before taking over, whole seconds up to 1000",
    )],
    ..NODE
};

const AUTH_PASS: NodeRule = NodeRule {
    name: "auth-pass",
    summary: "The password of VRRP version 2, at most 8 bytes",
    example: "auth-pass (env)\"VRRP_PASS\"",
    occurs: Occurs::Optional,
    default: Some("no authentication"),
    arguments: &[needed("secret", Shape::Secret(&text::PASSWORD), "A reference to the password")],
    ..NODE
};

const VERSION: NodeRule = NodeRule {
    name: "version",
    summary: "The version of VRRP",
    example: "version 3",
    occurs: Occurs::Optional,
    default: Some("2"),
    arguments: &[needed("number", Shape::Integer { least: 2, most: 3 }, "2 or 3")],
    ..NODE
};

const UNICAST: NodeRule = NodeRule {
    name: "unicast",
    summary: "Whether adverts go to the other directors' own addresses instead of the multicast group",
    example: "unicast #true",
    occurs: Occurs::Optional,
    default: Some("#false"),
    arguments: &[needed("value", Shape::Flag, "#true or #false")],
    ..NODE
};

const SYNC_DAEMON: NodeRule = NodeRule {
    name: "sync-daemon",
    summary: "Keeps the other directors' connection tables in step",
    example: "sync-daemon interface=\"eth0\" id=125",
    occurs: Occurs::Optional,
    default: Some("no synchronisation"),
    properties: &[
        optional("interface", Shape::Text(&text::INTERFACE), "the failover's", "The interface of the multicast"),
        optional("id", Shape::Integer { least: 0, most: 255 }, "the virtual router id", "The daemon's sync id"),
        GROUP,
        SYNC_PORT,
        TTL,
        MAXLEN,
    ],
    ..NODE
};

const MAIL: NodeRule = NodeRule {
    name: "email",
    summary: "Whether keepalived mails when the master changes; needs the top-level `email`",
    example: "email #true",
    occurs: Occurs::Optional,
    default: Some("#false"),
    arguments: &[needed("value", Shape::Flag, "#true or #false")],
    ..NODE
};

/// Directors that keep one set of VIPs alive.
pub const FAILOVER: NodeRule = NodeRule {
    name: "failover",
    summary: "Directors that keep a set of VIPs alive with VRRP",
    example: "failover \"ext\" { director \"lb01\" priority=100; director \"lb02\" priority=50; virtual-router-id 125 }",
    occurs: Occurs::Any,
    arguments: &[needed("name", Shape::Text(&text::NAME), "The group's name")],
    children: &[
        MEMBER,
        ROUTER_ID,
        INTERFACE,
        ADVERT_INTERVAL,
        PREEMPT,
        AUTH_PASS,
        VERSION,
        UNICAST,
        SYNC_DAEMON,
        MAIL,
        failover_options::SOURCE_ADDRESS,
        failover_options::GARP,
        failover_options::TRACK,
        failover_options::SCRIPT,
        failover_options::NOTIFY,
        failover_options::ROUTE,
        failover_options::ADDRESS,
        failover_options::UNADVERTISED,
        failover_options::VIRTUAL_MAC,
        failover_options::RAW,
    ],
    ..NODE
};

/// Where keepalived sends its mail.
pub const EMAIL: NodeRule = NodeRule {
    name: "email",
    summary: "Where keepalived sends its mail",
    example: "email to=\"ops@example.org\" from=\"lvs@example.org\" smtp=\"mail.example.org\"",
    occurs: Occurs::Optional,
    default: Some("no mail"),
    properties: &[
        needed("to", Shape::Text(&text::MAIL_ADDRESSES), "The recipients, with commas between them"),
        needed("from", Shape::Text(&text::MAIL_ADDRESS), "The sender"),
        needed("smtp", Shape::Text(&text::MAIL_SERVER), "The mail server, with `:port` if it is not 25"),
        optional("timeout", Shape::Duration { least: SECOND, step: SECOND }, "\"30s\"", "How long to wait for it"),
    ],
    ..NODE
};
