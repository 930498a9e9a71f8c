//! The guest itself: what later tests take for granted.

use std::fs;

use crate::lab::Namespace;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("smoke::ipvs_tables_belong_to_their_namespace", ipvs_tables_belong_to_their_namespace).on_both_kernels(),
        test("smoke::iptables_works", iptables_works).on_both_kernels(),
        test("smoke::the_host_is_out_of_reach", the_host_is_out_of_reach).on_both_kernels(),
    ]
}

fn ipvs_tables_belong_to_their_namespace() {
    let (one, other) = (Namespace::new(), Namespace::new());
    one.run(&["ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "wrr"]);
    one.run(&["ipvsadm", "-a", "-t", "192.0.2.1:80", "-r", "192.0.2.9:80", "-m", "-w", "3"]);
    assert!(one.proc_net("ip_vs").contains("TCP  C0000201:0050 wrr"), "{}", one.proc_net("ip_vs"));
    assert!(!other.proc_net("ip_vs").contains("C0000201"), "{}", other.proc_net("ip_vs"));
    assert_eq!(one.run(&["ipvsadm", "-Sn"]).lines().count(), 2);
    assert_eq!(other.run(&["ipvsadm", "-Sn"]), "");
}

fn iptables_works() {
    let namespace = Namespace::new();
    for program in ["iptables", "ip6tables"] {
        namespace.run(&[program, "-t", "mangle", "-N", "LVSCTL"]);
        let saved = namespace.run(&[&format!("{program}-save"), "-t", "mangle"]);
        assert!(saved.contains(":LVSCTL - [0:0]"), "{saved}");
    }
}

fn the_host_is_out_of_reach() {
    // The root is writable, and yet what is written is gone with the guest.
    fs::write("/etc/lvsctl-smoke", "guest").expect("a writable root");
    assert!(lvsctl::rehearsal::init::is_guest());
    // The project is in sight, wherever it is.
    assert!(fs::read_to_string("Cargo.toml").expect("the project's folder").contains("lvsctl"));
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc/mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap_or_default();
    assert!(root.starts_with("overlay "), "{mounts}");
}
