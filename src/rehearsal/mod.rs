//! A topology in a disposable kernel: planned, applied, load-balanced with real packets, failed over.
//!
//! [`vm`] boots a guest with this program as its first process and [`init`] is that process; the rest of the module is
//! what it does there. The kernel tests use the same two with work of their own.

pub mod channel;
pub mod init;
mod extended_state;
mod keeper;
pub mod prerequisites;
pub mod vm;
