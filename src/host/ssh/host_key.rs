//! Whether the key that a host proved to hold is the one that it should hold.
//!
//! What is known decides twice: before the handshake, over which sort of key is asked for, because a host has several and the files may
//! know one of them; and after it, over the key. The verdict stands before anything is told to the host.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};
use ssh_key::PublicKey;

use super::certificate::Certificate;
use super::config::Endpoint;
use super::known_hosts::{self, Known, Mark, Place, type_of};
use crate::host::{HostError, program};

/// What ends the name of a certificate's type.
pub(super) const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// The sorts of keys that libssh2 verifies, best first, and the methods of the handshake that lead to each.
const SORTS: [(&str, &[&str]); 5] = [
    ("ssh-ed25519", &["ssh-ed25519"]),
    ("ecdsa-sha2-nistp256", &["ecdsa-sha2-nistp256"]),
    ("ecdsa-sha2-nistp384", &["ecdsa-sha2-nistp384"]),
    ("ecdsa-sha2-nistp521", &["ecdsa-sha2-nistp521"]),
    ("ssh-rsa", &["rsa-sha2-512", "rsa-sha2-256"]),
];

/// What a key revocation list begins with (`KRL_MAGIC` of OpenSSH).
const REVOCATION_LIST: &[u8] = b"SSHKRL\n\0";

/// How long ssh-keygen may take to look for a key among the revoked ones.
const PATIENCE: Duration = Duration::from_secs(10);

/// A host's key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// What the handshake showed: the key, or the certificate for it.
    shown: Vec<u8>,
    /// The key itself, as it travels, also where it came in a certificate.
    blob: Vec<u8>,
    algorithm: String,
    certificate: Option<Box<Certificate>>,
}

impl Key {
    /// Reads what the handshake proved.
    pub(super) fn read(blob: &[u8]) -> Self {
        let sort = |blob: &[u8]| type_of(blob).unwrap_or("unknown").to_owned();
        match Certificate::read(blob) {
            Some(certificate) => Key {
                shown: blob.to_owned(),
                blob: certificate.key.clone(),
                algorithm: sort(&certificate.key),
                certificate: Some(Box::new(certificate)),
            },
            None => Key { shown: blob.to_owned(), blob: blob.to_owned(), algorithm: sort(blob), certificate: None },
        }
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// Writes the key as a line of known_hosts does.
    fn line(&self) -> String {
        format!("{} {}", self.algorithm, Base64::encode_string(&self.blob))
    }

    /// Writes what was shown as a line of a public key's file: from a certificate ssh-keygen takes the key, the serial number,
    /// the identity and the authority.
    fn shown_line(&self) -> String {
        format!("{} {}", type_of(&self.shown).unwrap_or_default(), Base64::encode_string(&self.shown))
    }

    /// Tells whether a key is this one, or the authority that signed it.
    fn depends_on(&self, key: &[u8]) -> bool {
        self.blob == key || self.certificate.as_ref().is_some_and(|certificate| certificate.authority == key)
    }
}

/// Returns a key's fingerprint as OpenSSH shows it.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(blob)))
}

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the right host; its key's fingerprint.
    Trusted(String),
    /// The key is not the pinned one, but the host may hold that as well.
    AskForAnother,
}

/// Knows what is known of one host.
pub(super) struct Judge<'a> {
    endpoint: &'a Endpoint,
    known: Vec<Known>,
    pinned: Option<&'a str>,
    /// The keys that the host showed so far instead of the pinned one.
    seen: Vec<Key>,
}

impl<'a> Judge<'a> {
    /// Reads what is known.
    pub(super) fn new(endpoint: &'a Endpoint, pinned: Option<&'a str>) -> Result<Self, HostError> {
        Ok(Judge { endpoint, known: known_hosts::read(endpoint)?, pinned, seen: Vec::new() })
    }

