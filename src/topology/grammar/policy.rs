//! What an apply may do without being asked.

use std::time::Duration;

use crate::document::grammar::{NODE, NodeRule, Occurs, Shape, later, needed};

/// The shortest window in which a client can be expected to make a new connection to every host.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long hosts wait for a confirmation.
const CONFIRM: NodeRule = NodeRule {
    name: "confirm",
    summary: "How long hosts wait for the confirmation of an apply before they take everything back; as `--confirm`",
    example: "confirm \"60s\"",
    occurs: Occurs::Optional,
    default: Some("\"60s\" over SSH, else none"),
    arguments: &[needed(
        "window",
        Shape::Duration { least: SHORTEST, step: Duration::from_secs(1) },
        "Counted from the last sign of life of the client",
    )],
    ..NODE
};

/// What an apply may do without being asked.
pub const POLICY: NodeRule = NodeRule {
    name: "policy",
    summary: "What an apply may do without being asked",
    example: "policy { confirm \"60s\" }",
    occurs: Occurs::Optional,
    default: Some("as its parts"),
    children: &[
        CONFIRM,
        later("unmanaged", "What happens to what nobody declared"),
        later("max-delete", "How much may be deleted at once"),
        later("min-servers", "How many servers a service must keep"),
        later("drain", "How long servers are drained where nothing else is said"),
    ],
    ..NODE
};
