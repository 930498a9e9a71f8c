//! From the path of a topology to the topology, with every problem that one run can find.

use super::{Topology, conceal::conceal, decode, grammar, resolve};
use crate::document::{self, ReadSource, check};
use crate::source::{Problems, SourceMap};

/// A topology that was read, or why there is none.
#[derive(Debug)]
pub struct Loaded {
    /// The topology; `None` if there is any error.
    pub topology: Option<Topology>,
    /// The texts that spans point into.
    pub sources: SourceMap,
    /// Everything that was found, in the order of places.
    pub problems: Problems,
}

/// Reads a topology from a file or a folder.
pub fn load(path: &str, reader: &dyn ReadSource) -> Loaded {
    let (mut sources, nodes, mut problems) = document::load(path, reader);
    conceal(&nodes, &mut sources);
    check::document(&nodes, grammar::LANGUAGE, &mut problems);
    let draft = decode::document(&nodes, &mut problems);
    // What comes next is as large, and takes their place in memory.
    drop(nodes);
    let topology = resolve::document(&draft, &mut problems);
    problems.sort();
    Loaded { topology: (!problems.has_errors()).then_some(topology), sources, problems }
}
