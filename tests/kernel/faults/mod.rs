//! An apply over SSH and everything that can go wrong on the way, at each of its steps.
//!
//! Several sites stand side by side in one guest, each with hosts and a topology of its own, because most of what happens after a
//! fault is waiting. `site` has the sites and starts applies there, `watch` sees how far one is, `fault` is what goes
//! wrong, `matrix` is every pair of step and fault, and `lost` counts how soon hosts go back whose client is gone.

mod fault;
mod lost;
mod matrix;
mod site;
mod watch;

use crate::runner::Test;

pub fn tests(soak: Option<u64>) -> Vec<Test> {
    lost::tests(soak).into_iter().chain(matrix::tests(soak)).collect()
}
