//! What the chain kind writes, as the real iptables takes it and prints it again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use lvsctl::effect::{Answer, Capabilities, Effect};
use lvsctl::kinds::{Context, Kind, Scope, registry};
use lvsctl::resource::{
    Action, ChainRule, Change, Entry, HostState, PortMatch, Reason, Resource, ResourceId, ResourceKey, RuleTarget,
    Table,
};
use lvsctl::topology::{Family, HostName, PortRange, Protocol};

use crate::lab::Namespace;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("chains::what_is_written_is_read_back_and_undone", what_is_written_is_read_back_and_undone)
            .on_both_kernels(),
        test("chains::a_refused_text_changes_nothing", a_refused_text_changes_nothing).on_both_kernels(),
        test("chains::every_notation_is_read_as_one_rule", every_notation_is_read_as_one_rule).on_both_kernels(),
        test("chains::no_packet_is_marked_that_a_rule_does_not_name", no_packet_is_marked_that_a_rule_does_not_name)
            .on_both_kernels(),
    ]
}

fn kind() -> &'static dyn Kind {
    *registry().iter().find(|kind| kind.name() == "chain").expect("the kind is registered")
}

/// One of `iptables` and `ip6tables` in a namespace with foreign rules in every table.
struct Firewall {
    namespace: Namespace,
    family: Family,
}

impl Firewall {
    fn new(family: Family) -> Self {
        let firewall = Firewall { namespace: Namespace::new(), family };
        for table in ["mangle", "nat"] {
            firewall.run(&["-t", table, "-N", "FOREIGN"]);
            firewall.run(&["-t", table, "-A", "FOREIGN", "-p", "tcp", "--dport", "22", "-j", "RETURN"]);
            firewall.run(&["-t", table, "-A", "PREROUTING", "-i", "eth9", "-j", "FOREIGN"]);
            firewall.run(&["-t", table, "-A", "PREROUTING", "-j", "FOREIGN"]);
        }
        firewall.run(&["-A", "INPUT", "-i", "lo", "-m", "comment", "--comment", "it's \"mine\"", "-j", "ACCEPT"]);
        firewall
    }

    fn program(&self) -> &'static str {
        match self.family {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        }
    }

    fn run(&self, arguments: &[&str]) {
        self.namespace.run(&[&[self.program()], arguments].concat());
    }

    fn save(&self) -> String {
        self.namespace.run(&[&format!("{}-save", self.program())])
    }

    /// Returns all tables and rules without the comments, which carry the time.
    fn rules(&self) -> Vec<String> {
        let text = self.save();
        let mut tables: Vec<_> = text.split_inclusive("COMMIT\n").map(without_comments).collect();
        // The kernel lists tables in the order in which they came into use.
        tables.sort();
        tables
    }

    /// Performs what a change comes to.
    fn perform(&self, change: &Change) -> Result<(), String> {
        let (capabilities, changed) = (Capabilities::default(), BTreeSet::new());
        let nothing = HostState::new();
        let context = Context {
            capabilities: &capabilities,
            changed: &changed,
            desired: &nothing,
            observed: &nothing,
            ahead: &BTreeMap::new(),
        };
        let effects = kind().effects(change, &context);
        let [Effect::IptablesRestore { family, text }] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(*family, self.family);
        let program = format!("{}-restore", self.program());
        self.namespace.enter(|| {
            let mut command = Command::new(&program);
            command.arg("--noflush").stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("iptables-restore starts");
            child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("iptables-restore reads");
            let output = child.wait_with_output().expect("iptables-restore ends");
            match output.status.success() {
                true => Ok(()),
                false => Err(format!("{text}\n{}", String::from_utf8_lossy(&output.stderr))),
            }
        })
    }

    fn entries(&self) -> Vec<Entry> {
        let (capabilities, keys) = (Capabilities::default(), BTreeSet::new());
        let answer = Answer::Iptables(self.family, self.save());
        kind()
            .parse(&Scope { capabilities: &capabilities, keys: &keys }, &[answer])
            .expect("iptables-save is understood")
    }

    fn live(&self, key: &ResourceKey) -> Option<Resource> {
        self.entries().into_iter().find(|entry| entry.key == *key).map(|entry| entry.resource)
    }
}

fn without_comments(text: &str) -> String {
    let counters = |line: &str| line.split(" [").next().unwrap_or_default().to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(|line| counters(line) + "\n").collect()
}

fn change(key: &ResourceKey, before: Option<Resource>, after: Option<Resource>) -> Change {
    let action = match (&before, &after) {
        (None, _) => Action::Create,
        (_, None) => Action::Delete,
        _ => Action::Update,
    };
    let id = ResourceId::new(&HostName::new("host"), key.clone());
    Change { id, action, before, after, reason: Reason::New, previous: None, origin: None }
}

