//! Reads a file or a folder and everything that it includes, through a reader that is passed in.

use std::collections::BTreeSet;

use super::{Node, path, read};
use crate::source::{Problem, Problems, SourceMap, Span};

/// The largest file that is read, in bytes; 22,000 nodes take about 1 MiB.
pub const MAXIMUM_BYTES: usize = 16 << 20;

/// The largest number of files that make one topology.
pub const MAXIMUM_FILES: usize = 1000;

/// Gives access to files by the paths that an operator writes.
pub trait ReadSource {
    /// Returns a file's text, or why it cannot be had, as in "No such file or directory".
    fn read(&self, path: &str) -> Result<String, String>;

    /// Returns the names of the files in a folder, in any order; `None` if the path is no folder.
    fn list(&self, folder: &str) -> Option<Vec<String>>;
}

/// Reads a topology: a file, or every `*.kdl` file of a folder in the order of their names.
pub fn load(path: &str, reader: &dyn ReadSource) -> (SourceMap, Vec<Node>, Problems) {
    let mut loader = Loader {
        reader,
        sources: SourceMap::default(),
        nodes: Vec::new(),
        problems: Problems::default(),
        seen: BTreeSet::new(),
        chain: Vec::new(),
    };
    match reader.list(path) {
        None => loader.file(&path::normal(path), None),
        Some(mut names) => {
            names.retain(|name| name.ends_with(".kdl"));
            names.sort();
            if names.is_empty() {
                loader.problems.push(
                    Problem::error("no-topology", format!("The folder {path} holds no .kdl file"))
                        .help("Name a file, or a folder whose *.kdl files make a topology"),
                );
            }
            names.iter().for_each(|name| loader.file(&path::within(path, name), None));
        }
    }
    (loader.sources, loader.nodes, loader.problems)
}

struct Loader<'a> {
    reader: &'a dyn ReadSource,
    sources: SourceMap,
    nodes: Vec<Node>,
    problems: Problems,
    seen: BTreeSet<String>,
    chain: Vec<String>,
}

impl Loader<'_> {
    /// Reads a file and, where it stands, each that it includes. `asked` is the include that names it.
    fn file(&mut self, path: &str, asked: Option<Span>) {
        if let Some(start) = self.chain.iter().position(|open| open == path) {
            let mut chain: Vec<&str> = self.chain.iter().skip(start).map(String::as_str).collect();
            chain.push(path);
            let problem = Problem::error("include-cycle", "Files include each other in a circle");
            self.push(problem, asked, "closes the circle", format!("The chain is {}", chain.join(" → ")));
            return;
        }
        if self.seen.contains(path) {
            return;
        }
        if self.seen.len() >= MAXIMUM_FILES || self.chain.len() >= super::MAXIMUM_DEPTH {
            let problem = Problem::error("too-many-files", "The topology has too many files");
            let limit = format!("At most {MAXIMUM_FILES} files are read, {} deep", super::MAXIMUM_DEPTH);
            self.push(problem, asked, "one file too many", limit);
            return;
        }
        self.seen.insert(path.to_owned());
        let text = match self.reader.read(path) {
            Ok(text) if text.len() <= MAXIMUM_BYTES => text,
            Ok(text) => {
                let problem = Problem::error("too-large", format!("{path} is too large: {} bytes", text.len()));
                self.push(
                    problem,
                    asked,
                    "this file",
                    format!("At most {MAXIMUM_BYTES} bytes are read; split the file"),
                );
                return;
            }
            Err(reason) => {
                let problem = Problem::error("unreadable-file", format!("{path} cannot be read: {reason}"));
                let help = match asked {
                    Some(_) => "The path is relative to the file that includes it",
                    None => "Name a topology file, or a folder that holds one",
                };
                self.push(problem, asked, "this file", help.to_owned());
                return;
            }
        };
        let file = self.sources.add(path, text.as_str());
        self.chain.push(path.to_owned());
        for node in read::nodes(file, &text, &mut self.problems) {
            match included(&node) {
                Some((name, span)) => self.file(&path::relative(path, &name), Some(span)),
                None => self.nodes.push(node),
            }
        }
        self.chain.pop();
    }

    fn push(&mut self, problem: Problem, asked: Option<Span>, label: &str, help: String) {
        let problem = match asked {
            Some(span) => problem.label(span, label),
            None => problem,
        };
        self.problems.push(problem.help(help));
    }
}

/// Returns what a well-formed `include` names; a malformed one stays a node, and the grammar's check refuses it.
fn included(node: &Node) -> Option<(String, Span)> {
    let plain = node.name.value == "include" && node.properties.is_empty() && node.children.is_empty();
    match node.arguments.as_slice() {
        [only] if plain && only.annotation.is_none() && node.annotation.is_none() => {
            only.text().filter(|name| !name.is_empty()).map(|name| (name.value.to_owned(), name.span))
        }
        _ => None,
    }
}
