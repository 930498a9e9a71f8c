//! Bounds how deep braces and comments nest, before the parser sees them.
//!
//! The KDL parser calls itself for every level, and some 2,000 levels overflow its stack, which aborts the process. This
//! scanner walks over the text once without calling itself. Where it cannot tell a string from what follows it, it says
//! so instead of guessing, because a brace hidden from it would reach the parser.

use super::read::slice_span;
use crate::source::{FileId, Problem};

/// How deep braces, or comments within comments, may nest. The language needs 4 levels.
pub const MAXIMUM_DEPTH: usize = 64;

/// Returns a problem if a text nests too deep, or has a string or comment that does not end.
pub fn problem(file: FileId, text: &str) -> Option<Problem> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, depth: 0 };
    scanner.run().err().map(|fault| {
        let (offset, length) = fault.place;
        Problem::error(fault.code, fault.message)
            .label(slice_span(file, text, offset, length), fault.label)
            .help(fault.help)
    })
}

struct Fault {
    code: &'static str,
    place: (usize, usize),
    message: &'static str,
    label: &'static str,
    help: String,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'{' => {
                    self.depth += 1;
                    if self.depth > MAXIMUM_DEPTH {
                        return Err(too_deep("Braces nest too deep", self.at, 1));
                    }
                    self.at += 1;
                }
                b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.at += 1;
                }
                b'/' if self.starts_with(b"//") => self.skip_line(),
                b'/' if self.starts_with(b"/*") => self.skip_comment()?,
                b'"' => self.skip_string(0)?,
                b'#' => {
                    let hashes = self.rest().iter().take_while(|byte| **byte == b'#').count();
                    self.at += hashes;
                    if self.starts_with(b"\"") {
                        self.skip_string(hashes)?;
                    }
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn starts_with(&self, prefix: &[u8]) -> bool {
        self.rest().starts_with(prefix)
    }

    fn skip_line(&mut self) {
        self.at += self.rest().iter().take_while(|byte| **byte != b'\n').count();
    }

    fn skip_comment(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let mut depth = 0;
        while self.at < self.bytes.len() {
            if self.starts_with(b"/*") {
                depth += 1;
                self.at += 2;
                if depth > MAXIMUM_DEPTH {
                    return Err(too_deep("Comments nest too deep", start, 2));
                }
            } else if self.starts_with(b"*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                self.at += 1;
            }
        }
        Err(unfinished("A comment does not end", start, 2, "Add `*/` where the comment ends"))
    }

    /// Skips a string whose first quote is at hand; `hashes` of a raw string were skipped already.
    fn skip_string(&mut self, hashes: usize) -> Result<(), Fault> {
        let start = self.at;
        let mut word = self.bytes.get(..start - hashes).unwrap_or_default();
        // `r` opens a raw string of KDL 1, and `/-` turns the next argument into a comment.
        let first_raw = word.ends_with(b"r");
        word = word.strip_suffix(b"r").or(word.strip_suffix(b"/-")).unwrap_or(word);
        let within = word.last().is_some_and(|byte| byte.is_ascii_graphic() && !b"=(){};/".contains(byte));
        if within {
            return Err(unfinished("A quote stands within a word", start, 1, "Put a space in front of the quote"));
        }
        let raw = hashes > 0 || first_raw;
        let quotes: &[u8] = if self.starts_with(b"\"\"\"") { b"\"\"\"" } else { b"\"" };
        self.at += quotes.len();
        while self.at < self.bytes.len() {
            if !raw && self.starts_with(b"\\") {
                self.at += 2;
            } else if self.starts_with(quotes) {
                let after = self.bytes.get(self.at + quotes.len()..).unwrap_or_default();
                if after.iter().take(hashes).filter(|byte| **byte == b'#').count() == hashes {
                    self.at += quotes.len() + hashes;
                    return Ok(());
                }
                self.at += 1;
            } else {
                self.at += 1;
            }
        }
        Err(unfinished("A string does not end", start, quotes.len(), "Add the closing quote"))
    }
}

fn too_deep(message: &'static str, offset: usize, length: usize) -> Fault {
    Fault {
        code: "too-deep",
        place: (offset, length),
        message,
        label: "one level too many",
        help: format!("At most {MAXIMUM_DEPTH} levels are read; a topology needs 4"),
    }
}

fn unfinished(message: &'static str, offset: usize, length: usize, help: &str) -> Fault {
    Fault { code: "syntax", place: (offset, length), message, label: "begins here", help: help.to_owned() }
}
