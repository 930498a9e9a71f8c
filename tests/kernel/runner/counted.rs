//! What tests count, added up over all of them: a long run says how far it is, and a run what it has tried.

use std::collections::BTreeMap;
use std::fmt;

/// What a line begins with that counts something; what follows is a number and of what.
const START: &str = "counted ";

/// Counts something, for the sum over all tests.
pub fn count(what: &str, number: usize) {
    println!("{START}{number} {what}");
}

/// Sums by what was counted.
#[derive(Default)]
pub(super) struct Counted(BTreeMap<String, usize>);

impl Counted {
    /// Adds what a test has counted, also one that did not come to its end; tells whether that is anything.
    pub(super) fn add(&mut self, output: &str) -> bool {
        let counted = output.lines().filter_map(|line| line.strip_prefix(START)?.split_once(' '));
        let mut has_any = false;
        for (number, what) in counted.filter_map(|(number, what)| Some((number.parse::<usize>().ok()?, what))) {
            *self.0.entry(what.to_owned()).or_default() += number;
            has_any = true;
        }
        has_any
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums: Vec<String> = self.0.iter().map(|(what, number)| format!("{number} {what}")).collect();
        formatter.write_str(&sums.join(", "))
    }
}
