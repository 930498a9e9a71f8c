//! The example sites are topologies without a problem, and say what their READMEs say.

use lvsctl::cli::files::DiskReader;
use lvsctl::topology::{Delivery, load};
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
