//! The words of a line of `iptables-save`, which quotes as `xtables_save_string` in `libxtables/xtables.c` does.
//!
//! Only the double quote opens a quotation, and only inside one does a backslash keep the next character
//! (`add_param_to_argv` in `iptables/xshared.c`). A line break cannot be quoted at all.

/// Returns the words of a line, without their quotes; `None` if a quotation is not closed.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => word.get_or_insert_default().push(characters.next()?),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

/// Returns a text as one word of a restore file.
///
/// Control characters are left out, because a line break would begin a rule of its own; no interface can be called so
/// (`dev_valid_name` in `net/core/dev.c`), so nothing that exists is misnamed.
pub(super) fn quote(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-.:@+".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\' | '\'') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_are_one_word() {
        let words = split(r#"-m comment --comment "say \"no\" to \\ it's" -j X"#).unwrap();
        assert_eq!(words, ["-m", "comment", "--comment", r#"say "no" to \ it's"#, "-j", "X"]);
        assert_eq!(split("  a\tb  ").unwrap(), ["a", "b"]);
        assert_eq!(split(r#"a """#).unwrap(), ["a", ""]);
        assert_eq!(split(r#"a "b"#), None);
        assert_eq!(split(r#"a "b\"#), None);
    }

    proptest::proptest! {
        #[test]
        fn a_quoted_text_is_one_word_of_one_line(text in "\\PC*", control in "[\\x00-\\x1f]{0,3}") {
            let quoted = quote(&format!("{text}{control}"));
            proptest::prop_assert!(!quoted.contains(['\n', '\r', '\0']));
            proptest::prop_assert_eq!(split(&quoted).unwrap(), [text]);
        }
    }
}
