//! The messages of the netlink family that opens UDP ports for packets in envelopes (`uapi/linux/fou.h`).

use super::WireError;
use super::attributes::{Attributes, message};
use super::reading::{body, find};
use crate::topology::Family;

/// The name under which the kernel registers the family (`FOU_GENL_NAME`).
pub const FAMILY: &str = "fou";

/// `FOU_GENL_VERSION`.
const VERSION: u8 = 1;

/// `FOU_CMD_ADD`, `FOU_CMD_DEL` and `FOU_CMD_GET`.
const ADD: u8 = 1;
const DELETE: u8 = 2;
const GET: u8 = 3;

/// `FOU_ATTR_PORT`, `FOU_ATTR_AF` and `FOU_ATTR_TYPE`.
const PORT: u16 = 1;
const ADDRESS_FAMILY: u16 = 2;
const TYPE: u16 = 4;

/// `FOU_ENCAP_GUE`.
const GUE: u8 = 2;

/// `AF_INET` and `AF_INET6`.
const INET: u8 = 2;
const INET6: u8 = 10;

/// Encodes the question for every port.
pub fn get_ports() -> Result<Vec<u8>, WireError> {
    message(GET, VERSION, |_| Ok(()))
}

/// Encodes a port that is opened for Generic UDP Encapsulation.
pub fn add_port(family: Family, port: u16) -> Result<Vec<u8>, WireError> {
    message(ADD, VERSION, |outer| {
        named(outer, family, port)?;
        outer.put(TYPE, GUE)
    })
}

/// Encodes a port that is closed.
pub fn delete_port(family: Family, port: u16) -> Result<Vec<u8>, WireError> {
    message(DELETE, VERSION, |outer| named(outer, family, port))
}

/// Decodes a port, with whether it expects Generic UDP Encapsulation.
pub fn port(bytes: &[u8]) -> Result<((Family, u16), bool), WireError> {
    let body = body(bytes)?;
    let port = find(body, PORT).and_then(|port| port.first_chunk()).ok_or(WireError::Missing("port"))?;
    let family = match find(body, ADDRESS_FAMILY) {
        Some([INET, ..]) => Family::Ipv4,
        Some([INET6, ..]) => Family::Ipv6,
        _ => return Err(WireError::Missing("address family")),
    };
    let is_gue = matches!(find(body, TYPE), Some([GUE, ..]));
    Ok(((family, u16::from_be_bytes(*port)), is_gue))
}

/// Appends what a port is known by.
fn named(outer: &mut Attributes<'_>, family: Family, port: u16) -> Result<(), WireError> {
    let number = match family {
        Family::Ipv4 => INET,
        Family::Ipv6 => INET6,
    };
    outer.put(ADDRESS_FAMILY, number)?;
    outer.put(PORT, port.to_be())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = port(&bytes);
        }
    }

    #[test]
    fn a_port_is_in_the_order_of_the_network() {
        // As `ip fou add port 6080 gue -6` sends it: an address family, a port, a type, each padded to four bytes.
        let sent = add_port(Family::Ipv6, 6080).unwrap();
        assert_eq!(sent[..4], [1, 1, 0, 0]);
        assert_eq!(sent[8..12], [10, 0, 0, 0]);
        assert_eq!(sent[16..20], [0x17, 0xc0, 0, 0]);
        assert_eq!(sent[24..28], [2, 0, 0, 0]);
        assert_eq!(port(&sent).unwrap(), ((Family::Ipv6, 6080), true));
        assert_eq!(port(&delete_port(Family::Ipv4, 1).unwrap()).unwrap(), ((Family::Ipv4, 1), false));
        assert!(port(&get_ports().unwrap()).is_err());
    }
}
