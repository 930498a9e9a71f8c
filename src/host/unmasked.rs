//! Effects with the secrets in the texts that they write: an effect as it is serialised elsewhere has them masked.
//!
//! An unmasked effect goes where the effect itself goes and nowhere else: to the far side of a connection, and into the
//! journal, which only root may read. It has no `Debug`, so that it cannot be printed by accident.

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Undo};
use crate::topology::{SecretText, TextPiece};

/// An effect with its secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Unmasked {
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

impl From<&Effect> for Unmasked {
    fn from(effect: &Effect) -> Self {
        let piece = |piece: &TextPiece| match piece {
            TextPiece::Plain(text) => Piece::Plain(text.clone()),
            TextPiece::Secret(value) => Piece::Secret(value.clone()),
        };
        match effect {
            Effect::WriteFile { path, text, mode, keepalived_test, keep_previous } => {
                // The text is there once, in its pieces.
                let effect = Effect::WriteFile {
                    path: path.clone(),
                    text: SecretText::default(),
                    mode: *mode,
                    keepalived_test: *keepalived_test,
                    keep_previous: *keep_previous,
                };
                Unmasked { effect, pieces: Some(text.pieces().iter().map(piece).collect()) }
            }
            other => Unmasked { effect: other.clone(), pieces: None },
        }
    }
}

impl Unmasked {
    /// Returns the effect as it was.
    pub(super) fn effect(self) -> Effect {
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

/// What takes an effect back, with its secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct UnmaskedUndo {
    reverse: Vec<Unmasked>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    afterwards: Vec<Unmasked>,
}

impl From<&Undo> for UnmaskedUndo {
    fn from(undo: &Undo) -> Self {
        let unmasked = |effects: &[Effect]| effects.iter().map(Unmasked::from).collect();
        UnmaskedUndo { reverse: unmasked(&undo.reverse), afterwards: unmasked(&undo.afterwards) }
    }
}

impl UnmaskedUndo {
    /// Returns it as it was.
    pub(super) fn undo(self) -> Undo {
        let masked = |effects: Vec<Unmasked>| effects.into_iter().map(Unmasked::effect).collect();
        Undo { reverse: masked(self.reverse), afterwards: masked(self.afterwards) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_as_one() {
        let mut text = SecretText::plain("auth_pass ");
        text.push(TextPiece::Secret(Some("s3cret".into())));
        text.push(TextPiece::Secret(None));
        let path = "/etc/keepalived/keepalived.conf".to_owned();
        let write = Effect::WriteFile { path, text, mode: 0o600, keepalived_test: true, keep_previous: false };
        let undo = Undo { reverse: vec![write.clone()], afterwards: vec![Effect::ReloadUnits] };
        let written = serde_json::to_string(&UnmaskedUndo::from(&undo)).unwrap();
        assert!(written.contains("s3cret"));
        let read: UnmaskedUndo = serde_json::from_str(&written).unwrap();
        assert_eq!(read.undo(), undo);
        assert!(!serde_json::to_string(&write).unwrap().contains("s3cret"), "elsewhere it is masked");
    }
}
