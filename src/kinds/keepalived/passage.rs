//! Addresses and routes that pass from one instance to another in one file, or from one interface to another.
//!
//! keepalived goes through its earlier instances one by one: each lets go of what it is no longer to hold and takes what is new
//! (`clear_diff_vrrp` in keepalived's `vrrp.c`). Where the taker comes before the giver, it takes what is there already, and the
//! giver then takes that away from both; it stays away, because the taker thinks that it holds it (tried on 2.2.7). Such a file
//! is therefore read in two stages: first without what passes, then with it.
//!
//! An instance with named peers stays what it is when it is given a virtual hardware address or loses it, and takes its addresses
//! for those that it has put up already: they go with the one interface and never come to the other (tried on 2.2.7). They pass
//! from the instance to itself.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::render::HEADER;
use super::vrrp::{Instance, canonical, instances};
use crate::topology::{SecretText, TextPiece};

/// The block that keepalived wants not to be empty.
const ADVERTISED: &str = "virtual_ipaddress {";

/// The blocks whose lines pass from one instance to another.
const BLOCKS: [&str; 3] = [ADVERTISED, "virtual_ipaddress_excluded {", "virtual_routes {"];

/// An address or a route that passes from one instance to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The address with its prefix, or the network of the route.
    pub what: String,
    /// The name of the instance that gives it away.
    pub from: String,
    /// The name of the instance that takes it, which was there before.
    pub to: String,
    /// Where that stands among the instances of the later file.
    taker: usize,
}

impl Passage {
    /// Tells whether it is an address, whose leaving can be seen, and not a route.
    pub fn is_address(&self) -> bool {
        self.what.parse::<IpNet>().is_ok()
    }
}

/// Returns what passes from one instance to another, in the order of the takers. One that is new has nothing before it is
/// elected, and by then everything else is done.
pub fn passages(before: &[Instance], after: &[Instance]) -> Vec<Passage> {
    let mut found = Vec::new();
    for (taker, new) in after.iter().enumerate() {
        let Some(was) = before.iter().find(|old| old.identity == new.identity) else { continue };
        let moving = new.held.intersection(&was.held).filter(|_| was.virtual_mac != new.virtual_mac);
        found.extend(moving.map(|what| Passage {
            what: what.clone(),
            from: was.name.clone(),
            to: new.name.clone(),
            taker,
        }));
        for old in before.iter().filter(|old| old.identity != new.identity) {
            let kept = after.iter().find(|new| new.identity == old.identity);
            let passing = old.floats().filter(|what| new.floats().any(|taken| taken == *what));
            let passing = passing.filter(|what| !was.floats().any(|held| held == *what));
            let passing = passing.filter(|what| !kept.is_some_and(|kept| kept.floats().any(|held| held == *what)));
            found.extend(passing.map(|what| Passage {
                what: what.to_owned(),
                from: old.name.clone(),
                to: new.name.clone(),
                taker,
            }));
        }
    }
    found
}

/// Returns a file of lvsctl's own without what passes from one instance to another, if anything does.
pub(super) fn first_stage(before: &SecretText, after: &SecretText) -> Option<SecretText> {
    let after_text = after.masked();
    if !after_text.starts_with(HEADER) {
        return None;
    }
    let after_instances = instances(&after_text);
    let mut taken: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let passages = passages(&instances(&before.masked()), &after_instances);
    if !passages.iter().any(Passage::is_address) {
        // Nothing would show when the first file was read.
        return None;
    }
    for passage in passages {
        taken.entry(passage.taker).or_default().insert(passage.what);
    }
    (!taken.is_empty()).then(|| without(after, &after_instances, &taken))
}

/// Cuts lines out of the blocks of instances, which are known by their places in the file.
fn without(text: &SecretText, all: &[Instance], taken: &BTreeMap<usize, BTreeSet<String>>) -> SecretText {
    let mut rest = SecretText::default();
    let (mut started, mut block, mut kept) = (0_usize, None, 0);
    for piece in text.pieces() {
        let TextPiece::Plain(plain) = piece else {
            rest.push(piece.clone());
            continue;
        };
        for line in plain.split_inclusive('\n') {
            let trimmed = line.trim();
            if line.starts_with("vrrp_instance ") {
                started += 1;
            } else if BLOCKS.contains(&trimmed) {
                (block, kept) = (Some(trimmed), 0);
            } else if let Some(name) = block {
                let instance = started.checked_sub(1).and_then(|at| Some((all.get(at)?, taken.get(&at)?)));
                if trimmed == "}" {
                    if let (ADVERTISED, 0, Some((instance, _))) = (name, kept, instance) {
                        rest.push_str(&format!("        {} dev lo\n", placeholder(instance)));
                    }
                    block = None;
                } else if instance.is_some_and(|(_, taken)| names(trimmed, taken)) {
                    continue;
                } else {
                    kept += 1;
                }
            }
            rest.push_str(line);
        }
    }
    rest
}

/// Tells whether a line names one of these addresses or routes.
fn names(line: &str, floats: &BTreeSet<String>) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.first().is_some_and(|word| floats.contains(&canonical(word))) || floats.contains(&words.join(" "))
}

