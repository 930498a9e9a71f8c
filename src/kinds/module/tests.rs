use super::*;
use crate::kinds::fixture::*;
use crate::topology::HostName;
use crate::topology::fixture::{at, reference_site};

fn names(host: &str, change: impl FnOnce(&mut crate::topology::Topology)) -> Vec<String> {
    let mut topology = reference_site();
    change(&mut topology);
    let (entries, problems) = compile(&ModuleKind, &topology, &Facts::new(), host);
    assert_eq!(problems, [""; 0]);
    entries.iter().map(|entry| entry.key.to_string()).collect()
}

#[test]
fn directors_take_ipvs_and_each_scheduler() {
    assert_eq!(names("lb01", |_| ()), ["module/ip_vs", "module/ip_vs_wrr"]);
    assert_eq!(names("web1", |_| ()), [""; 0]);
}

#[test]
fn parameters_bring_the_module_that_they_belong_to() {
    let with = |key: &'static str| {
        names("web1", move |topology| {
            let host = topology.hosts.get_mut(&HostName::new("web1")).unwrap();
            host.sysctls.insert(SysctlKey::from_dotted(key), at("1".into()));
        })
    };
    assert_eq!(with("net.ipv4.vs.conntrack"), ["module/ip_vs"]);
    assert_eq!(with("net.netfilter.nf_conntrack_max"), ["module/nf_conntrack"]);
    assert_eq!(with("net.ipv4.ip_forward"), [""; 0]);
}

#[test]
fn a_host_that_is_not_managed_is_left_alone() {
    let unmanaged = names("lb01", |topology| {
        topology.hosts.get_mut(&HostName::new("lb01")).unwrap().managed = false;
    });
    assert_eq!(unmanaged, [""; 0]);
}

#[test]
fn only_modules_in_scope_are_seen_and_none_is_unloaded() {
    let key = ResourceKey::Module("ip_vs".into());
    let answer = Answer::Modules(vec!["ip-vs".into(), "dummy".into()]);
    let entries = parse(&ModuleKind, std::slice::from_ref(&key), &[answer]).unwrap();
    assert_eq!(entries, [Entry::new(key.clone(), Resource::Module)]);
    let create = change(&key, None, Some(Resource::Module));
    assert_eq!(effects(&ModuleKind, &create), [Effect::LoadModule("ip_vs".into())]);
    assert_eq!(effects(&ModuleKind, &create.inverse()), []);
    assert!(parse(&ModuleKind, &[], &[Answer::Links(Vec::new())]).is_err());
}
