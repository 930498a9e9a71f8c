//! The messages of ethtool's own netlink family about what an interface offloads.
//!
//! The numbers are those of `uapi/linux/ethtool_netlink.h`. This family insists on a flag on nested attributes and
//! nests them four deep.

use std::collections::BTreeMap;

use super::WireError;
use super::attributes::{Attributes, message};
use super::reading::{attributes, body, find};
use crate::topology::Offload;

/// The name under which the kernel registers the family (`ETHTOOL_GENL_NAME`).
pub const FAMILY: &str = "ethtool";

/// `ETHTOOL_GENL_VERSION`.
const VERSION: u8 = 1;

/// `ETHTOOL_MSG_FEATURES_GET` and `ETHTOOL_MSG_FEATURES_SET`.
const GET: u8 = 11;
const SET: u8 = 12;

/// `ETHTOOL_A_FEATURES_*`.
const HEADER: u16 = 1;
const WANTED: u16 = 3;
const ACTIVE: u16 = 4;

/// `ETHTOOL_A_HEADER_DEV_NAME`.
const DEVICE: u16 = 2;

/// `ETHTOOL_A_BITSET_BITS`, its `_BIT`, and of that `_NAME` and `_VALUE`.
const BITS: u16 = 3;
const BIT: u16 = 1;
const NAME: u16 = 2;
const VALUE: u16 = 3;

/// Encodes the question for what an interface offloads.
pub fn get_offloads(device: &str) -> Result<Vec<u8>, WireError> {
    message(GET, VERSION, |outer| header(outer, device))
}

/// Encodes a switch of one offload.
pub fn set_offload(device: &str, offload: Offload, on: bool) -> Result<Vec<u8>, WireError> {
    message(SET, VERSION, |outer| {
        header(outer, device)?;
        outer.nest(WANTED, |wanted| {
            wanted.nest(BITS, |bits| {
                bits.nest(BIT, |bit| {
                    bit.put(NAME, offload.kernel_name())?;
                    if on { bit.put(VALUE, ()) } else { Ok(()) }
                })
            })
        })
    })
}

/// Decodes what an interface offloads; the kernel names those that are on.
pub fn offloads(bytes: &[u8]) -> Result<BTreeMap<Offload, bool>, WireError> {
    let active = find(body(bytes)?, ACTIVE).ok_or(WireError::Missing("active features"))?;
    let bits = find(active, BITS).unwrap_or_default();
    let names: Vec<&[u8]> = attributes(bits)
        .filter(|(kind, _)| *kind == BIT)
        .filter_map(|(_, bit)| find(bit, NAME))
        .map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default())
        .collect();
    let is_on = |offload: Offload| names.contains(&offload.kernel_name().as_bytes());
    Ok(Offload::ALL.into_iter().map(|offload| (offload, is_on(offload))).collect())
}

fn header(outer: &mut Attributes<'_>, device: &str) -> Result<(), WireError> {
    outer.nest(HEADER, |header| header.put(DEVICE, device))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = offloads(&bytes);
        }
    }

    #[test]
    fn the_features_that_are_on_are_named() {
        let answer = message(GET, VERSION, |outer| {
            header(outer, "eth0")?;
            outer.nest(ACTIVE, |active| {
                active.nest(BITS, |bits| {
                    let mut name = |name| bits.nest(BIT, |bit| bit.put(NAME, name));
                    name("rx-gro")?;
                    name("tx-checksum-ip-generic")
                })
            })
        });
        let read = offloads(&answer.unwrap()).unwrap();
        assert_eq!(read.into_values().collect::<Vec<_>>(), [true, false, false]);
        assert!(offloads(&get_offloads("eth0").unwrap()).is_err());
    }

    #[test]
    fn a_switch_names_the_interface_and_the_feature() {
        let bytes = set_offload("eth0", Offload::Gro, false).unwrap();
        let body = body(&bytes).unwrap();
        assert_eq!(find(find(body, HEADER).unwrap(), DEVICE), Some(&b"eth0\0"[..]));
        let bit = find(find(find(body, WANTED).unwrap(), BITS).unwrap(), BIT).unwrap();
        assert_eq!((find(bit, NAME), find(bit, VALUE)), (Some(&b"rx-gro\0"[..]), None));
        let on = set_offload("eth0", Offload::Gro, true).unwrap();
        let bit = find(find(find(super::body(&on).unwrap(), WANTED).unwrap(), BITS).unwrap(), BIT).unwrap();
        assert_eq!(find(bit, VALUE), Some(&b""[..]));
    }
}
