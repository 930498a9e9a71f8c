//! The program that becomes an agent: this very one, or one of the same version that was built for another processor.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::host::HostError;

/// Where a build for another processor, or a static one beside one that is not, is looked for; then beside this program.
const FOLDER: &str = "/usr/lib/lvsctl";

/// The processors that lvsctl may be built for, as the kernel calls them (uname(2)) and as a binary does (`EM_*` in elf.h).
const MACHINES: [(&str, u16); 8] = [
    ("x86_64", 62),
    ("aarch64", 183),
    ("armv7l", 40),
    ("i686", 3),
    ("ppc64le", 21),
    ("riscv64", 243),
    ("s390x", 22),
    ("loongarch64", 258),
];

/// What an ELF binary begins with, and where in it something stands (elf(5), 64 bits and 32).
const ELF: &[u8] = b"\x7fELF";
const CLASS: usize = 4;
const BYTE_ORDER: usize = 5;
const MACHINE: usize = 18;
/// A segment that names the dynamic loader, without which the binary does not start.
const PT_INTERP: u32 = 3;

/// A program, whole.
#[derive(Debug)]
pub struct Binary {
    bytes: Vec<u8>,
    digest: String,
}

impl Binary {
    /// Takes the bytes of a program.
    pub fn of(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Binary { bytes, digest }
    }

    /// Returns this program, which is read once.
    pub fn own() -> Result<&'static Binary, HostError> {
        static OWN: OnceLock<Result<Binary, HostError>> = OnceLock::new();
        // What runs, even if another build has taken the place of its file meanwhile.
        let read = || fs::read("/proc/self/exe").map_err(|error| HostError::file("read", "/proc/self/exe", &error));
        OWN.get_or_init(|| read().map(Binary::of)).as_ref().map_err(Clone::clone)
    }

    /// Returns the program that was put ready for a processor, if there is one: `lvsctl-PROCESSOR`.
    pub fn beside(machine: &str) -> Option<Binary> {
        // The name comes from the host, and only a known one becomes a part of a path.
        let (machine, _) = MACHINES.iter().find(|(name, _)| *name == machine)?;
        let own = std::env::current_exe().ok();
        let folders = [Some(PathBuf::from(FOLDER)), own.as_deref().and_then(Path::parent).map(Path::to_owned)];
        let found = folders.into_iter().flatten().find_map(|folder| fs::read(folder.join(place(machine))).ok());
        found.map(Binary::of)
    }

    /// Returns the program.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns its SHA-256 in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Says why the program would not run on a processor, if so.
    pub fn unfit_for(&self, machine: &str) -> Option<String> {
        let Some(built_for) = self.machine() else {
            return Some("it is no program for Linux".to_owned());
        };
        let wanted = MACHINES.iter().find(|(name, _)| *name == machine).map(|(_, number)| *number);
        if wanted != Some(built_for) {
            let name = MACHINES.iter().find(|(_, number)| *number == built_for).map_or("another", |(name, _)| name);
            return Some(format!("it is built for the processor {name}"));
        }
        match self.has_interpreter() {
            Some(false) => None,
            Some(true) => Some("it is not a static build, and needs libraries that the host may not have".to_owned()),
            None => Some("it is no program for Linux".to_owned()),
        }
    }

    fn machine(&self) -> Option<u16> {
        self.bytes.starts_with(ELF).then(|| self.number(MACHINE, 2))?.and_then(|number| u16::try_from(number).ok())
    }

    fn has_interpreter(&self) -> Option<bool> {
        // The table of segments: where it begins, how long an entry is, and how many there are.
        let (offset, offset_length, size, count) = match self.bytes.get(CLASS)? {
            1 => (28, 4, 42, 44),
            2 => (32, 8, 54, 56),
            _ => return None,
        };
        let offset = self.number(offset, offset_length)?;
        let (size, count) = (self.number(size, 2)?, self.number(count, 2)?);
        let mut has = false;
        for index in 0..count {
            let entry = usize::try_from(offset.checked_add(index.checked_mul(size)?)?).ok()?;
            has |= self.number(entry, 4)? == u64::from(PT_INTERP);
        }
        Some(has)
    }

    /// Reads a number in the byte order that the binary has.
    fn number(&self, offset: usize, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(offset..offset.checked_add(length)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self.bytes.get(BYTE_ORDER)? {
            1 => Some(bytes.iter().rev().fold(0, add)),
            2 => Some(bytes.iter().fold(0, add)),
            _ => None,
        }
    }
}

/// Returns the name of the file that is put ready for a processor.
pub(super) fn place(machine: &str) -> String {
    format!("lvsctl-{machine}")
}

/// Returns where one can be put ready.
pub(super) fn places(machine: &str) -> String {
    format!("{FOLDER}/{}", place(machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a 64-bit binary with segments of these sorts.
    fn elf(machine: u16, segments: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(ELF);
        bytes[CLASS] = 2;
        bytes[BYTE_ORDER] = 1;
        bytes[MACHINE..MACHINE + 2].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(segments.len()).unwrap();
        for segment in segments {
            bytes.extend(segment.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn a_program_that_would_not_run_there_is_told() {
        let why = |bytes: &[u8], machine| Binary::of(bytes.to_vec()).unfit_for(machine);
        assert_eq!(why(&elf(62, &[1, 2]), "x86_64"), None);
        assert!(why(&elf(62, &[1, 3]), "x86_64").is_some_and(|why| why.contains("not a static build")));
        assert!(why(&elf(62, &[1]), "aarch64").is_some_and(|why| why.contains("the processor x86_64")));
        assert!(why(&elf(62, &[1]), "vax").is_some_and(|why| why.contains("the processor x86_64")));
        assert!(why(&elf(9999, &[1]), "x86_64").is_some_and(|why| why.contains("the processor another")));
        let whole = elf(62, &[1, 3]);
        for end in 0..whole.len() - 55 {
            assert!(why(&whole[..end], "x86_64").is_some(), "{end} bytes of it");
        }
        assert!(why(b"#!/bin/sh\n", "x86_64").is_some_and(|why| why.contains("no program for Linux")));
    }

    #[test]
    fn this_program_is_known_by_its_digest() {
        let own = Binary::own().unwrap();
        assert_eq!(own.digest().len(), 64);
        assert!(own.bytes().starts_with(ELF));
        assert_eq!(Binary::of(b"abc".to_vec()).digest()[..8], *"ba7816bf");
    }

    #[test]
    fn a_host_cannot_name_a_file() {
        assert!(Binary::beside("../../etc/passwd").is_none());
    }
}
