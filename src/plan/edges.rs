//! Order that `requires` does not say, mostly of deletions.
//!
//! A deleted thing is no longer desired, so nobody knows what it required; what follows holds for things of its sort.
//! A rule says that one set of changes comes before another:
//!
//! 1. a director gives up a VIP before another one, or keepalived, takes it; the other one has its table ready by then,
//!    and what is behind the VIP goes afterwards. A VIP that nobody takes is given up when its connections are drained;
//! 2. a destination is drained before keepalived is told to forget it, and after its successors are in the table;
//! 3. a destination goes before its service, what keepalived programs goes with keepalived's reload;
//! 4. when a service passes from keepalived to lvsctl, lvsctl adds it after keepalived has taken it away;
//! 5. static services are in the table before keepalived brings the VIP;
//! 6. marks go after the services that they key;
//! 7. a real server keeps accepting packets until no director sends any, and keeps ARP quiet until the VIP is gone; its
//!    default route is only changed after that where nothing new needs the route sooner. A new way to accept them comes
//!    before an old one goes, and an interface goes after its addresses;
//! 8. an address that becomes a real server's gateway is no longer the server's own by then;
//! 9. the daemons that synchronise connections are stopped before keepalived starts its own, and started after it has stopped
//!    those: the kernel has room for one in each direction;
//! 10. a service that takes the place of another is there before the marks change, and these before the other is drained;
//! 11. what restores a host after a reboot is written when everything else there is done, and the manifest after that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::sorts::*;
use super::succession::Successions;
use crate::effect::ServiceKey;
use crate::resource::{Action, Change, Programmer, ResourceKey, Table};
use crate::topology::HostName;

/// One set of changes that comes before another; both hold indexes.
pub struct Rule {
    /// What comes first.
    pub before: Vec<usize>,
    /// What comes then.
    pub after: Vec<usize>,
    /// Whether another rule goes before this one where both cannot hold.
    pub is_soft: bool,
}

