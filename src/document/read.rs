//! From one text to nodes: KDL 2, else KDL 1 with a warning, else problems.

use kdl::{KdlDocument, KdlEntry, KdlError, KdlNode, KdlValue};

use super::scan::{Scan, scan};
use super::{Literal, Node, Property, Value, plain};
use crate::source::{FileId, Problem, Problems, Span, Spanned};

/// The parser's stack: enough for [`super::MAXIMUM_DEPTH`] many times over, even in a build without optimisation.
const STACK_BYTES: usize = 16 << 20;

/// How many syntax errors of one file are shown; those after the first few are mostly echoes of them.
const MAXIMUM_SYNTAX_PROBLEMS: usize = 20;

/// Parses a text into nodes; after a syntax error there are none.
pub fn nodes(file: FileId, text: &str, problems: &mut Problems) -> Vec<Node> {
    plain::nodes(file, text).unwrap_or_else(|| nodes_by_library(file, text, problems))
}

/// Parses a text into nodes with the KDL library, whatever the text is like.
pub fn nodes_by_library(file: FileId, text: &str, problems: &mut Problems) -> Vec<Node> {
    let scan = match scan(file, text) {
        Ok(scan) => scan,
        Err(problem) => {
            problems.push(problem);
            return Vec::new();
        }
    };
    match parse_apart(text, &scan) {
        Parsed::Second(document) => convert(file, text, &document),
        Parsed::First(document) => {
            let first = document.nodes().first().map_or(0, |node| node.name().span().offset());
            let length = document.nodes().first().map_or(0, |node| node.name().span().len());
            problems.push(
                Problem::warning("kdl-1", "This file is written in KDL 1")
                    .label(slice_span(file, text, first, length), "read as KDL 1")
                    .help("`lvsctl fmt` rewrites it in KDL 2"),
            );
            convert(file, text, &document)
        }
        Parsed::Neither(error) => {
            syntax(file, text, &error, problems);
            Vec::new()
        }
        Parsed::Refused => {
            scan.not_second.into_iter().for_each(|problem| problems.push(problem));
            Vec::new()
        }
        Parsed::Gave => {
            problems.push(
                Problem::error("syntax", "The KDL parser gave up on this file")
                    .label(slice_span(file, text, 0, 0), "somewhere in this file")
                    .help("Halve the file until the node that it trips over is found"),
            );
            Vec::new()
        }
    }
}

enum Parsed {
    Second(KdlDocument),
    First(KdlDocument),
    Neither(KdlError),
    /// It is not KDL 1, and must not be given to a parser of KDL 2.
    Refused,
    Gave,
}

/// Parses on a thread with a stack of a known size, which also keeps a panic of the library away from the caller.
fn parse_apart(text: &str, scan: &Scan) -> Parsed {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse(text, scan))
            .ok()
            .and_then(|handle| handle.join().ok())
            .unwrap_or(Parsed::Gave)
    })
}

fn parse(text: &str, scan: &Scan) -> Parsed {
    if scan.first
        && let Ok(document) = KdlDocument::parse_v1(text)
    {
        return Parsed::First(document);
    }
    if scan.not_second.is_some() {
        return Parsed::Refused;
    }
    match KdlDocument::parse_v2(text) {
        Ok(document) => Parsed::Second(document),
        Err(error) if scan.first => Parsed::Neither(error),
        Err(error) => KdlDocument::parse_v1(text).map_or(Parsed::Neither(error), Parsed::First),
    }
}

fn syntax(file: FileId, text: &str, error: &KdlError, problems: &mut Problems) {
    let mut shown = Vec::new();
    for diagnostic in error.diagnostics.iter().filter(|diagnostic| diagnostic.severity == miette::Severity::Error) {
        let span = narrow(text, slice_span(file, text, diagnostic.span.offset(), diagnostic.span.len()));
        // The parser says two things about one place where a node's name is wrong; the first is the more telling one.
        if shown.contains(&span.offset) || shown.len() == MAXIMUM_SYNTAX_PROBLEMS {
            continue;
        }
        shown.push(span.offset);
        let message = diagnostic.message.clone().unwrap_or_else(|| "This is not KDL".to_owned());
        let written = text.get(span.offset..span.offset + span.length).unwrap_or_default();
        let (message, help) = match written {
            "true" | "false" | "null" => ("A bare word cannot be a value here".to_owned(), format!("Write #{written}")),
            _ if written.starts_with(|first: char| first.is_ascii_digit())
                && !written.contains(['"', '\\', '\n'])
                && !may_be_secret(text, span) =>
            {
                ("This is neither a number nor a string".to_owned(), format!("Write it in quotes: \"{written}\""))
            }
            _ => (message, diagnostic.help.clone().unwrap_or_else(|| "See https://kdl.dev for the syntax".to_owned())),
        };
        problems.push(Problem::error("syntax", sentence(&message)).label(span, "here").help(sentence(&help)));
    }
    if shown.is_empty() {
        problems.push(
            Problem::error("syntax", "This is not KDL")
                .label(slice_span(file, text, 0, 0), "somewhere in this file")
                .help("See https://kdl.dev for the syntax"),
        );
    }
}

