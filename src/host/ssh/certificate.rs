//! A host key that an authority has signed: whether it speaks for this host.
//!
//! The handshake proves that the host holds the key in the certificate, and nothing else: libssh2 reads no further than that key.
//! What is left is here (PROTOCOL.certkeys of OpenSSH): the authority's signature, that the certificate is for hosts, for this
//! one, for now, and that it asks for nothing that we do not know. The crate ssh-key verifies the signature; it could read the rest
//! as well, but for certificates that are valid for ever, which are those that ssh-keygen makes unless it is told otherwise.

use std::time::{SystemTime, UNIX_EPOCH};

use ssh_key::{Algorithm, PublicKey, Signature};

use super::config::Endpoint;
use super::host_key::{CERTIFICATE, fingerprint};
use super::known_hosts::{Known, Mark};
use super::pattern::matches;
use super::wire::Wire;

/// `SSH2_CERT_TYPE_HOST`.
const FOR_HOSTS: u32 = 2;

/// A certificate, taken to pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The host's own key, as it travels.
    pub(super) key: Vec<u8>,
    /// The authority's key, as it travels.
    pub(super) authority: Vec<u8>,
    purpose: u32,
    principals: Vec<String>,
    valid_after: u64,
    valid_before: u64,
    critical_options: Vec<String>,
    /// What the authority signed, and its signature.
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Certificate {
    /// Takes a certificate to pieces, all of it.
    pub(super) fn read(blob: &[u8]) -> Option<Self> {
        let mut wire = Wire(blob);
        let sort = wire.text()?.strip_suffix(CERTIFICATE)?;
        let _nonce = wire.bytes()?;
        let begin = wire;
        // An Ed25519 key is a point, an ECDSA key a curve and a point, an RSA key two numbers.
        for _ in 0..(if sort == "ssh-ed25519" { 1 } else { 2 }) {
            wire.bytes()?;
        }
        let fields = begin.0.get(..begin.0.len() - wire.0.len())?;
        let key = [&u32::try_from(sort.len()).ok()?.to_be_bytes(), sort.as_bytes(), fields].concat();
        let _serial = wire.long_number()?;
        let purpose = wire.number()?;
        let _identity = wire.bytes()?;
        let principals = texts(wire.bytes()?)?;
        let (valid_after, valid_before) = (wire.long_number()?, wire.long_number()?);
        let critical_options = texts(wire.bytes()?)?.into_iter().step_by(2).collect();
        let (_extensions, _reserved) = (wire.bytes()?, wire.bytes()?);
        let authority = wire.bytes()?.to_vec();
        let signed = blob.get(..blob.len() - wire.0.len())?.to_vec();
        let signature = wire.bytes()?.to_vec();
        let whole = Certificate {
            key,
            authority,
            purpose,
            principals,
            valid_after,
            valid_before,
            critical_options,
            signed,
            signature,
        };
        wire.0.is_empty().then_some(whole)
    }

    /// Tells why the certificate does not speak for a host at a time.
    pub(super) fn check(&self, endpoint: &Endpoint, known: &[Known], now: SystemTime) -> Result<(), String> {
        if !known.iter().any(|known| known.mark == Mark::Authority && known.blob == self.authority) {
            let signer = fingerprint(&self.authority);
            return Err(format!("it is signed by {signer}, which no @cert-authority line names"));
        }
        self.verify()?;
        if self.purpose != FOR_HOSTS {
            return Err("it is for users and not for hosts".into());
        }
        let seconds = now.duration_since(UNIX_EPOCH).map_err(|_| "the clock stands before 1970")?.as_secs();
        if seconds < self.valid_after {
            return Err("it is not valid yet".into());
        }
        if seconds >= self.valid_before {
            return Err("it has expired".into());
        }
        if let Some(option) = self.critical_options.first() {
            return Err(format!("it has the critical option {option:?}, which lvsctl does not know"));
        }
        let name = endpoint.host_key_alias.as_ref().unwrap_or(&endpoint.host);
        // One for no name is one for every name.
        match self.principals.is_empty() || self.principals.iter().any(|principal| matches(principal, name)) {
            true => Ok(()),
            false => Err(super::printable(&format!("it is for {} and not for {name}", self.principals.join(", ")))),
        }
    }

    fn verify(&self) -> Result<(), String> {
        use signature::Verifier;
        use ssh_key::public::KeyData;
        let wrong = |_| "its signature cannot be read".to_owned();
        let key: KeyData = PublicKey::from_bytes(&self.authority).map_err(wrong)?.into();
        let signature = Signature::try_from(self.signature.as_slice()).map_err(wrong)?;
        if matches!(signature.algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
            return Err("it is signed in a way that is no longer safe (SHA-1)".into());
        }
        key.verify(&self.signed, &signature).map_err(|_| "its signature is wrong".to_owned())
    }
}

