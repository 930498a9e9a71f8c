//! The kernel parameters that the services of a site take, each with its reason.

use std::collections::BTreeMap;

use crate::kinds::ipvs::{CONNECTION_TRACKING, LOOSE_TRACKING};
use crate::kinds::{Site, delivery, interface};
use crate::source::Span;
use crate::topology::{Family, Forwarding, Host, Role, SysctlKey};

/// Turns an IPv4 host into a router.
pub(super) const FORWARDING_IPV4: &str = "net/ipv4/ip_forward";

/// Turns an IPv6 host into a router; it then ignores router advertisements unless `accept_ra` is 2.
pub(super) const FORWARDING_IPV6: &str = "net/ipv6/conf/all/forwarding";

/// A value that a service takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The value that lvsctl sets.
    pub value: &'static str,
    /// Tells whether a value of the operator's does as well.
    pub accepts: fn(&str) -> bool,
    /// Whether the service cannot work otherwise.
    pub vital: bool,
    /// Why, as the end of a label.
    pub because: &'static str,
    /// What asks for it.
    pub origin: Span,
}

/// Returns the name under which a parameter with two names is needed.
pub(super) fn same_parameter(key: &SysctlKey) -> SysctlKey {
    match key.path() {
        "net/ipv4/conf/all/forwarding" => SysctlKey::from_path(FORWARDING_IPV4),
        _ => key.clone(),
    }
}

/// Returns what a host's part in the site takes.
pub(super) fn of(site: &Site<'_>, host: &Host) -> BTreeMap<SysctlKey, Need> {
    let mut needs = BTreeMap::new();
    if host.role == Role::Director {
        forwarding(site, host, &mut needs);
        redirects(site, host, &mut needs);
        tracking(site, host, &mut needs);
        virtual_mac(site, host, &mut needs);
    }
    quiet_arp(site, host, &mut needs);
    open_tunnel(site, host, &mut needs);
    needs
}

/// Returns what the kernel starts with, of the parameters that come only with a module and that lvsctl changes by itself: they
/// have no earlier value if lvsctl loaded the module (`ip_vs_control_net_init_sysctl`, `nf_ct_tcp_loose`).
pub(super) fn kernel_default(key: &SysctlKey) -> Option<&'static str> {
    match key.path() {
        CONNECTION_TRACKING => Some("0"),
        LOOSE_TRACKING => Some("1"),
        _ => None,
    }
}

fn forwarding(site: &Site<'_>, host: &Host, needs: &mut BTreeMap<SysctlKey, Need>) {
    let on = |origin| Need {
        value: "1",
        accepts: |value| value.parse::<i32>().is_ok_and(|value| value != 0),
        vital: true,
        because: "a director forwards",
        origin,
    };
    needs.insert(SysctlKey::from_path(FORWARDING_IPV4), on(host.name.span));
    let mut balanced = site.topology.vips_of(&host.name.value).filter(|vip| !vip.services.is_empty());
    if let Some(vip) = balanced.find(|vip| Family::of(vip.address.value) == Family::Ipv6) {
        needs.insert(SysctlKey::from_path(FORWARDING_IPV6), on(vip.address.span));
    }
}

/// A director that answers clients through the interface on which the servers' replies arrive would tell the servers a
/// shorter way past itself. The kernel does so if either `all` or the interface says 1 (`IN_DEV_ORCONF`).
fn redirects(site: &Site<'_>, host: &Host, needs: &mut BTreeMap<SysctlKey, Need>) {
    for vip in site.topology.vips_of(&host.name.value) {
        let Some(server) = vip
            .services
            .iter()
            .flat_map(|service| &service.servers)
            .find(|server| server.forwarding == Forwarding::Nat && server.address.is_ipv4())
        else {
            continue;
        };
        for name in ["all"].into_iter().chain(interface::of_vip(site, vip, host)) {
            let need = Need {
                value: "0",
                accepts: |value| value == "0",
                vital: false,
                because: "else it sends the replies of a server in the clients' network past itself",
                origin: server.span,
            };
            needs.entry(SysctlKey::interface(name, "send_redirects")).or_insert(need);
        }
    }
}

