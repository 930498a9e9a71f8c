//! The tests that need a kernel with IPVS: a guest a processor is booted for all of them, and each runs in a process and in
//! network namespaces of its own.
//!
//! To add tests, write a file with a `pub fn tests() -> Vec<Test>` and name it below. `cargo test --test kernel NAME` runs
//! those whose name contains NAME, `-- --list` shows them all. Nothing is skipped where a package is missing: the run
//! fails and names it.

#![allow(clippy::disallowed_methods)]

mod adopted;
mod becomes_direct;
mod agent;
mod boot;
mod carried;
mod chains;
mod checks;
mod commands;
#[path = "../contract/mod.rs"]
mod contract;
mod drift;
mod faults;
mod fleet;
mod fullnat;
mod health;
mod host_contract;
mod host_keepalived;
mod host_machine;
mod interrupted;
mod keepalived;
mod lab;
mod laboratory;
mod moved_vip;
mod machine;
mod native;
mod order;
mod over_ssh;
mod plan_changes_nothing;
mod published;
mod random;
mod rehearsal;
mod return_path;
mod runner;
mod secrets;
mod seed;
mod sites;
mod smoke;
mod survives;
mod traffic;
mod tunnels;
mod tuning;
mod virtual_mac;

use std::process::ExitCode;

use runner::{SOAK_VARIABLE, Test};

/// Returns how many topologies `make soak N=…` asks for, if it does.
fn soak() -> Option<u64> {
    std::env::var(SOAK_VARIABLE).ok()?.parse().ok()
}

fn tests(soak: Option<u64>) -> Vec<Test> {
    let files = [
        smoke::tests(),
        host_contract::tests(),
        agent::tests(),
        host_machine::tests(),
        host_keepalived::tests(),
        chains::tests(),
        return_path::tests(),
        checks::tests(),
        adopted::tests(),
        becomes_direct::tests(),
        keepalived::tests(),
        native::tests(),
        rehearsal::tests(),
        sites::tests(),
        traffic::tests(),
        published::tests(),
        tunnels::tests(),
        fullnat::tests(),
        order::tests(),
        secrets::tests(),
        health::tests(),
        interrupted::tests(),
        survives::tests(),
        commands::tests(),
        plan_changes_nothing::tests(),
        drift::tests(),
        tuning::tests(),
        virtual_mac::tests(),
        moved_vip::tests(),
        boot::tests(),
        over_ssh::tests(),
        faults::tests(soak),
        random::tests(soak),
    ];
    files.into_iter().flatten().flat_map(Test::by_kernel).collect()
}

fn main() -> ExitCode {
    if let Some(code) = laboratory::run_if_lvsctl() {
        return code;
    }
    lvsctl::rehearsal::init::run_if_init(|guest| runner::run_in_guest(guest, tests));
    runner::run_if_test(&tests(soak()));
    runner::run_on_host(&tests(soak()))
}
