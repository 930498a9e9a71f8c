//! Colour, where a terminal wants it; never the only carrier of meaning.

use anstyle::{AnsiColor, Style};

use crate::resource::Action;

/// Decides whether text is coloured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    /// Whether escape sequences are written.
    pub colour: bool,
}

impl Paint {
    /// Paints text in a style.
    pub fn style(self, style: Style, text: &str) -> String {
        match self.colour {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }

    /// Paints a heading.
    pub fn heading(self, text: &str) -> String {
        self.style(Style::new().bold(), text)
    }

    /// Paints what is beside the point.
    pub fn faint(self, text: &str) -> String {
        self.style(Style::new().dimmed(), text)
    }

    /// Paints what is wrong.
    pub fn bad(self, text: &str) -> String {
        self.style(Style::new().fg_color(Some(AnsiColor::Red.into())), text)
    }

    /// Paints what is right.
    pub fn good(self, text: &str) -> String {
        self.style(Style::new().fg_color(Some(AnsiColor::Green.into())), text)
    }

    /// Paints text in the colour of an action.
    pub fn action(self, action: Action, text: &str) -> String {
        let colour = match action {
            Action::Create => AnsiColor::Green,
            Action::Update => AnsiColor::Yellow,
            Action::Replace => AnsiColor::Magenta,
            Action::Delete => AnsiColor::Red,
        };
        self.style(Style::new().fg_color(Some(colour.into())), text)
    }
}

/// Returns the glyph of an action.
pub fn glyph(action: Action) -> &'static str {
    match action {
        Action::Create => "+",
        Action::Update => "~",
        Action::Replace => "±",
        Action::Delete => "-",
    }
}