/// Returns the rules that apply to these changes.
pub fn rules(changes: &[Change], successions: &Successions) -> Vec<Rule> {
    let mut rules = Vec::new();
    let all = Selection { changes };
    // 1
    rules.extend(vip_rules(&all));
    // 7, across hosts
    let gateways: Vec<(HostName, IpAddr)> = changes.iter().filter_map(new_gateway).collect();
    rules.push(all.rule(
        |change| forgets_table(change) || is_keepalived(change) || is_sent_otherwise(change),
        |change| stops_accepting(change) && !gateways.iter().any(|gateway| is_own_gateway(change, gateway)),
    ));
    let rerouted = all.rule(|change| forgets_table(change) || is_keepalived(change), is_rerouted);
    rules.push(Rule { is_soft: true, ..rerouted });
    // Between nat and fullnat replies find their way as long as the director is the client or the way back.
    rules.push(all.rule(
        |change| change.action != Action::Delete && matches!(change.key(), ResourceKey::DefaultRoute(_)),
        |change| is_of_translation(change) && !gains_rules(change),
    ));
    rules.push(all.rule(
        |change| is_of_translation(change) && gains_rules(change),
        |change| change.action == Action::Delete && matches!(change.key(), ResourceKey::DefaultRoute(_)),
    ));
    for host in all.by_host().into_values() {
        let host = Selected { changes, indexes: host };
        let is_last = |change: &Change| matches!(change.key(), ResourceKey::BootFiles | ResourceKey::Manifest);
        // 2
        rules.push(host.rule(
            |change| is_destination(change, Action::Delete, Some(Programmer::Keepalived)),
            |change| matches!(change.key(), ResourceKey::KeepalivedConfiguration | ResourceKey::KeepalivedDaemon),
        ));
        // 3 and 4
        rules.push(host.rule(is_keepalived, |change| {
            (change.action == Action::Delete && is_service(change, Some(Programmer::Keepalived)))
                || (change.action == Action::Replace && was_keepalived(change))
        }));
        // 5
        let passing: BTreeSet<ServiceKey> = host.services(|change| change.action == Action::Replace).collect();
        rules.push(host.rule(
            |change| {
                change.action == Action::Create
                    && programmer(change) == Some(Programmer::Lvsctl)
                    && !service(change).is_some_and(|service| passing.contains(&service))
            },
            |change| *change.key() == ResourceKey::KeepalivedConfiguration,
        ));
        // 6 and 10
        let is_old = |change: &Change| {
            service(change).is_some_and(|service| successions.successor(&change.id.host, &service).is_some())
        };
        let hands_over = host.indexes.iter().any(|index| is_old(&changes[*index]));
        rules.push(host.rule(
            |change| !hands_over && (forgets_table(change) || is_keepalived(change)),
            |change| change.action == Action::Delete && matches!(change.key(), ResourceKey::Chain { .. }),
        ));
        if hands_over {
            rules.extend(successor_rules(&host, is_old));
        }
        // Parameters outlive the addresses that need them, and modules the rest but the manifest.
        rules.push(host.rule(
            |change| change.action == Action::Delete && !is_parameter(change) && !is_last(change),
            |change| change.action == Action::Delete && is_parameter(change),
        ));
        // keepalived stops before its file goes.
        rules.push(host.rule(
            |change| change.action == Action::Delete && *change.key() == ResourceKey::KeepalivedDaemon,
            |change| change.action == Action::Delete && *change.key() == ResourceKey::KeepalivedConfiguration,
        ));
        // 7, on one host
        let accepts = |change: &Change| {
            stops_accepting(change) && matches!(change.key(), ResourceKey::Address { .. } | ResourceKey::Chain { .. })
        };
        let taken_over = host.rule(starts_accepting, |change| {
            accepts(change) && !gateways.iter().any(|gateway| is_own_gateway(change, gateway))
        });
        rules.push(Rule { is_soft: true, ..taken_over });
        rules.push(host.rule(
            |change| change.action == Action::Delete && matches!(change.key(), ResourceKey::Address { .. }),
            |change| change.action == Action::Delete && matches!(change.key(), ResourceKey::Link(_)),
        ));
        // 8
        rules.push(host.rule(
            |change| gateways.iter().any(|gateway| is_own_gateway(change, gateway)),
            |change| matches!(change.key(), ResourceKey::DefaultRoute(_)),
        ));
        // 9
        let is_daemon = |change: &Change| matches!(change.key(), ResourceKey::SyncDaemon(_));
        rules.push(host.rule(|change| is_daemon(change) && change.action == Action::Delete, is_keepalived));
        rules.push(host.rule(is_keepalived, |change| is_daemon(change) && change.action != Action::Delete));
        // 11
        rules.push(host.rule(|change| !is_last(change), |change| matches!(change.key(), ResourceKey::BootFiles)));
        rules.push(
            host.rule(|change| *change.key() != ResourceKey::Manifest, |change| *change.key() == ResourceKey::Manifest),
        );
        rules.extend(table_rules(&host));
    }
    rules.retain(|rule| !rule.before.is_empty() && !rule.after.is_empty());
    rules
}

/// Returns the rules of successors: they are there first, then packets are led to them, and then what they succeed is drained.
fn successor_rules(host: &Selected<'_>, is_old: impl Fn(&Change) -> bool) -> [Rule; 3] {
    let comes = |change: &Change| change.action == Action::Create && service(change).is_some();
    let leads = |change: &Change| matches!(change.key(), ResourceKey::Chain { table: Table::Mangle, .. });
    let goes = |change: &Change| change.action == Action::Delete && is_old(change);
    [(&comes as &dyn Fn(&Change) -> bool, &leads as &dyn Fn(&Change) -> bool), (&comes, &goes), (&leads, &goes)]
        .map(|(before, after)| Rule { is_soft: true, ..host.rule(before, after) })
}

