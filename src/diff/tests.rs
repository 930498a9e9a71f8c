//! The table of what is desired, live and owned, and what a manifest is to say.

use super::ownership::digest;
use super::{HostDiff, desired_manifest, diff};
use crate::effect::{DestinationConfig, DestinationKey, ServiceConfig, ServiceFlags, ServiceKey};
use crate::observe::Observation;
use crate::resource::{Action, Entry, Health, HostState, Manifest, Owned, Programmer, Reason, Resource, ResourceKey};
use crate::topology::{Family, Forwarding, HostName, SysctlKey};

const SYSCTL: &str = "net/ipv4/ip_forward";

fn sysctl() -> ResourceKey {
    ResourceKey::Sysctl(SysctlKey::from_path(SYSCTL))
}

fn value(text: &str) -> Resource {
    Resource::Sysctl(text.into())
}

fn state(things: &[(ResourceKey, Resource)]) -> HostState {
    things.iter().map(|(key, resource)| (key.clone(), Entry::new(key.clone(), resource.clone()))).collect()
}

fn owned(things: &[(ResourceKey, Resource)]) -> Manifest {
    let owned = |resource: &Resource| {
        let programmer = super::normalise::programmer(resource);
        Owned { digest: digest(resource), programmer, previous: None }
    };
    Manifest { owned: things.iter().map(|(key, resource)| (key.clone(), owned(resource))).collect(), is_exposed: false }
}

fn observed(live: &[(ResourceKey, Resource)], manifest: Option<Manifest>) -> Observation {
    Observation { state: state(live), manifest, ..Observation::default() }
}

fn compare(desired: &HostState, observed: &Observation) -> HostDiff {
    diff(&HostName::new("lb1"), desired, observed)
}

/// Returns what is done about the parameter, if anything.
fn verdict(desired: Option<&str>, live: Option<&str>, recorded: Option<&str>) -> (Option<(Action, Reason)>, usize) {
    let thing = |text: Option<&str>| text.map(|text| (sysctl(), value(text))).into_iter().collect::<Vec<_>>();
    let manifest = recorded.map(|text| owned(&[(sysctl(), value(text))]));
    let found = compare(&state(&thing(desired)), &observed(&thing(live), manifest));
    let change = found.changes.iter().find(|change| *change.key() == sysctl());
    (change.map(|change| (change.action, change.reason)), found.foreign.len())
}

#[test]
fn the_table_of_desired_live_and_owned() {
    use {Action::*, Reason::*};
    let table = [
        // desired, live, recorded, what is done, foreign things
        (Some("1"), None, None, Some((Create, New)), 0),
        (Some("1"), None, Some("1"), Some((Create, RemovedOnHost)), 0),
        (Some("1"), None, Some("0"), Some((Create, TopologyChanged)), 0),
        (Some("1"), None, Some(""), Some((Create, New)), 0),
        (Some("1"), Some("1"), None, None, 0),
        (Some("1"), Some("1"), Some("1"), None, 0),
        (Some("1"), Some("0"), None, Some((Update, Adopted)), 0),
        (Some("1"), Some("0"), Some("1"), Some((Update, AlteredOnHost)), 0),
        (Some("1"), Some("0"), Some("0"), Some((Update, TopologyChanged)), 0),
        (None, Some("1"), Some("1"), Some((Delete, RemovedFromTopology)), 0),
        (None, Some("1"), None, None, 1),
        (None, None, Some("1"), None, 0),
        (None, None, None, None, 0),
    ];
    for (desired, live, recorded, wanted, foreign) in table {
        // An empty record is one of something that was about to be put there.
        let result = match recorded {
            Some("") => pending(desired, live),
            _ => verdict(desired, live, recorded),
        };
        assert_eq!(result, (wanted, foreign), "desired {desired:?}, live {live:?}, recorded {recorded:?}");
    }
}