/// Tells whether what stands before a span on its line names a secret, so that a message must not repeat the span.
fn may_be_secret(text: &str, span: Span) -> bool {
    let before = text.get(..span.offset).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
    let before = before.to_ascii_lowercase();
    before.contains("pass") || before.contains("secret")
}

/// Cuts a span of several lines down to its last character, which is where the parser gave up.
fn narrow(text: &str, span: Span) -> Span {
    let written = text.get(span.offset..span.offset + span.length).unwrap_or_default();
    let kept = written.trim_end();
    match (written.contains('\n'), kept.char_indices().next_back()) {
        (true, Some((at, last))) => Span::new(span.file, span.offset + at, last.len_utf8()),
        (true, None) => Span::new(span.file, span.offset, 0),
        (false, _) => span,
    }
}

/// Brings a foreign message into our form: sentence case, no final period.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Makes a span that lies in the text and cuts no character.
pub fn slice_span(file: FileId, text: &str, offset: usize, length: usize) -> Span {
    let down = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = down(offset.min(text.len()));
    let mut end = offset.saturating_add(length).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    Span::new(file, start, end.saturating_sub(start))
}

fn convert(file: FileId, text: &str, document: &KdlDocument) -> Vec<Node> {
    let converter = Converter { file, text };
    document.nodes().iter().map(|node| converter.node(node)).collect()
}

struct Converter<'a> {
    file: FileId,
    text: &'a str,
}

impl Converter<'_> {
    fn span(&self, span: miette::SourceSpan) -> Span {
        slice_span(self.file, self.text, span.offset(), span.len())
    }

    fn node(&self, node: &KdlNode) -> Node {
        let name = Spanned::new(node.name().value().to_owned(), self.span(node.name().span()));
        let mut end = name.span.offset + name.span.length;
        let mut arguments = Vec::new();
        let mut properties = Vec::new();
        for entry in node.entries() {
            let span = self.span(entry.span());
            end = end.max(span.offset + span.length);
            let value = self.value(entry, span);
            match entry.name() {
                None => arguments.push(value),
                Some(name) => properties
                    .push(Property { name: Spanned::new(name.value().to_owned(), self.span(name.span())), value }),
            }
        }
        let children = node.children().map(|children| children.nodes()).unwrap_or_default();
        Node {
            annotation: self.annotation(node.ty()),
            arguments,
            properties,
            children: children.iter().map(|child| self.node(child)).collect(),
            span: slice_span(self.file, self.text, name.span.offset, end - name.span.offset),
            name,
        }
    }

    fn annotation(&self, annotation: Option<&kdl::KdlIdentifier>) -> Option<Spanned<String>> {
        annotation.map(|name| Spanned::new(name.value().to_owned(), self.span(name.span())))
    }

    /// Finds the value's own place: the library only knows that of the whole `name=value`.
    fn value(&self, entry: &KdlEntry, whole: Span) -> Value {
        let end = whole.offset + whole.length;
        let start = entry.name().map_or(whole.offset, |name| {
            let name = self.span(name.span());
            let after = (name.offset + name.length).min(end);
            let rest = self.text.get(after..end).unwrap_or_default();
            let value = rest.trim_start().strip_prefix('=').unwrap_or(rest).trim_start();
            end - value.len()
        });
        let literal = match entry.value() {
            KdlValue::String(text) => Literal::Text(text.clone()),
            KdlValue::Integer(number) => Literal::Integer(*number),
            KdlValue::Float(number) => Literal::Float(*number),
            KdlValue::Bool(flag) => Literal::Flag(*flag),
            KdlValue::Null => Literal::Null,
        };
        Value { literal, annotation: self.annotation(entry.ty()), span: Span::new(self.file, start, end - start) }
    }
}
