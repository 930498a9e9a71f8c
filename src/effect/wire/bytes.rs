//! Attributes of generic netlink, byte by byte (`struct nlattr`, `uapi/linux/netlink.h`).

/// The length of the generic netlink header (`struct genlmsghdr`).
pub(super) const HEADER_LENGTH: usize = 4;

/// `NLA_F_NESTED`, and the bits of a type that are not flags.
const NESTED: u16 = 1 << 15;
const KIND: u16 = 0x3fff;

/// Puts the header of generic netlink in front of attributes.
pub(super) fn message(command: u8, version: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![command, version, 0, 0];
    attributes.iter().for_each(|attribute| bytes.extend_from_slice(attribute));
    bytes
}

/// Writes an attribute that holds others.
pub(super) fn nest(kind: u16, payload: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, payload)
}

/// Writes an attribute, with the padding after it.
pub(super) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
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
