//! What keepalived does with its virtual servers when it reads a changed file (tried on 2.2.7).
//!
//! It compares the new file with the one that it read before. A virtual server is the same if protocol, address, port, mark and
//! family are; then its settings are edited in place. Anything else is taken away and added. A real server that is no longer in
//! the file goes at once: lvsctl drains those that it knows of first, and the others go with their connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::reload_edits::edits;
use super::{Plan, Step};
use crate::effect::{DestinationKey, Effect, ServiceKey};
use crate::kinds::keepalived::{Block, blocks};
use crate::resource::{Action, Resource, ResourceKey};

/// The settings of a virtual server that decide how traffic is spread.
const SETTINGS: [(&str, &str); 14] = [
    ("lb_algo", "scheduler"),
    ("lvs_sched", "scheduler"),
    ("lb_kind", "forwarding"),
    ("lvs_method", "forwarding"),
    ("persistence_timeout", "persistence"),
    ("persistence_granularity", "persistence mask"),
    ("persistence_engine", "persistence engine"),
    ("ops", "one-packet scheduling"),
    ("sh-port", "scheduler"),
    ("sh-fallback", "scheduler"),
    ("mh-port", "scheduler"),
    ("mh-fallback", "scheduler"),
    ("quorum", "quorum"),
    ("sorry_server", "sorry server"),
];

/// What becomes of a virtual server or of one of its real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadAct {
    /// It is taken away, and another one comes that is about the same servers.
    Replaces(ServiceKey),
    /// It is taken away when its successor serves already.
    HandsOver(ServiceKey),
    /// It is taken away.
    Removes,
    /// It stays, and these settings of it change.
    Edits(BTreeSet<&'static str>),
    /// So many of its real servers stay, and these settings of them change.
    EditsServers(usize, BTreeSet<&'static str>),
    /// So many of its real servers stay and are asked something else.
    ChecksAnew {
        /// How many.
        servers: usize,
        /// Whether a server counts as failed until its first answer.
        is_alpha: bool,
    },
    /// A real server goes after it was drained.
    RemovesDrained(DestinationKey),
    /// A real server goes with its connections.
    RemovesUndrained(DestinationKey),
}

/// One thing that a reload does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadEffect {
    /// The virtual server.
    pub service: ServiceKey,
    /// What becomes of it.
    pub act: ReloadAct,
}

impl ReloadEffect {
    /// Returns the name that JSON has for it.
    pub fn name(&self) -> &'static str {
        match self.act {
            ReloadAct::Replaces(_) => "replaces-service",
            ReloadAct::HandsOver(_) => "hands-service-over",
            ReloadAct::Removes => "removes-service",
            ReloadAct::Edits(_) => "edits-service",
            ReloadAct::EditsServers(..) => "edits-servers",
            ReloadAct::ChecksAnew { .. } => "checks-servers-anew",
            ReloadAct::RemovesDrained(_) => "removes-server-drained",
            ReloadAct::RemovesUndrained(_) => "removes-server-undrained",
        }
    }

    /// Tells whether traffic is cut.
    pub fn cuts(&self) -> bool {
        matches!(self.act, ReloadAct::Replaces(_) | ReloadAct::RemovesUndrained(_))
    }

    /// Returns it in words.
    pub fn text(&self) -> String {
        let service = self.service;
        match &self.act {
            ReloadAct::Replaces(by) => {
                format!(
                    "takes {service} away and adds {by}: it cannot be edited into that, and nothing answers meanwhile"
                )
            }
            ReloadAct::HandsOver(by) => format!("takes {service} away, in whose place {by} serves by then"),
            ReloadAct::Removes => format!("takes {service} away"),
            ReloadAct::Edits(settings) => {
                let settings: Vec<&str> = settings.iter().copied().collect();
                format!("edits {service} in place: {}", settings.join(", "))
            }
            ReloadAct::EditsServers(servers, settings) => {
                let settings: Vec<&str> = settings.iter().copied().collect();
                format!("edits {} of {service} in place: {}", count(*servers), settings.join(", "))
            }
            ReloadAct::ChecksAnew { servers, is_alpha: true } => {
                format!(
                    "checks {} of {service} anew: one that has failed stays out until it is found well",
                    count(*servers)
                )
            }
            ReloadAct::ChecksAnew { servers, is_alpha: false } => format!(
                "checks {} of {service} anew: one that has failed gets connections again until the new check fails as well",
                count(*servers)
            ),
            ReloadAct::RemovesDrained(server) => format!("takes {server} out of {service}, drained"),
            ReloadAct::RemovesUndrained(server) => {
                format!("takes {server} out of {service} undrained, with its connections")
            }
        }
    }
}

