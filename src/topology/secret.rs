//! Secrets as references, and texts that hold them without showing them.
//!
//! A topology names a secret and never holds it, but for a literal, which is warned of. A text that needs one, such as
//! `keepalived.conf`, is a [`SecretText`]: pieces of plain text and secrets. Its `Debug`, `Display` and serialised forms
//! mask the secrets; only [`SecretText::expose`], called by a host that writes the file, shows them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What stands for a secret wherever one must not be shown.
const MASK: &str = "(sensitive)";

/// Says where a secret is to be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretReference {
    /// An environment variable of the process that plans.
    Environment(String),
    /// A file, relative to the topology's folder; one final newline is not part of the secret.
    File(String),
}

impl fmt::Display for SecretReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretReference::Environment(name) => write!(formatter, "(env)\"{name}\""),
            SecretReference::File(path) => write!(formatter, "(file)\"{path}\""),
        }
    }
}

/// A secret as a topology has it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// To be looked up when a host is planned.
    Reference(SecretReference),
    /// Written in the topology, against advice.
    Literal(String),
}

impl Secret {
    /// Returns the text piece for this secret, with its value if it is known.
    pub fn piece(&self, values: &SecretValues) -> TextPiece {
        match self {
            Secret::Literal(value) => TextPiece::Secret(Some(value.clone())),
            Secret::Reference(reference) => TextPiece::Secret(values.get(reference).cloned()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Reference(reference) => write!(formatter, "Secret({reference})"),
            Secret::Literal(_) => write!(formatter, "Secret{MASK}"),
        }
    }
}

/// The secrets that were looked up, by reference; wiped when they are dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretValues(BTreeMap<SecretReference, Zeroizing<String>>);

impl SecretValues {
    /// Adds a looked-up secret.
    pub fn insert(&mut self, reference: SecretReference, value: String) {
        self.0.insert(reference, Zeroizing::new(value));
    }

    /// Adds what was looked up elsewhere.
    pub fn extend(&mut self, others: SecretValues) {
        self.0.extend(others.0);
    }

    /// Returns a secret if it was looked up.
    pub fn get(&self, reference: &SecretReference) -> Option<&String> {
        self.0.get(reference).map(|value| &**value)
    }
}

impl fmt::Debug for SecretValues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// A stretch of a [`SecretText`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextPiece {
    /// Text that anyone may read.
    Plain(String),
    /// A secret; `None` where it was not looked up, as in `lvsctl compile`.
    Secret(Option<String>),
}

/// A text that may hold secrets, masked in every form but [`SecretText::expose`].
///
/// Two texts are equal only if their secrets are equal as well.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretText {
    pieces: Vec<TextPiece>,
}

impl SecretText {
    /// Makes a text without secrets.
    pub fn plain(text: impl Into<String>) -> Self {
        SecretText { pieces: vec![TextPiece::Plain(text.into())] }
    }

    /// Adds text; neighbouring plain pieces become one, so that equal texts are equal values.
    pub fn push_str(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(TextPiece::Plain(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.pieces.push(TextPiece::Plain(text.to_owned())),
        }
    }

    /// Adds a piece.
    pub fn push(&mut self, piece: TextPiece) {
        match piece {
            TextPiece::Plain(text) => self.push_str(&text),
            secret => self.pieces.push(secret),
        }
    }

    /// Returns the pieces in order.
    pub fn pieces(&self) -> &[TextPiece] {
        &self.pieces
    }

    /// Returns the text with every secret shown, or `None` if one was not looked up.
    pub fn expose(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                TextPiece::Plain(text) => Some(text.as_str()),
                TextPiece::Secret(value) => value.as_deref(),
            })
            .collect()
    }

    /// Returns the text with every secret masked.
    pub fn masked(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                TextPiece::Plain(text) => text.as_str(),
                TextPiece::Secret(_) => MASK,
            })
            .collect()
    }

    /// Masks this text's secrets in another one, such as a program's complaints about this one.
    pub fn mask(&self, other: &str) -> String {
        let secrets = self.pieces.iter().filter_map(|piece| match piece {
            TextPiece::Secret(Some(value)) if !value.is_empty() => Some(value),
            _ => None,
        });
        secrets.fold(other.to_owned(), |text, secret| text.replace(secret, MASK))
    }

    /// Tells whether the text holds a secret.
    pub fn is_sensitive(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, TextPiece::Secret(_)))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.masked())
    }
}

impl Serialize for SecretText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(SecretText::plain)
    }
}
