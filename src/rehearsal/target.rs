//! What is asked in a rehearsal, what must answer, and how the answers should be spread.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::topology::{CheckKind, HostName, HttpCheck, Listen, Protocol, Server, Service, Topology, Vip, VipHolder};

/// Ports that may stand for a listen on every port: the first that no other service of the VIP has.
const ANY_PORT: &[u16] = &[80, 8080, 8000, 8888, 9000];

/// The port on which TLS is spoken unless a check says otherwise.
const HTTPS: u16 = 443;

/// How the requests of a service are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
    /// One datagram each way.
    Datagram,
    /// The greeting of a mail server.
    Mail,
}

/// One listen of a service, to which requests are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The VIP.
    pub vip: IpAddr,
    /// The failover that holds the VIP, if one does.
    pub failover: Option<String>,
    /// The service's name.
    pub service: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port that is asked.
    pub port: u16,
    /// What is spoken; `None` for a protocol that the rehearsal cannot speak.
    pub language: Option<Language>,
    /// The servers' hosts with their weights.
    pub weights: BTreeMap<HostName, u32>,
    /// The scheduler's name.
    pub scheduler: String,
    /// Whether one client stays with one server.
    pub is_sticky: bool,
}

impl Target {
    /// Returns where requests go.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.port)
    }

    /// Returns the name under which the target is reported, such as `10.4.1.190:80/tcp http`.
    pub fn title(&self) -> String {
        format!("{}/{} {}", self.address(), self.protocol, self.service)
    }

    /// Returns how many of `requests` each server should answer, if the scheduler says so exactly: round robin does.
    pub fn expected(&self, requests: u32) -> Option<BTreeMap<HostName, f64>> {
        let is_weighted = self.scheduler == "wrr";
        if self.is_sticky || !(is_weighted || self.scheduler == "rr") {
            return None;
        }
        let shares = self.weights.iter().filter(|(_, weight)| **weight > 0);
        let shares: Vec<_> =
            shares.map(|(host, weight)| (host.clone(), if is_weighted { f64::from(*weight) } else { 1.0 })).collect();
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        Some(shares.into_iter().map(|(host, share)| (host, f64::from(requests) * share / sum)).collect())
    }
}

/// What a host must listen on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The TCP ports, with what is spoken there and the statuses that checks expect at their paths.
    pub pages: BTreeMap<u16, Pages>,
    /// The UDP ports, with the addresses from which an answer may have to come.
    pub datagrams: BTreeMap<u16, BTreeSet<IpAddr>>,
    /// The TCP ports on which a mail server greets.
    pub mail: BTreeSet<u16>,
}

/// What is served on a TCP port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The status at each path that a check asks for.
    pub statuses: BTreeMap<String, u16>,
}

/// Returns every listen of every service.
pub fn targets(topology: &Topology) -> Vec<Target> {
    let listens =
        topology.services().flat_map(|(vip, service)| service.listens.iter().map(move |one| (vip, service, one)));
    listens.map(|(vip, service, listen)| target(vip, service, listen)).collect()
}

fn target(vip: &Vip, service: &Service, listen: &Listen) -> Target {
    let language = match listen.protocol {
        Protocol::Tcp if is_mail(vip, service, listen) => Some(Language::Mail),
        Protocol::Tcp if is_tls(vip, service, listen) => Some(Language::Https),
        Protocol::Tcp => Some(Language::Http),
        Protocol::Udp => Some(Language::Datagram),
        Protocol::Sctp => None,
    };
    let mut weights = BTreeMap::new();
    for server in &service.servers {
        *weights.entry(server.host.value.clone()).or_insert(0) += server.weight;
    }
    Target {
        vip: vip.address.value,
        failover: match &vip.holder {
            VipHolder::Failover(name) => Some(name.value.clone()),
            VipHolder::Director(_) => None,
        },
        service: service.name.value.clone(),
        protocol: listen.protocol,
        port: asked_port(vip, listen),
        language,
        weights,
        scheduler: service.scheduler.name.clone(),
        is_sticky: service.persistence.is_some(),
    }
}