fn key(family: Family, table: Table) -> ResourceKey {
    ResourceKey::Chain { family, table, chain: "LVSCTL".into() }
}

fn vip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "192.0.2.100",
        Family::Ipv6 => "2001:db8::100",
    }
}

fn rule(family: Family, protocol: Protocol, ports: Option<PortRange>, target: RuleTarget) -> ChainRule {
    ChainRule::Known {
        destination: Some(vip(family).parse().expect("an address")),
        interface: (target != RuleTarget::Redirect(None)).then(|| "eth0.7".into()),
        ports: Some(PortMatch { protocol, ports }),
        mac_source: None,
        target,
    }
}

fn peer() -> ChainRule {
    let mac_source = Some("52:54:00:36:d0:a8".parse().expect("an address"));
    let (destination, interface, ports, target) = (None, None, None, RuleTarget::Return);
    ChainRule::Known { destination, interface, ports, mac_source, target }
}

/// Returns a chain with every form that lvsctl writes to a table, in canonical order.
fn every_form(family: Family, table: Table) -> Resource {
    let range = |first, last| Some(PortRange { first, last });
    let target = |number| match table {
        Table::Mangle => RuleTarget::Mark(number),
        _ => RuleTarget::Redirect(u16::try_from(number).ok().filter(|port| *port != 0)),
    };
    let mut rules = match table {
        Table::Mangle => vec![peer()],
        _ => vec![rule(family, Protocol::Tcp, range(79, 79), target(0))],
    };
    // Enough ports of one mark for more than one rule of the match `multiport`.
    rules.extend((80..=94).map(|port| rule(family, Protocol::Tcp, range(port, port), target(1))));
    rules.push(rule(family, Protocol::Tcp, range(7000, 7010), target(1)));
    rules.extend([
        rule(family, Protocol::Tcp, range(8000, 8010), target(65535)),
        rule(family, Protocol::Tcp, None, target(1)),
        rule(family, Protocol::Udp, range(53, 53), target(1)),
        rule(family, Protocol::Sctp, range(1, 65535), target(1)),
    ]);
    Resource::Chain { rules, jumps: 1 }
}

fn places() -> impl Iterator<Item = (Family, Table)> {
    let tables = [Table::Mangle, Table::Nat];
    [Family::Ipv4, Family::Ipv6].into_iter().flat_map(move |family| tables.map(|table| (family, table)))
}

fn what_is_written_is_read_back_and_undone() {
    for (family, table) in places() {
        let firewall = Firewall::new(family);
        let (key, wanted) = (key(family, table), Some(every_form(family, table)));
        let untouched = firewall.rules();

        let create = change(&key, None, wanted.clone());
        firewall.perform(&create).expect("the chain is made");
        assert_eq!(firewall.live(&key), wanted);
        let first = firewall.namespace.run(&[firewall.program(), "-t", table.as_str(), "-S", "PREROUTING", "1"]);
        assert_eq!(first, "-A PREROUTING -j LVSCTL\n");
        let joined = "-m multiport --dports 80,81,82,83,84,85,86,87,88,89,90,91,92,93,94 -j";
        assert_eq!(firewall.save().matches(joined).count(), 1, "{}", firewall.save());
        let written = firewall.rules();

        // Somebody adds a rule and a jump; somebody takes the jump away and empties the chain.
        let add = ["-A", "LVSCTL", "-m", "comment", "--comment", "by hand \"1\"", "-j", "ACCEPT"];
        let by_hand: [&[&[&str]]; 2] = [
            &[&add, &["-A", "PREROUTING", "-j", "LVSCTL"], &["-I", "PREROUTING", "-j", "LVSCTL"]],
            &[&["-D", "PREROUTING", "-j", "LVSCTL"], &["-F", "LVSCTL"]],
        ];
        for (commands, jumps) in by_hand.into_iter().zip([3, 0]) {
            for command in commands {
                firewall.run(&[&["-t", table.as_str()], *command].concat());
            }
            let altered = firewall.live(&key);
            assert!(matches!(&altered, Some(Resource::Chain { jumps: seen, .. }) if *seen == jumps), "{altered:?}");
            let repair = change(&key, altered.clone(), wanted.clone());
            firewall.perform(&repair).expect("the chain is repaired");
            assert_eq!(firewall.live(&key), wanted);
            firewall.perform(&repair.inverse()).expect("the repair is undone");
            assert_eq!(firewall.live(&key), altered);
            firewall.perform(&repair).expect("the chain is repaired again");
            assert_eq!(firewall.live(&key), wanted);
        }

        firewall.perform(&create.inverse()).expect("the chain is taken away");
        assert_eq!(firewall.live(&key), None);
        assert_eq!(firewall.rules(), untouched);
        firewall.perform(&create).expect("the chain is made again");
        assert_eq!(firewall.rules(), written);
    }
}

