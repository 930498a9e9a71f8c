//! A failover's scripts, what is tracked, and the programs that are told.

use std::time::Duration;

use super::failover::owned;
use crate::document::{Node, Value};
use crate::source::{Problem, Problems, Spanned};
use crate::topology::{Script, StateNotify};

/// Reports a `track` that names nothing or two things.
pub fn check_tracks(node: &Node, problems: &mut Problems) {
    for track in node.children_named("track") {
        match (track.property("interface"), track.property("script")) {
            (None, None) => problems.push(
                Problem::error("missing-property", "`track` names nothing")
                    .label(track.span, "neither `interface=` nor `script=`")
                    .help("Write `track interface=\"eth1\"` or `track script=\"NAME\"`"),
            ),
            (Some(interface), Some(script)) => problems.push(
                Problem::error("conflict", "`track` names one thing")
                    .label(script.span, "a script")
                    .label(interface.span, "an interface")
                    .help("Write a `track` for each"),
            ),
            _ => {}
        }
    }
}

/// Decodes the scripts.
pub fn scripts(node: &Node, problems: &mut Problems) -> Vec<Script> {
    let scripts: Vec<Script> = node.children_named("script").filter_map(script).collect();
    for script in &scripts {
        let tracks = |track: &Node| {
            track.property("script").and_then(Value::text).is_some_and(|name| name.value == script.name.value)
        };
        if !node.children_named("track").any(tracks) {
            problems.push(
                Problem::error("untracked-script", format!("Nothing tracks the script \"{}\"", script.name.value))
                    .label(script.name.span, "would never run")
                    .help(format!("Add `track script=\"{}\"`, or take the script away", script.name.value)),
            );
        }
    }
    scripts
}

fn script(node: &Node) -> Option<Script> {
    let count = |name| node.property(name).and_then(Value::integer).map_or(1, |count| count.value);
    let name = node.argument(0).and_then(owned)?;
    let weight = node.property("weight").and_then(Value::integer).unwrap_or(Spanned::new(0, name.span));
    Some(Script {
        run: node.property("run").and_then(owned)?,
        interval: node
            .property("interval")
            .and_then(Value::duration)
            .map_or(Duration::from_secs(1), |interval| interval.value),
        weight,
        rise: count("rise"),
        fall: count("fall"),
        user: node.property("user").and_then(Value::text).map_or("root", |user| user.value).to_owned(),
        name,
    })
}

/// Decodes the programs that are told.
pub fn notify(node: &Node, problems: &mut Problems) -> StateNotify {
    let program = |name| node.property(name).and_then(owned);
    let notify = StateNotify {
        master: program("master"),
        backup: program("backup"),
        fault: program("fault"),
        any: program("any"),
        user: node.property("user").and_then(Value::text).map(|user| user.value.to_owned()),
    };
    if node.properties.iter().all(|property| property.name.value == "user") {
        problems.push(
            Problem::error("missing-property", "`notify` names no program")
                .label(node.span, "nobody is told of anything")
                .help("Add `master=`, `backup=`, `fault=` or `any=`"),
        );
    }
    notify
}
