//! An initial root for a kernel: a cpio archive in the format "newc" (kernel documentation,
//! `driver-api/early-userspace/buffer-format.rst`), which is all that the kernel unpacks without help.

use std::io::{self, Write};

/// `S_IFDIR` and `S_IFREG` of stat(2).
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Writes an archive.
#[derive(Debug)]
pub(super) struct Archive<W> {
    into: W,
    number: u32,
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub(super) fn new(into: W) -> Self {
        Archive { into, number: 0 }
    }

    /// Adds a folder; its parents must have been added.
    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.record(path, FOLDER | 0o755, &[])
    }

    /// Adds a file that everybody may run; its folder must have been added.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.record(path, FILE | 0o755, content)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.record(TRAILER, 0, &[])?;
        self.into.flush()
    }

    fn record(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let size = u32::try_from(content.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.number += 1;
        // inode, mode, user, group, links, time, size, device twice, the name's length with its NUL, checksum
        let fields = [self.number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        let mut header = String::from("070701");
        fields.iter().for_each(|field| header.push_str(&format!("{field:08X}")));
        header.push_str(name);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(content)
    }

    /// Writes bytes and fills up to a multiple of four.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.into.write_all(bytes)?;
        self.into.write_all(&[0; 3][..bytes.len().wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_aligned_and_end_in_the_trailer() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.folder("/bin").unwrap();
        archive.file("/bin/sh", b"hello").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("07070100000001000041ED"), "{text}");
        let file = text.find("bin/sh\0").unwrap();
        assert_eq!((file - 110) % 4, 0);
        assert_eq!(text.find("hello\0\0\x00070701"), Some(file + "bin/sh\0".len() + 3));
        assert!(text.ends_with("TRAILER!!!\0\0\0\0") && text.len().is_multiple_of(4));
    }
}
