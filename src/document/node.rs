//! Nodes, arguments and properties with their spans, free of the KDL library's types.
//!
//! The accessors give `None` for a value of another sort and never complain: [`super::check`] has complained already.

use std::fmt;
use std::time::Duration;

use super::shape;
use crate::source::{Span, Spanned};

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A string, quoted or bare.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// `#true` or `#false`.
    Flag(bool),
    /// `#null`.
    Null,
}

impl Literal {
    /// Names the sort of value, as a sentence about a wrong one needs it.
    pub fn sort(&self) -> &'static str {
        match self {
            Literal::Text(_) => "a string",
            Literal::Integer(_) => "a whole number",
            Literal::Float(_) => "a number with a fraction",
            Literal::Flag(_) => "a truth value",
            Literal::Null => "null",
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Text(text) => formatter.write_str(text),
            Literal::Integer(number) => write!(formatter, "{number}"),
            Literal::Float(number) => write!(formatter, "{number}"),
            Literal::Flag(flag) => write!(formatter, "#{flag}"),
            Literal::Null => formatter.write_str("#null"),
        }
    }
}

/// An argument, or the right side of a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What was written.
    pub literal: Literal,
    /// The type annotation in front of it, such as `env` in `(env)"NAME"`.
    pub annotation: Option<Spanned<String>>,
    /// Where it was written, the annotation included.
    pub span: Span,
}

impl Value {
    /// Returns a string with its place.
    pub fn text(&self) -> Option<Spanned<&str>> {
        match &self.literal {
            Literal::Text(text) => Some(Spanned::new(text, self.span)),
            _ => None,
        }
    }

    /// Returns a whole number that fits the type asked for.
    pub fn integer<T: TryFrom<i128>>(&self) -> Option<Spanned<T>> {
        match self.literal {
            Literal::Integer(number) => T::try_from(number).ok().map(|number| Spanned::new(number, self.span)),
            _ => None,
        }
    }

    /// Returns a truth value.
    pub fn flag(&self) -> Option<bool> {
        match self.literal {
            Literal::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    /// Returns a duration with its place.
    pub fn duration(&self) -> Option<Spanned<Duration>> {
        self.text().and_then(|text| shape::duration(&text)).map(|duration| Spanned::new(duration, self.span))
    }
}

/// A `name=value` of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// The name.
    pub name: Spanned<String>,
    /// The value.
    pub value: Value,
}

/// A node with all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The name.
    pub name: Spanned<String>,
    /// The type annotation in front of the name.
    pub annotation: Option<Spanned<String>>,
    /// The arguments in order.
    pub arguments: Vec<Value>,
    /// The properties in order; a name may occur more than once, which is an error of the checks.
    pub properties: Vec<Property>,
    /// The nodes in its braces.
    pub children: Vec<Node>,
    /// Where its name, arguments and properties were written, without the braces.
    pub span: Span,
}

impl Node {
    /// Returns an argument by its position.
    pub fn argument(&self, position: usize) -> Option<&Value> {
        self.arguments.get(position)
    }

    /// Returns the value of a property.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.properties.iter().find(|property| property.name.value == name).map(|property| &property.value)
    }

    /// Returns the first child of a name.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name.value == name)
    }

    /// Returns every child of a name.
    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |child| child.name.value == name)
    }
}
