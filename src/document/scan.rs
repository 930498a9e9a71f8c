//! Makes sure that a text is safe to parse, in one walk that never calls itself.
//!
//! The KDL parser calls itself for every level of braces and comments, and after every error; some thousands of either
//! overflow its stack, which aborts the process. So depth is bounded here, and errors are ([`super::order`]). That holds only if
//! this scanner and the parser agree about where strings and comments end: where the parser would have to guess, because
//! one does not end or holds what it may not, the text is refused here instead.

use super::order::{Order, Sign};
use super::read::slice_span;
use super::{strings, words};
use crate::source::{FileId, Problem};

/// How deep braces, or comments within comments, may nest. The language needs 4 levels.
pub const MAXIMUM_DEPTH: usize = 64;

/// What a text that may be parsed is made of.
#[derive(Debug)]
pub struct Scan {
    /// Whether something in it belongs to KDL 1 only.
    pub first: bool,
    /// Why it must not be given to a parser of KDL 2, if it must not.
    pub not_second: Option<Problem>,
}

/// Something that ends a scan.
#[derive(Debug)]
pub struct Fault {
    /// The code of the problem.
    pub code: &'static str,
    /// Offset and length in bytes.
    pub place: (usize, usize),
    /// What is wrong.
    pub message: String,
    /// What to say at the place.
    pub label: &'static str,
    /// The repair.
    pub help: String,
}

impl Fault {
    /// Makes a syntax error.
    pub fn new(
        place: (usize, usize),
        message: impl Into<String>,
        label: &'static str,
        help: impl Into<String>,
    ) -> Self {
        Fault { code: "syntax", place, message: message.into(), label, help: help.into() }
    }

    fn problem(self, file: FileId, text: &str) -> Problem {
        let (offset, length) = self.place;
        Problem::error(self.code, self.message)
            .label(slice_span(file, text, offset, length), self.label)
            .help(self.help)
    }
}

