//! Checks of servers.

use std::time::Duration;

use crate::document::Node;
use crate::source::{Problem, Problems};
use crate::topology::{Check, CheckKind, DnsCheck, HttpCheck, ScriptCheck, UdpCheck};

/// The time between two tries where none is written.
const INTERVAL: Duration = Duration::from_secs(5);
/// The wait for an answer where none is written.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The further tries where none are written.
const RETRIES: u32 = 2;
/// The time between those where none is written.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Who runs a program where nobody is written. Left to itself, keepalived refuses the program on a host without a user
/// `keepalived_script`; script security makes sure that only root can have written it.
const SCRIPT_USER: &str = "root";

/// What every check knows.
const COMMON: &[&str] = &["interval", "timeout", "retries", "retry-delay"];

/// What each sort of check knows besides.
const KNOWN: &[(&str, &[&str])] = &[
    ("tcp", &["port"]),
    ("http", &["port", "path", "status", "host", "digest", "regex"]),
    ("https", &["port", "path", "status", "host", "digest", "regex", "sni"]),
    ("udp", &["port", "payload", "reply"]),
    ("dns", &["port", "name", "type"]),
    ("smtp", &["port", "helo"]),
    ("ping", &[]),
    ("script", &["run", "user"]),
];

/// Decodes the check of a server, service or pool, if it has one.
pub fn check(parent: &Node, problems: &mut Problems) -> Option<Check> {
    let node = parent.child("check")?;
    let word = node.argument(0)?.text()?;
    refuse_others(node, word.value, problems);
    let kind = match word.value {
        "tcp" => CheckKind::Tcp,
        "http" => CheckKind::Http(page(node)),
        "https" => CheckKind::Https(secure_page(node, problems)),
        "udp" => CheckKind::Udp(UdpCheck { payload: text(node, "payload"), reply: flag(node, "reply") }),
        "dns" => CheckKind::Dns(DnsCheck {
            name: text(node, "name").unwrap_or_else(|| ".".to_owned()),
            record: text(node, "type").unwrap_or_else(|| "SOA".to_owned()),
        }),
        "smtp" => CheckKind::Smtp(text(node, "helo")),
        "ping" => CheckKind::Ping,
        "script" => CheckKind::Script(script(node, problems)?),
        _ => return None,
    };
    let duration = |name: &str| node.property(name).and_then(|value| value.duration()).map(|duration| duration.value);
    Some(Check {
        kind,
        interval: duration("interval").unwrap_or(INTERVAL),
        timeout: duration("timeout").unwrap_or(TIMEOUT),
        retries: node.property("retries").and_then(|value| value.integer()).map_or(RETRIES, |retries| retries.value),
        retry_delay: duration("retry-delay").unwrap_or(RETRY_DELAY),
        port: node.property("port").and_then(|value| value.integer()).map(|port| port.value),
        span: node.span,
    })
}

fn text(node: &Node, name: &str) -> Option<String> {
    node.property(name).and_then(|value| value.text()).map(|text| text.value.to_owned())
}

fn flag(node: &Node, name: &str) -> bool {
    node.property(name).and_then(|value| value.flag()).unwrap_or(false)
}

fn page(node: &Node) -> HttpCheck {
    HttpCheck {
        path: text(node, "path").unwrap_or_else(|| "/".to_owned()),
        status: node.property("status").and_then(|value| value.integer()).map(|status| status.value),
        host: text(node, "host"),
        digest: text(node, "digest").map(|digest| digest.to_ascii_lowercase()),
        regex: text(node, "regex"),
        sni: false,
    }
}

fn secure_page(node: &Node, problems: &mut Problems) -> HttpCheck {
    let page = HttpCheck { sni: flag(node, "sni"), ..page(node) };
    if page.sni
        && node.property("host").is_none()
        && let Some(property) = node.properties.iter().find(|property| property.name.value == "sni")
    {
        problems.push(
            Problem::error("missing-property", "The TLS handshake has no name to give")
                .label(property.name.span, "names `host`, which is missing")
                .help("Add `host=` with the name of the site"),
        );
    }
    page
}

fn script(node: &Node, problems: &mut Problems) -> Option<ScriptCheck> {
    if node.property("run").is_none() {
        problems.push(
            Problem::error("missing-property", "A script check names no program")
                .label(node.span, "`run=` is missing")
                .help("Add `run=` with the program's absolute path and its arguments"),
        );
    }
    let user = text(node, "user").unwrap_or_else(|| SCRIPT_USER.to_owned());
    Some(ScriptCheck { run: text(node, "run")?, user })
}

/// Refuses what another sort of check knows.
fn refuse_others(node: &Node, kind: &str, problems: &mut Problems) {
    let Some((_, own)) = KNOWN.iter().find(|(name, _)| *name == kind) else { return };
    for property in &node.properties {
        let name = property.name.value.as_str();
        let others: Vec<&str> =
            KNOWN.iter().filter(|(_, knows)| knows.contains(&name)).map(|(other, _)| *other).collect();
        if COMMON.contains(&name) || own.contains(&name) || others.is_empty() {
            continue;
        }
        problems.push(
            Problem::error("conflict", format!("The {kind} check knows no `{name}`"))
                .label(property.name.span, "has no meaning here")
                .help(format!("Take it away; `{name}` belongs to: {}", others.join(", "))),
        );
    }
}
