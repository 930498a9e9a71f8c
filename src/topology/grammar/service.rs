//! VIPs, virtual services, servers, checks and pools.

use std::time::Duration;

use super::supervision::{ALPHA, NOTIFY, OMEGA, QUORUM, SORRY_SERVER};
use super::text;
use crate::document::grammar::{Choice, NODE, NodeRule, Occurs, Shape, ValueRule, needed, optional};

const SECOND: Duration = Duration::from_secs(1);

/// keepalived counts checks in seconds.
const WHOLE_SECONDS: Shape = Shape::Duration { least: SECOND, step: SECOND };

const DRAIN_TIME: Shape = Shape::Duration { least: Duration::ZERO, step: SECOND };

const PORT: Shape = Shape::Integer { least: 1, most: 65535 };

const CONNECTIONS: Shape = Shape::Integer { least: 0, most: u32::MAX as i128 };

const FORWARDING: Shape =
    Shape::Word(&[Choice::new("nat"), Choice::new("dr"), Choice::new("tun"), Choice::new("fullnat")]);

const DELIVERY: Shape = Shape::Word(&[
    Choice::new("loopback"),
    Choice::new("tunnel"),
    Choice::new("dummy"),
    Choice::new("redirect"),
    Choice::new("none"),
]);

/// The schedulers of the kernel (`net/netfilter/ipvs/Kconfig`), but for `twos`, which no current ipvsadm knows.
const SCHEDULERS: Shape = Shape::Word(&[
    Choice::new("rr"),
    Choice::new("wrr"),
    Choice::new("lc"),
    Choice::new("wlc"),
    Choice::new("lblc"),
    Choice::new("lblcr"),
    Choice::new("dh"),
    Choice::new("sh"),
    Choice::new("sed"),
    Choice::new("nq"),
    Choice::new("fo"),
    Choice::new("ovf"),
    Choice::new("mh"),
]);

const LISTEN: NodeRule = NodeRule {
    name: "listen",
    summary: "A protocol and the ports that the service answers on; with a mark several make one service",
    example: "listen \"tcp\" 80",
    occurs: Occurs::Some,
    arguments: &[
        needed(
            "protocol",
            Shape::Word(&[Choice::new("tcp"), Choice::new("udp"), Choice::new("sctp")]),
            "The transport protocol",
        ),
        ValueRule {
            name: "port",
            shape: Shape::TextOrNumber(&text::PORTS),
            occurs: Occurs::Some,
            default: None,
            summary: "A port, with a mark also a range; 0 is every port and needs persistence",
            supported: true,
        },
    ],
    ..NODE
};

const FWMARK: NodeRule = NodeRule {
    name: "fwmark",
    summary: "The firewall mark that keys the service; rules that set it are made as well",
    example: "fwmark 1",
    occurs: Occurs::Optional,
    default: Some("the service is keyed by address, protocol and port"),
    arguments: &[needed("mark", Shape::Integer { least: 1, most: u32::MAX as i128 }, "Any number but 0")],
    ..NODE
};

const SCHEDULER: NodeRule = NodeRule {
    name: "scheduler",
    summary: "How a server is chosen",
    example: "scheduler \"wrr\"",
    occurs: Occurs::Optional,
    default: Some("\"wlc\""),
    arguments: &[needed("name", SCHEDULERS, "The kernel's name for it")],
    properties: &[
        optional("fallback", Shape::Flag, "#false", "sh and mh: take another server if the chosen one has weight 0"),
        optional("port", Shape::Flag, "#false", "sh and mh: hash the client's port as well"),
    ],
    ..NODE
};

const PERSISTENCE: NodeRule = NodeRule {
    name: "persistence",
    summary: "Keeps a client on its server",
    example: "persistence \"300s\"",
    occurs: Occurs::Optional,
    default: Some("each connection by itself"),
    arguments: &[needed("time", WHOLE_SECONDS, "How long after the last connection, whole seconds")],
    properties: &[
        optional(
            "netmask",
            Shape::Integer { least: 1, most: 128 },
            "32, or 128 under IPv6",
            "Clients in one network of this prefix count as one",
        ),
        optional(
            "engine",
            Shape::Word(&[Choice::new("sip")]),
            "the client's address",
            "What tells clients apart; sip reads the Call-ID of calls over UDP",
        ),
    ],
    ..NODE
};

