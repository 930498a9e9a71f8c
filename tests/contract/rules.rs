//! iptables.

use lvsctl::effect::{Answer, Effect, Probe};
use lvsctl::host::{Host, HostError};
use lvsctl::topology::Family;

use super::{Bench, ask, failure, mismatch, succeed};

fn restore(family: Family, table: &str, lines: &[&str]) -> Effect {
    let text = format!("*{table}\n{}\nCOMMIT\n", lines.join("\n"));
    Effect::IptablesRestore { family, text }
}

/// Returns the chains and rules of the tables, without counters and comments.
fn saved(host: &mut dyn Host, family: Family) -> Vec<String> {
    let Answer::Iptables(answered, text) = ask(host, &Probe::Iptables(family)) else { mismatch(&"iptables") };
    assert_eq!(answered, family);
    let without_counters = |line: &str| line.split(" [").next().unwrap_or(line).to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(without_counters).collect()
}

fn holds(lines: &[String], wanted: &str) -> bool {
    lines.iter().any(|line| line == wanted)
}

pub fn chains_are_restored_beside_foreign_ones(bench: &dyn Bench) {
    let mut host = bench.connect();
    for (family, destination) in [(Family::Ipv4, "203.0.113.10/32"), (Family::Ipv6, "2001:db8::10/128")] {
        let marked = |port: u16| {
            format!("LVSCTL -d {destination} -p tcp -m tcp --dport {port} -j MARK --set-xmark 0x1/0xffffffff")
        };
        let foreign = [":SITE - [0:0]", "-A SITE -j RETURN", "-A PREROUTING -j SITE"];
        succeed(&mut *host, &[restore(family, "mangle", &foreign)]);
        let (first, second) = (format!("-A {}", marked(80)), format!("-A {}", marked(443)));
        let ours = [":LVSCTL - [0:0]", &first, "-I PREROUTING 1 -j LVSCTL"];
        succeed(&mut *host, &[restore(family, "mangle", &ours)]);
        let lines = saved(&mut *host, family);
        let place = |wanted: &str| {
            lines.iter().position(|line| line == wanted).unwrap_or_else(|| panic!("{wanted}: {lines:#?}"))
        };
        assert!(place("-A PREROUTING -j LVSCTL") < place("-A PREROUTING -j SITE"), "{lines:#?}");
        assert!(holds(&lines, &first) && holds(&lines, ":SITE -") && holds(&lines, ":LVSCTL -"), "{lines:#?}");
        // Declaring a chain again empties it and nothing else.
        succeed(&mut *host, &[restore(family, "mangle", &[":LVSCTL - [0:0]", &second])]);
        let lines = saved(&mut *host, family);
        assert!(!holds(&lines, &first) && holds(&lines, &second) && holds(&lines, "-A SITE -j RETURN"), "{lines:#?}");
        let gone = ["-D PREROUTING -j LVSCTL", "-F LVSCTL", "-X LVSCTL"];
        succeed(&mut *host, &[restore(family, "mangle", &gone)]);
        let lines = saved(&mut *host, family);
        assert!(lines.iter().all(|line| !line.contains("LVSCTL")), "{lines:#?}");
        assert!(holds(&lines, "-A PREROUTING -j SITE"), "{lines:#?}");
    }
    let redirect = "-A LVSCTL -d 203.0.113.10/32 -p tcp -m tcp --dport 80 -j REDIRECT";
    succeed(&mut *host, &[restore(Family::Ipv4, "nat", &[":LVSCTL - [0:0]", redirect, "-A PREROUTING -j LVSCTL"])]);
    assert!(holds(&saved(&mut *host, Family::Ipv4), redirect));
}

pub fn a_refused_restore_changes_nothing(bench: &dyn Bench) {
    let mut host = bench.connect();
    let family = Family::Ipv4;
    succeed(&mut *host, &[restore(family, "mangle", &[":LVSCTL - [0:0]", "-A LVSCTL -j RETURN"])]);
    let before = saved(&mut *host, family);
    for bad in [
        [":LVSCTL - [0:0]", "-A NOWHERE -j RETURN"],
        [":LVSCTL - [0:0]", "-A PREROUTING -j NOWHERE"],
        ["-A LVSCTL -j RETURN", "-X LVSCTL"],
        ["-A LVSCTL -j RETURN", "-D LVSCTL -j ACCEPT"],
    ] {
        let error = failure(&mut *host, &restore(family, "mangle", &bad));
        assert!(
            matches!(&error, HostError::Program { text, .. } if text.contains("line: ") || text.contains("line ")),
            "{error}"
        );
        assert_eq!(saved(&mut *host, family), before, "{bad:?}");
    }
}
