//! What a failover may ask of keepalived beyond who takes part.

use std::time::Duration;

use super::{failover_text, text};
use crate::document::grammar::{NODE, NodeRule, Occurs, Shape, needed, optional};

const SECOND: Duration = Duration::from_secs(1);

/// The address of a director's adverts, for the failover or for one director.
pub const SOURCE_ADDRESS: NodeRule = NodeRule {
    name: "source-address",
    summary: "The address that a director's adverts come from",
    example: "source-address \"10.4.1.181\"",
    occurs: Occurs::Optional,
    default: Some("keepalived's choice; under `unicast` the director's address near the VIPs"),
    arguments: &[needed("address", Shape::Text(&failover_text::ADDRESS), "One of the director's own addresses")],
    ..NODE
};

/// Gratuitous ARP.
pub const GARP: NodeRule = NodeRule {
    name: "garp",
    summary: "The gratuitous ARP packets, or neighbour advertisements, of a new master",
    example: "garp delay=\"5s\" repeat=5 refresh=\"60s\"",
    occurs: Occurs::Optional,
    default: Some("keepalived's: twice five packets, five seconds apart"),
    properties: &[
        optional(
            "delay",
            Shape::Duration { least: SECOND, step: SECOND },
            "\"5s\"",
            "How long after the first packets they are sent again",
        ),
        optional("repeat", Shape::Integer { least: 1, most: 255 }, "5", "How many are sent at a time"),
        optional(
            "refresh",
            Shape::Duration { least: SECOND, step: SECOND },
            "never",
            "How often a master sends them again",
        ),
    ],
    ..NODE
};

/// What the state follows.
pub const TRACK: NodeRule = NodeRule {
    name: "track",
    summary: "An interface or a script whose failure makes a director give up the VIPs, or lowers its priority",
    example: "track interface=\"eth1\"",
    occurs: Occurs::Any,
    properties: &[
        optional("interface", Shape::Text(&text::INTERFACE), "none", "An interface of every director"),
        optional("script", Shape::Text(&text::NAME), "none", "The name of a `script` of this failover"),
    ],
    ..NODE
};

/// A script that watches something.
pub const SCRIPT: NodeRule = NodeRule {
    name: "script",
    summary: "A program that tells by its exit status whether all is well; counts where `track` names it",
    example: "script \"chk_nginx\" run=\"/usr/local/bin/chk\" interval=\"1s\" weight=-10 rise=2 fall=2 user=\"nobody\"",
    occurs: Occurs::Any,
    arguments: &[needed("name", Shape::Text(&text::NAME), "The script's name")],
    properties: &[
        needed("run", Shape::Text(&failover_text::COMMAND), "The program with its arguments; no shell reads them"),
        optional(
            "interval",
            Shape::Duration { least: SECOND, step: SECOND },
            "\"1s\"",
            "How often it runs, whole seconds",
        ),
        optional(
            "weight",
            Shape::Integer { least: -253, most: 253 },
            "0",
            "Below 0 is added to the priority while it fails, above 0 while it succeeds; under 0 its failure gives up the VIPs",
        ),
        optional("rise", Shape::Integer { least: 1, most: 1000 }, "1", "Successes in a row until it counts as well"),
        optional("fall", Shape::Integer { least: 1, most: 1000 }, "1", "Failures in a row until it counts as failed"),
        optional("user", Shape::Text(&text::USER), "\"root\"", "Who runs it"),
    ],
    ..NODE
};

/// Programs that are told of a transition.
pub const NOTIFY: NodeRule = NodeRule {
    name: "notify",
    summary: "Programs that keepalived runs when a director changes its state",
    example: "notify master=\"/etc/lvs/master.sh\" backup=\"/etc/lvs/backup.sh\"",
    occurs: Occurs::Optional,
    default: Some("nothing is run"),
    properties: &[
        optional("master", Shape::Text(&failover_text::COMMAND), "nothing", "Run by a new master"),
        optional("backup", Shape::Text(&failover_text::COMMAND), "nothing", "Run by a new backup"),
        optional("fault", Shape::Text(&failover_text::COMMAND), "nothing", "Run where something that is tracked fails"),
        optional(
            "any",
            Shape::Text(&failover_text::COMMAND),
            "nothing",
            "Run at each change, with INSTANCE, the failover's name, the state and the priority as arguments",
        ),
        optional("user", Shape::Text(&text::USER), "\"root\"", "Who runs them"),
    ],
    ..NODE
};

/// A route that moves with the VIPs.
pub const ROUTE: NodeRule = NodeRule {
    name: "route",
    summary: "A route that only the master has",
    example: "route \"172.16.0.0/12\" via=\"10.4.1.1\"",
    occurs: Occurs::Any,
    arguments: &[needed("network", Shape::Text(&failover_text::NETWORK), "Where it leads")],
    properties: &[needed("via", Shape::Text(&failover_text::ADDRESS), "The gateway")],
    ..NODE
};

/// A further floating address.
pub const ADDRESS: NodeRule = NodeRule {
    name: "address",
    summary: "A floating address that serves no virtual service, such as the gateway of real servers under nat",
    example: "address \"192.168.1.11/24\" interface=\"eth1\"",
    occurs: Occurs::Any,
    arguments: &[needed("address", Shape::Text(&text::HOST_ADDRESS), "The address with its network's prefix")],
    properties: &[optional(
        "interface",
        Shape::Text(&text::INTERFACE),
        "the failover's",
        "The interface that is to hold it",
    )],
    ..NODE
};

/// An address that adverts do not name.
pub const UNADVERTISED: NodeRule = NodeRule {
    name: "exclude-from-advert",
    summary: "A floating address that moves with the others and that adverts do not name; it may be of the other family",
    example: "exclude-from-advert \"10.4.1.191\"",
    occurs: Occurs::Any,
    arguments: &[needed("address", Shape::Text(&failover_text::ADDRESS), "A VIP or further address of this failover")],
    ..NODE
};

/// Whether the VIPs have a hardware address of their own.
pub const VIRTUAL_MAC: NodeRule = NodeRule {
    name: "virtual-mac",
    summary: "Whether the VIPs have a hardware address of their own, 00:00:5e:00:01:ID, which moves with them",
    example: "virtual-mac #true",
    occurs: Occurs::Optional,
    default: Some("#false: that of the master's interface"),
    arguments: &[needed("value", Shape::Flag, "#true or #false")],
    ..NODE
};

/// Lines of keepalived's own language.
pub const RAW: NodeRule = NodeRule {
    name: "raw",
    summary: "A line that is copied into keepalived's `vrrp_instance`, for what this language has no word for",
    example: "raw \"track_bfd { b1 }\"",
    occurs: Occurs::Any,
    arguments: &[needed("line", Shape::Text(&failover_text::RAW), "A line of keepalived.conf(5)")],
    ..NODE
};

/// Failovers that move together.
pub const SYNC_GROUP: NodeRule = NodeRule {
    name: "sync-group",
    summary: "Failovers of the same directors that change their master together",
    example: "sync-group \"both\" { failover \"ext\"; failover \"int\" }",
    occurs: Occurs::Any,
    arguments: &[needed("name", Shape::Text(&text::NAME), "The group's name")],
    children: &[NodeRule {
        name: "failover",
        summary: "A failover of the group; two or more",
        example: "failover \"ext\"",
        occurs: Occurs::Some,
        arguments: &[needed("name", Shape::Text(&text::NAME), "A declared failover")],
        ..NODE
    }],
    ..NODE
};
