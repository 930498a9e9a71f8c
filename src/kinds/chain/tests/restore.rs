//! What a change of a chain feeds to `iptables-restore`.

use super::*;
use crate::kinds::fixture::{change, effects};

fn chain(rules: Vec<ChainRule>, jumps: usize) -> Option<Resource> {
    Some(Resource::Chain { rules, jumps })
}

fn text(change: &Change) -> String {
    match &effects(&ChainKind, change)[..] {
        [Effect::IptablesRestore { family: Family::Ipv4, text }] => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn key(name: &str) -> ResourceKey {
    ResourceKey::Chain { family: Family::Ipv4, table: Table::Mangle, chain: name.into() }
}

#[test]
fn a_chain_is_made_with_its_jump_and_taken_away_with_it() {
    let create = change(&key(CHAIN), None, chain(vec![rule("192.0.2.1", 80, RuleTarget::Mark(9))], 1));
    let made = "*mangle\n:LVSCTL - [0:0]\n\
        -A LVSCTL -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x9/0xffffffff\n\
        -I PREROUTING 1 -j LVSCTL\nCOMMIT\n";
    assert_eq!(text(&create), made);
    assert_eq!(text(&create.inverse()), "*mangle\n-D PREROUTING -j LVSCTL\n-F LVSCTL\n-X LVSCTL\nCOMMIT\n");
    assert_eq!(text(&create.inverse().inverse()), made);
}

#[test]
fn an_update_empties_the_chain_and_leaves_one_jump() {
    let foreign = ChainRule::Other("-m comment --comment \"by hand\" -j ACCEPT".into());
    let wanted = || chain(vec![], 1);
    let updates = |jumps| change(&key(CHAIN), chain(vec![foreign.clone()], jumps), wanted());
    assert_eq!(text(&updates(1)), "*mangle\n:LVSCTL - [0:0]\nCOMMIT\n");
    assert_eq!(text(&updates(0)), "*mangle\n:LVSCTL - [0:0]\n-I PREROUTING 1 -j LVSCTL\nCOMMIT\n");
    let surplus = "*mangle\n:LVSCTL - [0:0]\n-D PREROUTING -j LVSCTL\n-D PREROUTING -j LVSCTL\nCOMMIT\n";
    assert_eq!(text(&updates(3)), surplus);
    let back = "*mangle\n:LVSCTL - [0:0]\n-A LVSCTL -m comment --comment \"by hand\" -j ACCEPT\n\
        -D PREROUTING -j LVSCTL\nCOMMIT\n";
    assert_eq!(text(&updates(0).inverse()), back);
}

#[test]
fn a_built_in_chain_is_changed_rule_by_rule() {
    let delete = change(&key("PREROUTING"), chain(vec![ChainRule::Other("-i eth1 -j RETURN".into())], 0), None);
    assert_eq!(text(&delete), "*mangle\n-D PREROUTING -i eth1 -j RETURN\nCOMMIT\n");
    assert_eq!(text(&delete.inverse()), "*mangle\n-A PREROUTING -i eth1 -j RETURN\nCOMMIT\n");
}

#[test]
fn no_name_begins_a_rule_of_its_own() {
    let names =
        ["eth0 -j ACCEPT", "eth0\n-A INPUT -j ACCEPT", "\"\nCOMMIT\n*filter", "a\\\" -j DROP", "", "-j", "\r\u{b}\0x"];
    for name in names {
        let rule = ChainRule::Known {
            destination: None,
            interface: Some(name.into()),
            ports: None,
            mac_source: None,
            target: RuleTarget::Return,
        };
        let text = text(&change(&key(CHAIN), None, chain(vec![rule], 1)));
        assert_eq!(text.lines().count(), 5, "{text:?}");
        let appended = text.lines().find_map(|line| line.strip_prefix("-A LVSCTL ")).unwrap();
        let words = super::super::words::split(appended).unwrap();
        let visible: String = name.chars().filter(|character| !character.is_control()).collect();
        assert_eq!(words, ["-i", &visible, "-j", "RETURN"]);
    }
    let peer = ChainRule::UnknownPeer { peer: "lb02\n-A INPUT -j ACCEPT".into() };
    assert_eq!(creation(Table::Mangle, CHAIN, &[peer]).lines().count(), 5);
}
