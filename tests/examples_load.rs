//! The example sites are topologies without a problem, and say what their READMEs say.

use lvsctl::cli::files::DiskReader;
use lvsctl::topology::{Connection, Delivery, HostName, load};
use lvsctl::view::problems;

#[test]
fn the_reference_site_loads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dr-fwmark-redirect/topology.kdl");
    let loaded = load(path, &DiskReader);
    assert!(loaded.problems.is_empty(), "{}", problems::human(&loaded.problems, &loaded.sources, false));
    let topology = loaded.topology.unwrap();
    assert_eq!(topology.hosts.len(), 4);
    let marks: Vec<u32> =
        topology.services().filter_map(|(_, service)| service.fwmark).map(|mark| mark.value).collect();
    assert_eq!(marks, [1, 2]);
    let servers: Vec<_> = topology.services().flat_map(|(_, service)| &service.servers).collect();
    assert_eq!(servers.len(), 4);
    assert!(servers.iter().all(|server| server.delivery == Delivery::Redirect && server.check.is_some()));
}

#[test]
fn the_fleet_is_reached_as_its_readme_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ssh-fleet/topology.kdl");
    let loaded = load(path, &DiskReader);
    assert!(loaded.problems.is_empty(), "{}", problems::human(&loaded.problems, &loaded.sources, false));
    let topology = loaded.topology.unwrap();
    let reached = |name: &str| match &topology.hosts[&HostName::new(name)].connection.value {
        Connection::Ssh { host, user, host_key, become_root, become_password, .. } => {
            let password = become_password.as_ref().map(|reference| reference.value.to_string());
            (host.clone(), user.clone().unwrap_or_default(), host_key.is_some(), *become_root, password)
        }
        other => panic!("{other:?}"),
    };
    let is = |host: &str, user: &str, pinned, become_root, password: Option<&str>| {
        (format!("{host}.example.net"), user.to_owned(), pinned, become_root, password.map(str::to_owned))
    };
    assert_eq!(reached("lb01"), is("lb01", "root", false, false, None));
    assert_eq!(reached("lb02"), is("lb02", "root", true, false, None));
    assert_eq!(reached("web1"), is("web1", "deploy", false, true, None));
    assert_eq!(reached("web2"), is("web2", "deploy", false, true, Some("(file)\"secrets/sudo\"")));
    assert_eq!(topology.managed_hosts().count(), 4);
    assert_eq!(topology.confirm, Some(std::time::Duration::from_secs(90)));
}
