//! The published JSON Schemas are those of the code, and every recorded document keeps to them.
//!
//! The check below knows the few words that the schemas use and refuses any other. A full validator would bring some
//! fifty further crates, arithmetic on big numbers and an engine for regular expressions among them, for nothing that
//! these schemas say.

mod fakes;

use lvsctl::lint;
use lvsctl::rehearsal::report::{Convergence, Durations, FailoverReport, HostReport, Report, Traffic};
use lvsctl::topology::{HostName, Protocol};
use lvsctl::view::{problems, schema};
use serde_json::{Value, json};

fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.v1.json"))
}

fn published(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

#[test]
fn they_are_those_of_the_code() {
    for (name, schema) in schema::all() {
        let text = fakes::pretty(&schema);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path(name), &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(path(name)).unwrap_or_default() == text,
            "schemas/{name}.v1.json is not what the code writes; run this test with UPDATE_GOLDEN=1"
        );
    }
}

#[test]
fn recorded_plans_and_reports_keep_to_them() {
    let mut checked = 0;
    for case in fakes::names() {
        for name in ["plan", "apply"] {
            // A plan of which a host could not be read is not applied.
            let Ok(text) = std::fs::read_to_string(fakes::folder(&case).join(format!("{name}.json"))) else { continue };
            hold(&serde_json::from_str(&text).unwrap(), &published(name), &format!("{case}/{name}.json"));
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} documents were found");
}

#[test]
fn problems_and_rehearsals_keep_to_them() {
    let text = "director \"lb\" { addres \"10.0.0.1/24\" }\n";
    let loaded = lint::load("bad.kdl", &OneFile(text));
    let document = problems::json(&loaded.problems, &loaded.sources, loaded.topology.is_some());
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(!document["diagnostics"].as_array().unwrap().is_empty());
    hold(&document, &published("check"), "check");
    hold(&serde_json::to_value(rehearsed()).unwrap(), &published("rehearsal"), "rehearsal");
}

/// A pipeline that reads standard output is told why there is no plan.
#[test]
fn a_refused_topology_is_a_document_too() {
    let folder = tempfile::tempdir().unwrap();
    let topologies = [("bad.kdl", "director \"lb\" { addres \"10.0.0.1/24\" }\n"), ("empty.kdl", "")];
    for (name, text) in topologies {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lvsctl"));
        let output = command.args(["plan", "--format", "json"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        hold(&document, &published("plan"), name);
        assert_eq!(document["complete"], json!(false), "{name}");
        assert_eq!(document["diagnostics"][0]["severity"], json!("error"), "{name}");
    }
}

#[test]
fn a_document_that_does_not_keep_to_a_schema_is_noticed() {
    let good = json!({"id": "lb1/manifest", "state": "applied", "error": null, "help": null});
    let schema = published("apply");
    let step = json!({"$ref": "#/$defs/StepDocument"});
    let faults = |document: &Value| check(document, &step, &schema, "step");
    assert_eq!(faults(&good), Vec::<String>::new());
    let changed = |key: &str, value: Value| {
        let mut document = good.clone();
        document[key] = value;
        document
    };
    assert_eq!(faults(&changed("state", json!("lost"))).len(), 1);
    assert_eq!(faults(&changed("id", json!(7))).len(), 1);
    assert_eq!(faults(&changed("further", json!(1))).len(), 1, "a field that the schema does not name");
    assert_eq!(faults(&json!({"id": "x"})).len(), 3, "fields that are missing");
}

fn rehearsed() -> Report {
    let traffic = Traffic {
        vip: "192.0.2.1".parse().unwrap(),
        service: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        scheduler: "wrr".into(),
        requests: 2,
        answered: 1,
        failed: 1,
        errors: vec!["refused".into()],
        spread: [(HostName::new("web1"), 1)].into(),
        weights: [(HostName::new("web1"), 100)].into(),
    };
    let failover = FailoverReport {
        group: "ext".into(),
        killed: HostName::new("lb1"),
        taken_over_by: Some(HostName::new("lb2")),
        takeover_ms: Some(3000),
        requests: 10,
        failed: 3,
        outage_ms: 3000,
        services: vec![traffic.clone()],
        balanced_by: [(HostName::new("lb2"), 7)].into(),
    };
    let nobody = FailoverReport { taken_over_by: None, takeover_ms: None, ..failover.clone() };
    Report {
        format_version: "1.0".into(),
        topology: "topology.kdl".into(),
        passed: false,
        failures: vec!["one".into()],
        hosts: vec![HostReport {
            name: HostName::new("lb1"),
            role: "director".into(),
            addresses: vec!["192.0.2.2/24".into()],
        }],
        convergence: Convergence::default(),
        services: vec![traffic],
        failovers: vec![failover, nobody],
        durations: Durations::default(),
    }
}

struct OneFile(&'static str);

impl lvsctl::document::ReadSource for OneFile {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

#[track_caller]
fn hold(document: &Value, schema: &Value, name: &str) {
    let faults = check(document, schema, schema, name);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Words that say nothing about what is valid.
const REMARKS: [&str; 6] = ["$schema", "$defs", "title", "description", "format", "default"];

fn check(value: &Value, schema: &Value, root: &Value, at: &str) -> Vec<String> {
    let Value::Object(words) = schema else {
        return if *schema == json!(true) { Vec::new() } else { vec![format!("{at}: nothing may be here")] };
    };
    let mut faults = Vec::new();
    for (word, wanted) in words {
        match word.as_str() {
            "type" => {
                let fits = match wanted {
                    Value::Array(types) => types.iter().any(|name| is(value, name)),
                    name => is(value, name),
                };
                faults.extend((!fits).then(|| format!("{at}: {value} is no {wanted}")));
            }
            "enum" => {
                let fits = wanted.as_array().unwrap().contains(value);
                faults.extend((!fits).then(|| format!("{at}: {value} is none of {wanted}")));
            }
            "const" => faults.extend((value != wanted).then(|| format!("{at}: {value} is not {wanted}"))),
            "minimum" | "maximum" => {
                let (number, limit) = (value.as_f64().unwrap_or_default(), wanted.as_f64().unwrap());
                let fits = if word == "minimum" { number >= limit } else { number <= limit };
                faults.extend((!fits).then(|| format!("{at}: {value} is beyond {wanted}")));
            }
            "$ref" => {
                let target = root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).expect("a target");
                faults.extend(check(value, target, root, at));
            }
            "oneOf" | "anyOf" => {
                let choices = wanted.as_array().unwrap().iter().map(|choice| check(value, choice, root, at));
                let fitting = choices.clone().filter(Vec::is_empty).count();
                let fits = if word == "oneOf" { fitting == 1 } else { fitting > 0 };
                faults.extend(
                    (!fits).then(|| format!("{at}: {value} fits {fitting} choices: {:?}", choices.collect::<Vec<_>>())),
                );
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    faults.extend(check(item, wanted, root, &format!("{at}/{number}")));
                }
            }
            "required" => {
                for name in wanted.as_array().unwrap() {
                    let missing = value.is_object() && value.get(name.as_str().unwrap()).is_none();
                    faults.extend(missing.then(|| format!("{at}: {name} is missing")));
                }
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    match wanted.get(name) {
                        Some(schema) => faults.extend(check(field, schema, root, &format!("{at}/{name}"))),
                        // What all things have stands beside what one sort has, and each is looked at alone.
                        None if ["before", "after", "resource"].iter().any(|thing| at.ends_with(thing)) => {}
                        None if words.contains_key("additionalProperties") => {}
                        None => faults.push(format!("{at}: {name} is not in the schema")),
                    }
                }
            }
            "additionalProperties" => {
                let named = words.get("properties");
                for (name, field) in value.as_object().into_iter().flatten() {
                    if named.is_none_or(|named| named.get(name).is_none()) {
                        faults.extend(check(field, wanted, root, &format!("{at}/{name}")));
                    }
                }
            }
            remark if REMARKS.contains(&remark) => {}
            other => faults.push(format!("{at}: the schema says {other:?}, which this test does not know")),
        }
    }
    faults
}

fn is(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}
