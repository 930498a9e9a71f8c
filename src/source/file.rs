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
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        FileId(self.files.len() - 1)
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
