//! What the checks of a service come to, and who is told.

use super::text;
use crate::document::grammar::{NODE, NodeRule, Occurs, Shape, ValueRule, needed, optional};

const UP: ValueRule =
    optional("up", Shape::Text(&text::COMMAND), "nobody is told", "The program that is told when it comes");

const DOWN: ValueRule =
    optional("down", Shape::Text(&text::COMMAND), "nobody is told", "The program that is told when it goes");

const USER: ValueRule = optional("user", Shape::Text(&text::USER), "\"root\"", "The user that the programs run as");

/// Who is told of a server.
pub const NOTIFY: NodeRule = NodeRule {
    name: "notify",
    summary: "Programs on the director that are told when the server comes or goes",
    example: "notify up=\"/usr/local/bin/up\" down=\"/usr/local/bin/down\"",
    occurs: Occurs::Optional,
    default: Some("nobody is told"),
    properties: &[UP, DOWN, USER],
    ..NODE
};

/// How much weight makes a service usable.
pub const QUORUM: NodeRule = NodeRule {
    name: "quorum",
    summary: "The sum of the weights of servers that are well, from which the service is usable",
    example: "quorum 2 hysteresis=1",
    occurs: Occurs::Optional,
    default: Some("1"),
    arguments: &[needed("weight", Shape::Integer { least: 1, most: 1_000_000 }, "At most the weight of all servers")],
    properties: &[
        optional(
            "hysteresis",
            Shape::Integer { least: 0, most: 1_000_000 },
            "0",
            "The weight beyond it at which a lost quorum is regained",
        ),
        UP,
        DOWN,
        USER,
    ],
    ..NODE
};

/// Who steps in.
pub const SORRY_SERVER: NodeRule = NodeRule {
    name: "sorry-server",
    summary: "The server that steps in while the quorum is lost; nothing is set up on it",
    example: "sorry-server \"10.4.1.150\" port=80",
    occurs: Occurs::Optional,
    default: Some("none"),
    arguments: &[needed("address", Shape::Text(&text::VIP_ADDRESS), "Its address")],
    properties: &[optional(
        "port",
        Shape::Integer { least: 1, most: 65535 },
        "the listened one",
        "Its port; under dr it cannot differ",
    )],
    ..NODE
};

/// Servers are down first.
pub const ALPHA: NodeRule = NodeRule {
    name: "alpha",
    summary: "Whether servers count as failed until their first check",
    example: "alpha #true",
    occurs: Occurs::Optional,
    default: Some("#false"),
    arguments: &[needed("value", Shape::Flag, "#true or #false")],
    ..NODE
};

/// Programs are told at the end.
pub const OMEGA: NodeRule = NodeRule {
    name: "omega",
    summary: "Whether programs are told that servers go when keepalived stops",
    example: "omega #true",
    occurs: Occurs::Optional,
    default: Some("#false"),
    arguments: &[needed("value", Shape::Flag, "#true or #false")],
    ..NODE
};
