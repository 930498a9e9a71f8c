//! What keepalived itself says to the configurations that lvsctl writes, and what it does with the kernel's table.

mod begins;
mod daemon;
mod edits;
mod floating;
mod prediction;
mod random_site;
mod reload;
pub mod site;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::lab::Namespace;
use crate::runner::{Test, test};
use crate::seed::seed;

/// How many random sites `keepalived -t` is shown, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 100;

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        test("keepalived::the_reference_site_is_accepted", the_reference_site_is_accepted).on_both_kernels(),
        test("keepalived::random_sites_are_accepted", random_sites_are_accepted).within(600),
        test("keepalived::a_file_written_by_hand_is_complained_of", a_file_written_by_hand_is_complained_of),
    ];
    tests.extend(begins::tests());
    tests.extend(daemon::tests());
    tests.extend(floating::tests());
    tests.extend(prediction::tests());
    tests.extend(reload::tests());
    tests.extend(edits::tests());
    tests
}

/// Makes a director's namespace, with the names that its configuration needs.
fn director() -> Namespace {
    let namespace = Namespace::new();
    // IPv6 is a module of the guest's kernel, and a namespace that is older than it has none.
    namespace.run(&["modprobe", "ipv6"]);
    namespace.run(&["ip", "link", "set", "eth0", "multicast", "on"]);
    for address in ["10.4.1.181/24", "fd00::181/64"] {
        namespace.run(&["ip", "address", "add", address, "dev", "eth0", "nodad"]);
    }
    // keepalived complains of a mail server whose name does not resolve.
    fs::write("/etc/hosts", "127.0.0.1 localhost smtp.example.org\n").expect("/etc/hosts");
    namespace
}

/// Asks keepalived what it thinks of a configuration.
fn tested(namespace: &Namespace, text: &str) -> Output {
    let path = namespace.root().join("etc/keepalived/tested.conf");
    fs::write(&path, text).expect("the configuration");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    namespace.try_run(&["keepalived", "-t", "-f", path.to_str().expect("a path")])
}

/// Returns what keepalived complained of, and its exit status.
fn complaints(output: &Output) -> (Vec<String>, Option<i32>) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (String::from_utf8_lossy(&text).lines().map(str::to_owned).collect(), output.status.code())
}

fn the_reference_site_is_accepted() {
    let namespace = director();
    for host in ["lb01", "lb02"] {
        let text = site::text(&site::reference(), host).expect("a configuration");
        assert_eq!(complaints(&tested(&namespace, &text)), (vec![], Some(0)), "{text}");
    }
}

fn random_sites_are_accepted() {
    let namespace = director();
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let drawn = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config.clone(), drawn).run(&random_site::random(), |topology| {
        let Some(text) = site::text(&topology, "lb01") else {
            // A word that keepalived cannot be given is refused; nothing else in these sites may be.
            let (_, problems) = site::compiled(&topology, "lb01");
            let expected = problems.iter().all(|problem| problem.code == "keepalived-text");
            let say = if expected { TestCaseError::reject } else { TestCaseError::fail };
            return Err(say(format!("{problems:?}")));
        };
        let (lines, status) = complaints(&tested(&namespace, &text));
        if lines.is_empty() && status == Some(0) {
            return Ok(());
        }
        Err(TestCaseError::fail(format!("exit {status:?}\n{}\n{text}", lines.join("\n"))))
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    println!("{} random sites were accepted", config.cases);
}

/// The faults that operators publish, one each.
const BY_HAND: &str = "
global_defs {
    route_id lb01.domain.local
}
vrrp_instance VRRP_EXT {
    state MASTER
    interface eth0
    lvs_sync_daemon_interface eth0
    virtual_router_id 125
    priority 100
    authentication {
        auth_type PASS
        auth_pass cbrt32456
    }
    nopreempt
    virtual_ipaddress {
        10.4.1.190/32
    }
}
virtual_server fwmark 1 {
    delay_loop 5
    lb_algo wrr
    lb_kind DR
    protocol TCP
    real_server 10.4.1.151 80 {
        weight 100
        HTTP_GET {
            url {
                path /lbtest.html
                status_code 200
            }
            nb_get_retry 5
        }
    }
}
";

fn a_file_written_by_hand_is_complained_of() {
    let (lines, status) = complaints(&tested(&director(), BY_HAND));
    assert_eq!(status, Some(5));
    for word in
        ["route_id", "Truncating auth_pass", "lvs_sync_daemon", "nopreempt", "protocol", "clearing", "nb_get_retry"]
    {
        assert!(lines.iter().any(|line| line.contains(word)), "{word} in {lines:#?}");
    }
}