/// Returns an address that stands for all others for a moment: one of the machine itself (RFC 1122, section 3.2.1.3), or one of
/// the prefix for what is to be discarded (RFC 6666).
fn placeholder(instance: &Instance) -> String {
    let id: u8 = instance.identity.router_id.parse().unwrap_or_default();
    if instance.identity.six { format!("100::112:{id:x}/128") } else { format!("127.0.112.{id}/32") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(instances: &[(&str, u8, &[&str], &[&str])]) -> SecretText {
        let mut text = SecretText::plain(format!("{HEADER}\n"));
        for (name, id, addresses, routes) in instances {
            text.push_str(&format!("\nvrrp_instance {name} {{\n    interface eth0\n    virtual_router_id {id}\n"));
            text.push_str("    authentication {\n        auth_pass \"");
            text.push(TextPiece::Secret(Some("hush".into())));
            text.push_str("\"\n    }\n");
            for (block, lines) in [("virtual_ipaddress", addresses), ("virtual_routes", routes)] {
                let lines: String = lines.iter().map(|line| format!("        {line} dev eth0\n")).collect();
                text.push_str(&format!("    {block} {{\n{lines}    }}\n"));
            }
            text.push_str("}\n");
        }
        text
    }

    fn found(before: &SecretText, after: &SecretText) -> Vec<String> {
        let found = passages(&instances(&before.masked()), &instances(&after.masked()));
        found.iter().map(|passage| format!("{} {} {}", passage.what, passage.from, passage.to)).collect()
    }

    #[test]
    fn what_passes_is_left_out_at_first() {
        let route = "172.16.0.0/12 via 10.0.0.1";
        let before = file(&[("a", 1, &["10.0.0.1/32", "10.0.0.2/32"], &[route]), ("b", 2, &["10.0.0.3/32"], &[])]);
        let after = file(&[("a", 1, &["10.0.0.1/32"], &[]), ("b", 2, &["10.0.0.3/32", "10.0.0.2/32"], &[route])]);
        assert_eq!(found(&before, &after), ["10.0.0.2/32 a b", "172.16.0.0/12 via 10.0.0.1 dev eth0 a b"]);
        let stage = file(&[("a", 1, &["10.0.0.1/32"], &[]), ("b", 2, &["10.0.0.3/32"], &[])]);
        assert_eq!(first_stage(&before, &after), Some(stage));
        assert_eq!(first_stage(&before, &before), None);
    }

    /// With multicast it is another instance to keepalived, which elects anew.
    #[test]
    fn what_moves_to_the_interface_of_a_virtual_mac_is_left_out_at_first() {
        let plain = |peers: &str| {
            let text = file(&[("a", 1, &["10.0.0.1/32"], &["172.16.0.0/12 via 10.0.0.1"])]).masked();
            text.replace("    virtual_router_id", &format!("{peers}    virtual_router_id"))
        };
        let virtually =
            |peers: &str| plain(peers).replace("    virtual_router_id", "    use_vmac vrrp.1\n    virtual_router_id");
        let peers = "    unicast_peer {\n        10.0.0.8\n    }\n";
        let [one, two] = [plain(peers), virtually(peers)].map(SecretText::plain);
        assert_eq!(
            (found(&one, &two), found(&two, &one)),
            (vec!["10.0.0.1/32 a a".into()], vec!["10.0.0.1/32 a a".into()])
        );
        let stage = first_stage(&one, &two).unwrap().masked();
        assert!(stage.contains("127.0.112.1/32 dev lo\n") && !stage.contains("10.0.0.1/32"), "{stage}");
        assert!(stage.contains("use_vmac vrrp.1\n") && stage.contains("via 10.0.0.1"), "{stage}");
        let [one, two] = [plain(""), virtually("")].map(SecretText::plain);
        assert_eq!(found(&one, &two), [""; 0]);
    }

    #[test]
    fn no_instance_is_ever_without_an_address() {
        let before = file(&[("a", 1, &["10.0.0.1/32"], &[]), ("b", 2, &["10.0.0.2/32"], &[])]);
        let after = file(&[("a", 1, &["10.0.0.2/32"], &[]), ("b", 2, &["10.0.0.1/32"], &[])]);
        let stage = first_stage(&before, &after).unwrap();
        let held: Vec<BTreeSet<String>> =
            instances(&stage.masked()).into_iter().map(|instance| instance.held).collect();
        assert_eq!(held, [["127.0.112.1/32".to_owned()].into(), ["127.0.112.2/32".to_owned()].into()]);
        let six = |text: &str| text.replace("10.0.0.", "fd00::").replace("/32", "/128");
        let [before, after] = [before, after].map(|text| SecretText::plain(six(&text.masked())));
        let stage = first_stage(&before, &after).unwrap().masked();
        assert!(stage.contains("100::112:1/128 dev lo\n") && !stage.contains("fd00"), "{stage}");
    }

    #[test]
    fn what_one_read_is_enough_for_is_not_taken_apart() {
        let before = file(&[("a", 1, &["10.0.0.1/32", "10.0.0.2/32"], &[])]);
        let taker_is_new = file(&[("a", 1, &["10.0.0.1/32"], &[]), ("b", 2, &["10.0.0.2/32"], &[])]);
        assert_eq!(first_stage(&before, &taker_is_new), None);
        let renamed = file(&[("b", 1, &["10.0.0.1/32", "10.0.0.2/32"], &[])]);
        assert_eq!(first_stage(&before, &renamed), None);
        let route = &["172.16.0.0/12 via 10.0.0.1"][..];
        let only_a_route = |of_a, of_b| file(&[("a", 1, &["10.0.0.1/32"], of_a), ("b", 2, &["10.0.0.3/32"], of_b)]);
        assert_eq!(first_stage(&only_a_route(route, &[]), &only_a_route(&[], route)), None);
        let by_hand = SecretText::plain(before.masked().replace(HEADER, "# mine"));
        assert_eq!(first_stage(&taker_is_new, &by_hand), None);
    }
}