    /// Returns the methods of the handshake, those first that lead to a key that is known.
    pub(super) fn methods(&self) -> String {
        let is_seen = |sort: &str| self.seen.iter().any(|key| key.algorithm == sort);
        let is_known = |sort: &str| {
            self.pinned.is_none()
                && self.known.iter().any(|known| known.mark == Mark::Trusted && known.algorithm == sort)
        };
        let mut methods: Vec<String> = Vec::new();
        if self.pinned.is_none() && self.known.iter().any(|known| known.mark == Mark::Authority) {
            let all = SORTS.iter().flat_map(|(_, methods)| methods.iter());
            methods.extend(all.map(|method| format!("{method}{CERTIFICATE}")));
        }
        let (first, rest): (Vec<_>, Vec<_>) =
            SORTS.iter().filter(|(sort, _)| !is_seen(sort)).partition(|(sort, _)| is_known(sort));
        let plain = first.into_iter().chain(rest).flat_map(|(_, methods)| methods.iter());
        methods.extend(plain.map(|method| (*method).to_owned()));
        methods.join(",")
    }

    /// Decides over the key that a handshake proved.
    pub(super) fn verdict(&mut self, key: Key) -> Result<Verdict, HostError> {
        self.refuse_revoked(&key)?;
        if let Some(pinned) = self.pinned {
            if pinned.trim_end_matches('=') == key.fingerprint() {
                return Ok(Verdict::Trusted(key.fingerprint()));
            }
            self.seen.push(key);
            let is_left = SORTS.iter().any(|(sort, _)| !self.seen.iter().any(|key| key.algorithm == *sort));
            // A sort that was not asked for comes from no honest host.
            return match is_left && self.seen.len() < SORTS.len() {
                true => Ok(Verdict::AskForAnother),
                false => Err(self.not_the_pinned_one(pinned)),
            };
        }
        let now = SystemTime::now();
        let signed = key.certificate.as_ref().map(|certificate| certificate.check(self.endpoint, &self.known, now));
        let is_trusted = self.known.iter().any(|known| known.mark == Mark::Trusted && known.blob == key.blob);
        match signed {
            _ if is_trusted => Ok(Verdict::Trusted(key.fingerprint())),
            Some(Ok(())) => Ok(Verdict::Trusted(key.fingerprint())),
            Some(Err(why)) => Err(self.badly_signed(&key, &why)),
            None => Err(self.changed(&key).unwrap_or_else(|| self.unknown(&key))),
        }
    }

    /// Makes the error of a handshake that found no further sort of key, if another key is pinned.
    pub(super) fn without_common_key(&self, error: HostError) -> HostError {
        match self.pinned {
            Some(pinned) if !self.seen.is_empty() && matches!(error, HostError::Unreachable { .. }) => {
                self.not_the_pinned_one(pinned)
            }
            _ => error,
        }
    }

    fn refuse_revoked(&self, key: &Key) -> Result<(), HostError> {
        let is_meant = |known: &&Known| key.depends_on(&known.blob);
        let place =
            self.known.iter().filter(|known| known.mark == Mark::Revoked).find(is_meant).map(|known| &known.place);
        if let Some(place) = place {
            return Err(self.revoked(key, &place.to_string()));
        }
        match &self.endpoint.revoked_keys {
            Some(file) if is_among_revoked(file, key)? => Err(self.revoked(key, &file.display().to_string())),
            _ => Ok(()),
        }
    }

    fn revoked(&self, key: &Key, place: &str) -> HostError {
        let what = match key.certificate {
            Some(_) => "or its certificate or authority is revoked",
            None => "is revoked",
        };
        HostError::HostKey {
            text: format!("the key {} of {} {what} ({place})", key.fingerprint(), self.name()),
            help: "Somebody else may hold this key: do not log in, and give the host a new one".into(),
        }
    }

    fn unknown(&self, key: &Key) -> HostError {
        let others: Vec<String> =
            self.trusted().map(|known| format!("{} at {}", known.algorithm, known.place)).collect();
        let others = match others.is_empty() {
            true => String::new(),
            false => format!("; it does not show the one that is known ({})", others.join(", ")),
        };
        let name = self.name();
        HostError::HostKey {
            text: format!("the {} key {} of {name} is not known{others}", key.algorithm, key.fingerprint()),
            help: format!("If this is its fingerprint, accept it: {}{}", self.append(key), pin(key)),
        }
    }

