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
    /// Where each line begins.
    lines: Arc<[usize]>,
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
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.files.push(SourceFile { name: name.into(), shown: text.clone(), lines, text });
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
        let line = file.lines.partition_point(|start| *start <= span.offset).max(1);
        let start = file.lines.get(line - 1).copied().unwrap_or(0);
        let column = file.text.get(start..span.offset).map_or(1, |before| before.chars().count() + 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let mut sources = SourceMap::default();
        let file = sources.add("x.kdl", "é a\n\nb");
        let at = |offset| sources.position(Span::new(file, offset, 0)).map(|position| (position.line, position.column));
        assert_eq!(
            [at(0), at(3), at(4), at(5), at(6), at(7)],
            [(1, 1), (1, 3), (1, 4), (2, 1), (3, 1), (3, 2)].map(Some)
        );
        assert_eq!(sources.position(Span::new(FileId(1), 0, 0)), None);
    }

    #[test]
    fn what_is_hidden_keeps_its_length() {
        let mut sources = SourceMap::default();
        let file = sources.add("x.kdl", "a é\nb c\n");
        sources.hide(&[Span::new(file, 2, 4), Span::new(file, 3, 1), Span::new(file, 7, 1)]);
        let shown = |sources: &SourceMap| sources.get(file).map(|file| file.shown.to_string());
        assert_eq!(shown(&sources).as_deref(), Some("a **\n* *\n"));
    }
}
