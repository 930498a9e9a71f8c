//! Problems as SARIF 2.1.0 (OASIS), which code scanning services read.

use serde_json::{Value, json};

use super::level;
use crate::source::{Label, Problem, Problems, SourceMap};

/// Renders one document.
pub fn sarif(problems: &Problems, sources: &SourceMap) -> String {
    let mut codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "lvsctl",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| json!({ "id": code })).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": problems.iter().map(|problem| result(problem, sources)).collect::<Vec<_>>(),
        }],
    });
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn result(problem: &Problem, sources: &SourceMap) -> Value {
    let help = problem.help.as_ref().map_or_else(String::new, |help| format!("\n{help}"));
    let (first, others) = match problem.labels.split_first() {
        Some((first, others)) => (Some(first), others),
        None => (None, &[] as &[Label]),
    };
    let places = |labels: &[Label]| -> Vec<Value> { labels.iter().filter_map(|label| place(label, sources)).collect() };
    json!({
        "ruleId": problem.code,
        "level": level(problem.severity),
        "message": { "text": format!("{}{help}", problem.message) },
        "locations": places(first.map(std::slice::from_ref).unwrap_or_default()),
        "relatedLocations": places(others),
    })
}

fn place(label: &Label, sources: &SourceMap) -> Option<Value> {
    let start = sources.position(label.span)?;
    let end = crate::source::Span::new(label.span.file, label.span.offset + label.span.length, 0);
    let end = sources.position(end)?;
    Some(json!({
        "physicalLocation": {
            "artifactLocation": { "uri": start.file.replace('%', "%25").replace(' ', "%20") },
            "region": {
                "startLine": start.line,
                "startColumn": start.column,
                "endLine": end.line,
                "endColumn": end.column,
            },
        },
        "message": { "text": label.text },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    #[test]
    fn every_place_is_told() {
        let mut sources = SourceMap::default();
        let file = sources.add("a b.kdl", "x\nyé z\n");
        let mut problems = Problems::default();
        let problem = Problem::warning("conflict", "Two")
            .label(Span::new(file, 2, 3), "one")
            .label(Span::new(file, 0, 1), "other");
        problems.push(problem.help("Keep one"));
        let document: Value = serde_json::from_str(&sarif(&problems, &sources)).unwrap();
        let result = &document["runs"][0]["results"][0];
        assert_eq!(result["level"], "warning");
        assert_eq!(result["message"]["text"], "Two\nKeep one");
        let first = &result["locations"][0]["physicalLocation"];
        assert_eq!(first["artifactLocation"]["uri"], "a%20b.kdl");
        let region = json!({ "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 3 });
        assert_eq!(first["region"], region);
        assert_eq!(result["relatedLocations"][0]["message"]["text"], "other");
    }
}
