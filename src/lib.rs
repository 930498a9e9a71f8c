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

#[deny(clippy::disallowed_methods)]
pub mod source;
#[deny(clippy::disallowed_methods)]
pub mod document;
#[deny(clippy::disallowed_methods)]
pub mod topology;
#[deny(clippy::disallowed_methods)]
pub mod lint;
#[deny(clippy::disallowed_methods)]
pub mod effect;
#[deny(clippy::disallowed_methods)]
pub mod resource;
#[deny(clippy::disallowed_methods)]
pub mod kinds;
#[deny(clippy::disallowed_methods)]
pub mod compile;
#[deny(clippy::disallowed_methods)]
pub mod native;
pub mod host;
#[deny(clippy::disallowed_methods)]
pub mod observe;
#[deny(clippy::disallowed_methods)]
pub mod diff;
#[deny(clippy::disallowed_methods)]
pub mod plan;
#[deny(clippy::disallowed_methods)]
pub mod survey;
#[deny(clippy::disallowed_methods)]
pub mod apply;
pub mod rehearsal;
#[deny(clippy::disallowed_methods)]
pub mod view;
pub mod cli;
