//! What keeps an operator from harm on the way: the address that they came in on, the watchdog's own place, and a parameter that is
//! set for a moment.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lvsctl::rehearsal::layout::CLIENT;
use lvsctl::rehearsal::target::Target;
use serde_json::Value;

use crate::laboratory::{Laboratory, Ran, eventually};
use crate::runner::{Test, test};
use crate::{lab, machine};

pub fn tests() -> Vec<Test> {
    vec![
        test("guards::a_vip_that_somebody_is_logged_in_by", logged_in_by_a_vip).within(120),
        test("guards::a_watchdog_without_a_scope_is_told_of", without_scope).within(60),
        test("guards::who_dies_in_the_moment_leaves_no_parameter", killed_in_the_moment).within(120),
    ]
}

const SITE: &str = r#"
director "d1" { address "10.0.0.1/24"; interface "eth0"; }
director "d2" { address "10.0.0.2/24"; interface "eth0"; }
real-server "w1" { address "10.0.0.11/24"; interface "eth0"; }
failover "ext" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 51
    interface "eth0"
}
vip "10.0.0.100" failover="ext" forwarding="dr" {
    service "web" { listen "tcp" 80; scheduler "wrr"; server "w1" weight=10; }
}
"#;

/// Whoever is logged in by a VIP is told what keepalived would do to it, and is not cut off.
fn logged_in_by_a_vip() {
    let laboratory = Laboratory::new(SITE);
    laboratory.apply();
    let holds = || laboratory.run("d1", "ip -o address").contains("10.0.0.100/32");
    eventually("the first director is master", holds);
    let logged_in = |arguments: &[&str]| -> Ran {
        let mut command = laboratory.command(arguments);
        command.env("SSH_CONNECTION", "192.0.2.9 50000 10.0.0.100 22").output().expect("lvsctl starts").into()
    };
    let before = laboratory.snapshot();
    for (text, arguments, told) in [
        (SITE.to_owned(), &["destroy", "--auto-approve"][..], "goes with keepalived, which is stopped"),
        (SITE.replace("10.0.0.100", "10.0.0.101"), &["apply", "--auto-approve"], "which no longer has 10.0.0.100"),
        (SITE.replace("priority=100", "priority=40"), &["apply", "--auto-approve"], "passes to d2"),
        (SITE.replace("id 51", "id 52"), &["apply", "--auto-approve"], "until VRRP has elected anew"),
    ] {
        laboratory.write(&text);
        let refused = logged_in(arguments).expect(3).stderr;
        let whose = "10.0.0.100 on d1, the address of this connection, ";
        assert!(refused.contains(&format!("{whose}{told}")) || refused.contains(told), "{refused}");
        assert!(refused.contains(whose), "{refused}");
        before.assert_equal(&laboratory.snapshot(), "it was refused");
    }
    laboratory.write(&SITE.replace("weight=10", "weight=20"));
    logged_in(&["apply", "--auto-approve"]).expect(0);
    assert!(holds(), "what keeps the VIP is made");
    logged_in(&["destroy", "--auto-approve", "--allow", "management-address"]).expect(0);
}

