//! Judges a single value against its [`Shape`].

use std::time::Duration;

use super::grammar::{Choice, Shape, TextRule};
use super::suggest;
use super::{Literal, Value};
use crate::source::Problem;

/// Returns what is wrong with a value; `name` is what the language calls it.
pub fn judge(name: &str, shape: Shape, value: &Value) -> Result<(), Problem> {
    if let Some(annotation) = &value.annotation
        && !matches!(shape, Shape::Secret(_))
    {
        return Err(Problem::error("wrong-type", format!("`{name}` takes no type annotation"))
            .label(annotation.span, "has no meaning here")
            .help("Only a secret is written as (env)\"NAME\" or (file)\"PATH\""));
    }
    match (shape, &value.literal) {
        (Shape::Text(rule), Literal::Text(text)) => judge_text(name, rule, text, value),
        (Shape::TextOrNumber(rule), Literal::Text(text)) => judge_text(name, rule, text, value),
        (Shape::TextOrNumber(rule), Literal::Integer(number)) => judge_text(name, rule, &number.to_string(), value),
        (Shape::Word(choices), Literal::Text(word)) => judge_word(name, choices, word, value),
        (Shape::Integer { least, most }, Literal::Integer(number)) if (least..=most).contains(number) => Ok(()),
        (Shape::Integer { least, most }, Literal::Integer(_)) => {
            Err(Problem::error("out-of-range", format!("`{name}` is out of range"))
                .label(value.span, "this number")
                .help(format!("Use a whole number from {least} to {most}")))
        }
        (Shape::Flag, Literal::Flag(_)) => Ok(()),
        (Shape::Duration { least, step }, Literal::Text(text)) => judge_duration(name, least, step, text, value),
        (Shape::Secret(rule), Literal::Text(text)) => judge_secret(name, rule, text, value),
        (shape, literal) => Err(wrong_sort(name, shape, literal, value)),
    }
}

fn wrong_sort(name: &str, shape: Shape, literal: &Literal, value: &Value) -> Problem {
    let (wanted, help) = match shape {
        Shape::Text(rule) => (rule.what.to_owned(), in_quotes(rule.rule, literal)),
        Shape::TextOrNumber(rule) => (rule.what.to_owned(), rule.rule.to_owned()),
        Shape::Word(choices) => ("a word".to_owned(), format!("Use {}", words(choices))),
        Shape::Integer { least, most } => match literal {
            Literal::Text(text) if text.parse::<i128>().is_ok() => {
                ("a whole number".to_owned(), format!("Write {text} without quotes"))
            }
            _ => ("a whole number".to_owned(), format!("Use a whole number from {least} to {most}, without quotes")),
        },
        Shape::Flag => ("a truth value".to_owned(), "Write #true or #false".to_owned()),
        Shape::Duration { .. } => match literal {
            Literal::Integer(_) | Literal::Float(_) => (
                "a duration with its unit".to_owned(),
                format!("Write \"{literal}s\" for seconds; units are ms, s, m and h"),
            ),
            _ => ("a duration with its unit".to_owned(), "Write a string such as \"5s\"".to_owned()),
        },
        Shape::Secret(_) => {
            ("a secret".to_owned(), "Write (env)\"NAME\" for a variable, or (file)\"PATH\" for a file".to_owned())
        }
    };
    Problem::error("wrong-type", format!("`{name}` must be {wanted}"))
        .label(value.span, format!("this is {}", literal.sort()))
        .help(help)
}

fn in_quotes(rule: &str, literal: &Literal) -> String {
    match literal {
        Literal::Integer(_) | Literal::Float(_) => format!("Write it in quotes: \"{literal}\""),
        _ => rule.to_owned(),
    }
}

fn judge_text(name: &str, rule: &TextRule, text: &str, value: &Value) -> Result<(), Problem> {
    (rule.check)(text).map_err(|fault| {
        Problem::error("bad-value", format!("`{name}` must be {}", rule.what)).label(value.span, fault).help(rule.rule)
    })
}

