//! Messages of generic netlink and their attributes (`struct nlattr`), laid down one behind the other in one buffer.
//!
//! neli's builders make a buffer for each attribute and copy it into the one around it. A table has tens of thousands of
//! messages, which here go straight to where they are sent from.

use std::net::IpAddr;

use super::WireError;

/// `NLA_F_NESTED` of `uapi/linux/netlink.h`.
const NESTED: u16 = 1 << 15;

/// The length of the header of generic netlink (`struct genlmsghdr`).
pub(super) const HEADER_LENGTH: usize = 4;

/// Makes a message.
pub(super) fn message(
    command: impl Into<u8>,
    version: u8,
    outer: impl FnOnce(&mut Attributes<'_>) -> Result<(), WireError>,
) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    outer(&mut begin(&mut bytes, command, version))?;
    Ok(bytes)
}

/// Appends the header of generic netlink, behind which attributes stand.
pub(super) fn begin(bytes: &mut Vec<u8>, command: impl Into<u8>, version: u8) -> Attributes<'_> {
    let header: [u8; HEADER_LENGTH] = [command.into(), version, 0, 0];
    bytes.extend_from_slice(&header);
    Attributes(bytes)
}

/// Appends attributes to a buffer that is filled up to a multiple of four.
pub(super) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    /// Appends an attribute.
    pub(super) fn put(&mut self, kind: impl Into<u16>, payload: impl Payload) -> Result<(), WireError> {
        self.within(kind.into(), |attributes| {
            payload.append(attributes.0);
            Ok(())
        })
    }

    /// Appends an attribute that holds attributes.
    pub(super) fn nest(
        &mut self,
        kind: impl Into<u16>,
        inner: impl FnOnce(&mut Self) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.within(kind.into() | NESTED, inner)
    }

    fn within(&mut self, kind: u16, inner: impl FnOnce(&mut Self) -> Result<(), WireError>) -> Result<(), WireError> {
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        inner(self)?;
        // The length leaves the filling out.
        let length = u16::try_from(self.0.len() - start)
            .map_err(|_| WireError::Broken("an attribute is too long".to_owned()))?;
        if let Some(field) = self.0.get_mut(start..start + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        Ok(())
    }
}

/// What an attribute can hold.
pub(super) trait Payload {
    /// Appends it to the header of its attribute.
    fn append(&self, bytes: &mut Vec<u8>);
}

/// What is there is what it says.
impl Payload for () {
    fn append(&self, _bytes: &mut Vec<u8>) {}
}

impl Payload for u8 {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.push(*self);
    }
}

impl Payload for u16 {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_ne_bytes());
    }
}

impl Payload for u32 {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_ne_bytes());
    }
}

/// A string ends in a NUL.
impl Payload for &str {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
        bytes.push(0);
    }
}

impl Payload for [u32; 2] {
    fn append(&self, bytes: &mut Vec<u8>) {
        self.iter().for_each(|number| number.append(bytes));
    }
}

impl Payload for IpAddr {
    fn append(&self, bytes: &mut Vec<u8>) {
        match self {
            IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
        }
    }
}
