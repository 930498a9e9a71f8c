//! Failovers: who takes part, and what two of them may not share.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::undeclared;
use crate::source::{Problem, Problems, Spanned};
use crate::topology::decode::Draft;
use crate::topology::{Failover, Family, Role, Topology, VrrpVersion};

/// Checks each failover's directors and mail.
pub fn check_members(draft: &Draft, problems: &mut Problems) {
    for failover in draft.failovers.values() {
        for member in failover.members.values() {
            let name = &member.director.value;
            match draft.hosts.get(name) {
                Some(host) if host.role == Role::Director => {}
                Some(host) => problems.push(
                    Problem::error("not-a-director", format!("\"{name}\" is a real server and cannot hold a VIP"))
                        .label(member.director.span, "not a director")
                        .label(host.name.span, "declared here")
                        .help("Name a director, or declare this host as one"),
                ),
                None if draft.declared.contains(&("host", name.to_string())) => {}
                None => problems.push(undeclared(
                    "director",
                    &Spanned::new(name.as_str(), member.director.span),
                    draft.hosts.values().filter(|host| host.role == Role::Director).map(|host| host.name.as_str()),
                    &format!("`director \"{name}\" {{ address \"…/24\" }}`"),
                )),
            }
        }
        if failover.members.len() == 1 {
            problems.push(
                Problem::error("lone-director", "A failover needs two directors or more")
                    .label(failover.name.span, "has one")
                    .help("Add a second `director`, or write `director=` at the VIP and drop the failover"),
            );
        }
        check_priorities(failover, problems);
        if failover.email && draft.email.is_none() && !draft.declared.contains(&("email", String::new())) {
            problems.push(
                Problem::error("undeclared", "Nobody is named to send mail to")
                    .label(failover.name.span, "has `email #true`")
                    .help("Add `email to=\"…\" from=\"…\" smtp=\"…\"` at the top level"),
            );
        }
    }
}

fn check_priorities(failover: &Failover, problems: &mut Problems) {
    let mut members: Vec<_> = failover.members.values().filter(|member| member.priority.value > 0).collect();
    members.sort_by_key(|member| member.priority.span);
    for (position, member) in members.iter().enumerate() {
        if let Some(first) = members.iter().take(position).find(|other| other.priority == member.priority) {
            problems.push(
                Problem::warning("equal-priority", "Two directors have the same priority")
                    .label(member.priority.span, "the same priority")
                    .label(first.priority.span, "as here")
                    .help("Give each its own; otherwise the higher address decides who is master"),
            );
        }
    }
}

/// Checks what failovers must not share, and that each keeps VIPs that its VRRP can carry.
pub fn check_together(topology: &Topology, problems: &mut Problems) {
    for failover in topology.failovers.values() {
        let mut advertised = topology.advertised(failover).map(|floating| floating.address());
        let sixth = advertised.clone().find(|address| Family::of(address.value) == Family::Ipv6);
        let fourth = advertised.find(|address| Family::of(address.value) == Family::Ipv4);
        if let (Some(sixth), VrrpVersion::V2) = (sixth, failover.version) {
            problems.push(
                Problem::error("family", "An IPv6 VIP needs VRRP version 3")
                    .label(sixth.span, "IPv6")
                    .label(failover.name.span, "speaks version 2")
                    .help("Add `version 3` to the failover"),
            );
        } else if let (Some(sixth), Some(fourth)) = (sixth, fourth) {
            problems.push(
                Problem::error("family", "A failover keeps VIPs of one family")
                    .label(sixth.span, "IPv6")
                    .label(fourth.span, "IPv4")
                    .help("Declare a second failover with the same directors for one of the families"),
            );
        }
    }
    let mut failovers: Vec<&Failover> = topology.failovers.values().collect();
    failovers.sort_by_key(|failover| failover.name.span);
    for (position, later) in failovers.iter().enumerate() {
        for earlier in failovers.iter().take(position) {
            check_pair(topology, earlier, later, problems);
        }
    }
}

fn check_pair(topology: &Topology, earlier: &Failover, later: &Failover, problems: &mut Problems) {
    // A failover that keeps no address yet speaks IPv4.
    let family = |failover| topology.family_of(failover).unwrap_or(Family::Ipv4);
    let same_number = earlier.virtual_router_id == later.virtual_router_id && later.virtual_router_id.value != 0;
    if same_number && family(earlier) == family(later) && share_segment(topology, earlier, later) {
        problems.push(
            Problem::error("duplicate-router-id", "Two failovers have the same virtual router id on one segment")
                .label(later.virtual_router_id.span, "the same number")
                .label(earlier.virtual_router_id.span, "as here")
                .help("Give one of the two another number; each would take the other's adverts for its own"),
        );
    }
    check_virtual_macs(topology, earlier, later, problems);
    let common = later.members.keys().find(|name| earlier.members.contains_key(*name));
    if let (Some(first), Some(second), Some(director)) = (&earlier.sync_daemon, &later.sync_daemon, common) {
        problems.push(
            Problem::error("conflict", format!("The director \"{director}\" would run two sync daemons"))
                .label(second.span, "a second one")
                .label(first.span, "the first one")
                .help("Keep one: it synchronises the connections of every VIP, and the kernel has room for one"),
        );
    }
}

/// A virtual hardware address and the interface that has it are named after the number.
fn check_virtual_macs(topology: &Topology, earlier: &Failover, later: &Failover, problems: &mut Problems) {
    let both = topology.virtual_interface(earlier).zip(topology.virtual_interface(later));
    let common = later.members.keys().find(|name| earlier.members.contains_key(*name));
    if let (Some((one, other)), Some(director)) = (both, common)
        && one == other
        && !share_segment(topology, earlier, later)
    {
        problems.push(
            Problem::error(
                "duplicate-router-id",
                format!("The director \"{director}\" would have two interfaces {one}"),
            )
            .label(later.virtual_router_id.span, "the same number")
            .label(earlier.virtual_router_id.span, "as here")
            .help("Give one of the two another number: their `virtual-mac` and its interface are named after it"),
        );
    }
}

/// Tells whether any two directors of the failovers hear each other: the same interface, and a network in common.
fn share_segment(topology: &Topology, one: &Failover, other: &Failover) -> bool {
    let interfaces = |failover: &Failover| -> BTreeSet<Option<String>> {
        let own = failover.interface.as_ref().map(|interface| interface.value.clone());
        let of = |name| topology.hosts.get(name)?.interface.as_ref().map(|interface| interface.name.value.clone());
        failover.members.keys().map(|name| own.clone().or_else(|| of(name))).collect()
    };
    let networks = |failover: &Failover| -> BTreeSet<(IpAddr, u8)> {
        let hosts = failover.members.keys().filter_map(|name| topology.hosts.get(name));
        hosts.flat_map(|host| &host.addresses).map(|network| (network.network(), network.prefix_len())).collect()
    };
    !interfaces(one).is_disjoint(&interfaces(other)) && !networks(one).is_disjoint(&networks(other))
}
