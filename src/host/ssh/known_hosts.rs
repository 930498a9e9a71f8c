//! The lines of known_hosts files that are about one host.
//!
//! libssh2 reads such files too, but knows neither patterns nor `@revoked` nor `@cert-authority`.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};

use super::config::Endpoint;
use super::pattern::is_about;
use super::wire::Wire;
use crate::host::HostError;

/// What a line says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The host has it.
    Trusted,
    /// The host must not have it.
    Revoked,
    /// It signs the keys of hosts.
    Authority,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file.display(), self.line)
    }
}

/// A key that a line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) mark: Mark,
    /// The key's type, such as `ssh-ed25519`.
    pub(super) algorithm: String,
    /// The key as it travels (RFC 4253, section 6.6).
    pub(super) blob: Vec<u8>,
    pub(super) place: Place,
    /// Whether the line is about this host and port; otherwise it is about the name at any port, which is enough to trust a
    /// key and not enough to call another one changed.
    pub(super) is_exact: bool,
}

/// Reads every line that is about a host; files that are not there are empty.
pub(super) fn read(endpoint: &Endpoint) -> Result<Vec<Known>, HostError> {
    let exact = endpoint.known_as();
    let name = endpoint.host_key_alias.as_ref().unwrap_or(&endpoint.host).to_lowercase();
    let mut known = Vec::new();
    for file in &endpoint.known_hosts {
        // A file that cannot be read may hold the line that revokes a key.
        let text = match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(HostError::file("read", &file.to_string_lossy(), &error)),
        };
        known.extend(lines(file, &text, &exact, &name)?);
    }
    Ok(known)
}

fn lines(file: &Path, text: &str, exact: &str, name: &str) -> Result<Vec<Known>, HostError> {
    let mut known = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace().peekable();
        let mark = match words.peek() {
            None => continue,
            Some(first) if first.starts_with('#') => continue,
            Some(first) if first.starts_with('@') => match *first {
                "@revoked" => Mark::Revoked,
                "@cert-authority" => Mark::Authority,
                // OpenSSH passes it over as well.
                _ => continue,
            },
            Some(_) => Mark::Trusted,
        };
        if mark != Mark::Trusted {
            words.next();
        }
        let place = Place { file: file.to_owned(), line: index + 1 };
        let Some(hosts) = words.next() else { continue };
        let is_exact = is_about(hosts, exact);
        if !is_exact && !is_about(hosts, name) {
            continue;
        }
        match key(words.next(), words.next()) {
            Some((algorithm, blob)) => known.push(Known { mark, algorithm, blob, place, is_exact }),
            // To pass over it would be to trust what it revokes.
            None if mark == Mark::Revoked => {
                let text = format!("{place} revokes a key that cannot be read");
                return Err(HostError::HostKey { text, help: "Put the line right, or take it away".into() });
            }
            None => {}
        }
    }
    Ok(known)
}

/// Reads a key's type and base64, of which the one must name the other.
fn key(algorithm: Option<&str>, encoded: Option<&str>) -> Option<(String, Vec<u8>)> {
    let (algorithm, encoded) = (algorithm?, encoded?);
    let padded = encoded.trim_end_matches('=');
    let blob = base64ct::Base64Unpadded::decode_vec(padded).or_else(|_| Base64::decode_vec(encoded)).ok()?;
    (type_of(&blob)? == algorithm).then(|| (algorithm.to_owned(), blob))
}

/// Returns the type that stands at the beginning of a key.
pub(super) fn type_of(blob: &[u8]) -> Option<&str> {
    Wire(blob).text()
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::endpoint;
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPwR5cdBDrwQtXxKKg2xdG98/j6+dOjiHYH/40WshF4c";

    fn read_text(text: &str) -> Result<Vec<Known>, HostError> {
        lines(Path::new("known"), text, "[lb1.example.net]:2222", "lb1.example.net")
    }

    #[test]
    fn lines_about_the_host_are_found_with_their_marks_and_places() {
        let text = format!(
            "# a comment\n\n[lb1.example.net]:2222 {KEY} comment\nother {KEY}\n@revoked * {KEY}\n\
             @cert-authority *.example.net {KEY}\n@something * {KEY}\nlb1.example.net {KEY}\n\t [lb1.example.net]:2222\t{KEY}\n"
        );
        let found: Vec<_> =
            read_text(&text).unwrap().iter().map(|known| (known.mark, known.place.line, known.is_exact)).collect();
        assert_eq!(
            found,
            [
                (Mark::Trusted, 3, true),
                (Mark::Revoked, 5, true),
                (Mark::Authority, 6, false),
                (Mark::Trusted, 8, false),
                (Mark::Trusted, 9, true),
            ]
        );
    }

    #[test]
    fn a_broken_line_is_passed_over_unless_it_revokes() {
        for broken in ["ssh-rsa PUBLIC", "ssh-ed25519", "ssh-ed25519 !!!!", "ssh-ed25519 AAAA", ""] {
            let line = broken.replace("PUBLIC", KEY.split(' ').nth(1).unwrap());
            assert_eq!(read_text(&format!("lb1.example.net {line}\n")).unwrap(), [], "{line}");
            let refused = read_text(&format!("\n@revoked lb1.example.net {line}\n")).unwrap_err();
            assert!(refused.to_string().contains("known:2 revokes"), "{refused}");
        }
    }

    #[test]
    fn a_missing_file_is_empty_and_an_unreadable_one_is_an_error() {
        let with = |file: &str| Endpoint { known_hosts: vec![file.into()], ..endpoint() };
        assert_eq!(read(&with("/nonexistent/known_hosts")).unwrap(), []);
        assert!(read(&with("/")).unwrap_err().to_string().starts_with("Cannot read /"));
    }
}
