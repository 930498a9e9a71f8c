//! Problems as workflow commands, which GitHub shows beside the lines of a change.

use super::level;
use crate::source::{Problem, Problems, SourceMap};

/// Renders one command a line.
pub fn github(problems: &Problems, sources: &SourceMap) -> String {
    problems.iter().map(|problem| command(problem, sources)).collect()
}

fn command(problem: &Problem, sources: &SourceMap) -> String {
    let place = problem.labels.first().and_then(|label| sources.position(label.span));
    let place = place.map_or_else(String::new, |place| {
        format!("file={},line={},col={},", property(&place.file), place.line, place.column)
    });
    let label = problem.labels.first().map_or_else(String::new, |label| format!(": {}", label.text));
    let help = problem.help.as_ref().map_or_else(String::new, |help| format!("\n{help}"));
    let message = data(&format!("{}{label}{help}", problem.message));
    format!("::{} {place}title={}::{message}\n", level(problem.severity), property(problem.code))
}

/// Escapes what would end a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes what would end a command or one of its properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    #[test]
    fn commands_cannot_be_broken_out_of() {
        let mut sources = SourceMap::default();
        let file = sources.add("a,b:c.kdl", "é x\n");
        let mut problems = Problems::default();
        problems.push(Problem::error("bad-value", "50%\n::error::x").label(Span::new(file, 3, 1), "here").help("Do"));
        let expected = "::error file=a%2Cb%3Ac.kdl,line=1,col=3,title=bad-value::50%25%0A::error::x: here%0ADo\n";
        assert_eq!(github(&problems, &sources), expected);
    }
}