fn pending(desired: Option<&str>, live: Option<&str>) -> (Option<(Action, Reason)>, usize) {
    let thing = |text: Option<&str>| text.map(|text| (sysctl(), value(text))).into_iter().collect::<Vec<_>>();
    let mut manifest = owned(&[(sysctl(), value("1"))]);
    manifest.owned.values_mut().for_each(|owned| *owned = owned.clone().pending());
    let found = compare(&state(&thing(desired)), &observed(&thing(live), Some(manifest)));
    let change = found.changes.iter().find(|change| *change.key() == sysctl());
    (change.map(|change| (change.action, change.reason)), found.foreign.len())
}

#[test]
fn an_address_that_keepalived_lets_go_of_is_as_good_as_gone() {
    let (device, address) = ("eth0".to_owned(), "192.0.2.9".parse().unwrap());
    let vip = (ResourceKey::Address { device: device.clone(), address }, Resource::Address { prefix: 32, label: None });
    let daemon =
        |digest: &str| (ResourceKey::KeepalivedDaemon, Resource::Daemon { configuration: Some(digest.into()) });
    let live = [vip.clone(), daemon("old")];
    let changed = |desired: &[(ResourceKey, Resource)], recorded: Manifest, is_lent: bool| {
        let mut observed = observed(&live, Some(recorded));
        observed.lent.extend(is_lent.then(|| (device.clone(), address)));
        let found = compare(&state(desired), &observed);
        found.changes.iter().find(|change| *change.key() == vip.0).map(|change| change.action)
    };
    let (reloaded, stopped) = ([vip.clone(), daemon("new")], [vip.clone()]);
    assert_eq!(changed(&reloaded, owned(&live[1..]), true), Some(Action::Create));
    assert_eq!(changed(&reloaded, owned(&live), true), Some(Action::Create), "though a crash left the claim");
    assert_eq!(changed(&stopped, owned(&live[1..]), true), Some(Action::Create));
    assert_eq!(changed(&stopped, owned(&[]), true), None, "a foreign keepalived goes on");
    assert_eq!(changed(&reloaded, owned(&live[1..]), false), None, "the file does not name it");
    assert_eq!(changed(&live, owned(&live[1..]), true), None, "keepalived reads nothing new");
}

#[test]
fn a_module_that_is_given_up_stays() {
    let module = (ResourceKey::Module("ip_vs".into()), Resource::Module);
    let found = compare(
        &HostState::new(),
        &observed(std::slice::from_ref(&module), Some(owned(std::slice::from_ref(&module)))),
    );
    let keys: Vec<_> = found.changes.iter().map(|change| change.key().clone()).collect();
    assert_eq!(keys, [ResourceKey::Manifest], "only the record of it goes");
}

#[test]
fn a_value_that_somebody_has_set_since_is_left_to_him() {
    let mut manifest = owned(&[(sysctl(), value("1"))]);
    manifest.owned.get_mut(&sysctl()).unwrap().previous = Some(value("0"));
    let found = compare(&HostState::new(), &observed(&[(sysctl(), value("2"))], Some(manifest)));
    let keys: Vec<_> = found.changes.iter().map(|change| change.key().clone()).collect();
    assert_eq!(keys, [ResourceKey::Manifest]);
    assert_eq!(found.foreign.iter().map(|foreign| &foreign.id.key).collect::<Vec<_>>(), [&sysctl()]);
}

