//! Lines in columns, as wide as a terminal is likely to be.

use super::paint::Paint;
use crate::resource::Action;

/// The width that human output is laid out for.
pub const WIDTH: usize = 80;

/// The widest first column; a longer text pushes the next one aside on its own line only.
const FIRST: usize = 52;

/// A line: what changes, on which hosts, and where the topology asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is done.
    pub action: Action,
    /// What it is done to, and how.
    pub text: String,
    /// The hosts, where the heading does not name them.
    pub hosts: String,
    /// Why, where the action does not say it.
    pub reason: Option<&'static str>,
    /// Where the topology asks for it.
    pub place: Option<String>,
    /// Lines below it, with the colour of an action.
    pub detail: Vec<(Option<Action>, String)>,
    /// What traffic feels of it.
    pub disruption: Option<String>,
}

/// Returns the lines of rows, with an indentation in front of each.
pub fn lines(rows: &[Row], indentation: usize, paint: Paint) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let first = rows.iter().map(|row| width(&row.text)).filter(|width| *width <= FIRST).max().unwrap_or_default();
    let second = rows.iter().map(|row| width(&row.hosts)).max().unwrap_or_default();
    let indent = " ".repeat(indentation);
    let mut lines = Vec::new();
    for row in rows {
        let mut text = format!("{:first$}", row.text);
        if second > 0 {
            text.push_str(&format!("  {:second$}", row.hosts));
        }
        let main = format!("{} {}", super::paint::glyph(row.action), text.trim_end());
        let padding = " ".repeat(text.chars().count() - text.trim_end().chars().count());
        let mut line = format!("{indent}{}", paint.action(row.action, &main));
        let reason = row.reason.map(|reason| paint.style(anstyle::Style::new().bold(), reason));
        let rest: Vec<String> = reason.into_iter().chain(row.place.as_ref().map(|place| paint.faint(place))).collect();
        if !rest.is_empty() {
            line.push_str(&format!("{padding}  {}", rest.join("  ")));
        }
        lines.push(line);
        lines.extend(row.disruption.as_ref().map(|text| format!("{indent}    {}", paint.bad(&format!("! {text}")))));
        lines.extend(row.detail.iter().map(|(action, text)| {
            let text = action.map_or_else(|| paint.faint(text), |action| paint.action(action, text));
            format!("{indent}    {text}").trim_end().to_owned()
        }));
    }
    lines
}

/// Returns words in lines of at most [`WIDTH`] columns; further lines are indented.
pub fn wrapped(first: &str, words: &[String], indentation: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    for word in words {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".repeat(indentation)));
            line.push_str(word);
        } else {
            line.push_str(if line.is_empty() || line.ends_with(' ') { "" } else { " " });
            line.push_str(word);
        }
    }
    lines.push(line);
    lines
}

/// Returns parts with a separator after each but the last, ready to be wrapped.
pub fn separated(parts: &[String], separator: &str) -> Vec<String> {
    let last = parts.len().saturating_sub(1);
    let end = |at: usize| if at == last { "" } else { separator };
    parts.iter().enumerate().map(|(at, part)| format!("{part}{}", end(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_wrapped_and_nothing_is_lost() {
        let words: Vec<String> = (0..40).map(|number| format!("web{number:02},")).collect();
        let lines = wrapped("hosts", &words, 6);
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        let back: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).skip(1).collect();
        assert_eq!(back, words);
        assert!(lines[1].starts_with("      web"));
    }
}
