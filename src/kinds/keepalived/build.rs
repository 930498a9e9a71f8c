//! Makes the configuration of one director out of a topology, and complains of what keepalived would rewrite.
//!
//! Whatever keepalived 2.2 accepts and then silently changes, or what makes `keepalived -t` complain, is a problem here: a
//! failover without a VIP, VIPs of both families in one failover, a service all of whose servers have weight 0.

use super::model::{Configuration, GlobalDefs, Mail, SyncDaemon};
use super::quote::{Refusal, Word};
use super::{instance, script, server};
use crate::kinds::Site;
use crate::source::{Problem, Problems, Span};
use crate::topology::{Failover, Host, Role, Service, Vip};

/// The port of mail (RFC 5321).
const SMTP: u16 = 25;

/// Returns the checked services that a director can hold, with their VIPs.
pub(super) fn checked<'a>(site: &Site<'a>, host: &'a Host) -> Vec<(&'a Vip, &'a Service)> {
    let vips = site.topology.vips_of(&host.name.value);
    vips.flat_map(|vip| vip.services.iter().map(move |service| (vip, service)))
        .filter(|(_, service)| service.is_checked())
        .collect()
}

/// Tells what in the topology first asks for keepalived on a host, if anything does.
pub(super) fn origin(site: &Site<'_>, host: &Host) -> Option<Span> {
    if host.role != Role::Director || !host.managed {
        return None;
    }
    let failover = site.topology.failovers_of(&host.name.value).next().map(|failover| failover.name.span);
    failover.or_else(|| checked(site, host).first().map(|(_, service)| service.name.span))
}

/// Makes the configuration of a director.
pub(super) fn configuration(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Option<Configuration> {
    let global = global_defs(site, host, problems);
    let failovers = site.topology.failovers_of(&host.name.value);
    let instances = failovers.filter_map(|failover| instance::build(site, host, failover, problems)).collect();
    let checked = checked(site, host).into_iter();
    let servers = checked.flat_map(|(vip, service)| server::build(vip, service, problems)).collect();
    let scripts = script::scripts(site, host, problems);
    let sync_groups = sync_groups(site, host, problems)?;
    Some(Configuration { global: global?, scripts: scripts?, sync_groups, instances, servers })
}

fn global_defs(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Option<GlobalDefs> {
    let router_id = word(Word::new(host.name.value.as_str()), "director's name", host.name.span, problems);
    let mail = mail(site, problems);
    let sync_daemon = sync_daemon(site, host, problems);
    Some(GlobalDefs { router_id: router_id?, mail, sync_daemon })
}

fn mail(site: &Site<'_>, problems: &mut Problems) -> Option<Mail> {
    let email = site.topology.email.as_ref()?;
    let mut solid = |text: &str, what| word(Word::solid(text), what, email.span, problems);
    let to: Vec<Option<Word>> = email.value.to.iter().map(|to| solid(to, "recipient of mail")).collect();
    let from = solid(&email.value.from, "sender of mail");
    let smtp = solid(&email.value.smtp, "name of the mail server");
    Some(Mail {
        to: to.into_iter().collect::<Option<_>>()?,
        from: from?,
        smtp: smtp?,
        port: email.value.port.unwrap_or(SMTP),
        timeout: email.value.timeout,
    })
}

/// Returns the groups of the failovers that a director takes part in; their members have the same directors.
fn sync_groups(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Option<Vec<(Word, Vec<Word>)>> {
    let own: Vec<&str> =
        site.topology.failovers_of(&host.name.value).map(|failover| failover.name.value.as_str()).collect();
    let mut groups = Vec::new();
    for group in site.topology.sync_groups.values() {
        let here = group.failovers.iter().filter(|name| own.contains(&name.value.as_str()));
        let members: Vec<_> =
            here.map(|name| word(Word::new(&name.value), "failover's name", name.span, problems)).collect();
        if !members.is_empty() {
            let name = word(Word::new(&group.name.value), "sync group's name", group.name.span, problems)?;
            groups.push((name, members.into_iter().collect::<Option<_>>()?));
        }
    }
    Some(groups)
}

/// Returns the synchronisation of connections; the kernel has one per direction, so keepalived takes one.
fn sync_daemon(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Option<SyncDaemon> {
    let mut wanted = site
        .topology
        .failovers_of(&host.name.value)
        .filter_map(|failover| failover.sync_daemon.as_ref().map(|daemon| (failover, daemon)));
    let (failover, daemon) = wanted.next()?;
    for (other, further) in wanted {
        problems.push(
            Problem::error("sync-daemon-twice", format!("Director {} would run two sync daemons", host.name.value))
                .label(further.span, format!("for failover {}", other.name.value))
                .label(daemon.span, format!("for failover {}", failover.name.value))
                .help("The kernel synchronises all connections at once; keep one `sync-daemon` per director"),
        );
    }
    let interface = match &daemon.interface {
        Some(interface) => Some(interface.value.as_str()),
        None => interface(site, host, failover, problems),
    };
    let interface = word(Word::solid(interface?), "interface of the sync daemon", daemon.span, problems);
    let instance = word(Word::new(&failover.name.value), "failover's name", failover.name.span, problems);
    let id = daemon.id.as_ref().map_or(failover.virtual_router_id.value, |id| id.value);
    Some(SyncDaemon { interface: interface?, instance: instance?, id, options: daemon.options.clone() })
}

/// Returns the interface of a failover's adverts on a director.
pub(super) fn interface<'a>(
    site: &Site<'a>,
    host: &'a Host,
    failover: &'a Failover,
    problems: &mut Problems,
) -> Option<&'a str> {
    let declared = failover.interface.as_ref().map(|interface| interface.value.as_str());
    let found = declared.or_else(|| site.interface_of(host));
    if found.is_none() {
        let message = format!("The interface of failover {} on {} is not known", failover.name.value, host.name.value);
        // A host that was not asked may still tell; one that was asked has already been silent.
        let problem = match site.facts.contains_key(&host.name.value) {
            true => Problem::error("failover-interface-unknown", message),
            false => Problem::warning("failover-interface-unknown", message),
        };
        problems.push(
            problem
                .label(failover.name.span, "this failover")
                .label(host.name.span, "no interface of this director holds its first address")
                .help("Name it, as in `interface \"eth0\"` on the director or on the failover"),
        );
    }
    found
}

/// Returns a word, or reports why keepalived cannot be given it.
pub(super) fn word<T>(made: Result<T, Refusal>, what: &str, span: Span, problems: &mut Problems) -> Option<T> {
    made.inspect_err(|refusal| {
        problems.push(
            Problem::error("keepalived-text", format!("The {what} {refusal}"))
                .label(span, "would become a part of keepalived.conf")
                .help("keepalived.conf has no way to write this; choose a text without it"),
        );
    })
    .ok()
}
