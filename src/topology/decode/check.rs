//! Checks of servers.

use std::time::Duration;

use crate::document::Node;
use crate::source::{Problem, Problems};
use crate::topology::{Check, CheckKind, HttpCheck};

/// The time between two tries where none is written.
const INTERVAL: Duration = Duration::from_secs(5);
/// The wait for an answer where none is written.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The further tries where none are written.
const RETRIES: u32 = 2;
/// The time between those where none is written.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Decodes the check of a server, service or pool, if it has one.
pub fn check(parent: &Node, problems: &mut Problems) -> Option<Check> {
    let node = parent.child("check")?;
    let word = node.argument(0)?.text()?;
    let kind = match word.value {
        "tcp" => {
            refuse_page(node, problems);
            CheckKind::Tcp
        }
        "http" => CheckKind::Http(page(node)),
        "https" => CheckKind::Https(page(node)),
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

fn page(node: &Node) -> HttpCheck {
    let text = |name: &str| node.property(name).and_then(|value| value.text()).map(|text| text.value.to_owned());
    HttpCheck {
        path: text("path").unwrap_or_else(|| "/".to_owned()),
        status: node.property("status").and_then(|value| value.integer()).map(|status| status.value),
        host: text("host"),
    }
}

fn refuse_page(node: &Node, problems: &mut Problems) {
    let of_pages = |name: &str| matches!(name, "path" | "status" | "host");
    for property in node.properties.iter().filter(|property| of_pages(&property.name.value)) {
        problems.push(
            Problem::error("conflict", format!("A tcp check knows no `{}`", property.name.value))
                .label(property.name.span, "has no meaning here")
                .help("Use `check \"http\"` or `check \"https\"` to ask for a page"),
        );
    }
}
