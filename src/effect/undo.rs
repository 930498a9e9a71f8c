//! What takes an effect back, as data; `plan` says which effects those are.

use super::Effect;

/// What takes one effect back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// What is done at its place in the reverse order.
    pub reverse: Vec<Effect>,
    /// What is done once everything else is as it was.
    pub afterwards: Vec<Effect>,
}

impl Undo {
    /// Takes back by effects at their place in the reverse order.
    pub fn reverse(effects: impl IntoIterator<Item = Effect>) -> Self {
        Undo { reverse: effects.into_iter().collect(), ..Undo::default() }
    }

    /// Tells whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.reverse.is_empty() && self.afterwards.is_empty()
    }
}