fn judge_word(name: &str, choices: &[Choice], word: &str, value: &Value) -> Result<(), Problem> {
    match choices.iter().find(|choice| choice.name == word) {
        Some(choice) if choice.supported => Ok(()),
        Some(_) => Err(not_supported(&format!("`{name}` \"{word}\""), value.span)
            .help(format!("Supported now: {}", words(choices)))),
        None => {
            let names = choices.iter().map(|choice| choice.name);
            let help = match suggest::closest(word, names) {
                Some(close) => format!("Did you mean \"{close}\"?"),
                None => format!("Use {}", words(choices)),
            };
            Err(Problem::error("unknown-word", format!("`{name}` does not know this word"))
                .label(value.span, "unknown")
                .help(help))
        }
    }
}

/// Makes the error for something that the language has and this version does not act on.
pub fn not_supported(what: &str, span: crate::source::Span) -> Problem {
    Problem::error("not-supported-yet", format!("{what} is not supported yet"))
        .label(span, "not supported yet")
        .help("Take it out; nothing that is written is ever ignored")
}

fn words(choices: &[Choice]) -> String {
    let names: Vec<String> =
        choices.iter().filter(|choice| choice.supported).map(|choice| format!("\"{}\"", choice.name)).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.join(""),
    }
}

fn judge_duration(name: &str, least: Duration, step: Duration, text: &str, value: &Value) -> Result<(), Problem> {
    let Some(length) = duration(text) else {
        let help = match text.trim().parse::<u64>() {
            Ok(number) => format!("Write \"{number}s\" for seconds; units are ms, s, m and h"),
            Err(_) => "Write a whole number and a unit, such as \"300ms\", \"5s\", \"2m\" or \"1h\"".to_owned(),
        };
        return Err(Problem::error("wrong-type", format!("`{name}` must be a duration with its unit"))
            .label(value.span, "not a duration")
            .help(help));
    };
    if length < least {
        return Err(Problem::error("out-of-range", format!("`{name}` is too short"))
            .label(value.span, "this duration")
            .help(format!("The shortest is \"{}\"", show(least))));
    }
    if !step.is_zero() && !length.as_millis().is_multiple_of(step.as_millis().max(1)) {
        return Err(Problem::error("out-of-range", format!("`{name}` is measured too finely"))
            .label(value.span, "this duration")
            .help(format!("Use a multiple of \"{}\"", show(step))));
    }
    if length > LONGEST {
        return Err(Problem::error("out-of-range", format!("`{name}` is too long"))
            .label(value.span, "this duration")
            .help(format!("The longest is \"{}\"", show(LONGEST))));
    }
    Ok(())
}

/// The longest duration that is accepted: 30 days, far inside what the kernel and keepalived count in.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads a whole number and a unit: `ms`, `s`, `m` or `h`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

/// Writes a duration as the language does, in the largest unit that leaves no rest.
pub fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    units
        .into_iter()
        .find(|(size, _)| milliseconds > 0 && milliseconds.is_multiple_of(*size))
        .map_or_else(|| format!("{milliseconds}ms"), |(size, unit)| format!("{}{unit}", milliseconds / size))
}

fn judge_secret(name: &str, rule: &TextRule, text: &str, value: &Value) -> Result<(), Problem> {
    match value.annotation.as_ref().map(|annotation| (annotation.value.as_str(), annotation.span)) {
        Some(("env" | "file", _)) if !text.is_empty() && !text.contains(['\0', '\n', '=']) => Ok(()),
        Some(("env" | "file", _)) => Err(Problem::error("bad-value", format!("`{name}` must name its source"))
            .label(value.span, "names none")
            .help("Write (env)\"NAME\" for a variable, or (file)\"PATH\" for a file")),
        Some((other, span)) => {
            let help = match suggest::closest(other, ["env", "file"]) {
                Some(close) => format!("Did you mean ({close})?"),
                None => "Secrets come from (env)\"NAME\" or (file)\"PATH\"".to_owned(),
            };
            Err(Problem::error("unknown-name", "This source of secrets is unknown").label(span, "unknown").help(help))
        }
        None => judge_text(name, rule, text, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-5s", "5 s", "1.5s", "5d", "99999999999999999999s", "99999999999999999h", "５s"] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
        for text in ["300ms", "5s", "2m", "1h", "90s"] {
            assert_eq!(duration(&show(duration(text).unwrap())), duration(text));
        }
    }
}
