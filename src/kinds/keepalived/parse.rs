//! Reads `keepalived.conf`, as far as it decides what a reload does: anybody's file, not only lvsctl's own.
//!
//! keepalived reads line by line: a keyword with its values ends with the line, quotes keep spaces, `#` and `!` begin a comment
//! outside of them, and braces hold what belongs to a keyword. What this does not know is kept as words and compared as such.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Blocks deeper than this are read as part of the one around them; keepalived has none deeper than four.
const DEEPEST: usize = 16;

/// What an instance is known by on a reload; its name is not a part of it (`vrrp_exist` in keepalived's `vrrp_data.c`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// `virtual_router_id`.
    pub router_id: String,
    /// Whether it speaks IPv6.
    pub six: bool,
    /// `interface`.
    pub interface: String,
    /// Whether adverts go to named peers, and from which address.
    pub unicast: Option<String>,
    /// Whether the VIPs have a hardware address of their own.
    pub virtual_mac: bool,
}

/// A `vrrp_instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// What it is known by.
    pub identity: Identity,
    /// The addresses that adverts name.
    pub advertised: BTreeSet<String>,
    /// All that it holds, those included.
    pub held: BTreeSet<String>,
    /// What else peers must agree on: version, password, interval. Never shown.
    pub agreed: BTreeMap<&'static str, Vec<String>>,
}

/// Reads the instances of a configuration, in the order of writing.
pub fn instances(text: &str) -> Vec<Instance> {
    nodes(text).iter().filter_map(instance).collect()
}

/// A line with the block behind it.
#[derive(Debug, Default)]
struct Node {
    words: Vec<String>,
    children: Vec<Node>,
}

impl Node {
    fn named(&self, name: &str) -> Option<&Node> {
        // keepalived takes the last of several.
        self.children.iter().rev().find(|child| child.words.first().is_some_and(|word| word == name))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.named(name)?.words.get(1).map(String::as_str)
    }

    fn entries(&self, name: &str) -> BTreeSet<String> {
        let lines = self.named(name).map(|block| block.children.as_slice()).unwrap_or_default();
        lines.iter().filter_map(|line| line.words.first()).map(|word| canonical(word)).collect()
    }
}

/// Returns an address with its prefix, which is that of a single address if none is written.
fn canonical(word: &str) -> String {
    match word.parse::<IpAddr>() {
        Ok(address) => format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => word.to_owned(),
    }
}

fn instance(node: &Node) -> Option<Instance> {
    let [keyword, name] = node.words.as_slice() else { return None };
    if keyword != "vrrp_instance" {
        return None;
    }
    let advertised = node.entries("virtual_ipaddress");
    let mut held = node.entries("virtual_ipaddress_excluded");
    held.extend(advertised.iter().cloned());
    let peers = node.entries("unicast_peer");
    let source = || node.value("unicast_src_ip").or_else(|| node.value("mcast_src_ip")).unwrap_or_default().to_owned();
    let identity = Identity {
        router_id: node.value("virtual_router_id").unwrap_or_default().to_owned(),
        six: node.named("native_ipv6").is_some() || advertised.iter().any(|address| address.contains(':')),
        interface: node.value("interface").unwrap_or_default().to_owned(),
        unicast: (!peers.is_empty()).then(source),
        virtual_mac: node.named("use_vmac").is_some(),
    };
    let words = |node: &Node| node.words.iter().skip(1).cloned().collect::<Vec<_>>();
    let agreed = ["version", "advert_int"].into_iter().filter_map(|name| Some((name, words(node.named(name)?))));
    let secrets = node.named("authentication").into_iter().flat_map(|block| {
        ["auth_type", "auth_pass"].into_iter().filter_map(|name| Some((name, words(block.named(name)?))))
    });
    let agreed = agreed.chain(secrets).collect();
    Some(Instance { name: name.clone(), identity, advertised, held, agreed })
}

/// Reads blocks, whatever the text is: a brace too many or too few ends a block as well as can be guessed.
fn nodes(text: &str) -> Vec<Node> {
    let mut open = vec![Node::default()];
    let mut skipped = 0_usize;
    for line in text.lines() {
        let mut words = Vec::new();
        for token in tokens(line) {
            match token {
                Token::Open if open.len() > DEEPEST => skipped += 1,
                Token::Close if skipped > 0 => skipped -= 1,
                Token::Open => open.push(Node { words: std::mem::take(&mut words), children: Vec::new() }),
                Token::Close => {
                    finish(&mut open, &mut words);
                    close(&mut open);
                }
                Token::Word(word) => words.push(word),
            }
        }
        finish(&mut open, &mut words);
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().unwrap_or_default().children
}

fn finish(open: &mut [Node], words: &mut Vec<String>) {
    if let (false, Some(block)) = (words.is_empty(), open.last_mut()) {
        block.children.push(Node { words: std::mem::take(words), children: Vec::new() });
    }
}

fn close(open: &mut Vec<Node>) {
    if open.len() > 1
        && let (Some(block), Some(outer)) = (open.pop(), open.last_mut())
    {
        outer.children.push(block);
    }
}

enum Token {
    Word(String),
    Open,
    Close,
}

fn tokens(line: &str) -> Vec<Token> {
    let (mut tokens, mut rest) = (Vec::new(), line.trim_start());
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '#' | '!' => break,
            '{' | '}' => {
                tokens.push(if first == '{' { Token::Open } else { Token::Close });
                1
            }
            '"' => {
                let inside = rest.get(1..).unwrap_or_default();
                let end = inside.find('"').unwrap_or(inside.len());
                tokens.push(Token::Word(inside.get(..end).unwrap_or_default().to_owned()));
                (end + 2).min(rest.len())
            }
            _ => {
                let ends = |character: char| character.is_whitespace() || "{}#!\"".contains(character);
                let end = rest.find(ends).unwrap_or(rest.len());
                tokens.push(Token::Word(rest.get(..end).unwrap_or_default().to_owned()));
                end
            }
        };
        rest = rest.get(taken..).unwrap_or_default().trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_HAND: &str = "# a comment {\nglobal_defs { router_id lb }\nvrrp_instance EXT { ! why\n  state MASTER\n  interface eth0\n\
        \x20 virtual_router_id 51\n  authentication { auth_type PASS\n    auth_pass \"a {b}\" # no\n  }\n\
        \x20 virtual_ipaddress { 10.0.0.9 dev eth0\n 10.0.0.8/24\n }\n virtual_ipaddress_excluded {\n fd00::1\n}\n}\n";

    #[test]
    fn a_file_written_by_hand_is_read() {
        let [instance] = instances(BY_HAND).try_into().unwrap();
        assert_eq!((instance.name.as_str(), instance.identity.router_id.as_str()), ("EXT", "51"));
        assert_eq!(instance.identity.interface, "eth0");
        assert_eq!(instance.agreed["auth_pass"], ["a {b}"]);
        let addresses = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(addresses(&instance.advertised), "10.0.0.8/24 10.0.0.9/32");
        assert_eq!(addresses(&instance.held), "10.0.0.8/24 10.0.0.9/32 fd00::1/128");
        assert!(!instance.identity.six && instance.identity.unicast.is_none());
    }

    #[test]
    fn no_text_is_too_odd() {
        for text in ["", "}", "}}}{", "vrrp_instance", "vrrp_instance a {", "vrrp_instance a { \"", "\"é{", "{{{{\n}"]
        {
            let _ = instances(text);
        }
        assert_eq!(instances("vrrp_instance a {\n virtual_ipaddress {\n 10.0.0.1").len(), 1);
        assert_eq!(instances(&"{".repeat(100_000)).len(), 0);
    }
}