fn count(servers: usize) -> String {
    if servers == 1 { "1 server".to_owned() } else { format!("{servers} servers") }
}

/// Returns what the reload of a step does, in the order of services.
pub fn reload(plan: &Plan, step: &Step) -> Vec<ReloadEffect> {
    if (step.change.key(), step.change.action) != (&ResourceKey::KeepalivedDaemon, Action::Update) {
        return Vec::new();
    }
    let host = &step.change.id.host;
    let here = || plan.steps.iter().filter(|step| step.change.id.host == *host);
    let file = here().find(|step| *step.change.key() == ResourceKey::KeepalivedConfiguration);
    let (Some(Resource::File { text: before, .. }), Some(Resource::File { text: after, .. })) =
        file.map_or((None, None), |step| (step.change.before.as_ref(), step.change.after.as_ref()))
    else {
        return Vec::new();
    };
    let drained: BTreeSet<(ServiceKey, DestinationKey)> = here()
        .filter(|step| !step.is_cut)
        .flat_map(|step| &step.effects)
        .filter_map(|effect| match effect {
            Effect::AwaitDrained { service, destination, .. } => Some((*service, *destination)),
            _ => None,
        })
        .collect();
    // A service that lvsctl takes over is told of at its own change.
    let taken_over: BTreeSet<&ResourceKey> =
        here().filter(|step| step.change.action == Action::Replace).map(|step| step.change.key()).collect();
    let mut effects = predict(&before.masked(), &after.masked(), &drained);
    for effect in &mut effects {
        let step = here().find(|step| *step.change.key() == ResourceKey::IpvsService(effect.service));
        // The file does not say what leads packets to a mark; the plan knows.
        let marks = |by: &ServiceKey| [by, &effect.service].iter().any(|key| matches!(key, ServiceKey::Mark { .. }));
        match (&effect.act, step.map(|step| step.successor)) {
            (ReloadAct::Replaces(_) | ReloadAct::Removes, Some(Some(by))) => effect.act = ReloadAct::HandsOver(by),
            (ReloadAct::Replaces(by), Some(None)) if marks(by) => effect.act = ReloadAct::Removes,
            _ => {}
        }
    }
    effects.retain(|effect| !taken_over.contains(&ResourceKey::IpvsService(effect.service)));
    effects
}

/// Compares two files; `drained` are the servers that have no connections when the second one is read.
fn predict(before: &str, after: &str, drained: &BTreeSet<(ServiceKey, DestinationKey)>) -> Vec<ReloadEffect> {
    let (before, after) = (blocks(before), blocks(after));
    let (old, new) = (services(&before), services(&after));
    let (mut effects, mut taken) = (Vec::new(), BTreeSet::new());
    for (service, block) in &old {
        let mut add = |act| effects.push(ReloadEffect { service: *service, act });
        let kept = match new.get(service) {
            Some(kept) => {
                let changed = SETTINGS.iter().filter(|(keyword, _)| line(block, keyword) != line(kept, keyword));
                let changed: BTreeSet<&str> = changed.map(|(_, name)| *name).collect();
                if !changed.is_empty() {
                    add(ReloadAct::Edits(changed));
                }
                edits(block, kept).into_iter().for_each(&mut add);
                servers(kept)
            }
            None => {
                let by = new.iter().find(|(other, block)| {
                    let is_free = !old.contains_key(other) && !taken.contains(*other);
                    is_free && is_like(service, other) && shares(&servers(block), &old, service)
                });
                taken.extend(by.map(|(other, _)| *other));
                add(by.map_or(ReloadAct::Removes, |(other, _)| ReloadAct::Replaces(*other)));
                BTreeSet::new()
            }
        };
        for server in servers(block).difference(&kept) {
            add(match drained.contains(&(*service, *server)) {
                true => ReloadAct::RemovesDrained(*server),
                false => ReloadAct::RemovesUndrained(*server),
            });
        }
    }
    effects
}

