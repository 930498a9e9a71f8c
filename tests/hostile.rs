//! No text of a topology gets out of its place, whatever it holds and wherever it ends.
//!
//! `hostile/site.kdl` writes every text field that the grammar has; the test fails for one that it lacks, so that a new
//! field cannot be forgotten. Each field is given over two hundred hostile texts, in every place where its value stands. A
//! text is either refused with a label, or every file that is made of the topology holds the same words as
//! before, but for that one value. To watch over a further file, add it to [`sinks`] with the way in which its reader
//! cuts it into words.

use std::collections::{BTreeMap, BTreeSet};

use lvsctl::compile::compile;
use lvsctl::document::grammar::{NodeRule, Shape, TextRule, ValueRule};
use lvsctl::document::{self, Literal, Node, ReadSource, Value};
use lvsctl::kinds::Site;
use lvsctl::resource::{Resource, ResourceKey};
use lvsctl::source::{FileId, Problems};
use lvsctl::topology::grammar::LANGUAGE;
use lvsctl::topology::{SecretValues, load};

const SITE: &str = include_str!("hostile/site.kdl");

/// What means something to keepalived, to a shell, to iptables-restore, to sysctl, to systemd, to a terminal or to a path.
const FRAGMENTS: [&str; 66] = [
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\u{b}",
    "\u{c}",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "日本",
    "😀",
    "\"",
    "\"\"",
    "'",
    "`",
    "\\",
    "\\\n",
    "\\n",
    "\\\"",
    " ",
    "  ",
    " x",
    "{",
    "}",
    "} {",
    "\n}\nglobal_defs {\n",
    "\" }\nvrrp_script x {\nscript \"/bin/sh",
    "!",
    "#",
    " # x",
    "#{",
    "$",
    "$_PWD",
    "${HOME}",
    "$(id)",
    "$X=y",
    "@",
    "@lb01 ",
    "~SEQ(1, 9)",
    "~LST(1, 2)",
    "~SEQ",
    "%",
    "%n",
    "%i%%",
    ";",
    "&",
    "|",
    "<",
    ">",
    "*",
    "?",
    "(",
    ")",
    "[",
    "]",
    "..",
    "/../",
    "-",
    "--",
];

/// Serves one text.
struct Text<'a>(&'a str);

impl ReadSource for Text<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

/// A place in the site where a text stands, and what the grammar calls the field.
struct Place {
    field: String,
    rule: &'static TextRule,
    text: String,
    start: usize,
    end: usize,
}

/// Returns the rule that the grammar has for a text, if the field is one.
fn text_rule(rule: &ValueRule) -> Option<&'static TextRule> {
    match rule.shape {
        Shape::Text(text) | Shape::TextOrNumber(text) | Shape::Secret(text) => Some(text).filter(|_| rule.supported),
        Shape::Word(_) | Shape::Integer { .. } | Shape::Flag | Shape::Duration { .. } => None,
    }
}

/// Names a node by its place; those that mean the same wherever they stand are named once.
fn path_of(parent: &str, name: &str) -> String {
    match name {
        "check" | "server" | "notify" => name.to_owned(),
        _ => format!("{parent}/{name}"),
    }
}

/// Returns the names of all text fields of the grammar.
fn fields(rules: &[NodeRule], path: &str, found: &mut BTreeSet<String>) {
    for rule in rules.iter().filter(|rule| rule.supported) {
        let path = path_of(path, rule.name);
        let values = rule.arguments.iter().chain(rule.properties);
        found.extend(values.filter(|rule| text_rule(rule).is_some()).map(|rule| format!("{path} {}", rule.name)));
        fields(rule.children, &path, found);
    }
}