fn a_refused_text_changes_nothing() {
    for (family, table) in places() {
        let firewall = Firewall::new(family);
        let (key, wanted) = (key(family, table), Some(every_form(family, table)));
        let create = change(&key, None, wanted.clone());
        firewall.perform(&create).expect("the chain is made");
        // A rule of somebody else's leads to the chain, so that it cannot be removed.
        firewall.run(&["-t", table.as_str(), "-A", "FOREIGN", "-j", "LVSCTL"]);
        let before = firewall.rules();
        firewall.perform(&create.inverse()).expect_err("the chain is in use");
        assert_eq!(firewall.rules(), before);
        // The jump that the plan saw is gone meanwhile.
        firewall.run(&["-t", table.as_str(), "-D", "PREROUTING", "-j", "LVSCTL"]);
        let before = firewall.rules();
        let Some(Resource::Chain { rules, .. }) = wanted.clone() else { unreachable!() };
        let stale = change(&key, Some(Resource::Chain { rules, jumps: 2 }), wanted);
        firewall.perform(&stale).expect_err("there is no jump to take away");
        assert_eq!(firewall.rules(), before);
    }
}

fn every_notation_is_read_as_one_rule() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let firewall = Firewall::new(family);
        firewall.run(&["-t", "mangle", "-N", "LVSCTL"]);
        let notations = [
            "-p tcp --dport 80 -i eth0.7 -d VIP -j MARK --set-mark 1",
            "-d VIP/FULL -i eth0.7 -p 6 -m tcp --dport 80:80 -j MARK --set-mark 0x1/0xffffffff",
            "-d VIP -p tcp -m tcp --dport http -i eth0.7 -j MARK --set-xmark 01",
        ];
        let full = if family == Family::Ipv4 { "255.255.255.255" } else { "128" };
        for notation in notations {
            let notation = notation.replace("VIP", vip(family)).replace("FULL", full);
            let words: Vec<&str> = ["-t", "mangle", "-A", "LVSCTL"].into_iter().chain(notation.split(' ')).collect();
            firewall.run(&words);
        }
        firewall.run(&[
            "-t",
            "mangle",
            "-I",
            "LVSCTL",
            "-m",
            "mac",
            "--mac-source",
            "52:54:00:36:D0:A8",
            "-j",
            "RETURN",
        ]);
        let marked = rule(family, Protocol::Tcp, Some(PortRange::single(80)), RuleTarget::Mark(1));
        let rules = vec![peer(), marked.clone(), marked.clone(), marked];
        assert_eq!(firewall.live(&key(family, Table::Mangle)), Some(Resource::Chain { rules, jumps: 0 }));
    }
}

/// Counts packets of a real connection attempt behind the chain: the chain does what its rules say, not only look so.
fn no_packet_is_marked_that_a_rule_does_not_name() {
    let firewall = Firewall::new(Family::Ipv4);
    let marked = |port, mark| ChainRule::Known {
        destination: Some("127.0.0.2".parse().expect("an address")),
        interface: Some("lo".into()),
        ports: Some(PortMatch { protocol: Protocol::Udp, ports: Some(PortRange::single(port)) }),
        mac_source: None,
        target: RuleTarget::Mark(mark),
    };
    // Twenty-one ports of one mark stand in two rules, and the other mark between them.
    let many = (7010..=7030).map(|port| marked(port, 7));
    let rules = [marked(7001, 5), marked(7002, 6), marked(7020, 7)].into_iter().chain(many).collect();
    let wanted = Resource::Chain { rules, jumps: 1 };
    let create = change(&key(Family::Ipv4, Table::Mangle), None, Some(wanted));
    firewall.perform(&create).expect("the chain is made");
    for mark in ["5", "6", "7", "0"] {
        firewall.run(&["-t", "mangle", "-A", "INPUT", "-p", "udp", "-m", "mark", "--mark", mark]);
    }
    firewall.namespace.enter(|| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        for (port, packets) in [(7001, 1), (7002, 2), (7003, 4), (7010, 1), (7024, 1), (7025, 1), (7030, 1), (7031, 4)]
        {
            for _ in 0..packets {
                socket.send_to(b"x", ("127.0.0.2", port)).expect("a packet is sent");
            }
        }
    });
    let counted = firewall.namespace.run(&["iptables-save", "-c", "-t", "mangle"]);
    let packets = |mark: &str| {
        let rule = format!("--mark {mark}");
        let line = counted.lines().find(|line| line.contains("-A INPUT") && line.ends_with(&rule)).unwrap_or_default();
        line.trim_start_matches('[').split(':').next().unwrap_or_default().to_owned()
    };
    let counts = ["0x5", "0x6", "0x7", "0x0"].map(packets);
    assert_eq!(counts, ["1", "2", "4", "8"], "{counted}");
}
