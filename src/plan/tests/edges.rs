//! Every rule of the order of deletions, each with changes that nothing else orders.

use super::super::graph::order;
use super::change;
use crate::compile::Desired;

/// Asserts that changes come one after the other, given in the order in which they must not come by chance.
#[track_caller]
fn assert_order(changes: &[&str]) {
    let mut shuffled: Vec<&str> = changes.to_vec();
    shuffled.reverse();
    let list: Vec<_> = shuffled.iter().map(|text| change(text)).collect();
    let order =
        order(&Desired::new(), &list, &Default::default()).unwrap_or_else(|cycle| panic!("{changes:?}: {cycle}"));
    let waves: Vec<Vec<&str>> =
        order.waves.iter().map(|wave| wave.iter().map(|index| shuffled[*index]).collect()).collect();
    let wanted: Vec<Vec<&str>> = changes.iter().map(|change| vec![*change]).collect();
    assert_eq!(waves, wanted);
}

#[track_caller]
fn assert_free(one: &str, other: &str) {
    let order = order(&Desired::new(), &[change(one), change(other)], &Default::default()).unwrap();
    assert_eq!(order.waves, [[0, 1]], "{one} and {other}");
}

#[test]
fn a_vip_that_moves_goes_when_the_other_director_is_ready() {
    assert_order(&["+lb2 server 10.0.0.1", "-lb1 vip", "+lb2 vip", "-lb1 server 10.0.0.1", "-lb1 service"]);
    assert_free("-lb1 vip", "+lb2 other-vip");
}

#[test]
fn a_vip_that_nobody_takes_goes_when_its_servers_are_drained() {
    assert_order(&["-lb1 server 10.0.0.1", "-lb1 vip", "-lb1 service"]);
}

#[test]
fn a_vip_passes_from_lvsctl_to_keepalived_and_back() {
    assert_order(&["-lb1 vip", "+lb1 daemon"]);
    assert_order(&["-lb1 daemon", "+lb1 vip"]);
}

#[test]
fn a_destination_of_keepalived_is_drained_before_keepalived_is_told() {
    assert_order(&["-lb1 server 10.0.0.1 (k)", "~lb1 conf"]);
    assert_order(&["-lb1 server 10.0.0.1 (k)", "~lb1 daemon"]);
    assert_order(&["-lb1 server 10.0.0.1 (k)", "-lb1 daemon"]);
    assert_free("-lb1 server 10.0.0.1 (k)", "~lb2 conf");
}

#[test]
fn a_destination_goes_after_its_successors_and_before_its_service() {
    assert_order(&["+lb1 server 10.0.0.2", "-lb1 server 10.0.0.1", "-lb1 service"]);
    assert_order(&["~lb1 server 10.0.0.2", "-lb1 server 10.0.0.1"]);
}

#[test]
fn what_keepalived_programs_goes_with_its_reload() {
    assert_order(&["~lb1 daemon", "-lb1 service (k)"]);
    assert_order(&["~lb1 daemon", "±lb1 service (k>l)"]);
}

#[test]
fn static_services_are_there_before_keepalived_brings_the_vip() {
    assert_order(&["+lb1 service", "+lb1 conf"]);
    assert_free("+lb1 service (k)", "+lb1 conf");
}

#[test]
fn a_service_that_leaves_keepalived_does_not_come_before_it() {
    let changes = ["~lb1 conf", "~lb1 daemon", "±lb1 service (k>l)", "+lb1 server 10.0.0.9"].map(change);
    let order = order(&Desired::new(), &changes, &Default::default()).unwrap();
    let wave = |index: usize| order.waves.iter().position(|wave| wave.contains(&index)).unwrap();
    assert!(wave(1) < wave(2), "{:?}", order.waves);
}

#[test]
fn marks_go_after_the_services_that_they_key() {
    assert_order(&["-lb1 service", "-lb1 marks"]);
    assert_order(&["-lb1 daemon", "-lb1 marks"]);
}

#[test]
fn a_real_server_accepts_packets_until_no_director_sends_any() {
    for accepts in ["-web1 lo", "-web1 redirect", "~web1 old-redirect", "-web1 route", "~web1 route"] {
        assert_order(&["-lb1 server 10.0.0.1", accepts]);
        assert_order(&["~lb1 daemon", accepts]);
    }
    assert_order(&["-web1 lo", "-web1 sysctl net/ipv4/conf/lo/arp_ignore"]);
}

#[test]
fn an_address_that_becomes_the_gateway_is_not_the_servers_own_by_then() {
    // Whoever sends to it directly until then is out of luck: the route cannot wait for what waits for the route.
    assert_order(&["-web1 lo", "~web1 route"]);
    assert_free("-web1 lo", "~web2 route");
    let changes = ["-web1 lo", "~web1 route", "-lb1 server 10.0.0.1"].map(change);
    assert_eq!(order(&Desired::new(), &changes, &Default::default()).unwrap().waves, [vec![0, 2], vec![1]]);
}

#[test]
fn keepalived_stops_before_its_file_goes() {
    assert_order(&["-lb1 daemon", "-lb1 conf"]);
}

#[test]
fn the_manifest_is_the_last_of_its_host() {
    assert_order(&["-lb1 vip", "-lb1 sysctl net/ipv4/ip_forward", "-lb1 manifest"]);
    assert_order(&["+lb1 vip", "~lb1 manifest"]);
    assert_free("+lb1 vip", "~lb2 manifest");
}

/// Every pair of changes has an order: no two rules contradict each other.
#[test]
fn no_two_rules_contradict_each_other() {
    let names = [
        "module x",
        "sysctl net/a",
        "vip",
        "other-vip",
        "lo",
        "route",
        "marks",
        "redirect",
        "service",
        "server 10.0.0.1",
        "server 10.0.0.2",
        "conf",
        "daemon",
        "manifest",
    ];
    let mut state = 1u64;
    let mut random = move |below: usize| {
        // xorshift64: enough to mix, and the same on every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..3_000 {
        let mut changes = Vec::new();
        for host in ["lb1", "lb2"] {
            // Who programs a service is one question for all of its destinations.
            let (by, static_to) = (["l", "k", "k>l", "l>k"][random(4)], random(2));
            for name in names {
                let action = ["", "", "+", "-", "~"][random(5)];
                let is_table = name.starts_with("serv");
                let text = match (action, by, is_table) {
                    ("", ..) => continue,
                    (_, "k", true) => format!("{action}{host} {name} (k)"),
                    ("~", "k>l", true) => format!("±{host} {name} (k>l)"),
                    ("-", "k>l", true) => format!("-{host} {name} (k)"),
                    ("~", "l>k", true) if static_to == 0 => format!("~{host} {name} (l>k)"),
                    _ => format!("{action}{host} {name}"),
                };
                changes.push(change(&text));
            }
        }
        if let Err(cycle) = order(&Desired::new(), &changes, &Default::default()) {
            let list: Vec<_> = changes.iter().map(|change| format!("{:?} {}", change.action, change.id)).collect();
            panic!("{cycle}\n{list:#?}");
        }
    }
}