/// Returns what each host must offer so that every target is answered and every check passes.
pub fn offers(topology: &Topology) -> BTreeMap<HostName, Offer> {
    let mut offers: BTreeMap<HostName, Offer> = BTreeMap::new();
    for (vip, service) in topology.services() {
        for server in &service.servers {
            let offer = offers.entry(server.host.value.clone()).or_default();
            for listen in &service.listens {
                let port = served_port(vip, server, listen);
                match listen.protocol {
                    Protocol::Tcp if is_mail(vip, service, listen) => drop(offer.mail.insert(port)),
                    Protocol::Tcp => offer.pages.entry(port).or_default().tls |= is_tls(vip, service, listen),
                    Protocol::Udp => {
                        offer.datagrams.entry(port).or_default().extend([server.address, vip.address.value]);
                    }
                    Protocol::Sctp => {}
                }
                add_check(offer, server, port);
            }
        }
    }
    offers
}

fn add_check(offer: &mut Offer, server: &Server, port: u16) {
    let Some(check) = &server.check else { return };
    let port = check.port.unwrap_or(port);
    let Offer { pages, datagrams, mail } = offer;
    let mut add_page = |page: &HttpCheck, tls: bool| {
        let pages = pages.entry(port).or_default();
        pages.tls |= tls;
        pages.statuses.insert(page.path.clone(), page.status.unwrap_or(200));
    };
    match &check.kind {
        CheckKind::Udp(_) | CheckKind::Dns(_) => drop(datagrams.entry(port).or_default().insert(server.address)),
        CheckKind::Smtp(_) => drop(mail.insert(port)),
        CheckKind::Tcp if mail.contains(&port) => {}
        CheckKind::Tcp => drop(pages.entry(port).or_default()),
        CheckKind::Http(page) => add_page(page, false),
        CheckKind::Https(page) => add_page(page, true),
        CheckKind::Ping | CheckKind::Script(_) => {}
    }
}

fn asked_port(vip: &Vip, listen: &Listen) -> u16 {
    if listen.ports.first != 0 {
        return listen.ports.first;
    }
    let others = vip.services.iter().flat_map(|service| &service.listens);
    let taken: Vec<_> = others.filter(|other| other.protocol == listen.protocol).map(|other| other.ports).collect();
    let is_free = |port: &u16| !taken.iter().any(|ports| ports.first != 0 && (ports.first..=ports.last).contains(port));
    ANY_PORT.iter().copied().find(is_free).unwrap_or(1)
}

fn served_port(vip: &Vip, server: &Server, listen: &Listen) -> u16 {
    server.port.as_ref().map_or_else(|| asked_port(vip, listen), |port| port.value)
}

/// Tells whether mail servers are behind a port: a check of the very port knows.
fn is_mail(vip: &Vip, service: &Service, listen: &Listen) -> bool {
    service.servers.iter().any(|server| {
        let port = served_port(vip, server, listen);
        let check = server.check.as_ref();
        check.is_some_and(|check| {
            matches!(check.kind, CheckKind::Smtp(_)) && check.port.is_none_or(|checked| checked == port)
        })
    })
}