/// Scans a text; the error says why it must not be parsed at all.
pub fn scan(file: FileId, text: &str) -> Result<Scan, Problem> {
    if let Some((at, character)) = text.char_indices().find(|(at, character)| words::is_forbidden(*at, *character)) {
        let message = format!("The character U+{:04X} may not stand in KDL", u32::from(character));
        let fault =
            Fault::new((at, character.len_utf8()), message, "here", "Take it away; in a string, write it as \\u{…}");
        return Err(fault.problem(file, text));
    }
    let mut scanner =
        Scanner { text, at: 0, open: Vec::new(), order: Order::default(), word_end: None, first_string: None };
    scanner.run().map_err(|fault| fault.problem(file, text))?;
    let (some, many) = scanner.order.first_words();
    let not_second = match (scanner.first_string, many) {
        (Some(fault), _) => Some(fault),
        (None, true) => Some(too_much(0)),
        (None, false) => None,
    };
    Ok(Scan { first: some || not_second.is_some(), not_second: not_second.map(|fault| fault.problem(file, text)) })
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Where the braces that are open were opened.
    open: Vec<usize>,
    order: Order,
    /// Where the last sign ended, if that was a word.
    word_end: Option<usize>,
    /// The first string that only KDL 1 has.
    first_string: Option<Fault>,
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(character) = self.rest().chars().next() {
            let start = self.at;
            let Some(sign) = self.next(character)? else { continue };
            let wordy = matches!(sign, Sign::Word | Sign::FirstWord | Sign::BadWord);
            // Two words need something between them.
            let joined = self.word_end == Some(start) && (wordy || matches!(sign, Sign::Open | Sign::Slashdash));
            if self.order.is_exceeded_by(sign, joined) {
                return Err(too_much(start));
            }
            self.word_end = wordy.then_some(self.at);
        }
        match self.open.last() {
            Some(open) => {
                Err(Fault::new((*open, 1), "A brace is not closed", "opened here", "Add `}` where its nodes end"))
            }
            None => Ok(()),
        }
    }

    /// Steps over a sign, or over what is none: a space, a comment.
    fn next(&mut self, character: char) -> Result<Option<Sign>, Fault> {
        let start = self.at;
        self.at += character.len_utf8();
        match character {
            '{' if self.open.len() == MAXIMUM_DEPTH => Err(too_deep("Braces nest too deep", start, 1)),
            '{' => {
                self.open.push(start);
                Ok(Some(Sign::Begin))
            }
            '}' => match self.open.pop() {
                Some(_) => Ok(Some(Sign::Finish)),
                None => Err(Fault::new(
                    (start, 1),
                    "A brace closes nothing",
                    "no brace is open here",
                    "Take it away, or open one before",
                )),
            },
            ';' => Ok(Some(Sign::End)),
            '(' => Ok(Some(Sign::Open)),
            ')' => Ok(Some(Sign::Close)),
            '=' => Ok(Some(Sign::Equals)),
            '/' if self.rest().starts_with('/') => {
                self.at += self.rest().find(words::is_newline).unwrap_or(self.rest().len());
                Ok(None)
            }
            '/' if self.rest().starts_with('*') => self.comment(start).map(|()| None),
            '/' if self.rest().starts_with('-') => {
                self.at += 1;
                Ok(Some(Sign::Slashdash))
            }
            '/' => Ok(Some(Sign::BadWord)),
            '\\' => Ok(self.continued()),
            '"' | '#' => self.string_or_keyword(start).map(Some),
            _ if words::is_newline(character) => Ok(Some(Sign::End)),
            _ if words::is_blank(character) => Ok(None),
            _ => {
                self.at += self.rest().find(words::ends).unwrap_or(self.rest().len());
                let word = self.text.get(start..self.at).unwrap_or_default();
                let raw = word == "r" && self.rest().starts_with(['"', '#']);
                if raw { self.string_or_keyword(start).map(Some) } else { Ok(Some(words::bare(word))) }
            }
        }
    }

    /// Reads what begins with a quote, with hashes, or with the `r` of KDL 1's raw strings.
    fn string_or_keyword(&mut self, start: usize) -> Result<Sign, Fault> {
        let text = self.text.get(start..).unwrap_or_default();
        let Some(string) = strings::at(text, start)? else {
            let hash = text.len() - text.trim_start_matches('#').len();
            let rest = text.get(hash..).unwrap_or_default();
            self.at = start + hash + rest.find(words::ends).unwrap_or(rest.len());
            return Ok(words::keyword(self.text.get(start..self.at).unwrap_or_default()));
        };
        let before = self.text.get(..start).and_then(|before| before.chars().next_back());
        // `/-` in front of a string turns it into a comment.
        let commented = self.text.get(..start).is_some_and(|before| before.ends_with("/-"));
        if before.is_some_and(|before| !words::ends(before) || before == '"') && !commented {
            return Err(Fault::new(
                (start, 1),
                "A quote stands within a word",
                "begins here",
                "Put a space in front of the quote",
            ));
        }
        self.at = start + string.length;
        self.first_string = self.first_string.take().or(string.not_second);
        Ok(Sign::Word)
    }

    /// Reads what follows a backslash: blanks and comments up to the line's end, or the file's.
    fn continued(&mut self) -> Option<Sign> {
        let blank = self.rest().len() - self.rest().trim_start_matches(words::is_blank).len();
        let after = self.rest().get(blank..).unwrap_or_default();
        match after.chars().next() {
            Some(newline) if words::is_newline(newline) => {
                self.at += blank + if after.starts_with("\r\n") { 2 } else { newline.len_utf8() };
                None
            }
            Some(_) if after.starts_with("//") => {
                self.at += blank + after.find('\n').map_or(after.len(), |end| end + 1);
                None
            }
            _ => Some(Sign::BadWord),
        }
    }

    fn comment(&mut self, start: usize) -> Result<(), Fault> {
        let mut depth = 1;
        self.at = start + 2;
        while let Some(next) = self.rest().find(['/', '*']) {
            self.at += next;
            if self.rest().starts_with("/*") {
                depth += 1;
                self.at += 2;
                if depth > MAXIMUM_DEPTH {
                    return Err(too_deep("Comments nest too deep", start, 2));
                }
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                self.at += 1;
            }
        }
        Err(Fault::new((start, 2), "A comment does not end", "begins here", "Add `*/` where the comment ends"))
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

fn too_deep(message: &str, offset: usize, length: usize) -> Fault {
    let help = format!("At most {MAXIMUM_DEPTH} levels are read; a topology needs 4");
    Fault { code: "too-deep", ..Fault::new((offset, length), message, "one level too many", help) }
}

fn too_much(offset: usize) -> Fault {
    let help = "See https://kdl.dev for the syntax";
    Fault::new((offset, 1), "Too much of this file is not KDL", "given up here", help)
}
