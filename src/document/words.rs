//! Judges single characters and words of KDL, for [`super::scan`].

use super::order::Sign;

/// Judges a bare word: a name, a number, or something else.
pub fn bare(word: &str) -> Sign {
    let digits = word.trim_start_matches(['-', '+']);
    let numeric = digits.trim_start_matches('.').starts_with(|first: char| first.is_ascii_digit());
    match word {
        "true" | "false" | "null" | "inf" | "-inf" | "nan" => Sign::FirstWord,
        _ if word.contains(['[', ']']) => Sign::BadWord,
        _ if numeric && !is_number(word) => Sign::BadWord,
        _ => Sign::Word,
    }
}

/// Judges a word that begins with a hash.
pub fn keyword(word: &str) -> Sign {
    match word {
        "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan" => Sign::Word,
        _ => Sign::BadWord,
    }
}

/// Tells whether a character may stand nowhere in a document: control characters, and those that turn the direction of
/// writing and so hide what a text says; U+FEFF may open a file.
pub fn is_forbidden(offset: usize, character: char) -> bool {
    let turning = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let marks = character == '\u{feff}' && offset > 0;
    turning || marks || (character.is_control() && character != '\t' && !is_newline(character))
}

/// Tells whether a character separates words within a line.
pub fn is_blank(character: char) -> bool {
    character == '\u{feff}' || (character.is_whitespace() && !is_newline(character))
}

/// Tells whether a character ends a bare word.
pub fn ends(character: char) -> bool {
    is_blank(character) || is_newline(character) || "{}();=/\"#\\".contains(character)
}

/// Tells whether a character ends a line, in KDL 2.
pub fn is_newline(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let all = |text: &str, digit: fn(&char) -> bool| {
        text.starts_with(|first| digit(&first)) && text.chars().all(|character| digit(&character) || character == '_')
    };
    let decimal = |text: &str| all(text, char::is_ascii_digit);
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return all(digits, char::is_ascii_hexdigit);
    }
    if let Some(digits) = unsigned.strip_prefix("0o") {
        return all(digits, |digit| ('0'..='7').contains(digit));
    }
    if let Some(digits) = unsigned.strip_prefix("0b") {
        return all(digits, |digit| ('0'..='1').contains(digit));
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let whole = match mantissa.split_once('.') {
        Some((whole, fraction)) => decimal(whole) && decimal(fraction),
        None => decimal(mantissa),
    };
    whole && exponent.is_none_or(|exponent| decimal(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        for word in ["web1", "-", "+", "10", "-1_000", "1.5e-3", "0xff", "0b01", "0o17", "é", "a-b", "<a>", "..."] {
            assert_eq!(bare(word), Sign::Word, "{word:?}");
        }
        for word in ["10.4.1.181", "1a", "0xg", "1.", ".5", "[", "a]", "1__e"] {
            assert_eq!(bare(word), Sign::BadWord, "{word:?}");
        }
        assert_eq!(bare("true"), Sign::FirstWord);
        assert_eq!(keyword("#true"), Sign::Word);
        assert_eq!(keyword("#yes"), Sign::BadWord);
    }
}