/// Tells whether TLS is spoken: a check of the very port knows, else port 443 does.
fn is_tls(vip: &Vip, service: &Service, listen: &Listen) -> bool {
    let checks = service.servers.iter().filter_map(|server| {
        let check = server.check.as_ref()?;
        let port = served_port(vip, server, listen);
        let is_of_port = check.port.unwrap_or(port) == port;
        match check.kind {
            CheckKind::Https(_) if is_of_port => Some(true),
            CheckKind::Http(_) if is_of_port => Some(false),
            _ => None,
        }
    });
    let mut checks = checks;
    checks.next().unwrap_or(listen.ports.first == HTTPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::{at, host, reference_site, server, service, topology, vip};
    use crate::topology::{PortRange, Role, Scheduler};

    #[test]
    fn the_reference_site_has_two_targets_and_what_answers_them() {
        let site = reference_site();
        let targets = targets(&site);
        assert_eq!(
            targets.iter().map(Target::title).collect::<Vec<_>>(),
            ["10.4.1.190:80/tcp http", "10.4.1.190:443/tcp https"]
        );
        assert_eq!(
            targets.iter().map(|target| target.language).collect::<Vec<_>>(),
            [Some(Language::Http), Some(Language::Https)]
        );
        let offers = offers(&site);
        assert_eq!(offers.keys().map(HostName::as_str).collect::<Vec<_>>(), ["web1", "web2"]);
        let pages = &offers[&HostName::new("web1")].pages;
        assert_eq!(pages.keys().copied().collect::<Vec<_>>(), [80, 443]);
        assert_eq!((pages[&80].tls, pages[&443].tls), (false, true));
        assert_eq!(pages[&443].statuses["/lbtest.html"], 200);
    }

    #[test]
    fn a_mapped_port_is_served_and_the_listened_one_asked() {
        let web = host(Role::RealServer, "w", "10.0.0.2/24", None);
        let mapped = Server { port: Some(at(8443)), ..server(&web) };
        let services = vec![service("https", Protocol::Tcp, 443, vec![mapped])];
        let site =
            topology(vec![web], vec![], vec![vip("10.0.0.9", VipHolder::Director(at(HostName::new("d"))), services)]);
        assert_eq!(targets(&site)[0].port, 443);
        let offers = offers(&site);
        assert!(offers[&HostName::new("w")].pages[&8443].tls);
        assert_eq!(offers[&HostName::new("w")].pages.len(), 1);
    }

    #[test]
    fn every_port_is_tried_on_one_that_is_nobody_elses() {
        let web = host(Role::RealServer, "w", "10.0.0.2/24", None);
        let all = |name| service(name, Protocol::Tcp, 0, vec![server(&web)]);
        let holder = || VipHolder::Director(at(HostName::new("d")));
        let asked =
            |services| targets(&topology(vec![], vec![], vec![vip("10.0.0.9", holder(), services)])).remove(0).port;
        assert_eq!(asked(vec![all("all")]), 80);
        assert_eq!(asked(vec![all("all"), service("http", Protocol::Tcp, 80, vec![])]), 8080);
        assert_eq!(asked(vec![all("all"), service("other", Protocol::Udp, 80, vec![])]), 80);
    }

    #[test]
    fn a_datagram_may_have_to_be_answered_from_the_vip() {
        let web = host(Role::RealServer, "w", "10.0.0.2/24", None);
        let services = vec![service("dns", Protocol::Udp, 53, vec![server(&web)])];
        let site =
            topology(vec![web], vec![], vec![vip("10.0.0.9", VipHolder::Director(at(HostName::new("d"))), services)]);
        let expected = ["10.0.0.2", "10.0.0.9"].map(|address| address.parse().unwrap());
        assert_eq!(offers(&site)[&HostName::new("w")].datagrams[&53], BTreeSet::from(expected));
    }

    #[test]
    fn only_round_robin_promises_a_spread() {
        let webs = [("a", 1), ("b", 3), ("c", 0)].map(|(name, weight)| {
            let host = host(Role::RealServer, name, "10.0.0.2/24", None);
            Server { weight, ..server(&host) }
        });
        let mut service = service("http", Protocol::Tcp, 80, webs.into());
        let listen =
            Listen { protocol: Protocol::Tcp, ports: PortRange { first: 0, last: 0 }, span: service.listens[0].span };
        let site = vip("10.0.0.9", VipHolder::Director(at(HostName::new("d"))), vec![]);
        let expect = |service: &Service| target(&site, service, &listen).expected(100);
        let shares =
            |pairs: &[(&str, f64)]| Some(pairs.iter().map(|(name, share)| (HostName::new(name), *share)).collect());
        assert_eq!(target(&site, &service, &listen).port, 80);
        assert_eq!(expect(&service), shares(&[("a", 50.0), ("b", 50.0)]));
        service.scheduler = Scheduler { name: "wrr".into(), fallback: false, port: false };
        assert_eq!(expect(&service), shares(&[("a", 25.0), ("b", 75.0)]));
        service.scheduler.name = "sh".into();
        assert_eq!(expect(&service), None);
    }
}
