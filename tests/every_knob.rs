//! The random topologies of the kernel tests write every word of the language, and lvsctl takes each of them.

// The kernel tests use the rest.
#![allow(dead_code, clippy::disallowed_methods)]

#[path = "kernel/random/generate.rs"]
mod generate;
#[path = "kernel/random/knobs.rs"]
mod knobs;
#[path = "kernel/random/relatives.rs"]
mod relatives;
#[path = "kernel/random/resolve.rs"]
mod resolve;
#[path = "kernel/random/site.rs"]
mod site;
#[path = "kernel/random/watch.rs"]
mod watch;
#[path = "kernel/random/writing.rs"]
mod writing;

use std::collections::BTreeSet;

use lvsctl::document::grammar::{NodeRule, Shape, ValueRule};
use lvsctl::document::{Node, ReadSource, parse};
use lvsctl::source::{FileId, Problems, Severity};
use lvsctl::topology::grammar::LANGUAGE;
use site::{Ground, Place, UNMANAGED};

/// The hardware address of a host, as the laboratory has it.
mod rig {
    pub fn mac(number: u8) -> String {
        format!("02:00:00:09:00:{number:02x}")
    }
}

/// How many topologies are looked at; the kernel tests apply fewer.
const TOPOLOGIES: u64 = 600;

/// What no random topology writes, and why.
const NEVER: &[(&str, &str)] = &[
    ("director/ssh", "the hosts of the laboratory are namespaces, and a login has tests of its own"),
    ("real-server/ssh", "as for directors"),
    ("director/local", "that is the machine itself, and a namespace cannot be it"),
    ("real-server/local", "as for directors"),
    ("policy", "it is about the command, and says nothing of a host; tests/kernel/survives.rs is about it"),
    ("director/managed", "real servers only"),
    ("director/offload lro=true", "no interface of the laboratory can merge packets for good"),
    ("real-server/offload lro=true", "as for directors"),
];

struct Files([String; 2]);

impl ReadSource for Files {
    fn read(&self, path: &str) -> Result<String, String> {
        Ok(self.0[usize::from(path.ends_with(writing::HOSTS))].clone())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

fn ground() -> Ground {
    let place =
        |name: String, number| Place { namespace: format!("space-{name}"), root: format!("/run/{name}"), name, number };
    Ground {
        directors: (1..=2).map(|number| place(format!("d{number}"), number)).collect(),
        real_servers: (1u8..).take(UNMANAGED).map(|number| place(format!("w{number}"), 10 + number)).collect(),
    }
}

/// Notes every word of the language below a rule: nodes, their properties, and the choices among words.
fn known(rule: &NodeRule, above: &str, into: &mut BTreeSet<String>) {
    let path = format!("{above}{}", rule.name);
    if !rule.supported || NEVER.iter().any(|(never, _)| *never == path) {
        return;
    }
    let words = |rule: &ValueRule, path: String, into: &mut BTreeSet<String>| {
        if let Shape::Word(choices) = rule.shape {
            into.extend(
                choices.iter().filter(|choice| choice.supported).map(|choice| format!("{path}={}", choice.name)),
            );
        }
        if let Shape::Flag = rule.shape {
            into.insert(format!("{path}=true"));
        }
    };
    rule.arguments.iter().for_each(|argument| words(argument, path.clone(), into));
    for property in rule.properties.iter().filter(|property| property.supported) {
        let path = format!("{path} {}", property.name);
        words(property, path.clone(), into);
        into.insert(path);
    }
    into.insert(path.clone());
    rule.children.iter().for_each(|child| known(child, &format!("{path}/"), into));
}

fn written(node: &Node, above: &str, into: &mut BTreeSet<String>) {
    let path = format!("{above}{}", node.name.value);
    let literal = |value: &lvsctl::document::Value| value.literal.to_string().trim_matches(['"', '#']).to_owned();
    into.insert(path.clone());
    into.extend(node.arguments.iter().map(|value| format!("{path}={}", literal(value))));
    for property in &node.properties {
        let path = format!("{path} {}", property.name.value);
        into.insert(format!("{path}={}", literal(&property.value)));
        into.insert(path);
    }
    node.children.iter().for_each(|child| written(child, &format!("{path}/"), into));
}

#[test]
fn random_topologies_write_every_word_of_the_language_and_are_accepted() {
    let (ground, mut drawn) = (ground(), BTreeSet::new());
    for case in 0..TOPOLOGIES {
        let files = writing::files(&generate::drawn((1, 0), case).site(), &ground);
        for text in &files {
            let nodes = parse(FileId(0), text, &mut Problems::default());
            nodes.iter().for_each(|node| written(node, "", &mut drawn));
        }
        let [text, hosts] = files.clone();
        let loaded = lvsctl::topology::load("topology.kdl", &Files(files));
        let errors: Vec<_> = loaded.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty() && loaded.topology.is_some(), "case {case}: {errors:#?}\n{hosts}\n{text}");
    }
    let mut language = BTreeSet::new();
    LANGUAGE.iter().for_each(|rule| known(rule, "", &mut language));
    let excused = |word: &&&String| !NEVER.iter().any(|(never, _)| never == **word);
    let missing: Vec<_> = language.difference(&drawn).filter(|word| excused(&word)).collect();
    assert!(missing.is_empty(), "no random topology writes {missing:#?}");
}
