//! What the documentation shows is true: its topologies load, and it names everything that the language has.

use std::path::{Path, PathBuf};

use lvsctl::document::ReadSource;
use lvsctl::document::grammar::NodeRule;
use lvsctl::topology::grammar::LANGUAGE;
use lvsctl::topology::load;
use lvsctl::view::problems;

/// Serves a block of documentation, and the site that a fragment may rest on.
struct Text(String);

impl ReadSource for Text {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "hosts.kdl" => Ok(include_str!("site/hosts.kdl").to_owned()),
            "site.kdl" => Ok(include_str!("site/site.kdl").to_owned()),
            _ => Ok(self.0.clone()),
        }
    }

    fn list(&self, _folder: &str) -> Option<Vec<String>> {
        None
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> =
        std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.extend([root().join("README.md")].into_iter().filter(|path| path.exists()));
    documents.sort();
    documents
}

#[test]
fn every_topology_in_the_documentation_loads() {
    let mut blocks = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for block in text.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            blocks += 1;
            // A fragment may leave out the hosts and the failover of the site that all examples are about.
            let wholes = ["", "include \"hosts.kdl\"\n", "include \"site.kdl\"\n"]
                .map(|base| load("block.kdl", &Text(format!("{base}{block}"))));
            if !wholes.iter().any(|loaded| loaded.topology.is_some()) {
                let [alone, ..] = wholes;
                let shown = problems::human(&alone.problems, &alone.sources, false);
                panic!("a topology in {} has errors:\n{shown}", document.display());
            }
        }
    }
    assert!(blocks >= 4, "only {blocks} topologies found");
}

#[test]
fn the_language_is_documented_whole() {
    fn names(rules: &[NodeRule], found: &mut Vec<String>) {
        for rule in rules.iter().filter(|rule| rule.supported) {
            found.push(rule.name.to_owned());
            let properties = rule.properties.iter().filter(|property| property.supported);
            found.extend(properties.map(|property| property.name.to_owned()));
            names(rule.children, found);
        }
    }
    let text = std::fs::read_to_string(root().join("docs/language.md")).unwrap();
    let mut wanted = Vec::new();
    names(LANGUAGE, &mut wanted);
    wanted.retain(|name| {
        !text.contains(&format!("`{name}"))
            && !text.contains(&format!(" {name}="))
            && !text.contains(&format!("`{name}="))
    });
    assert!(wanted.is_empty(), "docs/language.md says nothing of {wanted:?}");
}

#[test]
fn the_schema_is_that_of_the_loader() {
    let path = root().join("schemas/topology.json");
    let published = serde_json::to_string_pretty(&lvsctl::topology::grammar::published()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &published).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == published,
        "schemas/topology.json is not what the loader uses; run this test with UPDATE_GOLDEN=1"
    );
}