/// Finds the places of the site, by the same names.
fn places(nodes: &[Node], rules: &[NodeRule], path: &str, found: &mut Vec<Place>) {
    for node in nodes {
        let rule = rules.iter().find(|rule| rule.name == node.name.value).expect("a known node");
        let path = path_of(path, rule.name);
        let mut place = |rule: &ValueRule, value: &Value| {
            if let (Some(judge), Literal::Text(text)) = (text_rule(rule), &value.literal) {
                let (start, end) = (value.span.offset, value.span.offset + value.span.length);
                found.push(Place {
                    field: format!("{path} {}", rule.name),
                    rule: judge,
                    text: text.clone(),
                    start,
                    end,
                });
            }
        };
        for (position, value) in node.arguments.iter().enumerate() {
            let last = rule.arguments.len() - 1;
            place(&rule.arguments[position.min(last)], value);
        }
        for property in &node.properties {
            let rule = rule.properties.iter().find(|rule| rule.name == property.name.value).expect("a known property");
            place(rule, &property.value);
        }
        places(&node.children, rule.children, &path, found);
    }
}

/// Returns what a value is replaced by.
fn hostile(value: &str) -> BTreeSet<String> {
    let middle = value.char_indices().nth(value.chars().count() / 2).map_or(0, |(at, _)| at);
    let (head, tail) = value.split_at(middle);
    let mut texts =
        BTreeSet::from([String::new(), "x".repeat(100), "x".repeat(600), format!("{value}{}", "x".repeat(5000))]);
    for fragment in FRAGMENTS {
        texts.extend([
            fragment.to_owned(),
            format!("{value}{fragment}"),
            format!("{fragment}{value}"),
            format!("{head}{fragment}{tail}"),
        ]);
    }
    texts.remove(value);
    texts
}

/// Writes a string of KDL 2.
fn quoted(text: &str) -> String {
    let character = |character: char| match character {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        plain if plain.is_ascii_graphic() || plain == ' ' => plain.to_string(),
        other => format!("\\u{{{:x}}}", u32::from(other)),
    };
    format!("\"{}\"", text.chars().map(character).collect::<String>())
}

/// The words of every line of a file.
type Words = BTreeMap<Vec<String>, usize>;

/// Returns what every file of every host says, cut as its reader does, or why a reader would take it for something else.
fn sinks(text: &str) -> Result<Option<BTreeMap<String, Words>>, String> {
    let loaded = load("site.kdl", &Text(text));
    let Some(topology) = &loaded.topology else {
        let labelled = loaded.problems.iter().all(|problem| !problem.labels.is_empty());
        return if labelled { Ok(None) } else { Err(format!("a problem without a place: {:?}", loaded.problems)) };
    };
    let (facts, secrets, mut problems) = (BTreeMap::new(), SecretValues::default(), Problems::default());
    let desired = compile(&Site { topology, facts: &facts, secrets: &secrets }, &mut problems);
    if problems.has_errors() {
        let labelled = problems.iter().all(|problem| !problem.labels.is_empty());
        return if labelled { Ok(None) } else { Err(format!("a problem without a place: {problems:?}")) };
    }
    let mut found = BTreeMap::new();
    // Two hosts may change places when one is renamed, so that the files of a sort are taken together.
    for entry in desired.values().flat_map(|state| state.values()) {
        if let (ResourceKey::KeepalivedConfiguration, Resource::File { text, .. }) = (&entry.key, &entry.resource) {
            let words: &mut Words = found.entry("keepalived.conf".to_owned()).or_default();
            for line in keepalived(&text.expose().expect("known secrets"))? {
                *words.entry(line).or_default() += 1;
            }
        }
    }
    Ok(Some(found))
}

/// Cuts a file as keepalived 2.2 does (`lib/parser.c`): comments and braces count outside quotes only, a backslash means
/// something anywhere, and what it would replace or act on is no plain word at all.
fn keepalived(text: &str) -> Result<Vec<Vec<String>>, String> {
    for sequence in ["\\", "${", "$_", "~SEQ", "~LST", "\r", "\0", "\u{b}", "\u{c}"] {
        if text.contains(sequence) {
            return Err(format!("{sequence:?} means something to keepalived"));
        }
    }
    text.split('\n').map(line).filter(|line| line.as_ref().map_or(true, |words| !words.is_empty())).collect()
}

