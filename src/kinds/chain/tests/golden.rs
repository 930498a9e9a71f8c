//! What is read from `iptables-save`, and which texts are one and the same rule.

use super::*;
use crate::kinds::fixture::{listing, parse};

fn read(family: Family, text: &str) -> ChainRule {
    super::super::rule::parse(family, text)
}

/// Asserts that texts are one typed rule, and returns how it is written.
fn same(texts: &[&str]) -> String {
    let rules: Vec<_> = texts.iter().map(|text| read(Family::Ipv4, text)).collect();
    for (rule, text) in rules.iter().zip(texts) {
        assert!(matches!(rule, ChainRule::Known { .. }), "{text:?} is not understood");
        assert_eq!(rule, &rules[0], "{text:?} differs from {:?}", texts[0]);
    }
    super::super::rule::render(&rules[0]).unwrap()
}

#[test]
fn rules_beside_services_are_read_as_they_are_written() {
    let texts = [
        "-s 10.0.0.9/32 -p tcp -m tcp --sport 80 --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440",
        "-s 10.0.0.9/32 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440",
        "-d 10.0.0.2/32 -p udp -m udp --dport 53:54 -m ipvs --vaddr 10.0.0.9 -j MASQUERADE",
        "-d 10.0.0.2/32 -p tcp -m ipvs --vaddr 10.0.0.9 -j MASQUERADE",
        "-d 10.0.0.9/32 -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -j CT --notrack",
        "-d 10.0.0.9/32 -p tcp -m tcp --dport 80 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460",
        "-d 10.0.0.9/32 -p tcp -m tcp --dport 80 -m conntrack --ctstate INVALID -j DROP",
    ];
    for text in texts {
        let read = super::super::rule::parse(Family::Ipv4, text);
        assert!(matches!(read, ChainRule::Service { .. }), "{text}: {read:?}");
        assert_eq!(super::super::rule::render(&read).as_deref(), Some(text));
        let further = format!("-i eth0 {text}");
        assert_eq!(super::super::rule::parse(Family::Ipv4, &further), ChainRule::Other(further.clone()));
    }
    let another = texts[5].replace("--wscale 7", "--wscale 8");
    assert_eq!(super::super::rule::parse(Family::Ipv4, &another), ChainRule::Other(another.clone()));
    let less = texts[6].replace("INVALID", "UNTRACKED");
    assert_eq!(super::super::rule::parse(Family::Ipv4, &less), ChainRule::Other(less.clone()));
}

#[test]
fn marks_are_equal_in_every_notation() {
    let texts = [
        "-j MARK --set-xmark 0x1/0xffffffff",
        "-j MARK --set-mark 1",
        "-j MARK --set-mark 0x1",
        "-j MARK --set-mark 0X1/0xffffffff",
        "-j MARK --set-mark 01/4294967294",
        "-j MARK --set-xmark 1",
        "-j MARK --set-xmark 1/4294967295",
        "--jump MARK --set-mark 0x00000001",
    ];
    assert_eq!(same(&texts), texts[0]);
    assert_eq!(
        same(&["-j MARK --set-mark 16", "-j MARK --set-xmark 0x10/0xffffffff"]),
        "-j MARK --set-xmark 0x10/0xffffffff"
    );
}

#[test]
fn addresses_are_equal_with_and_without_their_mask() {
    let texts = [
        "-d 10.4.1.190/32 -j RETURN",
        "-d 10.4.1.190 -j RETURN",
        "-d 10.4.1.190/255.255.255.255 -j RETURN",
        "--destination 10.4.1.190 -j RETURN",
    ];
    assert_eq!(same(&texts), texts[0]);
    let short = read(Family::Ipv6, "-d 2001:db8::1/128 -j RETURN");
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    for text in ["-d 2001:0DB8:0:0::0001 -j RETURN", &format!("-d 2001:db8::1/{full} -j RETURN")] {
        assert_eq!(read(Family::Ipv6, text), short);
    }
    assert!(matches!(short, ChainRule::Known { .. }));
}

