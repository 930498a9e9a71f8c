//! Makes the `vrrp_instance` of a failover on one director.

use std::net::IpAddr;

use super::build::{interface, word};
use super::model::{Unicast, VirtualAddress, VirtualRoute, VrrpInstance};
use super::quote::{RawLine, SecretWord, Word};
use super::script;
use crate::kinds::{Site, interface as vip_interface};
use crate::source::{Problem, Problems};
use crate::topology::{Failover, Family, Floating, FloatingRoute, Host, Preemption, VrrpVersion};

/// Makes the instance.
pub(super) fn build(
    site: &Site<'_>,
    host: &Host,
    failover: &Failover,
    problems: &mut Problems,
) -> Option<VrrpInstance> {
    let member = failover.members.get(&host.name.value)?;
    let name = word(Word::new(&failover.name.value), "failover's name", failover.name.span, problems);
    let device = interface(site, host, failover, problems)
        .and_then(|device| word(Word::solid(device), "interface's name", failover.name.span, problems));
    let family = family(site, failover, problems)?;
    let version = match family {
        Family::Ipv4 => failover.version,
        Family::Ipv6 => VrrpVersion::V3,
    };
    let auth_pass = auth_pass(site, failover, version, problems);
    let unicast = if failover.unicast { unicast(site, host, failover, family, problems) } else { None };
    let options = &failover.options;
    let mut lines = |advertised: bool| -> Option<Vec<VirtualAddress>> {
        let floating = site.topology.floating(failover);
        let wanted = floating.filter(|one| options.advertises(one.address().value) == advertised);
        let lines: Vec<_> = wanted.map(|one| address(site, host, failover, one, problems)).collect();
        lines.into_iter().collect()
    };
    let (addresses, excluded) = (lines(true), lines(false));
    let tracked = options.tracked_interfaces.iter();
    let tracked: Vec<_> =
        tracked.map(|device| word(Word::solid(&device.value), "interface's name", device.span, problems)).collect();
    let raw: Vec<_> =
        options.raw.iter().map(|line| word(RawLine::new(&line.value), "raw line", line.span, problems)).collect();
    let routes: Vec<_> = options.routes.iter().map(|one| route(site, host, failover, one, problems)).collect();
    let tracked_scripts = options.tracked_scripts.iter();
    let tracked_scripts: Vec<_> =
        tracked_scripts.map(|name| word(Word::solid(&name.value), "script's name", name.span, problems)).collect();
    let notify = script::notify(&options.notify, problems);
    Some(VrrpInstance {
        name: name?,
        starts_as_master: failover.preemption == Preemption::Immediate
            && failover.by_priority().first() == Some(&&host.name.value),
        interface: device?,
        virtual_router_id: failover.virtual_router_id.value,
        priority: member.priority.value,
        advert_interval: advert_interval(failover, version, problems)?,
        version,
        preemption: failover.preemption,
        auth_pass,
        unicast,
        smtp_alert: failover.email && site.topology.email.is_some(),
        source: failover.source_address(&host.name.value, host).map(|source| source.value),
        virtual_interface: match site.topology.virtual_interface(failover) {
            Some(name) => Some(word(Word::solid(&name), "interface's name", failover.name.span, problems)?),
            None => None,
        },
        garp: options.garp,
        tracked_interfaces: tracked.into_iter().collect::<Option<_>>()?,
        tracked_scripts: tracked_scripts.into_iter().collect::<Option<_>>()?,
        notify: notify?,
        addresses: addresses?,
        excluded: excluded?,
        routes: routes.into_iter().collect::<Option<_>>()?,
        raw: raw.into_iter().collect::<Option<_>>()?,
    })
}

/// Returns the one family of a failover's VIPs: keepalived drops those of another from the adverts.
fn family(site: &Site<'_>, failover: &Failover, problems: &mut Problems) -> Option<Family> {
    let name = &failover.name.value;
    let mut advertised = site.topology.advertised(failover).map(|floating| floating.address());
    let Some(first) = advertised.next() else {
        problems.push(
            Problem::error("failover-without-vip", format!("Failover {name} has no VIP"))
                .label(failover.name.span, "nothing fails over here")
                .help(format!("Add a `vip \"ADDRESS\" failover={name:?}`, or take the failover away")),
        );
        return None;
    };
    let family = Family::of(first.value);
    if let Some(other) = advertised.find(|address| Family::of(address.value) != family) {
        problems.push(
            Problem::error("failover-mixes-families", format!("Failover {name} has VIPs of both families"))
                .label(other.span, "VRRP speaks one family per virtual router")
                .label(first.span, "the other family")
                .help("Make a failover each for IPv4 and IPv6"),
        );
        return None;
    }
    Some(family)
}

