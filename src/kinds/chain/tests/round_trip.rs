//! Any chain that lvsctl can write is read back as it was, through a small model of iptables.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::kinds::fixture::{change, effects, parse};
use crate::topology::MacAddress;

/// A table as the kernel holds it: chains with the texts of their rules.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    table: &'static str,
    chains: BTreeMap<String, Vec<String>>,
}

impl Model {
    fn new(table: Table) -> Self {
        let foreign = vec!["-i eth9 -j RETURN".to_owned()];
        let chains = [("PREROUTING".to_owned(), foreign.clone()), ("FOREIGN".to_owned(), foreign)];
        Model { table: table.as_str(), chains: chains.into() }
    }

    /// Does what `iptables-restore --noflush` does, and panics where it would fail.
    fn restore(&mut self, text: &str) {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(&*format!("*{}", self.table)));
        for line in lines.by_ref().take_while(|line| *line != "COMMIT") {
            if let Some(declared) = line.strip_prefix(':') {
                self.chains.insert(declared.split(' ').next().unwrap().to_owned(), Vec::new());
                continue;
            }
            let mut parts = line.splitn(3, ' ');
            let (command, chain) = (parts.next().unwrap(), parts.next().unwrap());
            let rest = parts.next().unwrap_or_default();
            let rules = self.chains.get_mut(chain).unwrap_or_else(|| panic!("no chain {chain}"));
            match command {
                "-A" => rules.push(rest.to_owned()),
                "-I" => rules.insert(0, rest.strip_prefix("1 ").unwrap().to_owned()),
                "-D" => drop(rules.remove(rules.iter().position(|rule| rule == rest).unwrap())),
                "-F" => rules.clear(),
                "-X" => {
                    assert!(rules.is_empty() && !self.jumps_to(chain), "{chain} is in use");
                    self.chains.remove(chain);
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(lines.next(), None, "something follows COMMIT");
    }

    fn jumps_to(&self, chain: &str) -> bool {
        self.chains.values().flatten().any(|rule| rule.ends_with(&format!("-j {chain}")))
    }

    /// Prints what `iptables-save` prints.
    fn save(&self) -> String {
        let policy = |name: &str| if name == "PREROUTING" { "ACCEPT" } else { "-" };
        let declared = self.chains.keys().map(|name| format!(":{name} {} [0:0]\n", policy(name)));
        let rules =
            self.chains.iter().flat_map(|(name, rules)| rules.iter().map(move |rule| format!("-A {name} {rule}\n")));
        format!("*{}\n{}{}COMMIT\n", self.table, declared.collect::<String>(), rules.collect::<String>())
    }
}

fn port_range() -> impl Strategy<Value = Option<PortRange>> {
    let range =
        (any::<u16>(), any::<u16>()).prop_map(|(one, two)| PortRange { first: one.min(two), last: one.max(two) });
    let single = any::<u16>().prop_map(PortRange::single);
    prop_oneof![Just(None), single.prop_map(Some), range.prop_map(super::super::rule::every_or)]
}

fn any_rule(family: Family, table: Table) -> impl Strategy<Value = ChainRule> {
    let address = match family {
        Family::Ipv4 => (0u8..4).prop_map(|last| [192, 0, 2, last].into()).boxed(),
        Family::Ipv6 => any::<[u16; 8]>().prop_map(|segments| segments.into()).boxed(),
    };
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let ports = (protocol, port_range()).prop_map(|(protocol, ports)| PortMatch { protocol, ports });
    let interface = "[a-z][a-zA-Z0-9_.@:-]{0,14}|[!-*,-~]{0,14}[!-*,-~]".prop_filter("negation", |name| name != "!");
    let target = match table {
        Table::Mangle => prop_oneof![
            Just(RuleTarget::Return),
            (0u32..4).prop_map(RuleTarget::Mark),
            any::<u32>().prop_map(RuleTarget::Mark)
        ]
        .boxed(),
        _ => prop_oneof![Just(RuleTarget::Return), proptest::option::of(1..=u16::MAX).prop_map(RuleTarget::Redirect)]
            .boxed(),
    };
    let mac = proptest::option::of(any::<[u8; 6]>().prop_map(MacAddress));
    (proptest::option::of(address), proptest::option::of(interface), proptest::option::of(ports), mac, target).prop_map(
        |(destination, interface, ports, mac_source, target)| ChainRule::Known {
            destination,
            interface,
            ports,
            mac_source,
            target,
        },
    )
}

fn place() -> impl Strategy<Value = (Family, Table)> {
    (prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)], prop_oneof![Just(Table::Mangle), Just(Table::Nat)])
}