#[test]
fn matches_that_the_protocol_implies_are_no_difference() {
    let texts = [
        "-d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffffffff",
        "-d 10.4.1.190/32 -i eth0 -p tcp --dport 80 -j MARK --set-mark 1",
        "-p 6 --destination-port 80:80 -d 10.4.1.190 -i eth0 -j MARK --set-mark 1",
        "  -i \"eth0\" -p tcp -m tcp --dport 80   -d 10.4.1.190 -j MARK --set-mark 1",
    ];
    assert_eq!(same(&texts), texts[0]);
    assert_eq!(
        same(&["-p udp -j RETURN", "-p udp -m udp --dport 0:65535 -j RETURN", "-p 17 -m udp --dport : -j RETURN"]),
        "-p udp -j RETURN"
    );
    assert_eq!(
        same(&["-p sctp -m sctp --dport 9:65535 -j RETURN", "-p 132 --dport 9: -j RETURN"]),
        "-p sctp -m sctp --dport 9:65535 -j RETURN"
    );
}

#[test]
fn ports_are_equal_however_they_are_spread_over_rules() {
    let spread = |rules: &[&str]| {
        let rules: String = rules.iter().map(|rule| format!("-A LVSCTL {rule} -j MARK --set-mark 1\n")).collect();
        let text = format!("*mangle\n:PREROUTING ACCEPT [0:0]\n:LVSCTL - [0:0]\n{rules}COMMIT\n");
        parse(&ChainKind, &[], &[Answer::Iptables(Family::Ipv4, text)]).unwrap()
    };
    let single = spread(&["-p tcp -m tcp --dport 80", "-p tcp -m tcp --dport 443", "-p tcp -m tcp --dport 8000:8010"]);
    for other in [
        &["-p tcp -m multiport --dports 80,443,8000:8010"][..],
        &["-p tcp -m multiport --destination-ports 8000:8010,80", "-p tcp --dport 443"],
        &["-p 6 -m multiport --dports 443", "-p tcp -m multiport --dports 80,8000:8010"],
    ] {
        assert_eq!(spread(other), single);
    }
    let foreign = "-p tcp -m multiport --dports 80,443 -j RETURN";
    assert_eq!(read(Family::Ipv4, foreign), ChainRule::Other(foreign.into()), "one rule of a foreign chain stays one");
    for more in ["-p tcp -m multiport ! --dports 80", "-p tcp -m multiport --ports 80", "-p tcp --dports 80,81"] {
        assert_ne!(spread(&[more, "-p tcp --dport 443"]), single);
    }
}

