//! The files of `lvsctl compile`, fed to the tools that they are for.

use std::collections::BTreeMap;
use std::fs;

use lvsctl::kinds::{Site, registry};
use lvsctl::native;
use lvsctl::resource::HostState;
use lvsctl::source::Problems;
use lvsctl::topology::{
    Delivery, Family, Forwarding, HostName, Persistence, Protocol, Role, Scheduler, SecretValues, SysctlKey, Topology,
};

use crate::keepalived::site;
use crate::lab::Namespace;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("native::a_directors_files_are_accepted", a_directors_files_are_accepted).on_both_kernels(),
        test("native::a_real_servers_files_are_accepted", a_real_servers_files_are_accepted).on_both_kernels(),
    ]
}

/// A site with every sort of static service, and two real servers that lvsctl logs in to.
fn topology() -> Topology {
    let servers = || {
        let mut servers = vec![site::server(151, Family::Ipv4, None), site::server(152, Family::Ipv4, None)];
        servers[0].delivery = Delivery::Redirect;
        servers[1].delivery = Delivery::Loopback;
        servers
    };
    let mut mapped = site::service("mapped", 80, None, servers());
    mapped.servers[0].forwarding = Forwarding::Nat;
    mapped.servers[0].port = Some(site::at(8080));
    (mapped.servers[0].upper, mapped.servers[0].lower) = (20, 10);
    mapped.persistence = Some(Persistence { timeout: std::time::Duration::from_secs(300), netmask: Some(24) });
    mapped.scheduler = Scheduler { name: "sh".into(), fallback: true, port: true };
    let mut names = site::service("names", 53, None, servers());
    names.listens[0].protocol = Protocol::Udp;
    let mut topology = site::single(vec![mapped, names, site::service("marked", 443, Some(7), servers())]);
    for number in [151, 152] {
        let host = site::host(Role::RealServer, &format!("web{number}"), number);
        topology.hosts.insert(host.name.value.clone(), host);
    }
    let director = topology.hosts.get_mut(&HostName::new("lb01")).expect("a director");
    director.sysctls.insert(SysctlKey::from_dotted("net.ipv4.conf.eth0.rp_filter"), site::at("0".into()));
    topology
}

/// Compiles a host and writes its files into the namespace's folder.
fn written(namespace: &Namespace, host: &str) -> BTreeMap<&'static str, String> {
    let (topology, facts, secrets) = (topology(), BTreeMap::new(), SecretValues::default());
    let site = Site { topology: &topology, facts: &facts, secrets: &secrets };
    let name = HostName::new(host);
    let mut problems = Problems::default();
    let entries = registry().iter().flat_map(|kind| kind.compile(&site, &topology.hosts[&name], &mut problems));
    let state: HostState = entries.map(|entry| (entry.key.clone(), entry)).collect();
    assert!(!problems.has_errors(), "{problems:?}");
    let files = native::files(&name, &state).into_iter();
    files
        .map(|file| {
            let path = namespace.root().join(file.name);
            fs::write(&path, file.text.expose().expect("no secret")).expect("the file");
            (file.name, path.to_str().expect("a path").to_owned())
        })
        .collect()
}

fn a_directors_files_are_accepted() {
    let namespace = Namespace::with_address("10.4.1.181/24");
    let files = written(&namespace, "lb01");
    let names: Vec<&str> = files.keys().copied().collect();
    assert_eq!(names, ["ip.batch", "iptables.rules", "ipvsadm.rules", "modules.conf", "sysctl.conf"]);
    for module in
        fs::read_to_string(&files["modules.conf"]).expect("the file").lines().filter(|line| !line.starts_with('#'))
    {
        namespace.run(&["modprobe", module]);
    }
    namespace.run(&["sysctl", "-p", &files["sysctl.conf"]]);
    namespace.run(&["iptables-restore", "--noflush", &files["iptables.rules"]]);
    namespace.run(&["ip", "-batch", &files["ip.batch"]]);
    namespace.run(&["sh", "-c", "exec ipvsadm -R < \"$0\"", &files["ipvsadm.rules"]]);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let rules = fs::read_to_string(&files["ipvsadm.rules"]).expect("the file");
    // `ipvsadm -S` leaves the thresholds out, so that a file of its own would lose them.
    assert_eq!(sorted(&namespace.run(&["ipvsadm", "-Sn"])), sorted(&rules.replace(" -x 20 -y 10", "")));
    let thresholds = namespace.run(&["ipvsadm", "-Ln", "--thresholds"]);
    let limited = thresholds.lines().find(|line| line.contains("10.4.1.151:8080")).expect("the destination");
    assert_eq!(limited.split_whitespace().collect::<Vec<_>>()[2..4], ["20", "10"], "{thresholds}");
    assert_eq!(namespace.run(&["sysctl", "-n", "net.ipv4.ip_forward"]).trim(), "1");
    let marks = namespace.run(&["iptables", "-t", "mangle", "-S", "LVSCTL"]);
    assert!(
        marks.contains("-d 10.4.1.190/32 -i eth0 -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x7/0xffffffff"),
        "{marks}"
    );
    assert!(namespace.run(&["ip", "address", "show", "dev", "eth0"]).contains("10.4.1.190/32"));
}

fn a_real_servers_files_are_accepted() {
    let namespace = Namespace::with_address("10.4.1.151/24");
    let files = written(&namespace, "web151");
    namespace.run(&["iptables-restore", "--noflush", &files["iptables.rules"]]);
    namespace.run(&["ip", "-batch", &files["ip.batch"]]);
    let rules = namespace.run(&["iptables", "-t", "nat", "-S", "LVSCTL"]);
    assert!(rules.contains("-d 10.4.1.190/32 -p tcp -m tcp --dport 443 -j REDIRECT"), "{rules}");
    assert!(namespace.run(&["ip", "route"]).contains("default via 10.4.1.181"));
    let other = Namespace::with_address("10.4.1.152/24");
    let files = written(&other, "web152");
    other.run(&["sysctl", "-p", &files["sysctl.conf"]]);
    other.run(&["ip", "-batch", &files["ip.batch"]]);
    assert_eq!(other.run(&["sysctl", "-n", "net.ipv4.conf.lo.arp_ignore"]).trim(), "1");
    assert!(other.run(&["ip", "address", "show", "dev", "lo"]).contains("10.4.1.190/32 scope global lo:0"));
}
