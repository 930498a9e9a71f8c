//! What is left alone when something is taken back, because it is back.

use std::collections::{HashMap, HashSet};
use std::mem::{Discriminant, discriminant};

use super::record;
use crate::effect::Effect;

/// What was taken back already, by the client or in an earlier attempt.
pub(in crate::host) struct Undone {
    /// How often each mark was noted.
    marks: HashMap<String, usize>,
    /// What the effects that are yet to be done are about.
    to_do: HashSet<(Discriminant<Effect>, Option<String>)>,
}

impl Undone {
    /// Begins with the marks that were noted.
    pub(in crate::host) fn of<'a>(noted: impl IntoIterator<Item = &'a String>) -> Self {
        let mut marks = HashMap::new();
        noted.into_iter().for_each(|mark| *marks.entry(mark.clone()).or_default() += 1);
        Undone { marks, to_do: HashSet::new() }
    }

    /// Tells whether an effect is to be done, asked in their order: what is done is done once more if something that may be
    /// about the same thing comes before it and is not done.
    pub(in crate::host) fn is_to_be_done(&mut self, effect: &Effect) -> bool {
        if self.marks.is_empty() {
            return true;
        }
        let is_done = self.marks.get_mut(&record::mark(effect)).is_some_and(|times| {
            let is_left = *times > 0;
            *times = times.saturating_sub(1);
            is_left
        });
        let about = match effect {
            Effect::WriteFile { path, .. } | Effect::WriteLink { path, .. } | Effect::RemoveFile { path } => {
                (discriminant(&Effect::ReloadUnits), Some(path.clone()))
            }
            other => (discriminant(other), None),
        };
        if is_done && !self.to_do.contains(&about) {
            return false;
        }
        self.to_do.insert(about);
        true
    }
}
