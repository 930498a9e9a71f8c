//! Makes literal secrets unreadable wherever the topology's text is shown.
//!
//! An error message quotes the lines around it. A secret that an operator wrote there, against advice or under a name
//! that is slightly wrong, must not come out that way.

use std::collections::{BTreeSet, HashMap};

use crate::document::{Node, Value, suggest};
use crate::source::{FileId, SourceMap, Span};

/// What nodes and properties that hold a secret are called, or may be called by mistake.
const NAMES: [&str; 5] = ["auth-pass", "become-password", "password", "secret", "auth_pass"];

/// Hides every value that may be a secret.
pub fn conceal(nodes: &[Node], sources: &mut SourceMap) {
    let mut secrets = Vec::new();
    let mut known = HashMap::new();
    nodes.iter().for_each(|node| collect(node, &mut known, &mut secrets));
    let parsed: BTreeSet<FileId> = nodes.iter().map(|node| node.span.file).collect();
    for (index, file) in sources.files().iter().enumerate() {
        // A file that could not be parsed has no nodes.
        if !parsed.contains(&FileId(index)) {
            unparsed(FileId(index), &file.text, &mut secrets);
        }
    }
    sources.hide(&secrets);
}

fn is_secret(name: &str) -> bool {
    suggest::closest(name, NAMES).is_some()
}

/// The nesting is bounded by the loader. What is `known` of a name is not found out again: the same few come all the time.
fn collect<'a>(node: &'a Node, known: &mut HashMap<&'a str, bool>, secrets: &mut Vec<Span>) {
    let mut is_secret = |name: &'a str| *known.entry(name).or_insert_with(|| is_secret(name));
    let literal = |value: &&Value| {
        !value.annotation.as_ref().is_some_and(|annotation| matches!(annotation.value.as_str(), "env" | "file"))
    };
    if is_secret(&node.name.value) {
        secrets.extend(node.arguments.iter().filter(literal).map(|value| value.span));
        secrets.extend(node.properties.iter().map(|property| &property.value).filter(literal).map(|value| value.span));
    }
    let named = node.properties.iter().filter(|property| is_secret(&property.name.value));
    secrets.extend(named.map(|property| &property.value).filter(literal).map(|value| value.span));
    node.children.iter().for_each(|child| collect(child, known, secrets));
}

/// Hides the rest of each line after a word that names a secret, unless a reference follows.
fn unparsed(file: FileId, text: &str, secrets: &mut Vec<Span>) {
    let ends_word = |character: char| character.is_whitespace() || "=;{}\"".contains(character);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut end = 0;
        for word in line.split_inclusive(ends_word) {
            end += word.len();
            let word = word.trim_end_matches(ends_word);
            // A line may be as long as its file, and what follows a word is looked at only where it matters.
            if word.is_empty() || !is_secret(word) {
                continue;
            }
            let rest = line.get(end..).unwrap_or_default();
            if !rest.trim_start_matches([' ', '\t', '=']).starts_with('(') {
                secrets.push(Span::new(file, start + end, rest.len()));
            }
        }
        start += line.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Problems;

    fn shown(text: &str) -> String {
        let mut sources = SourceMap::default();
        let file = sources.add("x.kdl", text);
        let nodes = crate::document::parse(file, text, &mut Problems::default());
        conceal(&nodes, &mut sources);
        sources.get(file).unwrap().shown.to_string()
    }

    #[test]
    fn literals_are_hidden_and_references_are_not() {
        assert_eq!(shown("auth-pass \"hé\"; version 2\n"), "auth-pass *****; version 2\n");
        assert_eq!(shown("auth-pas x; a { auth-pass 123 }\n"), "auth-pas *; a { auth-pass *** }\n");
        assert_eq!(shown("failover auth-pass=\"x\""), "failover auth-pass=***");
        assert_eq!(shown("auth-pass (env)\"NAME\"\n"), "auth-pass (env)\"NAME\"\n");
        assert_eq!(shown("auth-pass (envv)\"x\"\n"), "auth-pass *********\n");
    }

    #[test]
    fn a_file_that_cannot_be_parsed_hides_more() {
        assert_eq!(shown("a \"\nauth-pass \"x\nb 1\n"), "a \"\nauth-pass **\nb 1\n");
        assert_eq!(shown("a \"\nauth-pass (env)\"x\nb 1\n"), "a \"\nauth-pass (env)\"x\nb 1\n");
    }

    #[test]
    fn a_long_line_takes_no_longer_than_several_short_ones() {
        let text = format!("a \"{}", " ".repeat(1 << 20));
        assert_eq!(shown(&text), text);
    }
}
