//! Tables that say which nodes, arguments and properties a language has.
//!
//! A language is a `static` slice of [`NodeRule`]s. The same table judges documents ([`super::check`]), proposes names
//! for unknown ones, and is published in machine-readable form, so the three cannot disagree. A rule that is marked as
//! not supported keeps its name known, so that it is refused as such and not as a slip of the pen.

use std::time::Duration;

/// Says how often something may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    /// At most once.
    Optional,
    /// Exactly once.
    Once,
    /// Any number of times.
    Any,
    /// At least once.
    Some,
}

impl Occurs {
    /// Tells whether nothing may be left out.
    pub fn is_needed(self) -> bool {
        matches!(self, Occurs::Once | Occurs::Some)
    }

    /// Tells whether more than one is allowed.
    pub fn is_repeatable(self) -> bool {
        matches!(self, Occurs::Any | Occurs::Some)
    }

    /// Returns the name that the published table uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Occurs::Optional => "optional",
            Occurs::Once => "once",
            Occurs::Any => "any",
            Occurs::Some => "at-least-once",
        }
    }
}

/// Judges a string and says what is wrong with it.
#[derive(Debug)]
pub struct TextRule {
    /// What the string is, with an article: "an interface's name".
    pub what: &'static str,
    /// The rule in a sentence without a period, shown as help.
    pub rule: &'static str,
    /// Says what is wrong with a string, short enough for a label.
    pub check: fn(&str) -> Result<(), String>,
}

/// One of the words that a value may be.
#[derive(Debug)]
pub struct Choice {
    /// The word.
    pub name: &'static str,
    /// Whether this version acts on it.
    pub supported: bool,
}

impl Choice {
    /// Makes a word that this version acts on.
    pub const fn new(name: &'static str) -> Self {
        Choice { name, supported: true }
    }

    /// Makes a word that is known and refused.
    pub const fn later(name: &'static str) -> Self {
        Choice { name, supported: false }
    }
}

/// Says what a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A string that keeps a rule.
    Text(&'static TextRule),
    /// A string that keeps a rule, or a whole number, whose digits keep it as well.
    TextOrNumber(&'static TextRule),
    /// One of a few words.
    Word(&'static [Choice]),
    /// A whole number, both bounds included.
    Integer {
        /// The lower bound.
        least: i128,
        /// The upper bound.
        most: i128,
    },
    /// `#true` or `#false`.
    Flag,
    /// A string of number and unit.
    Duration {
        /// The lower bound.
        least: Duration,
        /// What the duration must be a multiple of.
        step: Duration,
    },
    /// `(env)"NAME"`, `(file)"PATH"`, or a string that keeps a rule.
    Secret(&'static TextRule),
}

/// Describes an argument or a property.
#[derive(Debug)]
pub struct ValueRule {
    /// The property's name, or what the argument is called in documentation.
    pub name: &'static str,
    /// What a value looks like.
    pub shape: Shape,
    /// How often: for a property `Optional` or `Once`; only the last argument may repeat.
    pub occurs: Occurs,
    /// What counts if it is left out, in words or as it would be written.
    pub default: Option<&'static str>,
    /// What it is for, one sentence without a period.
    pub summary: &'static str,
    /// Whether this version acts on it.
    pub supported: bool,
}

/// Describes a node.
#[derive(Debug)]
pub struct NodeRule {
    /// The name.
    pub name: &'static str,
    /// What it is for, one sentence without a period.
    pub summary: &'static str,
    /// How it is written, shown where one is missing.
    pub example: &'static str,
    /// How often it may stand in one place.
    pub occurs: Occurs,
    /// What counts if it is left out.
    pub default: Option<&'static str>,
    /// The arguments in order.
    pub arguments: &'static [ValueRule],
    /// The properties.
    pub properties: &'static [ValueRule],
    /// The nodes that may stand in its braces.
    pub children: &'static [NodeRule],
    /// Whether this version acts on it.
    pub supported: bool,
}

/// A node of which only the name counts; for `..` in the tables.
pub const NODE: NodeRule = NodeRule {
    name: "",
    summary: "",
    example: "",
    occurs: Occurs::Optional,
    default: None,
    arguments: &[],
    properties: &[],
    children: &[],
    supported: true,
};

/// Makes a node that is known and refused, whatever it holds.
pub const fn later(name: &'static str, summary: &'static str) -> NodeRule {
    NodeRule { name, summary, occurs: Occurs::Any, supported: false, ..NODE }
}

/// Makes an argument or property that must be given.
pub const fn needed(name: &'static str, shape: Shape, summary: &'static str) -> ValueRule {
    ValueRule { name, shape, occurs: Occurs::Once, default: None, summary, supported: true }
}

/// Makes an argument or property that may be left out; `default` says what counts then.
pub const fn optional(name: &'static str, shape: Shape, default: &'static str, summary: &'static str) -> ValueRule {
    ValueRule { name, shape, occurs: Occurs::Optional, default: Some(default), summary, supported: true }
}

/// Makes a property that is known and refused, whatever its value.
pub const fn later_property(name: &'static str, summary: &'static str) -> ValueRule {
    ValueRule { name, shape: Shape::Flag, occurs: Occurs::Optional, default: None, summary, supported: false }
}