fn line(line: &str) -> Result<Vec<String>, String> {
    if line.len() > 1000 {
        return Err(format!("a line of {} bytes is cut", line.len()));
    }
    if line.trim_start().starts_with(['@', '$']) {
        return Err(format!("{line:?} is a condition or a definition"));
    }
    let (mut words, mut rest) = (Vec::new(), line.trim_start_matches([' ', '\t']));
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '#' | '!' => break,
            '"' => rest[1..].split_once('"').ok_or_else(|| format!("{line:?} does not close its quotes"))?,
            '{' | '}' => rest.split_at(1),
            _ => rest.split_at(rest.find([' ', '\t', '#', '!', '{', '}', '"']).unwrap_or(rest.len())),
        };
        words.push(if first == '"' { format!("={word}") } else { word.to_owned() });
        rest = after.trim_start_matches([' ', '\t']);
    }
    Ok(words)
}

/// Tells whether two files say the same but for one value.
fn same(before: &Words, after: &Words, value: &str, hostile: &str) -> bool {
    let is_like = |word: &str| {
        let word = word.strip_prefix('=').unwrap_or(word);
        // Spaces around a recipient are no part of it.
        if word == hostile.trim() || word == value { "the value".to_owned() } else { word.to_owned() }
    };
    let plain = |words: &Words| {
        let mut plain = Words::new();
        for (line, count) in words {
            *plain.entry(line.iter().map(|word| is_like(word)).collect()).or_default() += count;
        }
        plain
    };
    plain(before) == plain(after)
}

#[test]
fn no_text_gets_out_of_its_place() {
    let nodes = document::parse(FileId(0), SITE, &mut Problems::default());
    let mut found = Vec::new();
    places(&nodes, LANGUAGE, "", &mut found);
    let mut wanted = BTreeSet::new();
    fields(LANGUAGE, "", &mut wanted);
    // What a file is called ends nowhere else.
    wanted.remove("/include path");
    // A raw line is the operator's own piece of keepalived.conf; `topology::grammar::failover_text` holds it in its block.
    wanted.remove("/failover/raw line");
    let written: BTreeSet<String> = found.iter().map(|place| place.field.clone()).collect();
    let missing: Vec<_> = wanted.difference(&written).collect();
    assert!(missing.is_empty(), "tests/hostile/site.kdl has no example of {missing:#?}");

    let plain = sinks(SITE).expect("plain words").expect("the site is in order");
    assert!(plain["keepalived.conf"].len() > 50, "{plain:#?}");
    let (mut tried, mut accepted, mut wrong) = (0, 0, Vec::new());
    let mut seen = BTreeSet::new();
    for Place { field, rule, text: value, .. } in found.iter().filter(|place| seen.insert((&place.field, &place.text)))
    {
        let mut refused = false;
        for hostile in hostile(value) {
            tried += 1;
            // The loader asks this very rule first; that a refusal is told with its place is looked at once a field.
            if (rule.check)(&hostile).is_err() && std::mem::replace(&mut refused, true) {
                continue;
            }
            // A name is changed wherever it is used.
            let mut text = SITE.to_owned();
            for place in found.iter().rev().filter(|place| place.text == *value) {
                text.replace_range(place.start..place.end, &quoted(&hostile));
            }
            match sinks(&text) {
                Ok(None) => {}
                Ok(Some(_)) if (rule.check)(&hostile).is_err() => {
                    wrong.push(format!("{field} = {hostile:?} was taken"))
                }
                Ok(Some(files)) => {
                    accepted += 1;
                    let is_same = files.len() == plain.len()
                        && plain.iter().all(|(name, words)| same(words, &files[name], value, &hostile));
                    if !is_same {
                        wrong.push(format!("{field} = {hostile:?} changes more than its value"));
                    }
                }
                Err(error) => wrong.push(format!("{field} = {hostile:?}: {error}")),
            }
        }
    }
    println!("{} fields, {tried} texts, {accepted} accepted", wanted.len());
    assert!(accepted > 100 && tried / wanted.len() >= 200, "{tried} texts were tried, {accepted} accepted");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}
