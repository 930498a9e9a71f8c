//! The text of every file that a topology was read from.

use std::sync::Arc;

use super::Span;

/// Names a file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub usize);

/// Holds the text of one file under the name that it was asked for by.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as an operator would type it.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
    /// The text as it may be shown: of the same length, with secrets made unreadable.
    pub shown: Arc<str>,
}

/// Names a place as an editor shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

/// Holds all files of a topology in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a file and returns its name in this map.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let text = text.into();
        self.files.push(SourceFile { name: name.into(), shown: text.clone(), text });
        FileId(self.files.len() - 1)
    }

    /// Makes spans unreadable wherever their files are shown, because secrets stand there.
    pub fn hide(&mut self, spans: &[Span]) {
        for (index, file) in self.files.iter_mut().enumerate() {
            let mut hidden: Vec<_> = spans.iter().filter(|span| span.file == FileId(index)).collect();
            hidden.sort();
            if !hidden.is_empty() {
                file.shown = masked(&file.text, &hidden).into();
            }
        }
    }

    /// Returns a file of this map.
    pub fn get(&self, file: FileId) -> Option<&SourceFile> {
        self.files.get(file.0)
    }

    /// Returns every file in the order of reading.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Returns line and column of a span's first byte.
    pub fn position(&self, span: Span) -> Option<Position> {
        let file = self.get(span.file)?;
        let before = file.text.get(..span.offset.min(file.text.len())).unwrap_or(&file.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Some(Position { file: file.name.clone(), line, column })
    }
}

/// Replaces what the spans cover; offsets must stay what they are, so a character becomes as many stars as it has bytes.
fn masked(text: &str, spans: &[&Span]) -> String {
    let mut spans = spans.iter().peekable();
    let mut masked = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        while spans.next_if(|span| span.offset.saturating_add(span.length) <= at).is_some() {}
        match spans.peek().is_some_and(|span| span.offset <= at) && character != '\n' {
            true => masked.extend(std::iter::repeat_n('*', character.len_utf8())),
            false => masked.push(character),
        }
    }
    masked
}
