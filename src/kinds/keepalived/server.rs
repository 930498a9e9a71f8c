//! Makes the `virtual_server` blocks of a checked service.

use super::build::word;
use super::model::{Checker, CheckerKind, Page, RealServer, VirtualServer};
use super::quote::Word;
use crate::effect::ServiceKey;
use crate::kinds::ids;
use crate::source::{Problem, Problems};
use crate::topology::{Check, CheckKind, HttpCheck, Listen, OnFailure, Server, Service, Tunnel, Vip};

/// Makes a block for each identity that the service has in the kernel.
pub(super) fn build(vip: &Vip, service: &Service, problems: &mut Problems) -> Vec<VirtualServer> {
    if service.servers.iter().all(|server| server.weight == 0) {
        problems.push(
            Problem::error(
                "service-without-weight",
                format!("Every server of the checked service {} has weight 0", service.name.value),
            )
            .label(service.name.span, "keepalived needs a total weight of at least 1, its quorum")
            .help("Give one server a weight, or take the checks away, which leaves the service to lvsctl"),
        );
        return Vec::new();
    }
    let keys = ids::service_keys(vip, service).into_iter();
    keys.filter_map(|(key, listen)| virtual_server(key, service, listen, problems)).collect()
}

fn virtual_server(
    key: ServiceKey,
    service: &Service,
    listen: &Listen,
    problems: &mut Problems,
) -> Option<VirtualServer> {
    let first = service.servers.iter().find_map(|server| server.check.as_ref())?;
    let forwarding = service.servers.first()?.forwarding.in_kernel();
    let mut servers = Vec::new();
    for server in &service.servers {
        let checker = match &server.check {
            Some(check) => Some(checker(service, server, listen, check, first, problems)?),
            None => None,
        };
        servers.push(RealServer {
            key: ids::destination_key(service, listen, server),
            weight: server.weight,
            method: Some((server.forwarding.in_kernel(), server.tunnel))
                .filter(|own| *own != (forwarding, Tunnel::Ipip)),
            inhibit: service.on_failure == OnFailure::Inhibit,
            upper: server.upper,
            lower: server.lower,
            checker,
        });
    }
    let persistence = service
        .persistence
        .map(|persistence| (u32::try_from(persistence.timeout.as_secs()).unwrap_or(u32::MAX), persistence.netmask));
    let scheduler = service.scheduler.clone();
    let engine = match &service.engine {
        Some(engine) => Some(word(Word::solid(engine), "persistence engine", service.name.span, problems)?),
        None => None,
    };
    let (interval, one_packet) = (first.interval, service.one_packet);
    Some(VirtualServer { key, interval, scheduler, forwarding, one_packet, engine, persistence, servers })
}

fn checker(
    service: &Service,
    server: &Server,
    listen: &Listen,
    check: &Check,
    first: &Check,
    problems: &mut Problems,
) -> Option<Checker> {
    let own = server.port.map_or(listen.ports.first, |port| port.value);
    // A port 0 in the file would be tried as such, and no server would ever be up.
    let port = check.port.unwrap_or(own);
    if port == 0 {
        problems.push(
            Problem::error(
                "check-without-port",
                format!("The check of service {} does not know which port to try", service.name.value),
            )
            .label(check.span, "the service answers on every port")
            .help("Name one, as in check \"tcp\" port=80"),
        );
        return None;
    }
    let mut page = |http: &HttpCheck| {
        let path = word(Word::solid(&http.path), "path of the check", check.span, problems);
        let host = match &http.host {
            Some(host) => Some(word(Word::solid(host), "host of the check", check.span, problems)?),
            None => None,
        };
        Some(Page { path: path?, status: http.status, host })
    };
    let kind = match &check.kind {
        CheckKind::Tcp => CheckerKind::Tcp,
        CheckKind::Http(http) => CheckerKind::Http(page(http)?),
        CheckKind::Https(http) => CheckerKind::Https(page(http)?),
    };
    Some(Checker {
        kind,
        port,
        timeout: check.timeout,
        interval: (check.interval != first.interval).then_some(check.interval),
        retries: check.retries,
        retry_delay: check.retry_delay,
    })
}