const ONE_PACKET: NodeRule = NodeRule {
    name: "one-packet",
    summary: "Whether each packet is balanced by itself; UDP only",
    example: "one-packet #true",
    occurs: Occurs::Optional,
    default: Some("#false"),
    arguments: &[needed("value", Shape::Flag, "#true for services of a single question and answer, such as DNS")],
    ..NODE
};

const SYN_PROXY: NodeRule = NodeRule {
    name: "syn-proxy",
    summary: "Whether the director opens connections first, and a server's only when the client is real; TCP under nat or fullnat",
    example: "syn-proxy #true",
    occurs: Occurs::Optional,
    default: Some("#false"),
    arguments: &[needed("value", Shape::Flag, "#true against floods of SYN")],
    ..NODE
};

const DRAIN: NodeRule = NodeRule {
    name: "drain",
    summary: "How long a server that is taken out may finish its connections",
    example: "drain \"60s\"",
    occurs: Occurs::Optional,
    default: Some("\"30s\""),
    arguments: &[needed("time", DRAIN_TIME, "Whole seconds, 0 for not at all")],
    ..NODE
};

const ON_FAILURE: NodeRule = NodeRule {
    name: "on-failure",
    summary: "What happens to a server whose check fails: it is removed, or kept with weight 0",
    example: "on-failure \"inhibit\"",
    occurs: Occurs::Optional,
    default: Some("\"remove\""),
    arguments: &[needed("word", Shape::Word(&[Choice::new("remove"), Choice::new("inhibit")]), "remove or inhibit")],
    ..NODE
};

/// The records that keepalived can ask for (`check_dns.c` of 2.2).
const RECORD: Shape = Shape::Word(&[
    Choice::new("A"),
    Choice::new("NS"),
    Choice::new("CNAME"),
    Choice::new("SOA"),
    Choice::new("MX"),
    Choice::new("TXT"),
    Choice::new("AAAA"),
    Choice::new("RRSIG"),
    Choice::new("DNSKEY"),
]);

const CHECK: NodeRule = NodeRule {
    name: "check",
    summary: "Lets keepalived watch a server",
    example: "check \"http\" path=\"/\" status=200",
    occurs: Occurs::Optional,
    default: Some("the servers are taken to be well"),
    arguments: &[needed(
        "kind",
        Shape::Word(&[
            Choice::new("tcp"),
            Choice::new("http"),
            Choice::new("https"),
            Choice::new("udp"),
            Choice::new("dns"),
            Choice::new("smtp"),
            Choice::new("ping"),
            Choice::new("script"),
        ]),
        "What is tried: a connection, a page, a datagram, a name, a greeting, an echo, or a program",
    )],
    properties: &[
        optional("interval", WHOLE_SECONDS, "\"5s\"", "The time between two tries"),
        optional("timeout", WHOLE_SECONDS, "\"3s\"", "How long to wait for an answer"),
        optional("retries", Shape::Integer { least: 0, most: 100 }, "2", "Further tries before a server has failed"),
        optional("retry-delay", WHOLE_SECONDS, "\"1s\"", "The time between those tries"),
        optional("port", PORT, "the server's own", "The port to try"),
        optional("path", Shape::Text(&text::PAGE), "\"/\"", "http and https: the page"),
        optional(
            "status",
            Shape::Integer { least: 100, most: 599 },
            "every 2xx",
            "http and https: the expected status",
        ),
        optional("host", Shape::Text(&text::WEB_HOST), "the server's address", "http and https: the Host header"),
        optional("digest", Shape::Text(&text::DIGEST), "any page", "http and https: the page's MD5 digest"),
        optional("regex", Shape::Text(&text::REGEX), "any page", "http and https: what the page must match"),
        optional("sni", Shape::Flag, "#false", "https: name `host` in the TLS handshake"),
        optional("payload", Shape::Text(&text::PAYLOAD), "keepalived's own", "udp: what is sent, in hexadecimal"),
        optional("reply", Shape::Flag, "#false", "udp: an answer must come"),
        optional("name", Shape::Text(&text::DNS_NAME), "\".\"", "dns: the name that is asked for"),
        optional("type", RECORD, "\"SOA\"", "dns: the type of record that is asked for"),
        optional("helo", Shape::Text(&text::WEB_HOST), "the director's name", "smtp: what the client calls itself"),
        optional("run", Shape::Text(&text::COMMAND), "needed", "script: the program and its arguments"),
        optional("user", Shape::Text(&text::USER), "\"root\"", "script: who runs it"),
    ],
    ..NODE
};

