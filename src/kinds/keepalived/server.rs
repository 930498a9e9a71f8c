//! Makes the `virtual_server` blocks of a checked service.

use super::build::word;
use super::model::{Checker, CheckerKind, Page, RealServer, VirtualServer};
use super::quote::{Refusal, Word};
use super::supervision;
use crate::effect::ServiceKey;
use crate::kinds::ids;
use crate::source::{Problem, Problems, Span};
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
            notify: supervision::notify(&server.notify, server.span, problems)?,
            checker,
        });
    }
    let persistence = service
        .persistence
        .map(|persistence| (u32::try_from(persistence.timeout.as_secs()).unwrap_or(u32::MAX), persistence.netmask));
    let engine = match &service.engine {
        Some(engine) => Some(word(Word::solid(engine), "persistence engine", service.name.span, problems)?),
        None => None,
    };
    let watch = &service.supervision;
    Some(VirtualServer {
        key,
        interval: first.interval,
        scheduler: service.scheduler.clone(),
        forwarding,
        one_packet: service.one_packet,
        engine,
        persistence,
        alpha: watch.alpha.is_some(),
        omega: watch.omega.is_some(),
        quorum: supervision::quorum(watch, problems)?,
        sorry: ids::sorry_key(service, listen),
        servers,
    })
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
    let port = check.kind.has_port().then(|| check.port.unwrap_or(own));
    if port == Some(0) {
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
    let kind = kind(check, problems)?;
    Some(Checker {
        kind,
        port,
        timeout: check.timeout,
        interval: (check.interval != first.interval).then_some(check.interval),
        retries: check.retries,
        retry_delay: check.retry_delay,
    })
}

fn kind(check: &Check, problems: &mut Problems) -> Option<CheckerKind> {
    let mut texts = Texts { span: check.span, problems };
    Some(match &check.kind {
        CheckKind::Tcp => CheckerKind::Tcp,
        CheckKind::Http(http) => CheckerKind::Http(page(http, &mut texts)?),
        CheckKind::Https(http) => CheckerKind::Https(page(http, &mut texts)?),
        CheckKind::Udp(udp) => {
            CheckerKind::Udp(texts.solid(udp.payload.as_deref(), "payload of the check")?, udp.reply)
        }
        CheckKind::Dns(dns) => {
            let name = texts.solid(Some(&dns.name), "name of the check")?;
            CheckerKind::Dns(name?, texts.solid(Some(&dns.record), "record of the check")??)
        }
        CheckKind::Smtp(helo) => CheckerKind::Smtp(texts.solid(helo.as_deref(), "greeting of the check")?),
        CheckKind::Ping => CheckerKind::Ping,
        CheckKind::Script(script) => {
            let run = texts.spaced(Some(&script.run), "program of the check")?;
            CheckerKind::Script(run?, texts.solid(Some(&script.user), "user of the check")??)
        }
    })
}

fn page(http: &HttpCheck, texts: &mut Texts<'_>) -> Option<Page> {
    Some(Page {
        path: texts.solid(Some(&http.path), "path of the check")??,
        status: http.status,
        host: texts.solid(http.host.as_deref(), "host of the check")?,
        digest: texts.solid(http.digest.as_deref(), "digest of the check")?,
        regex: texts.spaced(http.regex.as_deref(), "expression of the check")?,
        sni: http.sni,
    })
}

/// Takes the texts of one check into the configuration.
struct Texts<'a> {
    span: Span,
    problems: &'a mut Problems,
}

impl Texts<'_> {
    /// Takes a text without spaces; `None` if it is refused.
    fn solid(&mut self, text: Option<&str>, what: &str) -> Option<Option<Word>> {
        self.taken(text.map(Word::solid), what)
    }

    /// Takes a text that may hold single spaces; `None` if it is refused.
    fn spaced(&mut self, text: Option<&str>, what: &str) -> Option<Option<Word>> {
        self.taken(text.map(Word::new), what)
    }

    fn taken(&mut self, made: Option<Result<Word, Refusal>>, what: &str) -> Option<Option<Word>> {
        match made {
            Some(made) => word(made, what, self.span, self.problems).map(Some),
            None => Some(None),
        }
    }
}
