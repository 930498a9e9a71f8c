//! Quorum, sorry server, and programs that are told.

use crate::document::Node;
use crate::source::{Problem, Problems, Span};
use crate::topology::{Command, Notify, Quorum, SorryServer, Supervision};

/// Whom a notified program runs as where nobody is named.
const USER: &str = "root";

/// Decodes what the checks of a service come to.
pub fn supervision(node: &Node, problems: &mut Problems) -> Supervision {
    Supervision {
        quorum: node.child("quorum").and_then(|child| quorum(child, problems)),
        sorry: node.child("sorry-server").and_then(sorry),
        alpha: flag(node, "alpha"),
        omega: flag(node, "omega"),
    }
}

/// Decodes who is told of a server.
pub fn server_notify(node: &Node, problems: &mut Problems) -> Notify {
    let Some(child) = node.child("notify") else { return Notify::default() };
    let told = notify(child, problems);
    if child.property("up").is_none() && child.property("down").is_none() {
        problems.push(
            Problem::error("missing-property", "`notify` names no program")
                .label(child.span, "neither `up=` nor `down=`")
                .help("Add one of the two, or take the line away"),
        );
    }
    told
}

fn notify(node: &Node, problems: &mut Problems) -> Notify {
    let text = |name: &str| node.property(name).and_then(|value| value.text()).map(|text| text.value.to_owned());
    let user = text("user").unwrap_or_else(|| USER.to_owned());
    let command = |name: &str| text(name).map(|line| Command { line, user: user.clone() });
    if let (Some(user), None, None) = (node.property("user"), node.property("up"), node.property("down")) {
        problems.push(
            Problem::error("conflict", "No program runs as this user")
                .label(user.span, "neither `up=` nor `down=` is there")
                .help("Take `user=` away"),
        );
    }
    Notify { up: command("up"), down: command("down"), span: Some(node.span) }
}

fn quorum(node: &Node, problems: &mut Problems) -> Option<Quorum> {
    let weight = node.argument(0)?.integer::<u32>()?.value;
    let hysteresis = node.property("hysteresis").and_then(|value| value.integer::<u32>());
    if let Some(hysteresis) = hysteresis.filter(|hysteresis| hysteresis.value >= weight) {
        problems.push(
            Problem::error("conflict", "The hysteresis is not below the quorum")
                .label(hysteresis.span, "keepalived would lower it")
                .help(format!("Use at most {}", weight.saturating_sub(1))),
        );
    }
    let hysteresis = hysteresis.map_or(0, |hysteresis| hysteresis.value);
    Some(Quorum { weight, hysteresis, notify: notify(node, problems), span: node.span })
}

fn sorry(node: &Node) -> Option<SorryServer> {
    let address = node.argument(0)?.text()?.parse().ok()?;
    let port = node.property("port").and_then(|value| value.integer()).map(|port| port.value);
    Some(SorryServer { address, port, span: node.span })
}

fn flag(node: &Node, name: &str) -> Option<Span> {
    let child = node.child(name)?;
    child.argument(0)?.flag()?.then_some(child.span)
}