#[test]
fn what_was_there_before_is_recorded_once_and_put_back() {
    let (wanted, route) = (state(&[(sysctl(), value("1"))]), ResourceKey::DefaultRoute(Family::Ipv4));
    let first = desired_manifest(&wanted, &observed(&[(sysctl(), value("0"))], None));
    assert_eq!(first.owned[&sysctl()].previous, Some(value("0")));
    // What lvsctl itself put there is not what was there before it.
    let second = desired_manifest(&wanted, &observed(&[(sysctl(), value("1"))], Some(first.clone())));
    assert_eq!(second, first);
    let found = compare(&HostState::new(), &observed(&[(sysctl(), value("1"))], Some(first)));
    let change = found.changes.iter().find(|change| *change.key() == sysctl()).unwrap();
    assert_eq!((change.action, &change.previous), (Action::Delete, &Some(value("0"))));
    // An address is simply taken away.
    let address = ResourceKey::Address { device: "lo".into(), address: "192.0.2.1".parse().unwrap() };
    let held = Resource::Address { prefix: 32, label: None };
    let gateway = Resource::DefaultRoute { via: Some("192.0.2.254".parse().unwrap()) };
    let both = [(address.clone(), held), (route.clone(), gateway.clone())];
    let manifest = desired_manifest(&state(&both), &observed(&both, None));
    assert_eq!(manifest.owned[&address].previous, None);
    assert_eq!(manifest.owned[&route].previous, Some(gateway));
}

fn service_key() -> ServiceKey {
    ServiceKey::Mark { mark: 1, family: Family::Ipv4 }
}

