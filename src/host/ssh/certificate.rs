//! A host key that an authority has signed: whether it speaks for this host.
//!
//! The handshake proves that the host holds the key in the certificate, and nothing else: libssh2 reads no further than that key.
//! What is left is here (PROTOCOL.certkeys of OpenSSH): the authority's signature, that the certificate is for hosts, for this one, for now,
//! and that it asks for nothing that we do not know.

use std::time::{SystemTime, UNIX_EPOCH};

use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, HashAlg, PublicKey};

use super::config::Endpoint;
use super::known_hosts::{Known, Mark};
use super::pattern::matches;

/// Returns the key that a certificate is about, as it travels.
pub(super) fn plain_key(certificate: &Certificate) -> Option<Vec<u8>> {
    blob(certificate.public_key())
}

/// Returns the authority's key, as it travels.
pub(super) fn authority(certificate: &Certificate) -> Option<Vec<u8>> {
    blob(certificate.signature_key())
}

fn blob(key: &KeyData) -> Option<Vec<u8>> {
    PublicKey::from(key.clone()).to_bytes().ok()
}

/// Tells why a certificate does not speak for a host; the time is that of the clock.
pub(super) fn check(
    certificate: &Certificate,
    endpoint: &Endpoint,
    known: &[Known],
    now: SystemTime,
) -> Result<(), String> {
    let signer = authority(certificate).ok_or("its authority's key cannot be read")?;
    let is_known = known.iter().any(|known| known.mark == Mark::Authority && known.blob == signer);
    let fingerprint = certificate.signature_key().fingerprint(HashAlg::Sha256);
    if !is_known {
        return Err(format!("it is signed by {fingerprint}, which no @cert-authority line names"));
    }
    if certificate.cert_type() != CertType::Host {
        return Err("it is for users and not for hosts".into());
    }
    if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
        return Err("it is signed in a way that is no longer safe (SHA-1)".into());
    }
    let seconds = now.duration_since(UNIX_EPOCH).map_err(|_| "the clock stands before 1970")?.as_secs();
    if seconds < certificate.valid_after() {
        return Err("it is not valid yet".into());
    }
    if seconds >= certificate.valid_before() {
        return Err("it has expired".into());
    }
    certificate.validate_at(seconds, [&fingerprint]).map_err(|_| "its signature is wrong".to_owned())?;
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Err(format!("it has the critical option {option:?}, which lvsctl does not know"));
    }
    let name = endpoint.host_key_alias.as_ref().unwrap_or(&endpoint.host);
    let principals = certificate.valid_principals();
    // One for no name is one for every name.
    match principals.is_empty() || principals.iter().any(|principal| matches(principal, name)) {
        true => Ok(()),
        false => Err(format!("it is for {} and not for {name}", principals.join(", "))),
    }
}
