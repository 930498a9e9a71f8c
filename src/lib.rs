//! A compiler and converger for Linux Virtual Server.
//!
//! ```text
//! text → document → topology → desired ┐
//!                                       ├→ changes → plan → effects → report
//! probes → answers → observed ──────────┘
//! ```
//!
//! Everything left of "effects" is pure: no file, socket, process, clock, terminal or environment is touched outside
//! `host`, `rehearsal` and `cli`. `docs/architecture.md` says why.

#![warn(missing_docs)]

pub mod source;
pub mod document;
pub mod topology;
pub mod lint;
pub mod effect;
pub mod resource;
pub mod kinds;
pub mod host;
pub mod observe;
pub mod compile;
pub mod diff;
pub mod plan;
pub mod survey;
pub mod apply;
pub mod rehearsal;
pub mod view;
pub mod cli;
pub mod native;
