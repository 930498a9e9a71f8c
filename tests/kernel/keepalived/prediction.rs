//! What the plan says that a reload will do, held against what keepalived does.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::time::Duration;

use lvsctl::plan::disruption;
use lvsctl::resource::{Action, Change, Reason, Resource, ResourceId, ResourceKey};
use lvsctl::topology::{Failover, FloatingAddress, HostName, Preemption, SecretText, Topology, VrrpVersion};

use super::daemon::{Daemon, eventually, write};
use super::{director, site};
use crate::lab::Namespace;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("keepalived::a_reload_does_what_the_plan_says", a_reload_does_what_the_plan_says).within(300)]
}

const VIP: &str = "10.4.1.190/32";

/// What the kernel says of addresses, for as long as this lives.
struct Monitor {
    process: Child,
    path: std::path::PathBuf,
}

impl Monitor {
    fn start(namespace: &Namespace) -> Self {
        let path = namespace.root().join("run/monitor");
        let file = File::create(&path).expect("the monitor's file");
        let run = || Command::new("ip").args(["-o", "monitor", "address"]).stdout(file).spawn().expect("ip starts");
        let monitor = Monitor { process: namespace.enter(run), path };
        // It listens once it has seen something.
        let mut last = 0;
        let hears = || {
            last += 1;
            namespace.run(&["ip", "address", "add", &format!("127.9.9.{last}/32"), "dev", "lo"]);
            !monitor.text().is_empty()
        };
        eventually("the monitor hears", hears, String::new);
        monitor
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).expect("the monitor's file")
    }

    fn saw_the_vip_go(&self) -> bool {
        self.text().lines().any(|line| line.starts_with("Deleted") && line.contains(VIP))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn base() -> Topology {
    let mut topology = site::reference();
    let failover = topology.failovers.get_mut("ext").expect("a failover");
    (failover.preemption, failover.sync_daemon) = (Preemption::Immediate, None);
    topology
}

fn predicted(before: &str, after: &str) -> Option<String> {
    let file = |text: &str| Some(Resource::File { text: SecretText::plain(text), mode: 0o600 });
    disruption(&Change {
        id: ResourceId::new(&HostName::new("lb01"), ResourceKey::KeepalivedConfiguration),
        action: Action::Update,
        before: file(before),
        after: file(after),
        reason: Reason::TopologyChanged,
        previous: None,
        origin: None,
    })
}

type Alter = fn(&mut Failover);

fn a_reload_does_what_the_plan_says() {
    // Whether the plan says that the VIP is dropped, and keepalived does it.
    let cases: [(&str, Alter, bool); 8] = [
        ("router id", |failover| failover.virtual_router_id = site::at(77), true),
        ("interface", |failover| failover.interface = Some(site::at("eth1".into())), true),
        ("unicast", |failover| failover.unicast = true, true),
        ("source", |failover| failover.options.source_address = Some(site::at("10.4.1.181".parse().unwrap())), false),
        (
            "priority",
            |failover| {
                failover.members.values_mut().for_each(|member| member.priority = site::at(member.priority.value + 7));
            },
            false,
        ),
        ("version", |failover| (failover.version, failover.auth_pass) = (VrrpVersion::V3, None), false),
        ("garp", |failover| failover.options.garp.repeat = Some(2), false),
        (
            "further address",
            |failover| {
                let network = site::at("10.4.1.191/32".parse().unwrap());
                failover.options.addresses.push(FloatingAddress { network, interface: None });
            },
            false,
        ),
    ];
    let before = site::text(&base(), "lb01").expect("a configuration");
    for (what, alter, drops) in cases {
        let mut topology = base();
        alter(topology.failovers.get_mut("ext").expect("a failover"));
        let after = site::text(&topology, "lb01").expect("a configuration");
        let told = predicted(&before, &after);
        let says_drop = told.as_deref().is_some_and(|told| told.contains("are dropped"));
        assert_eq!(says_drop, drops, "{what}: {told:?}");

        let namespace = director();
        namespace.run(&["ip", "link", "add", "eth1", "type", "dummy"]);
        namespace.run(&["ip", "link", "set", "eth1", "up", "multicast", "on"]);
        namespace.run(&["ip", "address", "add", "10.4.1.184/24", "dev", "eth1"]);
        let daemon = Daemon::start(&namespace, &before);
        let holds = || namespace.run(&["ip", "-o", "address"]).contains(VIP);
        eventually("the VIP", holds, || daemon.log());
        let monitor = Monitor::start(&namespace);
        write(&namespace, &after);
        daemon.reload();
        if drops {
            eventually(&format!("{what}: the VIP goes"), || monitor.saw_the_vip_go(), || daemon.log());
        } else {
            eventually("a reload", || daemon.log().contains("Reloading"), || daemon.log());
            std::thread::sleep(Duration::from_secs(4));
            assert!(!monitor.saw_the_vip_go(), "{what}: the VIP went\n{}", daemon.log());
        }
        println!("{what}: {}", told.unwrap_or_else(|| "nothing".into()));
    }
}