#[test]
fn a_rule_takes_fifteen_entries_and_a_range_is_two() {
    let written = |ranges: &[(u16, u16)]| {
        let rules: Vec<ChainRule> = ranges
            .iter()
            .map(|(first, last)| {
                let ChainRule::Known { destination, interface, mac_source, target, .. } =
                    rule("192.0.2.1", 1, RuleTarget::Mark(1))
                else {
                    panic!()
                };
                let ports =
                    PortMatch { protocol: Protocol::Tcp, ports: Some(PortRange { first: *first, last: *last }) };
                ChainRule::Known { destination, interface, ports: Some(ports), mac_source, target }
            })
            .collect();
        let texts = super::super::multiport::join(&rules);
        texts.iter().map(|joined| joined.text().unwrap().split(' ').nth(7).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let singles: Vec<(u16, u16)> = (1..=16).map(|port| (port, port)).collect();
    assert_eq!(written(&singles), ["1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", "16"]);
    let ranges: Vec<(u16, u16)> = (1..=8).map(|port| (port * 10, port * 10 + 1)).collect();
    assert_eq!(written(&ranges), ["10:11,20:21,30:31,40:41,50:51,60:61,70:71", "80:81"]);
    let filled = [ranges[..7].to_vec(), vec![(99, 99)]].concat();
    assert_eq!(written(&filled), ["10:11,20:21,30:31,40:41,50:51,60:61,70:71,99"]);
}

#[test]
fn hardware_addresses_are_equal_in_both_cases() {
    let texts = ["-m mac --mac-source 52:54:00:36:d0:a8 -j RETURN", "-m mac --mac-source 52:54:00:36:D0:A8 -j RETURN"];
    assert_eq!(same(&texts), texts[0]);
}

#[test]
fn whatever_says_more_is_kept_as_it_is() {
    let texts = [
        "",
        "-j ACCEPT",
        "! -d 10.4.1.190/32 -j RETURN",
        "-d 10.4.1.0/24 -j RETURN",
        "-d 2001:db8::1/128 -j RETURN",
        "-i eth+ -j RETURN",
        "! -i eth0 -j RETURN",
        "-s 10.4.1.1/32 -j RETURN",
        "-p icmp -j RETURN",
        "-p tcp -m udp --dport 80 -j RETURN",
        "-m tcp --dport 80 -j RETURN",
        "-p tcp -m tcp ! --dport 80 -j RETURN",
        "-p tcp -m tcp --dport 90:80 -j RETURN",
        "-p tcp -m tcp --dport http -j RETURN",
        "-p tcp -m tcp --sport 80 -j RETURN",
        "-p tcp -m multiport --dports 80,443 -j RETURN",
        "-m mac ! --mac-source 52:54:00:36:d0:a8 -j RETURN",
        "-m mac -j RETURN",
        "-j MARK --set-xmark 0x1/0xff",
        "-j MARK --set-mark 1/0xff",
        "-j MARK --or-mark 1",
        "-j MARK --set-mark 4294967296",
        "-j MARK --set-mark +1",
        "-j MARK",
        "-j RETURN --set-mark 1",
        "-j REDIRECT --to-ports 8080-8090",
        "-j REDIRECT --to-ports 8080 --random",
        "-j RETURN -j RETURN",
        "-g LVSCTL",
        "-m comment --comment \"web \\\"one\\\"\" -j RETURN",
        "-m comment --comment -j RETURN",
        "-j \"RETURN",
    ];
    for text in texts {
        assert_eq!(read(Family::Ipv4, text), ChainRule::Other(text.to_owned()));
        assert_eq!(super::super::rule::render(&read(Family::Ipv4, text)).as_deref(), Some(text));
    }
}

const SAVED: &str = r#"# Generated by iptables-save v1.8.9 on Fri Nov 21 08:14:06 2025
*filter
:INPUT DROP [12:3456]
:LVSCTL - [0:0]
-A INPUT -i lo -j ACCEPT
COMMIT
# Completed on Fri Nov 21 08:14:06 2025
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:IPVS - [0:0]
:LVSCTL - [0:0]
[7:420] -A PREROUTING -j LVSCTL
-A PREROUTING -i eth1 -j LVSCTL
-A PREROUTING -j IPVS
-A PREROUTING -j LVSCTL
-A PREROUTING -j ACCEPT
-A IPVS -p tcp -m tcp --dport 443 -j RETURN
-A IPVS -p tcp -m tcp --dport 80 -j RETURN
-A LVSCTL -m mac --mac-source 52:54:00:36:D0:A8 -j RETURN
[0:0] -A LVSCTL -d 10.4.1.190/32 -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x2/0xffffffff
-A LVSCTL -d 10.4.1.190/32 -p tcp -m tcp --dport 80 -j MARK --set-mark 1
COMMIT
"#;

#[test]
fn chains_of_both_tables_are_seen_and_jumps_belong_to_their_chain() {
    let entries = parse(&ChainKind, &[], &[Answer::Iptables(Family::Ipv4, SAVED.into())]).unwrap();
    let other = |text: &str| ChainRule::Other(text.into());
    let chain = |name: &str| {
        let named = |entry: &&Entry| entry.key.to_string() == name;
        let Some(Entry { resource: Resource::Chain { rules, jumps }, .. }) = entries.iter().find(named) else {
            panic!("{name} is not there: {:?}", listing(&entries));
        };
        (rules.clone(), *jumps)
    };
    assert_eq!(entries.len(), 7, "{:?}", listing(&entries));
    assert_eq!(chain("iptables/nat/DOCKER"), (vec![], 0));
    assert_eq!(chain("iptables/nat/PREROUTING"), (vec![other("-m addrtype --dst-type LOCAL -j DOCKER")], 0));
    assert_eq!(chain("iptables/nat/POSTROUTING"), (vec![other("-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")], 0));
    assert_eq!(chain("iptables/mangle/PREROUTING"), (vec![other("-i eth1 -j LVSCTL"), other("-j ACCEPT")], 0));
    // The order of a foreign chain is none of lvsctl's business.
    let (rules, jumps) = chain("iptables/mangle/IPVS");
    assert_eq!(rules[0], read(Family::Ipv4, "-p tcp --dport 443 -j RETURN"));
    assert_eq!(jumps, 1);
    let own =
        ["-m mac --mac-source 52:54:00:36:d0:a8 -j RETURN", "-d 10.4.1.190 -p tcp --dport 80 -j MARK --set-mark 1"];
    let (rules, jumps) = chain("iptables/mangle/LVSCTL");
    assert_eq!(rules[..2], own.map(|text| read(Family::Ipv4, text)));
    assert_eq!(rules[2], rule("10.4.1.190", 443, RuleTarget::Mark(2)));
    assert_eq!((rules.len(), jumps), (3, 2));
}

#[test]
fn both_families_are_told_apart() {
    let text = "*nat\n:PREROUTING ACCEPT [0:0]\n:LVSCTL - [0:0]\n-A PREROUTING -j LVSCTL\nCOMMIT\n";
    let answers = [Family::Ipv4, Family::Ipv6].map(|family| Answer::Iptables(family, text.into()));
    let entries = parse(&ChainKind, &[], &answers).unwrap();
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!(keys, [own(Family::Ipv4, Table::Nat), own(Family::Ipv6, Table::Nat)]);
    assert!(entries.iter().all(|entry| entry.resource == Resource::Chain { rules: vec![], jumps: 1 }));
}

#[test]
fn a_text_that_breaks_off_or_makes_no_sense_is_refused() {
    let refused = |text: &str| parse(&ChainKind, &[], &[Answer::Iptables(Family::Ipv4, text.into())]).unwrap_err();
    let whole = SAVED.lines().collect::<Vec<_>>();
    for end in 1..=whole.len() {
        let tables = whole[..end].iter().filter(|line| line.starts_with('*')).count();
        let closed = whole[..end].iter().filter(|line| **line == "COMMIT").count();
        let answer = [Answer::Iptables(Family::Ipv4, whole[..end].join("\n"))];
        assert_eq!(parse(&ChainKind, &[], &answer).is_err(), tables > closed, "after line {end}");
    }
    assert!(refused("*mangle\n:X - [0:0]\n").contains("breaks off in table mangle"));
    assert!(refused("iptables-save: command not found\n").contains("line 1"));
    assert!(refused("*mangle\n:X - [0:0]\n-A Y -j X\nCOMMIT\n").contains("line 3"));
    assert!(refused("*mangle\n*nat\nCOMMIT\n").contains("line 2"));
    assert!(refused("*mangle\n:X\nCOMMIT\n").contains("line 2"));
}

#[test]
fn a_table_that_only_nft_can_read_is_an_error_where_it_is_needed() {
    let text = "# Table `nat' is incompatible, use 'nft' tool.\n";
    let answer = [Answer::Iptables(Family::Ipv4, text.into())];
    assert_eq!(parse(&ChainKind, &[own(Family::Ipv4, Table::Mangle)], &answer).unwrap(), []);
    assert_eq!(parse(&ChainKind, &[own(Family::Ipv6, Table::Nat)], &answer).unwrap(), []);
    let refused = parse(&ChainKind, &[own(Family::Ipv4, Table::Nat)], &answer).unwrap_err();
    assert_eq!(refused, "chain: Table `nat' is incompatible, use 'nft' tool.");
    let beside = "# Table `nat' contains incompatible base-chains, use 'nft' tool to list them.\n*nat\nCOMMIT\n";
    let answer = [Answer::Iptables(Family::Ipv4, beside.into())];
    assert_eq!(parse(&ChainKind, &[own(Family::Ipv4, Table::Nat)], &answer).unwrap(), []);
}