    /// Makes the error of a key that another one of its sort should be.
    fn changed(&self, key: &Key) -> Option<HostError> {
        let known = self.trusted().find(|known| known.algorithm == key.algorithm)?;
        let (name, place) = (self.name(), &known.place);
        Some(HostError::HostKey {
            text: format!(
                "the {} key of {name} has changed: it is {}, and {place} has {}; somebody may stand in between",
                key.algorithm,
                key.fingerprint(),
                fingerprint(&known.blob),
            ),
            help: format!(
                "If the host was given this new key, accept it: ssh-keygen -R {} -f {} && {}{}",
                quoted(&name),
                quoted(&place.file.display().to_string()),
                self.append(key),
                pin(key)
            ),
        })
    }

    fn badly_signed(&self, key: &Key, why: &str) -> HostError {
        let name = self.name();
        let authorities: Vec<&Place> =
            self.known.iter().filter(|known| known.mark == Mark::Authority).map(|known| &known.place).collect();
        let line = authorities.first().map(|place| format!(" ({place})")).unwrap_or_default();
        HostError::HostKey {
            text: format!("the certificate of {name} for its key {} does not count: {why}", key.fingerprint()),
            help: format!(
                "Have the authority{line} sign the key for this name: ssh-keygen -s AUTHORITY -h -n {} -I {} KEY.pub{}",
                quoted(self.endpoint.host_key_alias.as_ref().unwrap_or(&self.endpoint.host)),
                quoted(&name),
                pin(key)
            ),
        }
    }

    fn not_the_pinned_one(&self, pinned: &str) -> HostError {
        let seen: Vec<String> =
            self.seen.iter().map(|key| format!("{} {}", key.algorithm, key.fingerprint())).collect();
        HostError::HostKey {
            text: format!("{} has {}, and the topology wants {pinned}", self.name(), seen.join(", ")),
            help: "If the host was given a new key, write its fingerprint at `host-key`".into(),
        }
    }

    fn trusted(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| known.mark == Mark::Trusted && known.is_exact)
    }

    fn name(&self) -> String {
        self.endpoint.known_as()
    }

    /// Writes the command that adds a key to the first of the files.
    fn append(&self, key: &Key) -> String {
        let file = self.endpoint.known_hosts.first().map(|file| quoted(&file.display().to_string()));
        let file = file.unwrap_or_else(|| "~/.ssh/known_hosts".into());
        format!("echo {} >> {file}", quoted(&format!("{} {}", self.name(), key.line())))
    }
}

/// Says how to accept a key in the topology.
fn pin(key: &Key) -> String {
    format!("; or write host-key=\"{}\" at `ssh` in the topology", key.fingerprint())
}

/// Looks for a key in a file of `RevokedHostKeys`: public keys a line, or a key revocation list, which ssh-keygen reads.
fn is_among_revoked(file: &Path, key: &Key) -> Result<bool, HostError> {
    let doing = "look for the host's key among the revoked ones in";
    let failed = |error: std::io::Error| HostError::file(doing, &file.to_string_lossy(), &error);
    let revoked = fs::read(file).map_err(failed)?;
    if !revoked.starts_with(REVOCATION_LIST) {
        let text = String::from_utf8_lossy(&revoked);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut keys = lines.map(|line| PublicKey::from_openssh(line).and_then(|key| key.to_bytes()));
        // A line that cannot be read may be about this very key.
        return keys.try_fold(false, |found, other| Ok(found | key.depends_on(&other?))).map_err(
            |error: ssh_key::Error| HostError::Io {
                doing: doing.into(),
                path: file.display().to_string(),
                text: error.to_string(),
            },
        );
    }
    let written = tempfile::NamedTempFile::new().map_err(failed)?;
    fs::write(written.path(), format!("{}\n", key.shown_line())).map_err(failed)?;
    let path = program::find("ssh-keygen").ok_or_else(|| program::missing(doing, "ssh-keygen"))?;
    let mut command = Command::new(path);
    command.env("LC_ALL", "C").arg("-Q").arg("-f").arg(file).arg(written.path());
    let doing = format!("{doing} {}", file.display());
    let output = program::run_prepared(&doing, "ssh-keygen", command, None, PATIENCE)?;
    match (output.status.success(), output.stdout.contains("REVOKED")) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        (false, false) => Err(program::failure(&doing, "ssh-keygen", &output)),
    }
}

/// Quotes a word for the shell of the operator, who may copy it.
fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-/:@+,".contains(character);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
