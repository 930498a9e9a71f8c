//! Reads the plain part of KDL 2 that nearly every topology keeps to, several times as fast as the KDL library.
//!
//! The library keeps every blank and comment of a document so that it can be written again, which costs most of the time
//! and memory of a plan. Here a text is read straight into nodes, or not at all: whatever is not plain (KDL 1, escapes,
//! raw and multi-line strings, fractions, `/-`, `/*`, line continuations, unusual names, every mistake) gives `None`, and
//! the whole file goes to the library, which is the only one to judge and to complain. `tests/fuzz_loader.rs` holds that
//! both read the same wherever this one reads at all.

use super::words::{is_forbidden, is_newline};
use super::{Literal, MAXIMUM_DEPTH, Node, Property, Value};
use crate::source::{FileId, Span, Spanned};

/// The longest number that is read here; all of this length fit the type.
const MAXIMUM_DIGITS: usize = 18;

/// Words that are not strings, in one version of KDL or the other.
const KEYWORDS: [&str; 6] = ["true", "false", "null", "inf", "-inf", "nan"];

/// Reads a text, if all of it is plain.
pub fn nodes(file: FileId, text: &str) -> Option<Vec<Node>> {
    let mut reader = Reader { file, text, at: 0 };
    let nodes = reader.nodes(0)?;
    (reader.at == text.len()).then_some(nodes)
}

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads nodes up to the end of the text or to a closing brace, which is left.
    fn nodes(&mut self, depth: usize) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None | Some(b'}') => {
                    nodes.shrink_to_fit();
                    return Some(nodes);
                }
                Some(b'\n' | b'\r') => self.newline()?,
                Some(b'/') => self.comment()?,
                Some(_) => nodes.push(self.node(depth)?),
            }
        }
    }

    fn node(&mut self, depth: usize) -> Option<Node> {
        let name = self.name()?;
        let mut end = self.at;
        let mut node = Node {
            annotation: None,
            arguments: Vec::new(),
            properties: Vec::new(),
            children: Vec::new(),
            span: name.span,
            name,
        };
        loop {
            let apart = self.blanks();
            match self.peek() {
                None => break,
                // What comes before a brace without a blank is left to the library.
                Some(b'}') if apart => break,
                Some(b'\n' | b'\r') => {
                    self.newline()?;
                    break;
                }
                Some(b';') => {
                    self.at += 1;
                    break;
                }
                Some(b'/') if apart => {
                    self.comment()?;
                    break;
                }
                Some(b'{') if apart && depth < MAXIMUM_DEPTH => {
                    self.at += 1;
                    node.children = self.nodes(depth + 1)?;
                    self.take(b'}')?;
                    self.ended()?;
                    break;
                }
                Some(_) if apart => {
                    self.entry(&mut node)?;
                    end = self.at;
                }
                Some(_) => return None,
            }
        }
        node.span = self.span(node.name.span.offset, end);
        Some(node)
    }

    /// Makes sure that a node with children ends behind its brace.
    fn ended(&mut self) -> Option<()> {
        let apart = self.blanks();
        match self.peek() {
            None => Some(()),
            Some(b'}') if apart => Some(()),
            Some(b'\n' | b'\r') => self.newline(),
            Some(b';') => self.take(b';'),
            Some(b'/') if apart => self.comment(),
            Some(_) => None,
        }
    }

    /// Reads an argument or a property.
    fn entry(&mut self, node: &mut Node) -> Option<()> {
        let start = self.at;
        if let Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') = self.peek() {
            let word = self.word()?;
            if self.peek() == Some(b'=') {
                let name = Spanned::new(word.to_owned(), self.span(start, self.at));
                self.at += 1;
                let value = self.value()?;
                push(&mut node.properties, Property { name, value });
                return Some(());
            }
            let literal = Literal::Text(word.to_owned());
            push(&mut node.arguments, Value { literal, annotation: None, span: self.span(start, self.at) });
            return Some(());
        }
        let value = self.value()?;
        push(&mut node.arguments, value);
        Some(())
    }

    fn value(&mut self) -> Option<Value> {
        let start = self.at;
        let mut annotation = None;
        if self.peek() == Some(b'(') {
            self.at += 1;
            annotation = Some(self.name()?);
            self.take(b')')?;
        }
        let literal = match self.peek()? {
            b'"' => Literal::Text(self.string()?.to_owned()),
            b'#' => self.flag()?,
            b'0'..=b'9' => Literal::Integer(self.number()?),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Literal::Text(self.word()?.to_owned()),
            _ => return None,
        };
        Some(Value { literal, annotation, span: self.span(start, self.at) })
    }

    /// Reads a bare word with its place.
    fn name(&mut self) -> Option<Spanned<String>> {
        let start = self.at;
        let word = self.word()?.to_owned();
        Some(Spanned::new(word, self.span(start, self.at)))
    }

    fn word(&mut self) -> Option<&'a str> {
        let start = self.at;
        let rest = self.rest();
        if !rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            return None;
        }
        let part = |character: char| character.is_ascii_alphanumeric() || "_-.:+".contains(character);
        self.at += rest.find(|character| !part(character)).unwrap_or(rest.len());
        let word = self.text.get(start..self.at)?;
        (!KEYWORDS.contains(&word)).then_some(word)
    }

    fn number(&mut self) -> Option<i128> {
        let rest = self.rest();
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest.get(..digits).filter(|digits| digits.len() <= MAXIMUM_DIGITS)?.parse().ok()?;
        self.at += digits;
        Some(number)
    }

    fn flag(&mut self) -> Option<Literal> {
        let flags = [("#true", Literal::Flag(true)), ("#false", Literal::Flag(false)), ("#null", Literal::Null)];
        let (word, literal) = flags.into_iter().find(|(word, _)| self.rest().starts_with(word))?;
        self.at += word.len();
        Some(literal)
    }

    /// Reads a string of one line without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let rest = self.text.get(start..)?;
        let end = rest.find('"')?;
        let string = rest.get(..end)?;
        let is_plain = |character| character != '\\' && is_ordinary(character);
        // Three quotes begin a string of several lines.
        if !string.chars().all(is_plain) || (end == 0 && rest.starts_with("\"\"")) {
            return None;
        }
        self.at = start + end + 1;
        Some(string)
    }

    /// Steps over a comment to the end of its line.
    fn comment(&mut self) -> Option<()> {
        let rest = self.rest();
        let line =
            rest.starts_with("//").then(|| rest.find('\n').map_or(rest, |end| rest.get(..end).unwrap_or(rest)))?;
        let length = line.len();
        let line = line.strip_suffix('\r').unwrap_or(line);
        if !line.chars().all(is_ordinary) {
            return None;
        }
        self.at += length;
        Some(())
    }

    /// Steps over blanks, and tells whether there were any.
    fn blanks(&mut self) -> bool {
        let start = self.at;
        while let Some(b' ' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    fn newline(&mut self) -> Option<()> {
        if self.peek() == Some(b'\r') {
            self.at += 1;
        }
        self.take(b'\n')
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end - start)
    }
}