fn services(file: &Block) -> BTreeMap<ServiceKey, &Block> {
    file.named("virtual_server").filter_map(|block| Some((block.service()?, block))).collect()
}

fn servers(service: &Block) -> BTreeSet<DestinationKey> {
    service.named("real_server").filter_map(Block::destination).collect()
}

fn line<'a>(block: &'a Block, keyword: &str) -> Option<&'a [String]> {
    block.child(keyword).map(|child| child.words.as_slice())
}

/// Tells whether one service may take the place of another: at the same address, or by a mark.
fn is_like(one: &ServiceKey, other: &ServiceKey) -> bool {
    match (one, other) {
        (ServiceKey::Address { address: one, .. }, ServiceKey::Address { address: other, .. }) => one == other,
        _ => one.family() == other.family(),
    }
}

fn shares(servers_of_new: &BTreeSet<DestinationKey>, old: &BTreeMap<ServiceKey, &Block>, service: &ServiceKey) -> bool {
    let addresses: BTreeSet<IpAddr> = servers_of_new.iter().map(|server| server.address).collect();
    old.get(service).is_some_and(|block| servers(block).iter().any(|server| addresses.contains(&server.address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(head: &str, settings: &str, servers: &[&str]) -> String {
        let servers: String = servers.iter().map(|server| format!("real_server {server} {{\n}}\n")).collect();
        format!("virtual_server {head} {{\n{settings}\n{servers}}}\n")
    }

    fn told(before: &str, after: &str, drained: &[&str]) -> Vec<String> {
        let service = blocks(before).children[0].service().unwrap();
        let drained =
            drained.iter().map(|address| (service, DestinationKey { address: address.parse().unwrap(), port: 80 }));
        let mark = |effect: &ReloadEffect| format!("{}{}", if effect.cuts() { "! " } else { "" }, effect.text());
        predict(before, after, &drained.collect()).iter().map(mark).collect()
    }

    #[test]
    fn what_is_the_same_service_is_edited() {
        let before = server("10.0.0.1 80", "protocol TCP\nlb_algo rr", &["10.0.0.2 80", "10.0.0.3 80"]);
        let after = server("10.0.0.1 80", "protocol TCP\nlb_algo wrr", &["10.0.0.2 80"]);
        let edited = "edits tcp:10.0.0.1:80 in place: scheduler";
        assert_eq!(told(&before, &after, &["10.0.0.3"]), [edited, "takes 10.0.0.3:80 out of tcp:10.0.0.1:80, drained"]);
        let undrained = "! takes 10.0.0.3:80 out of tcp:10.0.0.1:80 undrained, with its connections";
        assert_eq!(told(&before, &after, &[]), [edited, undrained]);
        assert!(told(&before, &before, &[]).is_empty());
    }

    #[test]
    fn what_identifies_a_service_cannot_be_edited() {
        let before = server("10.0.0.1 80", "protocol TCP", &["10.0.0.2 80"]);
        let replaced = |by: &str| {
            format!(
                "! takes tcp:10.0.0.1:80 away and adds {by}: it cannot be edited into that, and nothing answers meanwhile"
            )
        };
        let drained = "takes 10.0.0.2:80 out of tcp:10.0.0.1:80, drained".to_owned();
        for (head, settings, by) in [
            ("10.0.0.1 81", "protocol TCP", "tcp:10.0.0.1:81"),
            ("10.0.0.1 80", "protocol UDP", "udp:10.0.0.1:80"),
            ("fwmark 5", "ip_family inet", "fwm:5"),
        ] {
            let after = server(head, settings, &["10.0.0.2 80"]);
            assert_eq!(told(&before, &after, &["10.0.0.2"]), [replaced(by), drained.clone()]);
        }
        assert_eq!(told(&before, "", &["10.0.0.2"]), ["takes tcp:10.0.0.1:80 away".to_owned(), drained]);
    }
}
