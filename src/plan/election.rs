//! What keepalived's VRRP will do when it reads a changed configuration: it is known from its earlier one.

use crate::kinds::keepalived::vrrp::{Instance, instances};
use crate::kinds::keepalived::{Passage, blocks, passages};

/// Says what a reload does to the VIPs, in the order of the earlier file; nothing if they stay where they are.
pub fn reload(before: &str, after: &str) -> Vec<String> {
    let (old, new) = (instances(before), instances(after));
    let told = old.iter().filter_map(|instance| consequence(instance, &new)).chain(moved(&old, &new));
    told.chain(synchronisation(before, after)).collect()
}

/// Says what becomes of the daemons that synchronise connections, which keepalived stops and starts where it is told otherwise.
fn synchronisation(before: &str, after: &str) -> Option<String> {
    let words = |text: &str| Some(blocks(text).child("global_defs")?.child("lvs_sync_daemon")?.words.clone());
    (words(before)? != words(after)?).then(|| {
        "the sync daemons start anew, and until all directors have read it, a failover loses connections that were made meanwhile"
            .to_owned()
    })
}

/// Says what passes from one instance to another.
fn moved(old: &[Instance], new: &[Instance]) -> Vec<String> {
    let passages = passages(old, new);
    let is_staged = passages.iter().any(Passage::is_address);
    let told = |Passage { what, from, to, .. }: &Passage| match is_staged {
        _ if from == to => format!(
            "{what} of {to} moves to another interface (virtual MAC): keepalived reads a file without it first, and no director \
             holds it meanwhile"
        ),
        true => format!(
            "{what} moves from {from} to {to}: keepalived reads a file without it first, and no director holds it meanwhile"
        ),
        false => format!(
            "{what} moves from {from} to {to} in one reload, which can leave it on no director; take it out in one apply and \
             put it in with the next"
        ),
    };
    passages.iter().map(told).collect()
}

fn consequence(old: &Instance, new: &[Instance]) -> Option<String> {
    let name = &old.name;
    if let Some(same) = new.iter().find(|new| new.identity == old.identity) {
        let differences = disagreements(old, same);
        if !differences.is_empty() {
            let what = differences.join(" and ");
            return Some(format!(
                "{name}: the directors reject each other's adverts until all have read it, and two can be master ({what})"
            ));
        }
        let gone: Vec<&str> = old.held.difference(&same.held).map(String::as_str).collect();
        return (!gone.is_empty()).then(|| format!("{name}: {} leaves its director", gone.join(", ")));
    }
    let Some(renewed) = new.iter().find(|new| new.name == old.name) else {
        return Some(format!("{name}: this vrrp_instance goes, and its VIPs with it"));
    };
    let (was, is) = (&old.identity, &renewed.identity);
    let changes = [
        (was.router_id != is.router_id, "virtual router id"),
        (was.six != is.six, "address family"),
        (was.interface != is.interface, "interface"),
        (was.unicast.is_some() != is.unicast.is_some(), "multicast or unicast"),
        (was.unicast.is_some() && is.unicast.is_some() && was.unicast != is.unicast, "source address"),
        (was.virtual_mac != is.virtual_mac, "virtual MAC"),
    ];
    let changes: Vec<&str> = changes.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect();
    Some(format!("{name}: VRRP elects anew, and its VIPs are dropped meanwhile ({})", changes.join(", ")))
}

/// Returns in what the adverts of a director that has read the file differ from those of one that has not.
pub(super) fn disagreements(old: &Instance, new: &Instance) -> Vec<&'static str> {
    let of = |name: &str| old.agreed.get(name) != new.agreed.get(name);
    let all = [
        (old.advertised != new.advertised, "the advertised addresses"),
        (of("version"), "the version"),
        // Version 3 learns the master's interval from its adverts (RFC 5798, section 6.1).
        (of("advert_int") && !is_third(old), "the interval"),
        (of("auth_type") || of("auth_pass"), "the password"),
    ];
    all.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
}

