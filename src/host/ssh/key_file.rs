//! What a private key's file says before it is used: whether it takes a passphrase, and which public key belongs to it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ssh_key::{PrivateKey, PublicKey};

/// A private key's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    /// The public key as it travels, if it can be told without a passphrase.
    pub(super) public: Option<Vec<u8>>,
    /// The file of an authority's certificate for the key, beside it.
    pub(super) certificate: Option<PathBuf>,
    pub(super) is_encrypted: bool,
    /// Why it cannot be used; goes on from the file's name.
    pub(super) trouble: Option<String>,
}

impl KeyFile {
    /// Reads a file; one that is not there is none, unless its public half is: the agent may hold the other.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let beside = |ending: &str| {
            let mut path = path.as_os_str().to_owned();
            path.push(ending);
            PathBuf::from(path)
        };
        let public = fs::read_to_string(beside(".pub")).ok();
        let public = public.and_then(|text| PublicKey::from_openssh(text.trim()).ok());
        let public = public.and_then(|key| key.to_bytes().ok());
        let certificate = Some(beside("-cert.pub")).filter(|path| path.is_file());
        let file = |public, is_encrypted, trouble| {
            Some(KeyFile { path: path.to_owned(), public, certificate, is_encrypted, trouble })
        };
        match fs::read_to_string(path) {
            Ok(text) => match PrivateKey::from_openssh(&text) {
                Ok(key) => file(key.public_key().to_bytes().ok().or(public), key.is_encrypted(), None),
                // Another format, or the public half itself.
                Err(_) => match PublicKey::from_openssh(text.trim()) {
                    Ok(key) => file(key.to_bytes().ok(), false, Some("is a public key that no agent holds".into())),
                    Err(_) => file(public, is_encrypted(&text), None),
                },
            },
            Err(error) if error.kind() == ErrorKind::NotFound => match public {
                Some(public) => file(Some(public), false, Some("is not there".into())),
                None => None,
            },
            Err(error) => file(public, false, Some(format!("cannot be read: {}", super::stream::plain(&error)))),
        }
    }
}

/// Tells of the older formats (PEM, PKCS 8) whether they take a passphrase.
fn is_encrypted(text: &str) -> bool {
    text.contains("BEGIN ENCRYPTED PRIVATE KEY")
        || text.lines().any(|line| line.starts_with("Proc-Type:") && line.ends_with(",ENCRYPTED"))
}