fn chain() -> impl Strategy<Value = (Family, Table, Vec<ChainRule>, Vec<ChainRule>)> {
    place().prop_flat_map(|(family, table)| {
        let rules = || proptest::collection::vec(any_rule(family, table), 0..8);
        (Just(family), Just(table), rules(), rules())
    })
}

fn apply(model: &mut Model, change: &Change) {
    for effect in effects(&ChainKind, change) {
        let Effect::IptablesRestore { text, .. } = effect else { panic!("{effect:?}") };
        model.restore(&text);
    }
}

fn live(model: &Model, family: Family, key: &ResourceKey) -> Option<Resource> {
    let entries = parse(&ChainKind, &[], &[Answer::Iptables(family, model.save())]).unwrap();
    entries.into_iter().find(|entry| entry.key == *key).map(|entry| entry.resource)
}

fn canonical(rules: Vec<ChainRule>) -> Option<Resource> {
    Some(Resource::Chain { rules: super::super::order::canonical(rules), jumps: 1 })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_undone((family, table, first, second) in chain()) {
        let key = own(family, table);
        let untouched = Model::new(table);
        let mut model = untouched.clone();
        let (first, second) = (canonical(first), canonical(second));

        let create = change(&key, None, first.clone());
        apply(&mut model, &create);
        prop_assert_eq!(&live(&model, family, &key), &first);
        let update = change(&key, first.clone(), second.clone());
        apply(&mut model, &update);
        prop_assert_eq!(&live(&model, family, &key), &second);
        apply(&mut model, &update.inverse());
        prop_assert_eq!(&live(&model, family, &key), &first);
        apply(&mut model, &create.inverse());
        prop_assert_eq!(&model, &untouched);
    }

    #[test]
    fn the_order_is_one_for_all_that_differ_without_effect((_, _, rules, _) in chain(), swaps in proptest::collection::vec(0usize..7, 0..20)) {
        let mut rearranged = rules.clone();
        for at in swaps {
            if at + 1 < rearranged.len() && super::super::order::exchangeable(&rearranged[at], &rearranged[at + 1]) {
                rearranged.swap(at, at + 1);
            }
        }
        let ordered = super::super::order::canonical(rules);
        prop_assert_eq!(&super::super::order::canonical(rearranged), &ordered);
        prop_assert_eq!(&super::super::order::canonical(ordered.clone()), &ordered);
    }

    #[test]
    fn no_text_panics(text in "\\PC*", lines in proptest::collection::vec("(\\*(mangle|nat)|:[A-Z]{1,3} [-A]|-A [A-Z]{1,3} -[pijdm] \\PC{0,9}|COMMIT|\\PC*)", 0..12)) {
        let _ = super::super::rule::parse(Family::Ipv4, &text);
        let _ = parse(&ChainKind, &[], &[Answer::Iptables(Family::Ipv6, lines.join("\n"))]);
    }
}

#[test]
fn rules_that_a_packet_can_meet_both_keep_their_order() {
    let mark = |mark| rule("192.0.2.1", 80, RuleTarget::Mark(mark));
    for rules in [vec![mark(1), mark(2)], vec![mark(2), mark(1)]] {
        assert_eq!(super::super::order::canonical(rules.clone()), rules);
    }
    let apart = [rule("192.0.2.2", 80, RuleTarget::Mark(1)), mark(2)];
    assert_eq!(super::super::order::canonical(apart.to_vec()), [apart[1].clone(), apart[0].clone()]);
}