/// A machine that systemd runs, as far as lvsctl sees, but without the service that gives a scope.
fn without_scope() {
    let laboratory = Laboratory::new(SITE);
    let (root, namespace) = (laboratory.root("w1"), laboratory.namespace("w1"));
    fs::create_dir_all(root.join("run/systemd/system")).expect("systemd's folder");
    fs::create_dir_all(root.join("run/bin")).expect("a folder");
    fs::create_dir_all(root.join("root")).expect("a folder");
    let stand_in = |name: &str, script: &str| {
        let path = root.join("run/bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    };
    stand_in("systemctl", "exit 0");
    let apply = |forward: u8| -> Value {
        let text = format!(
            "real-server \"w1\" {{ address \"10.0.0.11/24\"; interface \"eth0\"; local; sysctl \"net.ipv4.ip_forward\" {forward}; }}\n"
        );
        fs::write(root.join("root/topology.kdl"), text).expect("the topology");
        let lvsctl = machine::lvsctl();
        let arguments = ["apply", "--auto-approve", "--confirm", "5s", "--format", "json", "/root/topology.kdl"];
        let program = [&[lvsctl.to_str().expect("a path")], &arguments[..]].concat();
        let mut command = machine::command(namespace, &root, &program);
        command.env_clear().env("PATH", "/run/bin:/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        Ran::from(command.output().expect("lvsctl starts")).expect(0).json()
    };
    stand_in("systemd-run", "echo 'Failed to connect to bus' >&2; exit 1");
    let report = apply(1);
    let host = &report["hosts"][0];
    let warning = host["warning"].as_str().unwrap_or_default();
    assert!(warning.contains("KillUserProcesses") && warning.contains("Failed to connect to bus"), "{report:#}");
    assert_eq!((host["window_seconds"].as_u64(), host["end"].as_str()), (Some(5), Some("confirmed")), "{report:#}");
    stand_in("systemd-run", "while [ \"$1\" != -- ]; do shift; done; shift; echo \"$@\" > /run/scoped; exec \"$@\"");
    let report = apply(0);
    assert_eq!(report["hosts"][0]["warning"], Value::Null, "{report:#}");
    assert!(fs::read_to_string(root.join("run/scoped")).expect("its arguments").contains(" watchdog "));
}

/// A tunnel that is given up: the kernel cannot change that in place, and is made to forget connections.
const TUNNEL: &str = r#"
director "lb" { address "10.1.0.1/24"; interface "eth0"; }
real-server "one" { address "10.1.0.11/24"; }
vip "10.1.0.100" director="lb" forwarding="tun" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "one"; }
}
"#;

/// How often the moment is looked for: it is some tens of milliseconds long.
const TRIES: u32 = 10;

fn killed_in_the_moment() {
    let laboratory = Laboratory::new(TUNNEL);
    laboratory.apply();
    laboratory.serves("web", 2);
    let value = || lab::enter(laboratory.namespace("lb"), parameter);
    let note = laboratory.root("lb").join("run/lvsctl.expire_nodest_conn");
    let (target, end) = (laboratory.target("web"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| lab::enter(CLIENT, || keep_sending(&target, &end)));
        eventually("a client sends", || laboratory.run("lb", "ipvsadm -Lnc").contains("ESTABLISHED"));
        let is_hit = (0..TRIES).any(|_| {
            laboratory.write(&TUNNEL.replace("forwarding=\"tun\"", "forwarding=\"dr\""));
            kill_in_the_moment(&laboratory);
            let is_hit = value() == "1";
            if !is_hit {
                laboratory.write(TUNNEL);
                laboratory.apply();
                eventually("a client sends", || laboratory.run("lb", "ipvsadm -Lnc").contains("ESTABLISHED"));
            }
            is_hit
        });
        end.store(true, Ordering::Relaxed);
        assert!(is_hit, "the moment was missed {TRIES} times");
    });
    assert!(note.exists(), "it is noted");
    laboratory.apply();
    assert_eq!((value().as_str(), note.exists()), ("0", false), "who comes next puts it back");
    laboratory.serves("web", 4);
}

fn parameter() -> String {
    let text = fs::read_to_string(Path::new("/proc/sys/net/ipv4/vs/expire_nodest_conn")).expect("the parameter");
    text.trim().to_owned()
}

/// Applies, and kills that as soon as the parameter is set; an apply that is faster than the look ends by itself.
fn kill_in_the_moment(laboratory: &Laboratory) {
    let mut command = laboratory.command(&["apply", "--auto-approve"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lvsctl starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    lab::enter(laboratory.namespace("lb"), || {
        while parameter() != "1" && child.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < deadline, "the apply stands still");
            std::thread::yield_now();
        }
    });
    // One that has ended is not there to be killed.
    let _ = child.kill();
    child.wait().expect("it ends");
}

/// Has one connection at a time, as long as the test wants.
fn keep_sending(target: &Target, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect_timeout(&target.address(), Duration::from_secs(1)) else { continue };
        let mut is_heard = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").is_ok();
        while is_heard && !end.load(Ordering::Relaxed) {
            // The pace of the client, not a wait for anything.
            std::thread::sleep(Duration::from_millis(20));
            is_heard = stream.write_all(b"A: b\r\n").is_ok();
        }
    }
}
