//! Every lint is registered, and its explanation is true.

use lvsctl::document::ReadSource;
use lvsctl::lint;

struct Text(String);

impl ReadSource for Text {
    fn read(&self, _path: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn list(&self, _folder: &str) -> Option<Vec<String>> {
        None
    }
}

#[test]
fn no_rule_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lint");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files
        .filter_map(|name| name.strip_suffix(".rs").map(|name| name.replace('_', "-")))
        .filter(|name| name != "mod")
        .collect();
    files.sort();
    let names: Vec<&str> = lint::registry().iter().map(|rule| rule.name).collect();
    assert_eq!(files, names);
}

#[test]
fn explanations_are_true() {
    for rule in lint::registry() {
        let blocks: Vec<&str> =
            rule.explanation.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        let [example, repair] = blocks.as_slice() else { panic!("{} needs an example and a repair", rule.name) };
        let trips = |text: &str| {
            let loaded = lint::load("x.kdl", &Text(text.to_owned()));
            assert!(loaded.topology.is_some(), "{}: {:?}", rule.name, loaded.problems);
            loaded.problems.iter().any(|problem| problem.code == rule.name)
        };
        assert!(trips(example), "the example does not trip {}", rule.name);
        assert!(!trips(repair), "the repair trips {}", rule.name);
    }
}
