//! What client and agent say to each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::effect::{Answer, Capabilities, Effect, Probe};
use crate::host::HostError;
use crate::topology::{SecretText, TextPiece};

/// The version of what is said; the two ends are of one build, and so it is the same on both.
pub const PROTOCOL: u16 = 1;

/// How long an answer may take that waits for nothing, and how long an effect that calls a program.
const ANSWER: Duration = Duration::from_secs(120);
const EFFECT: Duration = Duration::from_secs(60);

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u16,
    /// lvsctl's version.
    pub version: String,
    /// The agent's process, under which it holds the lock.
    pub process: u32,
}

/// What a client asks for.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What the host has.
    Capabilities,
    /// The answer to a probe.
    Probe(Probe),
    /// Effects, in order.
    Perform(Vec<Sent>),
    /// The host's lock, until the agent ends.
    Lock,
    /// Nothing: the client is still there. It is not answered and not counted.
    Alive,
    /// That the agent ends, after so many requests before this one.
    End {
        /// How many.
        requests: u64,
    },
}

impl Request {
    /// Returns how long the whole answer may take, even if the agent is heard to be at work: longer than anything it does
    /// waits by itself.
    pub fn within(&self) -> Duration {
        match self {
            Request::Perform(sent) => sent.iter().fold(ANSWER, |sum, sent| sum.saturating_add(sent.within())),
            Request::Capabilities | Request::Probe(_) | Request::Lock | Request::Alive | Request::End { .. } => ANSWER,
        }
    }
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// There is no answer yet, and the work goes on.
    Working,
    /// What the host has.
    Capabilities(Result<Capabilities, HostError>),
    /// The answer to a probe.
    Answer(Result<Answer, HostError>),
    /// What became of each effect.
    Performed(Vec<Result<(), HostError>>),
    /// Whether the lock was taken.
    Locked(Result<(), HostError>),
    /// The agent ends, and has answered so many requests.
    Ended {
        /// How many.
        requests: u64,
    },
}

/// An effect on its way, with the text that it writes: in an effect alone every secret is masked.
///
/// It has no `Debug`, so that it cannot be printed by accident.
#[derive(Clone, Serialize, Deserialize)]
pub struct Sent {
    effect: Effect,
    /// The pieces of the text of [`Effect::WriteFile`], and which of them are secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pieces: Option<Vec<Piece>>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Piece {
    Plain(String),
    Secret(Option<String>),
}

impl From<Effect> for Sent {
    fn from(mut effect: Effect) -> Self {
        let mut pieces = None;
        if let Effect::WriteFile { text, .. } = &mut effect {
            // The text travels once, in its pieces.
            pieces = Some(std::mem::take(text).pieces().iter().map(Piece::from).collect());
        }
        Sent { effect, pieces }
    }
}

impl From<&TextPiece> for Piece {
    fn from(piece: &TextPiece) -> Self {
        match piece {
            TextPiece::Plain(text) => Piece::Plain(text.clone()),
            TextPiece::Secret(value) => Piece::Secret(value.clone()),
        }
    }
}

impl Sent {
    fn within(&self) -> Duration {
        match &self.effect {
            Effect::AwaitService { within, .. }
            | Effect::AwaitDrained { within, .. }
            | Effect::AwaitNoAddress { within, .. }
            | Effect::AwaitNoSyncDaemon { within } => *within,
            // A batch of tens of thousands is one call.
            Effect::Ipvs(_) => Duration::ZERO,
            _ => EFFECT,
        }
    }

    /// Returns the effect as it was sent.
    pub fn effect(self) -> Effect {
        let mut effect = self.effect;
        if let (Effect::WriteFile { text, .. }, Some(pieces)) = (&mut effect, self.pieces) {
            *text = SecretText::default();
            for piece in pieces {
                text.push(match piece {
                    Piece::Plain(plain) => TextPiece::Plain(plain),
                    Piece::Secret(value) => TextPiece::Secret(value),
                });
            }
        }
        effect
    }
}
