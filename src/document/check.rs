//! Holds a tree of nodes against a grammar and reports everything that does not fit.

use std::collections::BTreeMap;

use super::grammar::{NodeRule, ValueRule};
use super::shape::{judge, not_supported};
use super::{Literal, Node, Property, suggest};
use crate::source::{Problem, Problems, Span};

/// Checks the nodes of a whole document.
pub fn document(nodes: &[Node], rules: &'static [NodeRule], problems: &mut Problems) {
    siblings(nodes, rules, None, problems);
}

/// Checks nodes that stand side by side; `parent` is the node whose braces they are in.
fn siblings(nodes: &[Node], rules: &'static [NodeRule], parent: Option<&Node>, problems: &mut Problems) {
    let place = parent.map_or_else(|| "a topology".to_owned(), |node| format!("`{}`", node.name.value));
    let mut first_of: BTreeMap<&str, Span> = BTreeMap::new();
    for node in nodes {
        let name = node.name.value.as_str();
        let Some(rule) = rules.iter().find(|rule| rule.name == name) else {
            problems.push(unknown(
                "unknown-node",
                format!("{} has no node of this name", sentence(&place)),
                node.name.span,
                name,
                rules.iter().map(|rule| (rule.name, rule.supported)),
                "nodes",
            ));
            continue;
        };
        if let Some(annotation) = &node.annotation {
            problems.push(
                Problem::error("wrong-type", "A node takes no type annotation")
                    .label(annotation.span, "has no meaning here")
                    .help("Take the parentheses and what is in them away"),
            );
        }
        if !rule.supported {
            problems.push(not_supported(&format!("`{name}`"), node.name.span));
            continue;
        }
        match first_of.get(name) {
            Some(first) if !rule.occurs.is_repeatable() => problems.push(
                Problem::error("duplicate-node", format!("{} takes one `{name}`", sentence(&place)))
                    .label(node.span, "one too many")
                    .label(*first, "the first one")
                    .help("Keep one of the two"),
            ),
            _ => {
                first_of.entry(name).or_insert(node.span);
            }
        }
        self::node(node, rule, problems);
    }
    let Some(parent) = parent else { return };
    for rule in rules.iter().filter(|rule| rule.supported && rule.occurs.is_needed()) {
        if !nodes.iter().any(|node| node.name.value == rule.name) {
            problems.push(
                Problem::error("missing-node", format!("{} needs `{}`", sentence(&place), rule.name))
                    .label(parent.span, format!("has no `{}`", rule.name))
                    .help(format!("Add a line such as `{}`", rule.example)),
            );
        }
    }
}

fn node(node: &Node, rule: &'static NodeRule, problems: &mut Problems) {
    arguments(node, rule, problems);
    properties(node, rule, problems);
    if rule.children.is_empty() {
        if let Some(child) = node.children.first() {
            problems.push(
                Problem::error("unknown-node", format!("`{}` takes no nodes in braces", rule.name))
                    .label(child.name.span, "may not stand here")
                    .help(format!("Write it like `{}`", rule.example)),
            );
        }
        return;
    }
    siblings(&node.children, rule.children, Some(node), problems);
}

fn arguments(node: &Node, rule: &'static NodeRule, problems: &mut Problems) {
    for (position, value) in node.arguments.iter().enumerate() {
        let argument = rule.arguments.get(position);
        match argument.or_else(|| rule.arguments.last().filter(|last| last.occurs.is_repeatable())) {
            Some(argument) if !argument.supported => {
                problems.push(not_supported(&format!("The {} of `{}`", argument.name, rule.name), value.span));
            }
            Some(argument) => {
                let called = if rule.arguments.len() == 1 { rule.name } else { argument.name };
                judge(called, argument.shape, value).unwrap_or_else(|problem| problems.push(problem));
            }
            None => {
                let property = match &value.literal {
                    Literal::Text(text) => rule.properties.iter().find(|property| property.name == text),
                    _ => None,
                };
                let help = match property {
                    Some(property) => format!("Write `{}=` and its value", property.name),
                    None => format!("Write it like `{}`", rule.example),
                };
                problems.push(
                    Problem::error(
                        "unknown-argument",
                        format!("`{}` takes {}", rule.name, count(rule.arguments.len())),
                    )
                    .label(value.span, "one too many")
                    .help(help),
                );
            }
        }
    }
    for missing in rule.arguments.iter().skip(node.arguments.len()).filter(|argument| argument.occurs.is_needed()) {
        problems.push(
            Problem::error("missing-argument", format!("`{}` needs its {}", rule.name, missing.name))
                .label(node.span, format!("the {} is missing", missing.name))
                .help(format!("Write it like `{}`", rule.example)),
        );
    }
}

fn properties(node: &Node, rule: &'static NodeRule, problems: &mut Problems) {
    let mut first_of: BTreeMap<&str, Span> = BTreeMap::new();
    for Property { name, value } in &node.properties {
        let Some(property) = rule.properties.iter().find(|property| property.name == name.value) else {
            problems.push(unknown(
                "unknown-property",
                format!("`{}` has no property of this name", rule.name),
                name.span,
                &name.value,
                rule.properties.iter().map(|property| (property.name, property.supported)),
                "properties",
            ));
            continue;
        };
        if !property.supported {
            problems.push(not_supported(&format!("The property `{}` of `{}`", property.name, rule.name), name.span));
            continue;
        }
        if let Some(first) = first_of.insert(&name.value, name.span) {
            problems.push(
                Problem::error("duplicate-property", format!("`{}` is given twice", property.name))
                    .label(name.span, "given again")
                    .label(first, "given first")
                    .help("Keep one of the two"),
            );
        }
        judge(property.name, property.shape, value).unwrap_or_else(|problem| problems.push(problem));
    }
    let missing = |property: &&ValueRule| {
        property.supported && property.occurs.is_needed() && !first_of.contains_key(property.name)
    };
    for property in rule.properties.iter().filter(missing) {
        problems.push(
            Problem::error("missing-property", format!("`{}` needs `{}=`", rule.name, property.name))
                .label(node.span, format!("`{}=` is missing", property.name))
                .help(format!("Write it like `{}`", rule.example)),
        );
    }
}

fn unknown<'a>(
    code: &'static str,
    message: String,
    span: Span,
    name: &str,
    known: impl Iterator<Item = (&'a str, bool)> + Clone,
    sort: &str,
) -> Problem {
    let help = match suggest::closest(name, known.clone().map(|(name, _)| name)) {
        Some(close) => format!("Did you mean `{close}`?"),
        None => match suggest::listing(known.filter(|(_, supported)| *supported).map(|(name, _)| name), "and") {
            list if list.is_empty() => format!("It takes no {sort}"),
            list => format!("Its {sort} are {list}"),
        },
    };
    Problem::error(code, message).label(span, "unknown").help(help)
}

fn count(arguments: usize) -> String {
    match arguments {
        0 => "no argument".to_owned(),
        1 => "one argument".to_owned(),
        more => format!("{more} arguments"),
    }
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
