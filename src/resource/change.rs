//! A difference between what is desired and what is there.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Resource, ResourceId, ResourceKey};
use crate::source::Span;

/// What is done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is not there and is put there.
    Create,
    /// It is there and is changed in place.
    Update,
    /// It is there and is taken away and put there again, because it cannot be changed in place.
    Replace,
    /// It is there and is taken away.
    Delete,
}

/// Why there is a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// lvsctl never put it there.
    New,
    /// lvsctl put it there and the topology now says otherwise.
    TopologyChanged,
    /// lvsctl put it there, the topology is as it was, and somebody changed it on the host.
    AlteredOnHost,
    /// lvsctl put it there, the topology is as it was, and somebody took it away on the host.
    RemovedOnHost,
    /// It was there, different, before lvsctl first came.
    Adopted,
    /// lvsctl put it there and the topology no longer asks for it.
    RemovedFromTopology,
}

impl Reason {
    /// Tells whether somebody changed the host behind lvsctl's back.
    pub fn is_drift(self) -> bool {
        matches!(self, Reason::AlteredOnHost | Reason::RemovedOnHost)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Reason::New => "not there yet",
            Reason::TopologyChanged => "the topology changed",
            Reason::AlteredOnHost => "altered on the host",
            Reason::RemovedOnHost => "removed on the host",
            Reason::Adopted => "there before lvsctl, and different",
            Reason::RemovedFromTopology => "removed from the topology",
        })
    }
}

/// A difference between what is desired and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which thing.
    pub id: ResourceId,
    /// What is done.
    pub action: Action,
    /// How it is; `None` for a creation.
    pub before: Option<Resource>,
    /// How it is to be; `None` for a deletion.
    pub after: Option<Resource>,
    /// Why.
    pub reason: Reason,
    /// What was there before lvsctl and is put back by a deletion, where the kind of resource knows such a thing.
    pub previous: Option<Resource>,
    /// What in the topology asks for it.
    pub origin: Option<Span>,
}

impl Change {
    /// Returns the change that takes this one back.
    pub fn inverse(&self) -> Change {
        let action = match self.action {
            Action::Create => Action::Delete,
            Action::Delete => Action::Create,
            same => same,
        };
        Change { action, before: self.after.clone(), after: self.before.clone(), previous: None, ..self.clone() }
    }

    /// Returns the identity within the host.
    pub fn key(&self) -> &ResourceKey {
        &self.id.key
    }
}
