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
    summary: "An interface whose loss makes a director give up the VIPs",
    example: "track interface=\"eth1\"",
    occurs: Occurs::Any,
    properties: &[needed("interface", Shape::Text(&text::INTERFACE), "An interface of every director")],
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

/// Lines of keepalived's own language.
pub const RAW: NodeRule = NodeRule {
    name: "raw",
    summary: "A line that is copied into keepalived's `vrrp_instance`, for what this language has no word for",
    example: "raw \"track_bfd { b1 }\"",
    occurs: Occurs::Any,
    arguments: &[needed("line", Shape::Text(&failover_text::RAW), "A line of keepalived.conf(5)")],
    ..NODE
};
