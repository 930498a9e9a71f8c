//! The real kernel keeps the contract that the host in memory keeps, case by case.

use lvsctl::host::{Host, LocalHost};

use crate::contract::{Bench, cases};
use crate::lab::Namespace;
use crate::runner::{Test, running, test};

const PREFIX: &str = "contract::";

pub fn tests() -> Vec<Test> {
    // The names live as long as the process, which runs one test.
    let named = |name| test(format!("{PREFIX}{name}").leak(), keep_contract).within(60).on_both_kernels();
    cases().into_iter().map(|(name, _)| named(name)).collect()
}

impl Bench for Namespace {
    fn connect(&self) -> Box<dyn Host> {
        Box::new(open(self))
    }
}

/// Opens a connection to a namespace.
pub fn open(namespace: &Namespace) -> LocalHost {
    LocalHost::namespace(namespace.name(), namespace.root()).expect("the namespace")
}

/// Makes a host as the contract wants it.
pub fn bench() -> Namespace {
    let namespace = Namespace::with_address("192.0.2.1/24");
    // A dummy interface has no multicast of its own accord, and keepalived wants it.
    namespace.run(&["ip", "link", "set", "eth0", "multicast", "on"]);
    namespace.run(&["modprobe", "ipv6"]);
    namespace.run(&["ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad"]);
    namespace
}

/// Runs the case that this process was started for.
fn keep_contract() {
    let name = running();
    let wanted = name.strip_prefix(PREFIX).expect("a case of the contract");
    let (_, case) = cases().into_iter().find(|(name, _)| *name == wanted).expect("the case");
    case(&bench());
}
