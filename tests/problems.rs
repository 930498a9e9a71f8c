//! Every kind of problem in a topology, as an operator sees it.
//!
//! `problems/NAME.kdl` is loaded and its problems are rendered as for a terminal of 80 columns; `problems/NAME.stderr` is
//! what must come out. A folder `problems/NAME/` is loaded as a folder. With `UPDATE_GOLDEN=1` the files are written
//! instead, to be read before they are committed.

use std::path::Path;

use lvsctl::cli::files::DiskReader;
use lvsctl::lint::load;
use lvsctl::view::problems;

#[test]
fn every_problem_reads_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems");
    std::env::set_current_dir(&folder).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(".")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".stderr"))
        .collect();
    names.sort();
    assert!(names.len() > 20, "the cases are missing");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for name in names {
        let loaded = load(&name, &DiskReader);
        let rendered = problems::human(&loaded.problems, &loaded.sources, false);
        assert!(!rendered.is_empty(), "{name} has no problem");
        let golden = format!("{}.stderr", name.trim_end_matches(".kdl"));
        if update {
            std::fs::write(&golden, &rendered).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != rendered {
            wrong.push(format!("=== {name} now reads\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
