//! Every dependency's licence is one that deny.toml allows.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

#[test]
fn every_licence_is_allowed() {
    let allowed = allowed();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "only {} packages were listed", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !permits(package["license"].as_str().unwrap_or(""), &allowed))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn allowed() -> BTreeSet<String> {
    let text = std::fs::read_to_string("deny.toml").unwrap();
    let list = text.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Reads an SPDX expression of `AND` and `OR`, with brackets taken as they come: every `AND` part needs one allowed choice.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let flat = expression.replace(['(', ')'], "");
    flat.split(" AND ").all(|part| part.replace('/', " OR ").split(" OR ").any(|one| allowed.contains(one.trim())))
}
