//! Whole plans of small sites, as operators and pipelines see them, on hosts in memory.
//!
//! A case is a folder of `cases`; `tests/fakes/mod.rs` says what an author puts there. The rest is recorded: `native.txt`
//! is `lvsctl compile`, `plan.txt` and `plan.json` are `lvsctl plan`, `apply.txt` and `apply.json` what an apply prints, and
//! `replan.txt` the plan afterwards. With `UPDATE_GOLDEN=1` these are written instead, to be read before they are committed.

mod fakes;

use std::collections::BTreeMap;
use std::fmt::Write;

use fakes::{Case, folder, names};
use lvsctl::apply::{OnFailure, apply};
use lvsctl::compile::compile;
use lvsctl::kinds::Site;
use lvsctl::native;
use lvsctl::source::Problems;
use lvsctl::view::paint::Paint;
use lvsctl::view::{apply as apply_view, plan_human, plan_json};

#[test]
fn every_case_reads_as_recorded() {
    let names = names();
    assert!(names.len() >= 12, "the cases are missing");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for name in names {
        for (file, text) in recorded(&name) {
            let path = folder(&name).join(file);
            if update {
                std::fs::write(&path, &text).unwrap();
            } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
                wrong.push(format!("=== {name}/{file} now reads\n{text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn recorded(name: &str) -> Vec<(&'static str, String)> {
    let case = Case::load(name);
    let (sources, paint) = (&case.wish.sources, Paint::default());
    let mut survey = case.survey();
    let before = case.state_if_reachable();
    let first = survey.plan().unwrap();
    assert_eq!(case.state_if_reachable(), before, "{name}: a plan changes nothing");
    assert!(!first.problems.has_errors(), "{name}: {:?}", first.problems);
    let shown = plan_human::render(&first.plan, "topology.kdl", sources, paint);
    let document = plan_json::document(&first.plan, sources, fakes::source(&case.wish), &case.wish.problems);
    let mut files = vec![("native.txt", compiled(&case)), ("plan.txt", shown), ("plan.json", fakes::pretty(&document))];
    if !first.plan.is_complete() {
        return files;
    }
    let mut progress = String::new();
    let report = apply(&mut survey, first, OnFailure::Undo, &mut |_, steps| {
        steps.iter().for_each(|step| writeln!(progress, "{}", apply_view::step(step, paint)).unwrap());
    });
    files.push(("apply.txt", progress + &apply_view::human(&report, paint)));
    files.push(("apply.json", fakes::pretty(&apply_view::document(&report))));
    let again = survey.plan().unwrap().plan;
    files.push(("replan.txt", plan_human::render(&again, "topology.kdl", sources, paint)));
    let failed = report.outcome.exit_code() != 0;
    assert!(failed || again.is_complete() && again.is_empty(), "{name} does not converge: {:?}", files.last());
    files
}

fn compiled(case: &Case) -> String {
    let (facts, wish) = (BTreeMap::new(), &case.wish);
    let site = Site { topology: &wish.topology, facts: &facts, secrets: &wish.secrets };
    let mut text = String::new();
    for (host, state) in compile(&site, &mut Problems::default()) {
        for file in native::files(&host, &state) {
            write!(text, "# ==== {host}/{}  ({})\n{}\n", file.name, file.about, file.text.masked()).unwrap();
        }
    }
    text
}
