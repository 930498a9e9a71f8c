//! How results are shown: values come in, text goes out.

pub mod problems;
