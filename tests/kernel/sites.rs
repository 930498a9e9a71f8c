//! The whole path on real sites: planned, applied, and serving real requests.

use lvsctl::document::ReadSource;
use lvsctl::rehearsal::live::LiveConverger;
use lvsctl::rehearsal::phases::Rehearsal;
use lvsctl::rehearsal::report::Report;

use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("sites::the_reference_site_is_applied_and_serves", the_reference_site_is_applied_and_serves).within(120)]
}

struct OneFile(&'static str);

impl ReadSource for OneFile {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

fn rehearse(text: &'static str, requests: u32) -> Report {
    let loaded = lvsctl::topology::load("topology.kdl", &OneFile(text));
    let topology = loaded.topology.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let rehearsal = Rehearsal { topology: &topology, path: "topology.kdl", requests };
    rehearsal.run(&mut LiveConverger, &mut |line| println!("{line}")).expect("a report")
}

fn the_reference_site_is_applied_and_serves() {
    let report = rehearse(include_str!("../../examples/dr-fwmark-redirect/topology.kdl"), 100);
    println!("{report:#?}");
    assert!(report.passed, "{:?}", report.failures);
}