const SERVER: NodeRule = NodeRule {
    name: "server",
    summary: "A real server behind the service, by its name or one of its addresses",
    example: "server \"web1\" weight=100",
    occurs: Occurs::Any,
    arguments: &[needed("name or address", Shape::Text(&text::SERVER), "A declared real server's name or address")],
    properties: &[
        optional("port", PORT, "the listened one", "The port on the server; under dr and tun it cannot differ"),
        optional("weight", Shape::Integer { least: 0, most: 65535 }, "1", "Its share; 0 admits no new connection"),
        optional("upper", CONNECTIONS, "0, no limit", "Connections at which it is taken out"),
        optional("lower", CONNECTIONS, "0", "Connections at which it is taken in again"),
        optional("forwarding", FORWARDING, "the VIP's", "How packets get to it"),
        optional(
            "tunnel",
            Shape::Word(&[Choice::new("ipip"), Choice::new("gue"), Choice::new("gre")]),
            "\"ipip\"",
            "How packets are wrapped under tun",
        ),
        optional("tunnel-port", PORT, "needed for gue", "The UDP port on which the server takes packets of sort gue"),
        optional("checksum", Shape::Flag, "#false", "Whether gue and gre carry a checksum"),
    ],
    children: &[CHECK, NOTIFY],
    ..NODE
};

const POOL_USE: NodeRule = NodeRule {
    name: "pool",
    summary: "Takes the servers of a pool, and its check where the service has none",
    example: "pool \"web\"",
    occurs: Occurs::Any,
    arguments: &[needed("name", Shape::Text(&text::NAME), "A declared pool")],
    ..NODE
};

const SERVICE: NodeRule = NodeRule {
    name: "service",
    summary: "A virtual service",
    example: "service \"http\" { listen \"tcp\" 80; server \"web1\" }",
    occurs: Occurs::Any,
    arguments: &[needed("name", Shape::Text(&text::NAME), "Its name, unique within the VIP")],
    children: &[
        LISTEN,
        FWMARK,
        SCHEDULER,
        PERSISTENCE,
        CHECK,
        ON_FAILURE,
        SERVER,
        POOL_USE,
        ONE_PACKET,
        SYN_PROXY,
        DRAIN,
        QUORUM,
        SORRY_SERVER,
        ALPHA,
        OMEGA,
    ],
    ..NODE
};

/// A virtual address and what is served on it.
pub const VIP: NodeRule = NodeRule {
    name: "vip",
    summary: "A virtual address and what is served on it",
    example: "vip \"10.4.1.190\" failover=\"ext\" forwarding=\"dr\" { service \"http\" { … } }",
    occurs: Occurs::Any,
    arguments: &[needed(
        "address",
        Shape::Text(&text::VIP_ADDRESS),
        "The address; its prefix is 32 or 128 unless written",
    )],
    properties: &[
        optional("failover", Shape::Text(&text::NAME), "`director` is given", "The failover that holds it"),
        optional("director", Shape::Text(&text::NAME), "`failover` is given", "The one director that holds it"),
        optional("forwarding", FORWARDING, "each server says", "How packets get to the servers"),
        optional(
            "delivery",
            DELIVERY,
            "\"loopback\" for dr, \"tunnel\" for tun, \"none\" for nat and fullnat",
            "How real servers under dr and tun come to accept packets for the VIP",
        ),
        optional(
            "interface",
            Shape::Text(&text::INTERFACE),
            "the failover's, else the director's own",
            "The directors' interface for it",
        ),
        optional("label", Shape::Text(&text::LABEL), "none", "The address's label on the directors, IPv4 only"),
    ],
    children: &[SERVICE],
    ..NODE
};

/// Servers and a check that several services share.
pub const POOL: NodeRule = NodeRule {
    name: "pool",
    summary: "Servers and a check that services take with `pool` and this name",
    example: "pool \"web\" { server \"web1\"; server \"web2\"; check \"http\" }",
    occurs: Occurs::Any,
    arguments: &[needed("name", Shape::Text(&text::NAME), "The pool's name")],
    children: &[NodeRule { occurs: Occurs::Some, ..SERVER }, CHECK],
    ..NODE
};