fn auth_pass(
    site: &Site<'_>,
    failover: &Failover,
    version: VrrpVersion,
    problems: &mut Problems,
) -> Option<SecretWord> {
    let secret = failover.auth_pass.as_ref()?;
    if version == VrrpVersion::V3 {
        problems.push(
            Problem::error(
                "auth-pass-ignored",
                format!("Failover {} has a password without effect", failover.name.value),
            )
            .label(secret.span, "VRRP version 3, which IPv6 needs, has no authentication (RFC 5798, section 9)")
            .help("Take `auth-pass` away, or stay with version 2 and IPv4"),
        );
        return None;
    }
    word(SecretWord::new(secret.value.piece(site.secrets)), "failover's password", secret.span, problems)
}

/// Returns the interval that keepalived takes: whole seconds under version 2, hundredths up to 40.95 under version 3.
fn advert_interval(failover: &Failover, version: VrrpVersion, problems: &mut Problems) -> Option<std::time::Duration> {
    let interval = failover.advert_interval;
    let micros = interval.as_micros();
    let (fits, help) = match version {
        VrrpVersion::V2 => (
            micros.is_multiple_of(1_000_000) && (1..=255).contains(&interval.as_secs()),
            "Version 2 takes \"1s\" to \"255s\"",
        ),
        VrrpVersion::V3 => (
            micros.is_multiple_of(10_000) && (10_000..=40_950_000).contains(&micros),
            "Version 3 takes \"10ms\" to \"40950ms\" in steps of 10 ms",
        ),
    };
    if !fits {
        problems.push(
            Problem::error("advert-interval", format!("keepalived would round the interval of {interval:?}"))
                .label(failover.name.span, "the `advert-interval` of this failover")
                .help(help),
        );
    }
    fits.then_some(interval)
}

fn unicast(
    site: &Site<'_>,
    host: &Host,
    failover: &Failover,
    family: Family,
    problems: &mut Problems,
) -> Option<Unicast> {
    let near = site.topology.advertised(failover).next().map(|floating| floating.address().value);
    let own = |host: &Host| -> Option<IpAddr> {
        let declared = || host.addresses.iter().map(|network| network.addr());
        let written = failover.source_address(&host.name.value, host).map(|source| source.value);
        let nearby = || near.and_then(|vip| host.address_near(vip));
        written.or_else(nearby).or_else(|| declared().find(|own| Family::of(*own) == family))
    };
    let source = own(host);
    let others = failover.members.keys().filter(|name| **name != host.name.value);
    let others: Vec<&Host> = others.filter_map(|name| site.topology.hosts.get(name)).collect();
    let mut peers = Vec::new();
    for director in std::iter::once(host).chain(others.iter().copied()) {
        match own(director) {
            Some(address) if director.name.value != host.name.value => peers.push(address),
            Some(_) => {}
            None => problems.push(
                Problem::error(
                    "unicast-without-address",
                    format!("Director {} has no {family} address for adverts", director.name.value),
                )
                .label(director.name.span, "needs an address of the VIPs' family")
                .label(failover.name.span, "sends adverts to the directors' own addresses")
                .help("Declare one with `address`, or leave `unicast` out"),
            ),
        }
    }
    Some(Unicast { source: source?, peers })
}

fn address(
    site: &Site<'_>,
    host: &Host,
    failover: &Failover,
    floating: Floating<'_>,
    problems: &mut Problems,
) -> Option<VirtualAddress> {
    let address = floating.address();
    // An unknown interface is the failover's problem, reported once by `interface`.
    let device = match site.topology.virtual_interface_of(failover, floating) {
        Some(_) => None,
        None => {
            let device = vip_interface::of_floating(site, failover, floating, host)?;
            Some(word(Word::solid(device), "interface's name", address.span, problems)?)
        }
    };
    let label = match floating {
        Floating::Vip(vip) => vip.label.as_ref().filter(|_| Family::of(address.value) == Family::Ipv4),
        Floating::Further(_) => None,
    };
    let label = match label {
        Some(label) => Some(word(Word::solid(&label.value), "label", label.span, problems)?),
        None => None,
    };
    Some(VirtualAddress { address: address.value, prefix: floating.prefix(), device, label })
}

/// Makes a route over the interface on which its gateway is: that of a further address, one of the live host, or the failover's.
fn route(
    site: &Site<'_>,
    host: &Host,
    failover: &Failover,
    route: &FloatingRoute,
    problems: &mut Problems,
) -> Option<VirtualRoute> {
    let via = route.via.value;
    let floating = failover.options.addresses.iter().find(|further| further.network.contains(&via));
    let floating = floating.and_then(|further| further.interface.as_ref()).map(|interface| interface.value.as_str());
    let live = || {
        let mut links = site.facts.get(&host.name.value)?.links.iter();
        let near = links.find(|link| link.addresses.iter().any(|address| address.network.contains(&via)));
        near.map(|link| link.name.as_str())
    };
    let device = floating.or_else(live).or_else(|| vip_interface::of_failover(site, Some(failover), host))?;
    let device = word(Word::solid(device), "interface's name", route.via.span, problems)?;
    Some(VirtualRoute { network: route.network.value, via, device })
}
