//! Attributes of generic netlink as they are received (`struct nlattr`, `uapi/linux/netlink.h`); `attributes` writes them.

use super::WireError;
use super::attributes::HEADER_LENGTH;

/// The bits of a type that are not flags.
const KIND: u16 = 0x3fff;

/// Returns what stands behind the header of generic netlink.
pub(super) fn body(bytes: &[u8]) -> Result<&[u8], WireError> {
    bytes.get(HEADER_LENGTH..).ok_or_else(|| WireError::Broken("no header".into()))
}

/// Returns the payload of the first attribute of a kind.
pub(super) fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

/// Reads attributes until the bytes end or one lies about its length.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & KIND;
        let payload = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}
