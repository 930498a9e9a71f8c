//! Waves out of requires edges.

use super::super::graph::order;
use super::{change, desired};

fn waves(changes: &[&str], things: &[(&str, &[&str])]) -> Vec<Vec<String>> {
    let list: Vec<_> = changes.iter().map(|text| change(text)).collect();
    let order = order(&desired(things), &list, &Default::default()).unwrap();
    order.waves.iter().map(|wave| wave.iter().map(|index| changes[*index].to_owned()).collect()).collect()
}

#[test]
fn what_does_not_depend_on_each_other_is_one_wave() {
    let things: &[(&str, &[&str])] = &[("web1 lo", &[]), ("web2 lo", &[])];
    assert_eq!(waves(&["+web1 lo", "+web2 lo"], things), [["+web1 lo", "+web2 lo"]]);
}

#[test]
fn an_edge_through_things_that_do_not_change_still_orders() {
    let things: &[(&str, &[&str])] = &[
        ("web1 sysctl net/a", &[]),
        ("web1 lo", &["web1 sysctl net/a"]),
        ("lb1 server 10.0.0.1", &["web1 lo"]),
        ("lb1 vip", &["lb1 server 10.0.0.1"]),
    ];
    let changes = ["+lb1 vip", "+web1 sysctl net/a"];
    assert_eq!(waves(&changes, things), [["+web1 sysctl net/a"], ["+lb1 vip"]]);
    let list: Vec<_> = changes.iter().map(|text| change(text)).collect();
    let order = order(&desired(things), &list, &Default::default()).unwrap();
    assert_eq!(order.requires[0], [list[1].id.clone()], "the change before it is named, and nothing in between");
    assert!(order.requires[1].is_empty());
}

#[test]
fn a_circle_is_reported_whole() {
    let things: &[(&str, &[&str])] =
        &[("a lo", &["b lo"]), ("b lo", &["c lo"]), ("c lo", &["a lo"]), ("d lo", &["a lo"])];
    let cycle = order(&desired(things), &[change("+a lo")], &Default::default()).map(|_| ()).unwrap_err();
    assert_eq!(cycle.0, ["a/address/lo/192.0.2.100", "b/address/lo/192.0.2.100", "c/address/lo/192.0.2.100"]);
    assert!(cycle.to_string().starts_with("these things require each other in a circle: a/"));
}

#[test]
fn the_order_of_the_input_does_not_matter() {
    let things: &[(&str, &[&str])] =
        &[("a lo", &[]), ("b lo", &["a lo"]), ("c lo", &["a lo"]), ("d lo", &["b lo", "c lo"])];
    let forward = waves(&["+a lo", "+b lo", "+c lo", "+d lo"], things);
    let mut backward = waves(&["+d lo", "+c lo", "+b lo", "+a lo"], things);
    backward.iter_mut().for_each(|wave| wave.sort());
    assert_eq!(forward, backward);
    assert_eq!(forward, [vec!["+a lo"], vec!["+b lo", "+c lo"], vec!["+d lo"]]);
}

/// keepalived forgets one server and takes another, which needs the new route: the route cannot wait for keepalived.
#[test]
fn a_route_that_is_needed_does_not_wait() {
    let things: &[(&str, &[&str])] = &[("lb1 daemon", &["web1 route"]), ("web1 route", &[])];
    let found = waves(&["~lb1 daemon", "-lb1 server 10.0.0.2 (k)", "~web1 route"], things);
    assert_eq!(found, [["-lb1 server 10.0.0.2 (k)"], ["~web1 route"], ["~lb1 daemon"]]);
}
