//! Finds where a string of KDL ends, and refuses one about whose end two parsers could disagree.

use super::scan::Fault;
use super::words::{is_blank, is_newline};

/// A string with its quotes.
#[derive(Debug)]
pub struct Extent {
    /// How many bytes it takes, from its first hash, `r` or quote to its last quote or hash.
    pub length: usize,
    /// Why it is none in KDL 2, if it is one in KDL 1 only.
    pub not_second: Option<Fault>,
}

/// Finds the string that a text begins with, if it begins with one; `place` is the text's offset in its file.
pub fn at(text: &str, place: usize) -> Result<Option<Extent>, Fault> {
    let plain = text.strip_prefix('r').unwrap_or(text);
    let first_raw = plain.len() < text.len();
    let hashes = plain.len() - plain.trim_start_matches('#').len();
    let quoted = plain.get(hashes..).unwrap_or_default();
    if !quoted.starts_with('"') {
        return Ok(None);
    }
    let raw = first_raw || hashes > 0;
    // KDL 1 has no strings of three quotes; its raw ones may be empty and be followed by a quote.
    let quotes = if quoted.starts_with("\"\"\"") && !first_raw { "\"\"\"" } else { "\"" };
    let start = place + (text.len() - quoted.len());
    let inner = quoted.get(quotes.len()..).unwrap_or_default();
    let content = content(inner, quotes, hashes, raw).ok_or_else(|| {
        Fault::new((start, quotes.len()), "A string does not end", "begins here", "Add the closing quote")
    })?;
    if quotes.len() == 3 && !is_layout(content) {
        return Err(Fault::new(
            (start, 3),
            "A string of several lines is laid out wrongly",
            "begins here",
            "Begin and end its lines on lines of their own, each indented like the closing quotes",
        ));
    }
    if !raw && let Some(at) = bad_escape(content) {
        return Err(Fault::new(
            (start + quotes.len() + at, 2),
            "This escape is unknown",
            "after this backslash",
            "Write \\\\ for a backslash; others are \\n, \\r, \\t, \\s, \\\" and \\u{…}",
        ));
    }
    let not_second = if first_raw {
        Some(Fault::new(
            (start, 1),
            "Raw strings are written differently in KDL 2",
            "a string of KDL 1",
            "Take the r away",
        ))
    } else if quotes.len() == 1 && breaks_line(content, raw) {
        Some(Fault::new((start, 1), "A string does not end in its line", "begins here", "Add the closing quote"))
    } else {
        None
    };
    let length = (text.len() - quoted.len()) + 2 * quotes.len() + content.len() + hashes;
    Ok(Some(Extent { length, not_second }))
}

/// Returns what is between the quotes, if they close.
fn content<'a>(inner: &'a str, quotes: &str, hashes: usize, raw: bool) -> Option<&'a str> {
    let mut at = 0;
    loop {
        let rest = inner.get(at..)?;
        at += rest.find(['"', '\\'])?;
        let rest = inner.get(at..)?;
        if rest.starts_with('\\') {
            let escaped = rest.chars().nth(1).filter(|_| !raw).map_or(0, char::len_utf8);
            at += 1 + escaped;
            continue;
        }
        let closing = rest.strip_prefix(quotes).unwrap_or_default();
        let follow = closing.len() - closing.trim_start_matches('#').len();
        if rest.starts_with(quotes) && follow >= hashes {
            return inner.get(..at);
        }
        at += 1;
    }
}

/// Tells whether a string of three quotes has its lines where KDL 2 wants them.
fn is_layout(content: &str) -> bool {
    let lines: Vec<&str> = content.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let [first, middle @ .., last] = lines.as_slice() else { return false };
    // Escapes may hide line breaks, and other newline characters are rare enough to be refused.
    let plain = !content.contains(|character| is_newline(character) && !"\r\n".contains(character));
    first.is_empty()
        && plain
        && last.chars().all(is_blank)
        && middle.iter().all(|line| line.starts_with(last) || line.chars().all(is_blank))
        && !content.contains('\\')
}

/// Tells whether a string runs over a line's end, other than by a backslash in front of blanks.
fn breaks_line(content: &str, raw: bool) -> bool {
    let mut escaped = false;
    for character in content.chars() {
        match character {
            '\\' if !raw && !escaped => escaped = true,
            _ if is_newline(character) && !escaped => return true,
            _ if (is_newline(character) || is_blank(character)) && escaped => {}
            _ => escaped = false,
        }
    }
    false
}

/// Returns the offset of the first backslash that escapes nothing known.
fn bad_escape(content: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += content.get(at..)?.find('\\')?;
        let rest = content.get(at + 1..)?;
        let known = match rest.chars().next() {
            Some('n' | 'r' | 't' | '\\' | '"' | 'b' | 'f' | 's') => true,
            Some('u') => is_code_point(rest.get(1..).unwrap_or_default()),
            Some(other) => is_blank(other) || is_newline(other),
            None => false,
        };
        if !known {
            return Some(at);
        }
        at += 1 + rest.chars().next().map_or(0, char::len_utf8);
    }
}

fn is_code_point(text: &str) -> bool {
    let digits = text.strip_prefix('{').and_then(|text| text.split_once('}')).map_or("", |(digits, _)| digits);
    let number = (digits.len() <= 6).then(|| u32::from_str_radix(digits, 16).ok()).flatten();
    !digits.starts_with('+') && number.and_then(char::from_u32).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        at(text, 0).unwrap().map(|extent| extent.length)
    }

    #[test]
    fn strings_end_where_they_end() {
        assert_eq!(length("word"), None);
        assert_eq!(length("#true"), None);
        assert_eq!(length("\"a\\\"b\" c"), Some(6));
        assert_eq!(length("\"\" \"\""), Some(2));
        assert_eq!(length("#\"a\"b\"# c"), Some(7));
        assert_eq!(length("##\"a\"#b\"## c"), Some(10));
        assert_eq!(length("\"\"\"\n  a\"b\n  \"\"\" c"), Some(15));
        assert_eq!(length("r#\"a\\\"# c"), Some(7));
        assert_eq!(length("\"é\" c"), Some(4));
    }

    #[test]
    fn doubtful_strings_are_refused() {
        for text in [
            "\"a",
            "#\"a\"",
            "\"\\q\"",
            "\"\\u{d800}\"",
            "\"\\u{+1}\"",
            "\"\\",
            "\"\"\"a\"\"\"",
            "\"\"\"\n a\n  \"\"\"",
        ] {
            assert!(at(text, 0).is_err(), "{text:?}");
        }
        for text in ["\"a\nb\"", "#\"a\nb\"#", "r\"a\""] {
            assert!(at(text, 0).unwrap().unwrap().not_second.is_some(), "{text:?}");
        }
        assert!(at("\"a\\\n   b\"", 0).unwrap().unwrap().not_second.is_none());
    }
}
