//! What a kind of resource asks of a host, as plain data: probes, their answers, and effects.
//!
//! Kinds EMIT these and a host PERFORMS them, so a dry run, an undo, the fake host of the tests, the netlink call on this
//! machine and the one made on a remote machine are one code path. Everything here can be serialised; a secret inside a
//! text is masked when it is.

mod answer;
mod ipvs;
mod probe;
mod undo;
pub mod wire;

pub use answer::{
    Answer, BOOT_PROGRAMS, Capabilities, DaemonState, FileState, IptablesVariant, Link, LinkAddress, LiveDestination,
    LiveRoute, LiveService, Management,
};
pub use ipvs::{
    DestinationConfig, DestinationKey, IpvsCommand, ServiceConfig, ServiceFlags, ServiceKey, SyncDaemonConfig,
};
pub use probe::{Effect, Probe};
pub use undo::Undo;
