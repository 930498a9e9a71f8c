//! The only place where an operator's text enters `keepalived.conf`: a [`Word`] is refused or can be written safely.
//!
//! keepalived 2.2 reads what stands in double quotes as it is, `#`, `!`, braces and apostrophes included (tried on 2.2.7).
//! What it does not leave alone even there is refused: the quote itself, a backslash (a line continues after it), line ends and
//! other control characters, parameters such as `$_PWD` and `${NAME}`, and the generators `~SEQ` and `~LST`.

use thiserror::Error;

use crate::topology::{SecretText, TextPiece, grammar};

/// keepalived reads lines into a buffer of 1024 bytes (`MAXBUF` in `lib/parser.h`); this leaves room for the rest of one.
const LONGEST: usize = 512;

/// keepalived cuts `auth_pass` to this many bytes (RFC 2338, section 5.3.6.1).
const LONGEST_PASSWORD: usize = 8;

/// Says why a text cannot be written into `keepalived.conf`; the text itself is not repeated, as it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is nothing to write.
    #[error("is empty")]
    Empty,
    /// The text is too long.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A character that keepalived gives a meaning to, or cuts a line at.
    #[error("holds {0:?}, which keepalived does not take as it is")]
    Character(char),
    /// A sequence that keepalived replaces.
    #[error("holds {0:?}, which keepalived replaces by something else")]
    Sequence(&'static str),
    /// A space where the text must be one word.
    #[error("holds a space")]
    Space,
    /// A line that would not stay in its block.
    #[error("is not one keyword with its values and matching braces")]
    NotALine,
}

/// A text that stands in `keepalived.conf` for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(String);

impl Word {
    /// Takes a text that may hold single spaces, such as a name.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        check(text, LONGEST)?;
        if text.trim() != text { Err(Refusal::Space) } else { Ok(Word(text.to_owned())) }
    }

    /// Takes a text without spaces, such as an address or the path of a page.
    pub fn solid(text: &str) -> Result<Self, Refusal> {
        if text.contains(' ') { Err(Refusal::Space) } else { Word::new(text) }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text in quotes.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// Returns the text as it is written, in quotes where it needs them.
    pub fn written(&self) -> String {
        let plain = |character: char| character.is_ascii_alphanumeric() || "_-./:%+=,?&@".contains(character);
        // A line that starts with `@` holds for the director of that name only.
        let bare = self.0.chars().all(plain) && !self.0.starts_with('@');
        if bare { self.0.clone() } else { self.quoted() }
    }
}

/// A line of the operator's own that stays in the block where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLine(String);

impl RawLine {
    /// Takes a line with matching braces and without anything that ends it early.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        if grammar::is_raw_line(text) { Ok(RawLine(text.to_owned())) } else { Err(Refusal::NotALine) }
    }

    /// Returns the lines as keepalived reads them best, a brace at the end of one and on a line of its own.
    pub fn lines(&self) -> Vec<String> {
        let broken = self.0.replace('{', "{\n").replace('}', "\n}\n");
        let lines = broken.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let mut depth = 0_usize;
        let lines = lines.filter(|line| !line.is_empty()).map(|line| {
            depth = depth.saturating_sub(usize::from(line == "}"));
            let indented = format!("{}{line}", "    ".repeat(depth));
            depth += usize::from(line.ends_with('{'));
            indented
        });
        lines.collect()
    }
}

/// A password that stands in `keepalived.conf` for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretWord(SecretText);

impl SecretWord {
    /// Takes a password; one that was not looked up cannot be checked and is taken.
    pub fn new(piece: TextPiece) -> Result<Self, Refusal> {
        if let TextPiece::Plain(value) | TextPiece::Secret(Some(value)) = &piece {
            check(value, LONGEST_PASSWORD)?;
        }
        let mut written = SecretText::plain("\"");
        written.push(piece);
        written.push_str("\"");
        Ok(SecretWord(written))
    }

    /// Returns the pieces as they are written, always in quotes.
    pub fn written(&self) -> &[TextPiece] {
        self.0.pieces()
    }
}

fn check(text: &str, longest: usize) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::Empty);
    }
    if text.len() > longest {
        return Err(Refusal::TooLong(longest));
    }
    let refused = |character: &char| {
        matches!(character, '"' | '\\') || character.is_control() || (character.is_whitespace() && *character != ' ')
    };
    if let Some(character) = text.chars().find(refused) {
        return Err(Refusal::Character(character));
    }
    match ["$_", "${", "~SEQ", "~LST"].into_iter().find(|sequence| text.contains(sequence)) {
        Some(sequence) => Err(Refusal::Sequence(sequence)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_keepalived_would_cut_it() {
        let written = |text: &str| Word::new(text).unwrap().written();
        assert_eq!(written("/lbtest.html?a=b&c=%20"), "/lbtest.html?a=b&c=%20");
        assert_eq!(written("a b"), "\"a b\"");
        assert_eq!(written("me@home"), "me@home");
        assert_eq!(written("@home"), "\"@home\"");
        assert_eq!(written("/a#b!c{d}e'f"), "\"/a#b!c{d}e'f\"");
    }

    #[test]
    fn what_quotes_cannot_hold_is_refused() {
        let refused = |text: &str| Word::new(text).unwrap_err();
        assert_eq!(refused(""), Refusal::Empty);
        assert_eq!(refused("a\"b"), Refusal::Character('"'));
        assert_eq!(refused("a\\"), Refusal::Character('\\'));
        assert_eq!(refused("a\nb"), Refusal::Character('\n'));
        assert_eq!(refused("a\tb"), Refusal::Character('\t'));
        assert_eq!(refused("a\u{2028}b"), Refusal::Character('\u{2028}'));
        assert_eq!(refused("x${A}"), Refusal::Sequence("${"));
        assert_eq!(refused("$_PWD"), Refusal::Sequence("$_"));
        assert_eq!(refused("~SEQ(1,2)"), Refusal::Sequence("~SEQ"));
        assert_eq!(refused(" a"), Refusal::Space);
        assert_eq!(refused(&"a".repeat(513)), Refusal::TooLong(512));
        assert_eq!(Word::solid("a b").unwrap_err(), Refusal::Space);
    }

    #[test]
    fn a_line_of_the_operators_own_is_laid_out() {
        let lines = |text: &str| RawLine::new(text).unwrap().lines();
        assert_eq!(lines("track_bfd {b1}"), ["track_bfd {", "    b1", "}"]);
        assert_eq!(lines("dont_track_primary"), ["dont_track_primary"]);
        assert_eq!(lines("a { b { c 1 } d }"), ["a {", "    b {", "        c 1", "    }", "    d", "}"]);
        assert_eq!(RawLine::new("a }").unwrap_err(), Refusal::NotALine);
    }

    #[test]
    fn a_password_is_checked_where_it_is_known_and_never_shown() {
        let secret = |value: &str| SecretWord::new(TextPiece::Secret(Some(value.into())));
        assert_eq!(secret("cbrt32456").unwrap_err(), Refusal::TooLong(8));
        assert!(!format!("{:?}", secret("hush").unwrap()).contains("hush"));
        assert!(SecretWord::new(TextPiece::Secret(None)).is_ok());
    }
}
