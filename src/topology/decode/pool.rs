//! Servers, alone and in pools.

use super::check;
use super::supervision::server_notify;
use crate::document::Node;
use crate::source::{Problem, Problems, Span, Spanned};
use crate::topology::{Check, Forwarding, Notify, Tunnel};

/// A server before its host is looked up.
#[derive(Clone, Debug)]
pub struct ServerDraft {
    /// The host's name or one of its addresses.
    pub host: Spanned<String>,
    /// The port.
    pub port: Option<Spanned<u16>>,
    /// The weight, 1 unless written.
    pub weight: u32,
    /// The upper threshold, 0 unless written.
    pub upper: u32,
    /// The lower threshold, 0 unless written.
    pub lower: u32,
    /// The forwarding method of its own.
    pub forwarding: Option<Spanned<Forwarding>>,
    /// The sort of the tunnel.
    pub tunnel: Option<Spanned<Tunnel>>,
    /// Whether a forwarding method is written, even one that could not be read.
    pub says_forwarding: bool,
    /// The check of its own.
    pub check: Option<Check>,
    /// Who is told of it.
    pub notify: Notify,
    /// Where it was written.
    pub span: Span,
}

/// A pool.
#[derive(Clone, Debug)]
pub struct PoolDraft {
    /// The servers in order.
    pub servers: Vec<ServerDraft>,
    /// The check for servers without one.
    pub check: Option<Check>,
}

/// Decodes a pool.
pub fn pool(node: &Node, problems: &mut Problems) -> PoolDraft {
    PoolDraft { servers: servers(node, problems), check: check(node, problems) }
}

/// Decodes the servers in a node's braces.
pub fn servers(node: &Node, problems: &mut Problems) -> Vec<ServerDraft> {
    let mut servers = Vec::with_capacity(node.children_named("server").count());
    servers.extend(node.children_named("server").filter_map(|child| server(child, problems)));
    servers
}

fn server(node: &Node, problems: &mut Problems) -> Option<ServerDraft> {
    let host = node.argument(0)?.text()?.map(str::to_owned);
    let number = |name: &str| node.property(name).and_then(|value| value.integer::<u32>());
    if let (Some(lower), upper) = (number("lower"), number("upper").map_or(0, |upper| upper.value))
        && lower.value > upper
    {
        problems.push(
            Problem::error("conflict", "The lower threshold is above the upper one")
                .label(lower.span, format!("more than {upper}"))
                .help("Give `upper=` a number that is at least as large; the kernel refuses the rest"),
        );
    }
    Some(ServerDraft {
        host,
        port: node.property("port").and_then(|value| value.integer()),
        weight: number("weight").map_or(1, |weight| weight.value),
        upper: number("upper").map_or(0, |upper| upper.value),
        lower: number("lower").map_or(0, |lower| lower.value),
        forwarding: forwarding(node),
        tunnel: tunnel(node, problems),
        says_forwarding: node.property("forwarding").is_some(),
        check: check(node, problems),
        notify: server_notify(node, problems),
        span: node.span,
    })
}

/// Reads the sort of a tunnel, if anything is said about it.
fn tunnel(node: &Node, problems: &mut Problems) -> Option<Spanned<Tunnel>> {
    let word = node.property("tunnel").and_then(|value| value.text());
    let port = node.property("tunnel-port").and_then(|value| value.integer::<u16>());
    let checksum = node.properties.iter().find(|property| property.name.value == "checksum");
    let flags = checksum.and_then(|property| property.value.flag()).map_or(0, u16::from) * Tunnel::CHECKSUM;
    let sort = word.map_or("ipip", |word| word.value);
    let stray = |what: &str, span: Span| {
        Problem::error("conflict", format!("A tunnel of sort {sort} has no {what}"))
            .label(span, "has no meaning here")
            .help("Take it away, or add tunnel=\"gue\"")
    };
    if let (Some(port), "ipip" | "gre") = (port, sort) {
        problems.push(stray("port", port.span));
    }
    if let (Some(checksum), "ipip") = (checksum, sort) {
        problems.push(stray("checksum of its own", checksum.name.span));
    }
    let word = word?;
    let tunnel = match (sort, port) {
        ("gue", Some(port)) => Tunnel::Gue { port: port.value, flags },
        ("gue", None) => {
            if node.property("tunnel-port").is_none() {
                problems.push(
                    Problem::error(
                        "missing-property",
                        "A tunnel of sort gue needs the port that the server listens on",
                    )
                    .label(word.span, "no `tunnel-port=`")
                    .help("Add tunnel-port=6080, the port of IANA's registry"),
                );
            }
            return None;
        }
        ("gre", _) => Tunnel::Gre { flags },
        _ => Tunnel::Ipip,
    };
    Some(Spanned::new(tunnel, word.span))
}

/// Reads the forwarding method of a server or VIP, if it has one.
pub fn forwarding(node: &Node) -> Option<Spanned<Forwarding>> {
    let word = node.property("forwarding")?.text()?;
    let method = match word.value {
        "nat" => Forwarding::Nat,
        "dr" => Forwarding::Dr,
        "tun" => Forwarding::Tun,
        "fullnat" => Forwarding::FullNat,
        _ => return None,
    };
    Some(Spanned::new(method, word.span))
}
