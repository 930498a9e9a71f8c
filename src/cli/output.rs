//! Standard output and standard error.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::{Colour, Level};
use crate::source::plain::{harmless, harmless_json};
use crate::view::paint::Paint;

/// Where results and messages go.
pub struct Output {
    /// How results are painted.
    pub paint: Paint,
    /// How messages are painted.
    pub messages: Paint,
    level: Level,
    is_cut_off: AtomicBool,
}

impl Output {
    /// Decides about colour for both streams.
    pub fn new(colour: Colour, level: Level) -> Self {
        let decide = |terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Output {
            paint: Paint { colour: decide(std::io::stdout().is_terminal()) },
            messages: Paint { colour: decide(std::io::stderr().is_terminal()) },
            level,
            is_cut_off: AtomicBool::new(false),
        }
    }

    /// Writes a result, whatever is in it that came from a host; a reader that has gone away is no error, anything else makes the command fail.
    pub fn result(&self, text: &str) {
        self.write(&harmless(text, self.paint.colour));
    }

    fn write(&self, text: &str) {
        let mut stream = std::io::stdout().lock();
        if let Err(error) = stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
            && !self.is_cut_off.swap(true, Ordering::Relaxed)
        {
            self.error(&format!("The result cannot be written: {error}"), None);
        }
    }

    /// Tells whether a part of the result could not be written.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    /// Writes a result as JSON.
    pub fn json<T: Serialize>(&self, document: &T) {
        match serde_json::to_string_pretty(document) {
            Ok(text) => self.write(&format!("{}\n", harmless_json(&text))),
            Err(error) => self.error(&format!("The result cannot be written as JSON: {error}"), None),
        }
    }

    /// Tells whether messages of a level are wanted.
    pub fn wants(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Writes a message if it is wanted.
    pub fn message(&self, level: Level, text: &str) {
        if self.wants(level) {
            // Standard error keeps nothing back, so that each piece of a format would be a write of its own.
            let text = format!("{}\n", harmless(text, self.messages.colour));
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// Writes an error with what to do about it.
    pub fn error(&self, text: &str, help: Option<&str>) {
        self.message(Level::Error, &format!("{} {text}", self.messages.bad("error:")));
        if let Some(help) = help {
            self.message(Level::Error, &format!("  help: {help}"));
        }
    }

    /// Asks a question on a terminal; `None` where standard input is none.
    pub fn ask(&self, question: &str) -> Option<bool> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let _ = write!(std::io::stderr().lock(), "{} ", harmless(question, self.messages.colour));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        Some(read.is_ok() && matches!(answer.trim(), "y" | "yes"))
    }
}
