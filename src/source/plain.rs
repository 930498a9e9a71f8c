//! Text of others, such that a terminal shows it and does nothing else.

use std::borrow::Cow;

/// What stands where a character was that must not be shown.
const INSTEAD: char = '\u{fffd}';

/// Tells whether a terminal would act on a character, or somebody who reads it be deceived: control characters, and those that
/// turn the direction of writing.
pub fn is_deceptive(character: char) -> bool {
    let is_turning = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_turning || character.is_control()
}

/// Makes one line of what somebody else says, of so many characters at most.
pub fn one_line(text: &str, longest: usize) -> String {
    let is_between = |character: char| character.is_whitespace() || is_deceptive(character);
    let words: Vec<&str> = text.split(is_between).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Returns text in which every character that a terminal would act on is replaced, but for the ends of lines and tabulators, and
/// for sequences that only choose a colour, where there is colour.
pub fn harmless(text: &str, colour: bool) -> Cow<'_, str> {
    let is_harmless = |character: char| matches!(character, '\n' | '\t') || !is_deceptive(character);
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let painted = if colour { colour_sequence(rest) } else { 0 };
        let length = painted.max(character.len_utf8());
        match rest.split_at_checked(length) {
            Some((part, _)) if painted > 0 || is_harmless(character) => shown.push_str(part),
            _ => shown.push(INSTEAD),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Cow::Owned(shown)
}

/// Returns the length of the sequence that a text begins with, if it chooses a colour (`SGR` of ECMA-48).
fn colour_sequence(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\u{1b}[") else { return 0 };
    let end = parameters.find(|character: char| !character.is_ascii_digit() && character != ';');
    match end {
        Some(end) if parameters.get(end..).is_some_and(|rest| rest.starts_with('m')) => "\u{1b}[m".len() + end,
        _ => 0,
    }
}

/// Writes the characters of a JSON document that a terminal would act on as JSON can: the document means the same.
pub fn harmless_json(text: &str) -> Cow<'_, str> {
    let is_harmless = |character: char| character == '\n' || !is_deceptive(character);
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let written = |character: char| match is_harmless(character) {
        true => character.to_string(),
        false => format!("\\u{:04x}", u32::from(character)),
    };
    Cow::Owned(text.chars().map(written).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_not_shown() {
        for (text, shown) in [
            ("\u{1b}[2J\u{1b}]0;title\u{7}x", "\u{fffd}[2J\u{fffd}]0;title\u{fffd}x"),
            ("a\rb\u{8}c\u{9b}2J\u{7f}", "a\u{fffd}b\u{fffd}c\u{fffd}2J\u{fffd}"),
            ("\u{202e}gro.elpmaxe\u{2066}", "\u{fffd}gro.elpmaxe\u{fffd}"),
            ("\u{1b}", "\u{fffd}"),
            ("\u{1b}[3", "\u{fffd}[3"),
            ("\u{1b}[31Am", "\u{fffd}[31Am"),
            ("é\n\tü", "é\n\tü"),
        ] {
            assert_eq!((harmless(text, true), harmless(text, false)), (shown.into(), shown.into()), "{text:?}");
        }
        assert_eq!(harmless("\u{1b}[1;31mé\u{1b}[0m\u{1b}[m", true), "\u{1b}[1;31mé\u{1b}[0m\u{1b}[m");
        assert_eq!(harmless("\u{1b}[31mé", false), "\u{fffd}[31mé");
    }

    #[test]
    fn a_document_means_the_same_afterwards() {
        let text = serde_json::to_string_pretty(&["\u{9b}2J\u{1b}é\u{202e}\u{7f}"]).unwrap();
        let shown = harmless_json(&text);
        assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{7f}']), "{shown}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), ["\u{9b}2J\u{1b}é\u{202e}\u{7f}"]);
    }

    #[test]
    fn what_others_say_is_one_line() {
        assert_eq!(one_line(" a\u{1b}[2J\r\n b\u{202e} ", 100), "a [2J b");
        assert_eq!(one_line("äöü ß", 4), "äöü  …");
        assert_eq!(one_line("", 4), "");
    }
}
