//! Holds the layers of docs/architecture.md: a module imports only what stands below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate with the modules that it may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("document", &["source"]),
    ("topology", &["source", "document"]),
    ("lint", &["source", "document", "topology"]),
    ("effect", &["topology"]),
    ("resource", &["source", "topology", "effect"]),
    ("kinds", &["source", "topology", "effect", "resource"]),
    ("native", &["topology", "effect", "resource", "kinds"]),
    ("compile", &["source", "topology", "resource", "kinds"]),
    ("host", &["source", "topology", "effect"]),
    ("observe", &["topology", "effect", "resource", "kinds", "host"]),
    ("diff", &["topology", "effect", "resource", "observe"]),
    ("plan", &["source", "topology", "effect", "resource", "kinds", "compile", "diff", "observe"]),
    ("survey", &["source", "topology", "effect", "resource", "kinds", "compile", "host", "observe", "diff", "plan"]),
    ("apply", &["topology", "effect", "resource", "kinds", "host", "observe", "diff", "plan", "survey"]),
    ("view", &["source", "topology", "effect", "resource", "diff", "plan", "apply", "rehearsal"]),
    (
        "rehearsal",
        &["source", "document", "topology", "effect", "resource", "kinds", "host", "plan", "survey", "apply"],
    ),
];

#[test]
fn imports_run_downward_only() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for file in sources(Path::new("src")) {
        let Some(module) = module_of(&file) else { continue };
        if ["cli", "main", "lib"].contains(&module.as_str()) {
            continue;
        }
        let allowed = layers.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no layer in this test"));
        let text = fs::read_to_string(&file).unwrap();
        // What a test of a layer uses is not an import of the layer.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for import in text.split("crate::").skip(1) {
            let name: String = import.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            seen += 1;
            if name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} imports crate::{name}", file.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} imports were found: the test no longer reads the sources rightly");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_is_registered() {
    let registry = fs::read_to_string("src/kinds/mod.rs").unwrap();
    let list = registry.split("pub fn registry()").nth(1).expect("the registry is gone");
    let mut found = 0;
    for file in sources(Path::new("src/kinds")) {
        for implementation in fs::read_to_string(&file).unwrap().split("impl Kind for ").skip(1) {
            let name: String = implementation.chars().take_while(|c| c.is_alphanumeric()).collect();
            found += 1;
            assert!(list.contains(&name), "{name} of {} is not in the registry", file.display());
        }
    }
    assert!(found >= 8, "only {found} kinds were found");
}

fn module_of(file: &Path) -> Option<String> {
    let first = file.strip_prefix("src").ok()?.components().next()?;
    Some(first.as_os_str().to_str()?.trim_end_matches(".rs").to_owned())
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
