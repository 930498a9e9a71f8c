//! What the command line asks for: what cargo and libtest know, as far as it makes sense here.

use std::thread;

/// How many guests run at once at most; `--test-threads` says otherwise.
const MAXIMUM_GUESTS: usize = 4;

/// The command line.
#[derive(Default)]
pub(super) struct Options {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    /// Whether the names are wanted and no more.
    pub(super) list: bool,
    /// Whether what the tests print is wanted.
    pub(super) nocapture: bool,
    /// How many guests run at once.
    pub(super) guests: usize,
}

impl Options {
    /// Reads the arguments.
    pub(super) fn parse(arguments: impl Iterator<Item = String>) -> Self {
        // Half of a test's time is waiting: for elections, checks and reloads.
        let guests = thread::available_parallelism().map_or(1, usize::from).saturating_mul(2).min(MAXIMUM_GUESTS);
        let mut options = Options { guests, ..Options::default() };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => options.exact = true,
                "--list" => options.list = true,
                "--nocapture" | "--show-output" => options.nocapture = true,
                "--skip" => options.skips.extend(arguments.next()),
                "--test-threads" => {
                    let number = arguments.next().and_then(|number| number.parse().ok());
                    options.guests = number.filter(|number| *number > 0).expect("--test-threads takes a number");
                }
                "--color" | "--format" | "-Z" => drop(arguments.next()),
                flag if flag.starts_with('-') => {}
                _ => options.filters.push(argument),
            }
        }
        options
    }

    /// Tells whether a test is asked for.
    pub(super) fn takes(&self, name: &str) -> bool {
        let matches = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skips.iter().any(matches)
    }
}
