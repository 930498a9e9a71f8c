//! From the text of KDL files to a tree of nodes that know where they were written.
//!
//! [`load`] reads a file or a folder with everything it includes, through a [`ReadSource`] that is passed in, and turns
//! every syntax error into a problem with a span. [`grammar`] says which nodes, arguments and properties there are, as
//! plain tables; [`check`] holds a tree against such a table. What the nodes mean is for `topology` to say: nothing here
//! knows about load balancing. To support a new sort of value, add a [`grammar::Shape`] and teach [`shape`] to judge it.

pub mod check;
pub mod grammar;
mod load;
mod node;
mod order;
mod path;
mod plain;
mod read;
mod scan;
pub mod shape;
mod strings;
pub mod suggest;
mod words;

pub use load::{MAXIMUM_BYTES, MAXIMUM_FILES, ReadSource, load};
pub use node::{Literal, Node, Property, Value};
pub use plain::nodes as parse_plain;
pub use read::{nodes as parse, nodes_by_library as parse_by_library};
pub use scan::MAXIMUM_DEPTH;