/// What IPVS translates can only be translated further where connection tracking knows of it.
fn tracking(site: &Site<'_>, host: &Host, needs: &mut BTreeMap<SysctlKey, Need>) {
    for service in site.topology.vips_of(&host.name.value).flat_map(|vip| &vip.services) {
        let full = service.servers.iter().find(|server| server.forwarding == Forwarding::FullNat);
        if let Some(origin) = service.syn_proxy {
            let because = "a SYN proxy answers what belongs to no connection";
            let need = Need { value: "0", accepts: |value| value == "0", vital: true, because, origin };
            needs.entry(SysctlKey::from_path(LOOSE_TRACKING)).or_insert(need);
        }
        let Some(origin) = full.map(|server| server.span).or(service.syn_proxy) else {
            continue;
        };
        let because = "what IPVS translates here is changed further by connection tracking";
        let need = Need { value: "1", accepts: |value| value == "1", vital: true, because, origin };
        needs.entry(SysctlKey::from_path(CONNECTION_TRACKING)).or_insert(need);
    }
}

/// keepalived's interface for a virtual hardware address lies on another one, and both hear every question for an address. Each
/// must answer for its own ones only, or the virtual address is learned for those of the director itself, which never move; with
/// IPv6 keepalived leaves ARP to the host. What comes in there is answered by the interface below, which a strict filter
/// takes for forged.
///
/// Those of the interface below are set by keepalived itself, which never puts them back; lvsctl does.
fn virtual_mac(site: &Site<'_>, host: &Host, needs: &mut BTreeMap<SysctlKey, Need>) {
    let some: fn(&str) -> bool = |value| matches!(value, "1" | "2");
    let loose: fn(&str) -> bool = |value| matches!(value, "0" | "2");
    for failover in site.topology.failovers_of(&host.name.value) {
        let Some(origin) = failover.options.virtual_mac else { continue };
        let mut need = |interface: &str, name: &str, value, accepts, because| {
            let need = Need { value, accepts, vital: true, because, origin };
            needs.entry(SysctlKey::interface(interface, name)).or_insert(need);
        };
        need(
            "all",
            "arp_ignore",
            "1",
            some,
            "else the virtual hardware address answers for the director's own addresses",
        );
        if site.topology.family_of(failover) == Some(Family::Ipv4) {
            need("all", "rp_filter", "0", loose, "a strict filter drops what comes in by a virtual hardware address");
            if let Some(below) = interface::of_failover(site, Some(failover), host) {
                let because = "keepalived sets it for a virtual hardware address";
                need(below, "arp_ignore", "1", some, because);
                need(below, "arp_filter", "1", |value| value == "1", because);
            }
        }
    }
}

/// A real server that holds the VIP must leave ARP for it to the director. What counts is the larger of `all` and the
/// interface, so only too small a value of `all` does harm; `arp_ignore` 3 and 8 silence more than the VIP.
fn quiet_arp(site: &Site<'_>, host: &Host, needs: &mut BTreeMap<SysctlKey, Need>) {
    let ignore: fn(&str) -> bool = |value| matches!(value, "1" | "2");
    let announce: fn(&str) -> bool = |value| value == "2";
    for vip in site.topology.vips.values().filter(|vip| vip.address.value.is_ipv4()) {
        for server in delivery::parts(vip, host) {
            for key in delivery::device(vip, server).into_iter().flat_map(delivery::quiet_arp) {
                let (value, accepts) = if key.path().ends_with("arp_ignore") { ("1", ignore) } else { ("2", announce) };
                let is_of_all = key.path().starts_with("net/ipv4/conf/all/");
                let accepts = if is_of_all { accepts } else { |_: &str| true };
                let because = "the VIP is on an interface of this host, and the director alone answers for it";
                needs.entry(key).or_insert(Need { value, accepts, vital: true, because, origin: server.span });
            }
        }
    }
}

/// What comes out of a tunnel has a sender that is reached another way, which a strict filter takes for forged. The loose
/// filter, 2, lets it pass where the host has a default route.
fn open_tunnel(site: &Site<'_>, host: &Host, needs: &mut BTreeMap<SysctlKey, Need>) {
    for vip in site.topology.vips.values().filter(|vip| vip.address.value.is_ipv4()) {
        for server in delivery::parts(vip, host) {
            let Some(end) = delivery::tunnel_end(vip, server) else {
                continue;
            };
            for key in delivery::without_return_path(end.device) {
                let need = Need {
                    value: "0",
                    accepts: |value| matches!(value, "0" | "2"),
                    vital: true,
                    because: "what comes out of a tunnel is answered another way, and a strict filter drops it",
                    origin: server.span,
                };
                needs.entry(key).or_insert(need);
            }
        }
    }
}