/// Returns the rules about the VIPs that lvsctl itself holds on directors.
fn vip_rules(all: &Selection<'_>) -> Vec<Rule> {
    let keepalived =
        |change: &Change| matches!(change.key(), ResourceKey::KeepalivedDaemon | ResourceKey::KeepalivedConfiguration);
    if all.changes.iter().any(keepalived) {
        // Whether keepalived takes or gives up the VIP cannot be seen from here: it goes first and comes last.
        return vec![
            all.rule(gives_up_vip, |change| takes_vip(change) || is_keepalived(change) || forgets_table(change)),
            all.rule(is_keepalived, takes_vip),
        ];
    }
    // Sorted by address once: looking through all changes for each VIP would take the square of a large site's time.
    let mut takes: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    let mut behind: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    let mut marked: Vec<usize> = Vec::new();
    for (index, change) in all.changes.iter().enumerate() {
        match (service(change), address(change)) {
            (Some(ServiceKey::Address { address, .. }), _) => behind.entry(address).or_default().push(index),
            (Some(ServiceKey::Mark { .. }), _) => marked.push(index),
            (None, Some(address)) if takes_vip(change) => takes.entry(address).or_default().push(index),
            _ => {}
        }
    }
    let mut rules = Vec::new();
    for (index, given_up) in all.changes.iter().enumerate().filter(|(_, change)| gives_up_vip(change)) {
        let Some(vip) = address(given_up) else { continue };
        let taking = takes.get(&vip).cloned().unwrap_or_default();
        let takers: BTreeSet<&HostName> = taking.iter().map(|index| &all.changes[*index].id.host).collect();
        let serves = |index: &usize| service(&all.changes[*index]).is_some_and(|service| may_serve(&service, vip));
        let by_address = behind.get(&vip).map(Vec::as_slice).unwrap_or_default();
        let serving: Vec<usize> = by_address.iter().chain(&marked).copied().filter(serves).collect();
        let pick = |wanted: &dyn Fn(&Change) -> bool| -> Vec<usize> {
            serving.iter().copied().filter(|index| wanted(&all.changes[*index])).collect()
        };
        let here = |change: &Change| change.id.host == given_up.id.host;
        let rule = |before: Vec<usize>, after: Vec<usize>| Rule { before, after, is_soft: false };
        rules.push(rule(vec![index], taking.clone()));
        rules.push(rule(vec![index], pick(&|change| here(change) && is_deleted_service(change))));
        let drained = pick(&|change| here(change) && is_deleted_destination(change));
        if takers.is_empty() {
            rules.push(rule(drained, vec![index]));
        } else {
            let is_ready = |change: &Change| takers.contains(&change.id.host) && change.action != Action::Delete;
            rules.push(rule(pick(&is_ready), vec![index]));
            rules.push(rule(taking, drained));
        }
    }
    rules
}

/// Returns the rules within each virtual service: new destinations, then drained ones, then the service itself.
fn table_rules(host: &Selected<'_>) -> Vec<Rule> {
    let mut services: BTreeMap<ServiceKey, Vec<usize>> = BTreeMap::new();
    for index in &host.indexes {
        if let Some(service) = service(&host.changes[*index]) {
            services.entry(service).or_default().push(*index);
        }
    }
    let mut rules = Vec::new();
    for indexes in services.into_values() {
        let service = Selected { changes: host.changes, indexes };
        let drained = |change: &Change| is_destination(change, Action::Delete, Some(Programmer::Lvsctl));
        rules.push(service.rule(
            |change| change.action != Action::Delete && matches!(change.key(), ResourceKey::IpvsDestination(..)),
            drained,
        ));
        rules.push(service.rule(is_deleted_destination, is_deleted_service));
    }
    rules
}

struct Selection<'a> {
    changes: &'a [Change],
}

impl Selection<'_> {
    fn rule(&self, before: impl Fn(&Change) -> bool, after: impl Fn(&Change) -> bool) -> Rule {
        Selected { changes: self.changes, indexes: (0..self.changes.len()).collect() }.rule(before, after)
    }

    fn by_host(&self) -> BTreeMap<&HostName, Vec<usize>> {
        let mut hosts: BTreeMap<&HostName, Vec<usize>> = BTreeMap::new();
        for (index, change) in self.changes.iter().enumerate() {
            hosts.entry(&change.id.host).or_default().push(index);
        }
        hosts
    }
}

struct Selected<'a> {
    changes: &'a [Change],
    indexes: Vec<usize>,
}

impl Selected<'_> {
    /// Returns the virtual services that the wanted changes are about.
    fn services(&self, wanted: impl Fn(&Change) -> bool) -> impl Iterator<Item = ServiceKey> {
        self.indexes.iter().map(|index| &self.changes[*index]).filter(move |change| wanted(change)).filter_map(service)
    }

    fn rule(&self, before: impl Fn(&Change) -> bool, after: impl Fn(&Change) -> bool) -> Rule {
        let pick = |wanted: &dyn Fn(&Change) -> bool| {
            self.indexes.iter().copied().filter(|index| wanted(&self.changes[*index])).collect()
        };
        Rule { before: pick(&before), after: pick(&after), is_soft: false }
    }
}