fn service(programmer: Programmer) -> (ResourceKey, Resource) {
    let config =
        ServiceConfig { scheduler: "rr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
    (ResourceKey::IpvsService(service_key()), Resource::IpvsService { config, programmer })
}

fn server(weight: u32, programmer: Programmer) -> (ResourceKey, Resource) {
    let key = DestinationKey { address: "10.0.0.1".parse().unwrap(), port: 0 };
    let config =
        DestinationConfig { forwarding: Forwarding::Dr, tunnel: Default::default(), weight, upper: 0, lower: 0 };
    (ResourceKey::IpvsDestination(service_key(), key), Resource::IpvsDestination { config, programmer })
}

fn daemon() -> (ResourceKey, Resource) {
    (ResourceKey::KeepalivedDaemon, Resource::Daemon { configuration: Some("a".into()) })
}

/// Returns what is done about the destination, and how many runtime states are told.
fn health_of(
    does: Health,
    live: &[(ResourceKey, Resource)],
    recorded: bool,
    by: Programmer,
) -> (Option<Action>, usize) {
    let wanted = [service(by), server(100, by), daemon()];
    let recorded: Vec<_> = wanted.iter().filter(|(key, _)| recorded || *key != wanted[1].0).cloned().collect();
    let mut desired = state(&wanted);
    desired.values_mut().for_each(|entry| entry.health = does);
    let found = compare(&desired, &observed(live, Some(owned(&recorded))));
    let change = found.changes.iter().find(|change| *change.key() == wanted[1].0);
    (change.map(|change| change.action), found.runtime.len())
}

fn health(live: &[(ResourceKey, Resource)], recorded: bool, by: Programmer) -> (Option<Action>, usize) {
    health_of(Health::Weight, live, recorded, by)
}

#[test]
fn a_weight_that_keepalived_never_sets_is_drift() {
    let inhibited = [service(Programmer::Keepalived), server(0, Programmer::Keepalived), daemon()];
    let told = health_of(Health::Presence, &inhibited, true, Programmer::Keepalived);
    assert_eq!(told, (Some(Action::Update), 0), "keepalived would have removed it");
}

#[test]
fn health_is_no_difference_and_everything_else_is() {
    use Programmer::{Keepalived, Lvsctl};
    let with = |weight, by| vec![service(by), server(weight, by), daemon()];
    assert_eq!(health(&with(0, Keepalived), true, Keepalived), (None, 1), "inhibited");
    assert_eq!(health(&[service(Keepalived), daemon()], true, Keepalived), (None, 1), "taken out");
    assert_eq!(health(&with(7, Keepalived), true, Keepalived), (Some(Action::Update), 0), "a weight by hand");
    assert_eq!(health(&with(0, Lvsctl), true, Lvsctl), (Some(Action::Update), 0), "a static one");
    let without_daemon = [service(Keepalived)];
    assert_eq!(health(&without_daemon, true, Keepalived), (Some(Action::Create), 0), "keepalived does not run");
    assert_eq!(health(&[daemon()], true, Keepalived), (Some(Action::Create), 0), "the service is gone as well");
    let never = health(&[service(Keepalived), daemon()], false, Keepalived);
    assert_eq!(never, (Some(Action::Create), 0), "it never was there");
}

#[test]
fn a_service_that_keepalived_takes_over_is_not_away_and_one_that_it_lets_go_of_is() {
    use Programmer::{Keepalived, Lvsctl};
    let action = |from, to| {
        let found = compare(&state(&[service(to)]), &observed(&[service(from)], Some(owned(&[service(from)]))));
        found.changes[0].action
    };
    assert_eq!(action(Lvsctl, Keepalived), Action::Update);
    assert_eq!(action(Keepalived, Lvsctl), Action::Replace);
}

#[test]
fn keepalived_that_has_to_read_a_new_file_is_no_drift() {
    let read = |digest: &str| (ResourceKey::KeepalivedDaemon, Resource::Daemon { configuration: Some(digest.into()) });
    let reason = |wanted, live, recorded| {
        let found = compare(&state(&[read(wanted)]), &observed(&[read(live)], Some(owned(&[read(recorded)]))));
        found.changes[0].reason
    };
    assert_eq!(reason("new", "old", "old"), Reason::TopologyChanged);
    assert_eq!(reason("old", "other", "old"), Reason::AlteredOnHost, "somebody reloaded it with another file");
}

#[test]
fn the_manifest_changes_with_what_is_owned() {
    let things = [(sysctl(), value("1"))];
    let change = |desired: &[(ResourceKey, Resource)], manifest: Option<Manifest>| {
        let found = compare(&state(desired), &observed(&things, manifest));
        found.changes.into_iter().find(|change| *change.key() == ResourceKey::Manifest).map(|change| change.action)
    };
    let recorded = Some(desired_manifest(&state(&things), &observed(&things, None)));
    assert_eq!(change(&things, None), Some(Action::Create));
    assert_eq!(change(&things, recorded.clone()), None);
    assert_eq!(change(&[], recorded), Some(Action::Delete));
    assert_eq!(change(&[], None), None);
}

#[test]
fn a_service_with_somebody_elses_destination_stays() {
    let (key, own) = service(Programmer::Lvsctl);
    let (there, foreign) = server(1, Programmer::Lvsctl);
    let manifest = owned(&[(key.clone(), own.clone())]);
    let found =
        compare(&HostState::new(), &observed(&[(key.clone(), own.clone()), (there, foreign)], Some(manifest.clone())));
    assert!(found.changes.iter().all(|change| *change.key() == ResourceKey::Manifest), "{:?}", found.changes);
    assert_eq!(found.foreign.len(), 2);
    let alone = compare(&HostState::new(), &observed(&[(key.clone(), own)], Some(manifest)));
    assert!(alone.changes.iter().any(|change| *change.key() == key && change.action == Action::Delete));
}

#[test]
fn a_boot_file_of_somebody_else_stays_where_lvsctl_needs_none() {
    use super::normalise;
    use crate::resource::{BootContent, BootFile};

    let content = |text: &str| BootContent::File { text: text.to_owned(), mode: 0o644 };
    let files = |files: &[(BootFile, &str)]| {
        Resource::BootFiles(files.iter().map(|(file, text)| (*file, content(text))).collect())
    };
    let (theirs, ours) = ("vm.swappiness = 1\n", "# Written by lvsctl\nip_vs\n");
    let live = files(&[(BootFile::Parameters, theirs), (BootFile::Modules, ours)]);
    let wanted = files(&[(BootFile::Modules, ours)]);
    assert_eq!(normalise::with_programmer(&live, &wanted, None), wanted);
    let both = files(&[(BootFile::Parameters, ours), (BootFile::Modules, ours)]);
    assert_eq!(normalise::with_programmer(&live, &both, None), live, "its place is needed");
    let owned = Owned { digest: digest(&wanted), programmer: None, previous: None };
    assert_eq!(normalise::with_owner(&live, &owned), wanted, "and it outlives lvsctl");
}