/// Adds a value to a list that mostly stays short: a list that grows by itself begins with room for four.
fn push<T>(list: &mut Vec<T>, value: T) {
    if list.len() < 4 {
        list.reserve_exact(1);
    }
    list.push(value);
}

/// Tells whether a character may stand in a string or a comment and ends no line.
fn is_ordinary(character: char) -> bool {
    // U+FEFF may open a file only.
    !is_newline(character) && !is_forbidden(1, character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_read(text: &str) -> bool {
        nodes(FileId(0), text).is_some()
    }

    #[test]
    fn plain_texts_are_read() {
        for text in [
            "",
            "a",
            "a;b",
            "a 1 \"two\" three x=1 y=\"z\" w=(env)\"NAME\" #true\r\n",
            "// a comment\na { b 1; c { } } // another\n",
        ] {
            assert!(is_read(text), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_library() {
        for text in [
            "a true",
            "a \"\\n\"",
            "a r\"b\"",
            "a 1.5",
            "a -1",
            "a 0x1",
            "/- a",
            "/* */ a",
            "a \\\n 1",
            "a{}",
            "a {",
            "}",
            "a = 1",
            "a 1b",
            "\"a\" 1",
            "a \"\"\"\n\"\"\"",
            "a \"\n\"",
            "a \u{a0}1",
            "a 1\"b\"",
            "a é",
            "a (b) 1",
        ] {
            assert!(!is_read(text), "{text:?}");
        }
    }
}
