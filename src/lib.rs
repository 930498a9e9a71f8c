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
pub mod topology;
pub mod effect;
pub mod resource;
pub mod kinds;
pub mod native;
pub mod rehearsal;
