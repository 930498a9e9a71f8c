//! What is turned on a host: timeouts, the connection table, offloading.

use std::collections::BTreeMap;

use crate::document::Node;
use crate::source::{Problem, Problems, Spanned};
use crate::topology::{IpvsTimeout, Offload, Offloads, Tuning};

/// The longest timeout that every kernel takes: `INT_MAX / HZ` seconds where HZ is 1000 (`ip_vs_set_timeout`).
const LONGEST: u32 = 2_147_483;

/// Decodes what is turned on a host.
pub fn tuning(node: &Node, problems: &mut Problems) -> Tuning {
    let bits = node.child("connection-table-bits").and_then(|child| child.argument(0)?.integer());
    Tuning {
        timeouts: node.child("timeouts").map(|child| timeouts(child, problems)).unwrap_or_default(),
        connection_table_bits: bits,
        offloads: offloads(node, problems),
    }
}

fn timeouts(node: &Node, problems: &mut Problems) -> BTreeMap<IpvsTimeout, Spanned<u32>> {
    let mut timeouts = BTreeMap::new();
    for timeout in IpvsTimeout::ALL {
        let Some(written) = node.property(timeout.as_str()).and_then(|value| value.duration()) else { continue };
        match u32::try_from(written.value.as_secs()) {
            // ipvsadm's word for a timeout that stays as it is.
            Ok(0) => {}
            Ok(seconds) if seconds <= LONGEST => {
                timeouts.insert(timeout, Spanned::new(seconds, written.span));
            }
            _ => problems.push(
                Problem::error("out-of-range", format!("The timeout {timeout} is longer than a kernel can count"))
                    .label(written.span, "too long")
                    .help(format!("Use at most \"{LONGEST}s\"")),
            ),
        }
    }
    timeouts
}

fn offloads(node: &Node, problems: &mut Problems) -> Vec<Offloads> {
    let mut found: Vec<Offloads> = Vec::new();
    for child in node.children_named("offload") {
        let interface = child.property("interface").and_then(|value| value.text()).map(|text| text.map(str::to_owned));
        let switch = |offload: Offload| {
            let value = child.property(offload.as_str())?;
            Some((offload, Spanned::new(value.flag()?, value.span)))
        };
        let switches: BTreeMap<_, _> = Offload::ALL.into_iter().filter_map(switch).collect();
        let same = |known: &&Offloads| {
            known.interface.as_ref().map(|name| &name.value) == interface.as_ref().map(|name| &name.value)
        };
        match found.iter().find(same) {
            Some(first) => problems.push(
                Problem::error("duplicate-name", "The offloading of one interface is said twice")
                    .label(child.span, "said again")
                    .label(first.span, "said first")
                    .help("Write it in one line, or name another interface"),
            ),
            None => found.push(Offloads { interface, switches, span: child.span }),
        }
    }
    found
}
