use std::collections::BTreeMap;

use super::*;
use crate::kinds::registry;
use crate::resource::{ChainRule, Table};
use crate::topology::fixture::reference_site;
use crate::topology::{Family, HostName, SecretValues};

/// Returns the desired state of a host of the reference site with its files.
fn compiled(name: &str) -> HostState {
    let (topology, facts, secrets) = (reference_site(), BTreeMap::new(), SecretValues::default());
    let site = Site { topology: &topology, facts: &facts, secrets: &secrets };
    let host = &topology.hosts[&HostName::new(name)];
    let mut problems = Problems::default();
    let entries = registry().iter().flat_map(|kind| kind.compile(&site, host, &mut problems));
    let mut state = entries.map(|entry| (entry.key.clone(), entry)).collect();
    add(host, &mut state);
    state
}

fn shown(state: &HostState) -> String {
    let files = of(state.get(&ResourceKey::BootFiles).map(|entry| &entry.resource));
    let files = files.into_iter().filter(|(file, _)| *file != BootFile::Script);
    let text = files.map(|(file, content)| match content {
        BootContent::File { text, mode } => format!("=== {} {mode:o}\n{text}", file.path()),
        BootContent::Link { target } => format!("=== {} → {target}\n", file.path()),
    });
    text.collect()
}

#[test]
fn the_reference_site_is_restored_by_its_own_tools() {
    insta::assert_snapshot!("lb01", shown(&compiled("lb01")));
    insta::assert_snapshot!("web1", shown(&compiled("web1")));
}

#[test]
fn a_chain_with_an_unknown_peer_is_left_out() {
    let key = ResourceKey::Chain { family: Family::Ipv4, table: Table::Mangle, chain: "LVSCTL".into() };
    let rules = vec![ChainRule::UnknownPeer { peer: "lb02 eth0".into() }];
    let mut state = HostState::new();
    state.insert(key.clone(), Entry::new(key, Resource::Chain { rules, jumps: 1 }));
    let topology = reference_site();
    add(&topology.hosts[&HostName::new("lb01")], &mut state);
    let paths = shown(&state);
    assert!(!paths.contains("iptables.rules") && !paths.contains("jumps"), "{paths}");
}

#[test]
fn nothing_to_restore_takes_no_file() {
    let topology = reference_site();
    let mut state = HostState::new();
    add(&topology.hosts[&HostName::new("lb01")], &mut state);
    assert!(state.is_empty());
}

#[test]
fn every_file_has_a_path_of_its_own() {
    let paths: std::collections::BTreeSet<&str> = BootFile::ALL.iter().map(|file| file.path()).collect();
    assert_eq!(paths.len(), BootFile::ALL.len());
}

#[test]
fn a_program_that_boot_needs_and_the_host_lacks_is_a_warning() {
    let topology = reference_site();
    let host = &topology.hosts[&HostName::new("web1")];
    let key = ResourceKey::Sysctl(crate::topology::SysctlKey::interface("all", "arp_ignore"));
    let mut state = HostState::from([(key.clone(), Entry::new(key, Resource::Sysctl("1".into())))]);
    add(host, &mut state);
    let with = |missing: &[&str]| {
        let missing_boot_programs = missing.iter().map(|name| (*name).to_owned()).collect();
        let capabilities = Capabilities { missing_boot_programs, ..Capabilities::default() };
        let mut problems = Problems::default();
        missing_programs(host, &state, &capabilities, &mut problems);
        problems.iter().map(|problem| format!("{} {:?}", problem.code, problem.help)).collect::<Vec<_>>()
    };
    assert_eq!(with(&["ipvsadm", "ethtool"]), Vec::<String>::new(), "there is nothing for these to do");
    assert_eq!(with(&["ipvsadm", "sysctl"]), [r#"boot-programs Some("apt-get install procps")"#]);
}