/// Reads texts until nothing is left; a list of options has a name and a value in turn.
fn texts(bytes: &[u8]) -> Option<Vec<String>> {
    let mut wire = Wire(bytes);
    let mut texts = Vec::new();
    while !wire.0.is_empty() {
        texts.push(String::from_utf8_lossy(wire.bytes()?).into_owned());
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64ct::{Base64, Encoding};

    use super::super::config::tests::endpoint;
    use super::super::known_hosts::Place;
    use super::*;

    /// Made with `ssh-keygen -s authority -h -n lb1.example.net -I test -V 20260101000000:20270101000000`.
    const SIGNED: &str = "AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIHP7fsSqDux9+kDOqOn1QuOdq7NBzlR3/TKryVXn0K09AAAAIKoTmK3SxlDU2UxNAFtpJSgsiSYw7hWgn8Yu1/vk47xLAAAAAAAAAAAAAAACAAAABHRlc3QAAAATAAAAD2xiMS5leGFtcGxlLm5ldAAAAABpVbkAAAAAAGs27IAAAAAAAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIBUWkVDbYjdAxeA6y4tbnrMj7aXxw5ETwxLq++c5D3N3AAAAUwAAAAtzc2gtZWQyNTUxOQAAAEAWJgYl/MRc2yDYiElMyMdRk3ZDDfJGWkRVBJoPbmc5UzxcjIV3UgQ+ETK0G7/dkAtkczmiRB+vkqCqwOeP1ucG";

    fn blob() -> Vec<u8> {
        Base64::decode_vec(SIGNED).unwrap()
    }

    fn day(number: u64) -> SystemTime {
        // Days of 2026.
        UNIX_EPOCH + Duration::from_secs(1_767_225_600 + number * 86_400)
    }

    fn known(certificate: &Certificate) -> [Known; 1] {
        let place = Place { file: "known".into(), line: 1 };
        let blob = certificate.authority.clone();
        [Known { mark: Mark::Authority, algorithm: "ssh-ed25519".into(), blob, place, is_exact: true }]
    }

    #[test]
    fn a_certificate_counts_within_its_time() {
        let certificate = Certificate::read(&blob()).unwrap();
        let check = |day| certificate.check(&endpoint(), &known(&certificate), day);
        assert_eq!(check(day(100)), Ok(()));
        assert_eq!(check(day(400)), Err("it has expired".into()));
        assert_eq!(check(day(0) - Duration::from_secs(86_400)), Err("it is not valid yet".into()));
        let other = Endpoint { host: "lb2.example.net".into(), ..endpoint() };
        let why = certificate.check(&other, &known(&certificate), day(100)).unwrap_err();
        assert_eq!(why, "it is for lb1.example.net and not for lb2.example.net");
    }

    #[test]
    fn a_certificate_that_was_changed_anywhere_does_not_count() {
        let whole = blob();
        let signed = Certificate::read(&whole).unwrap();
        let mut counted = 0;
        for position in 0..whole.len() {
            let mut changed = whole.clone();
            if let Some(byte) = changed.get_mut(position) {
                *byte ^= 1;
            }
            let Some(certificate) = Certificate::read(&changed) else { continue };
            counted += 1;
            let why = certificate.check(&endpoint(), &known(&signed), day(100));
            assert!(why.is_err(), "a change at {position} was not noticed");
        }
        assert!(counted > 100, "only {counted} changes could be read");
        for length in 0..whole.len() {
            assert_eq!(Certificate::read(whole.get(..length).unwrap()), None, "cut at {length}");
        }
        assert_eq!(Certificate::read(&[whole, vec![0]].concat()), None, "something follows");
    }
}