fn is_third(instance: &Instance) -> bool {
    instance.agreed.get("version").is_some_and(|words| words.first().is_some_and(|word| word == "3"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "vrrp_instance a {\n state MASTER\n interface eth0\n virtual_router_id 1\n priority 9\n advert_int 1\n\
        \x20version 2\n virtual_ipaddress {\n 192.0.2.1/32\n }\n virtual_ipaddress_excluded {\n 192.0.2.9/32\n }\n}\n";

    #[track_caller]
    fn told(from: &str, to: &str, expected: &[&str]) {
        assert!(BEFORE.contains(from), "{from}");
        let told = reload(BEFORE, &BEFORE.replacen(from, to, 1));
        assert_eq!(told, expected);
    }

    #[test]
    fn what_a_reload_does_is_told() {
        let anew = |what: &str| format!("a: VRRP elects anew, and its VIPs are dropped meanwhile ({what})");
        told("router_id 1", "router_id 2", &[&anew("virtual router id")]);
        told("eth0", "eth1", &[&anew("interface")]);
        told(" state", " unicast_peer {\n 192.0.2.3\n }\n state", &[&anew("multicast or unicast")]);
        told(" state", " use_vmac\n state", &[&anew("virtual MAC")]);
        let peers = " unicast_peer {\n 192.0.2.3\n }\n";
        let unicast = BEFORE.replace(" state", &format!("{peers} state"));
        let moves = |what: &str| {
            format!(
                "{what} of a moves to another interface (virtual MAC): keepalived reads a file without it first, and no director \
                 holds it meanwhile"
            )
        };
        let virtually = unicast.replace(" state", " use_vmac\n state");
        assert_eq!(reload(&unicast, &virtually), [moves("192.0.2.1/32"), moves("192.0.2.9/32")]);
        let reject = |what: &str| {
            format!(
                "a: the directors reject each other's adverts until all have read it, and two can be master ({what})"
            )
        };
        told("2.1/32", "2.1/32\n 192.0.2.2/32", &[&reject("the advertised addresses")]);
        told("version 2", "version 3", &[&reject("the version")]);
        told("advert_int 1", "advert_int 2", &[&reject("the interval")]);
        told("192.0.2.9/32", "192.0.2.8/32", &["a: 192.0.2.9/32 leaves its director"]);
        told(BEFORE, "", &["a: this vrrp_instance goes, and its VIPs with it"]);
    }

    #[test]
    fn an_address_that_moves_is_told() {
        let second = BEFORE.replace("instance a", "instance b").replace("router_id 1", "router_id 2");
        let both = |of_a: &str, of_b: &str| {
            BEFORE.replace("192.0.2.1/32", of_a)
                + &second.replace("192.0.2.1/32", of_b).replace("192.0.2.9", "192.0.2.8")
        };
        let told = reload(&both("192.0.2.1/32", "192.0.2.2/32"), &both("192.0.2.3/32", "192.0.2.1/32"));
        let moves: Vec<&String> = told.iter().filter(|told| told.contains("moves from")).collect();
        assert_eq!(moves.len(), 1, "{told:?}");
        assert!(moves[0].starts_with("192.0.2.1/32 moves from a to b: "), "{told:?}");
    }

    #[test]
    fn a_route_that_moves_by_itself_is_told() {
        let route = " virtual_routes {\n 172.16.0.0/12 via 192.0.2.7\n }\n";
        let second = BEFORE.replace("instance a", "instance b").replace("router_id 1", "router_id 2");
        let second = second.replace("2.1/32", "2.2/32").replace("2.9/32", "2.8/32");
        let with = |text: &str| text.replacen(" virtual_ipaddress {", &format!("{route} virtual_ipaddress {{"), 1);
        let told = reload(&(with(BEFORE) + &second), &(BEFORE.to_owned() + &with(&second)));
        assert_eq!(
            told,
            [
                "172.16.0.0/12 via 192.0.2.7 moves from a to b in one reload, which can leave it on no director; take it out in \
              one apply and put it in with the next"
            ]
        );
    }

    #[test]
    fn a_changed_synchronisation_is_told() {
        let global = |line: &str| format!("global_defs {{\n {line}\n}}\n{BEFORE}");
        let id = |id: u8| global(&format!("lvs_sync_daemon eth0 a id {id}"));
        assert!(reload(&id(1), &id(2)).iter().any(|told| told.starts_with("the sync daemons start anew")));
        assert!(reload(&id(1), &id(1)).is_empty() && reload(&id(1), &global("")).is_empty());
        assert!(reload(&global(""), &id(1)).is_empty());
    }

    #[test]
    fn what_stays_is_not_told() {
        told("priority 9", "priority 90", &[]);
        told("vrrp_instance a", "vrrp_instance b", &[]);
        told("192.0.2.1/32", "192.0.2.1", &[]);
        told(" state", " track_interface {\n eth1\n }\n garp_master_delay 7\n notify \"/x\" root\n state", &[]);
        told("192.0.2.9/32", "192.0.2.9/32\n 192.0.2.8/32", &[]);
    }
}
