//! A topology in a disposable kernel: planned, applied, load-balanced with real packets, failed over.
//!
//! [`vm`] boots a guest with this program as its first process and [`init`] is that process. In the guest, [`phases`]
//! goes through the rehearsal: [`layout`] places every host, [`network`] and [`servers`] make it so, a [`converge`]r
//! plans and applies, [`traffic`] asks, [`failover`] kills a master, and [`judge`] says what is wrong. The kernel tests
//! use the same guest with work of their own.

mod addresses;
pub mod channel;
mod client;
pub mod converge;
mod extended_state;
mod failover;
pub mod init;
mod judge;
mod keeper;
mod layout;
pub mod live;
mod names;
mod namespace;
mod network;
pub mod phases;
pub mod prerequisites;
pub mod report;
mod servers;
mod target;
mod traffic;
pub mod vm;
mod watch;
