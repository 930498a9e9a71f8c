//! The record of what lvsctl put on a host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Programmer, Resource, ResourceKey};

/// What is recorded of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The digest of what was put there, to tell a change of the topology from one on the host; empty before it is put there.
    pub digest: String,
    /// Who programs a virtual service or destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programmer: Option<Programmer>,
    /// What was there before and is put back when the thing is given up: a parameter's value, a default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Resource>,
}

impl Owned {
    /// Returns the record of something that is about to be put there.
    pub fn pending(self) -> Self {
        Owned { digest: String::new(), ..self }
    }

    /// Tells whether the thing was about to be put there when the record was written, and may never have been.
    pub fn is_pending(&self) -> bool {
        self.digest.is_empty()
    }
}

/// What lvsctl put on a host, by identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Each thing with what is recorded of it.
    pub owned: BTreeMap<ResourceKey, Owned>,
    /// Whether the file was found open to others than root; it is never written so, and never said in it.
    pub is_exposed: bool,
}

/// One thing with what is recorded of it, as the manifest's text has it.
#[derive(Serialize)]
pub struct ManifestLine<'a> {
    key: &'a ResourceKey,
    #[serde(flatten)]
    owned: &'a Owned,
}

#[derive(Deserialize)]
struct Line {
    key: ResourceKey,
    #[serde(flatten)]
    owned: Owned,
}

impl Manifest {
    /// Returns what is recorded, a thing at a time.
    pub fn lines(&self) -> impl Iterator<Item = ManifestLine<'_>> {
        self.owned.iter().map(|(key, owned)| ManifestLine { key, owned })
    }
}

impl Serialize for Manifest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.lines())
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines = Vec::<Line>::deserialize(deserializer)?;
        let owned = lines.into_iter().map(|line| (line.key, line.owned)).collect();
        Ok(Manifest { owned, is_exposed: false })
    }
}
