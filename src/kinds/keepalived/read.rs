//! Reads a `keepalived.conf`, whoever wrote it, into blocks of words, as keepalived 2.2 cuts it.
//!
//! It is for telling what keepalived holds and what a reload will do, and never for writing: what keepalived replaces (`$NAME`,
//! `~SEQ`, `include`) stays as it is written, and a text with unmatched braces gives what can be read of it. What `vrrp_instance`s
//! come to is told in `vrrp`.

use crate::effect::{DestinationKey, ServiceKey};
use crate::topology::{Family, Protocol};

/// Deeper blocks are read as part of the one around them, so that no text makes the tree too deep to be dropped; keepalived
/// has none deeper than four.
const DEEPEST: usize = 16;

/// A line, with what stands in its braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The words of the line.
    pub words: Vec<String>,
    /// The lines in its braces.
    pub children: Vec<Block>,
}

impl Block {
    /// Returns the word that the line begins with.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Returns the line of a keyword in the block; of several, keepalived takes the last.
    pub fn child(&self, keyword: &str) -> Option<&Block> {
        self.children.iter().rev().find(|child| child.name() == keyword)
    }

    /// Returns the first word after a keyword in the block.
    pub fn value(&self, keyword: &str) -> Option<&str> {
        self.child(keyword)?.words.get(1).map(String::as_str)
    }

    /// Returns the blocks of a keyword.
    pub fn named<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a Block> {
        self.children.iter().filter(move |child| child.name() == keyword)
    }

    /// Returns the identity of a `virtual_server`; a group of them has none.
    pub fn service(&self) -> Option<ServiceKey> {
        let [name, first, second, ..] = self.words.as_slice() else { return None };
        match (name.as_str(), first.as_str()) {
            ("virtual_server", "fwmark") => {
                let sixth = self.value("ip_family") == Some("inet6");
                let family = if sixth { Family::Ipv6 } else { Family::Ipv4 };
                Some(ServiceKey::Mark { mark: second.parse().ok()?, family })
            }
            ("virtual_server", address) => {
                let protocol = match self.value("protocol") {
                    Some("TCP") => Protocol::Tcp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Udp,
                };
                Some(ServiceKey::Address { protocol, address: address.parse().ok()?, port: second.parse().ok()? })
            }
            _ => None,
        }
    }

    /// Returns the identity of a `real_server`.
    pub fn destination(&self) -> Option<DestinationKey> {
        let address = self.words.get(1)?.parse().ok()?;
        let port = self.words.get(2).map_or(Some(0), |port| port.parse().ok())?;
        (self.name() == "real_server").then_some(DestinationKey { address, port })
    }
}

/// Reads a text.
pub fn blocks(text: &str) -> Block {
    let mut open = vec![Block::default()];
    let mut skipped = 0_usize;
    for line in text.lines() {
        let mut words = Vec::new();
        for word in cut(line) {
            match word {
                Word::Open if open.len() < DEEPEST => {
                    open.push(Block { words: std::mem::take(&mut words), children: Vec::new() });
                }
                Word::Open => {
                    finish(&mut open, &mut words);
                    skipped += 1;
                }
                Word::Close => {
                    finish(&mut open, &mut words);
                    match skipped {
                        0 => close(&mut open),
                        _ => skipped -= 1,
                    }
                }
                Word::Text(word) => words.push(word),
            }
        }
        finish(&mut open, &mut words);
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().unwrap_or_default()
}

fn finish(open: &mut [Block], words: &mut Vec<String>) {
    if let (false, Some(last)) = (words.is_empty(), open.last_mut()) {
        last.children.push(Block { words: std::mem::take(words), children: Vec::new() });
    }
}

fn close(open: &mut Vec<Block>) {
    if open.len() > 1
        && let (Some(block), Some(last)) = (open.pop(), open.last_mut())
    {
        last.children.push(block);
    }
}

enum Word {
    Text(String),
    Open,
    Close,
}

/// Cuts a line: comments and braces count outside quotes only.
fn cut(line: &str) -> Vec<Word> {
    let (mut words, mut rest) = (Vec::new(), line.trim_start());
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '#' | '!' => break,
            '{' | '}' => rest.split_at(1),
            '"' => {
                let inside = rest.get(1..).unwrap_or_default();
                inside.split_once('"').unwrap_or((inside, ""))
            }
            _ => {
                let ends = |character: char| character.is_whitespace() || "#!{}\"".contains(character);
                rest.split_at(rest.find(ends).unwrap_or(rest.len()))
            }
        };
        words.push(match first {
            '{' => Word::Open,
            '}' => Word::Close,
            _ => Word::Text(word.to_owned()),
        });
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_however_they_are_laid_out() {
        let text = "a { b { c \"x {# y\" } } # d {\nvirtual_server 10.0.0.1 80 {\n protocol TCP\n real_server 10.0.0.2 {\n}\n}\n\
                    virtual_server fwmark 7 { ip_family inet6 }\n}\nvirtual_server group g {\n";
        let read = blocks(text);
        assert_eq!(read.children[0].children[0].children[0].words, ["c", "x {# y"]);
        let services: Vec<String> =
            read.named("virtual_server").filter_map(Block::service).map(|key| key.to_string()).collect();
        assert_eq!(services, ["tcp:10.0.0.1:80", "fwm6:7"]);
        let server = read.named("virtual_server").next().unwrap().named("real_server").next().unwrap();
        assert_eq!(server.destination().unwrap().to_string(), "10.0.0.2:0");
    }

    #[test]
    fn any_text_is_read() {
        for text in ["", "}", "{", "\"", "a \"b", "a { b } }", &"{".repeat(100_000), &"a {\n".repeat(100_000)] {
            let _ = blocks(text);
        }
        let deep = format!("{} x {} b {{\n}}\n", "a {\n".repeat(40), "}\n".repeat(40));
        assert_eq!(blocks(&deep).children.iter().map(Block::name).collect::<Vec<_>>(), ["a", "b"]);
    }
}
