//! The messages of ethtool's own netlink family about what an interface offloads.
//!
//! The numbers are those of `uapi/linux/ethtool_netlink.h`. This family insists on a flag on nested attributes and
//! nests them four deep.

use std::collections::BTreeMap;

use super::WireError;
use super::bytes::{self, HEADER_LENGTH, attribute, attributes, find, nest};
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
pub fn get_offloads(device: &str) -> Vec<u8> {
    message(GET, &[header(device)])
}

/// Encodes a switch of one offload.
pub fn set_offload(device: &str, offload: Offload, on: bool) -> Vec<u8> {
    let mut bit = attribute(NAME, &text(offload.kernel_name()));
    if on {
        bit.extend(attribute(VALUE, &[]));
    }
    let bits = nest(BITS, &nest(BIT, &bit));
    message(SET, &[header(device), nest(WANTED, &bits)])
}

/// Decodes what an interface offloads; the kernel names those that are on.
pub fn offloads(bytes: &[u8]) -> Result<BTreeMap<Offload, bool>, WireError> {
    let body = bytes.get(HEADER_LENGTH..).ok_or_else(|| WireError::Broken("no header".into()))?;
    let active = find(body, ACTIVE).ok_or(WireError::Missing("active features"))?;
    let bits = find(active, BITS).unwrap_or_default();
    let names: Vec<&[u8]> = attributes(bits)
        .filter(|(kind, _)| *kind == BIT)
        .filter_map(|(_, bit)| find(bit, NAME))
        .map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default())
        .collect();
    let is_on = |offload: Offload| names.contains(&offload.kernel_name().as_bytes());
    Ok(Offload::ALL.into_iter().map(|offload| (offload, is_on(offload))).collect())
}

fn message(command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    bytes::message(command, VERSION, attributes)
}

fn header(device: &str) -> Vec<u8> {
    nest(HEADER, &attribute(DEVICE, &text(device)))
}

fn text(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
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
        let bit = |name: &str| nest(BIT, &attribute(NAME, &text(name)));
        let bits = [bit("rx-gro"), bit("tx-checksum-ip-generic")].concat();
        let active = nest(ACTIVE, &nest(BITS, &bits));
        let read = offloads(&message(GET, &[header("eth0"), active])).unwrap();
        assert_eq!(read.into_values().collect::<Vec<_>>(), [true, false, false]);
        assert!(offloads(&message(GET, &[header("eth0")])).is_err());
    }

    #[test]
    fn a_switch_names_the_interface_and_the_feature() {
        let bytes = set_offload("eth0", Offload::Gro, false);
        let body = &bytes[HEADER_LENGTH..];
        assert_eq!(find(find(body, HEADER).unwrap(), DEVICE), Some(&b"eth0\0"[..]));
        let bit = find(find(find(body, WANTED).unwrap(), BITS).unwrap(), BIT).unwrap();
        assert_eq!((find(bit, NAME), find(bit, VALUE)), (Some(&b"rx-gro\0"[..]), None));
        assert_ne!(set_offload("eth0", Offload::Gro, true), bytes);
    }
}
