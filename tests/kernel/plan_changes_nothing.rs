//! `plan`, `check` and `compile` change nothing: everything that can be seen of the machine and of every host is the same
//! before and after, on hosts on which nothing was ever loaded, and on hosts that are as the topology says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::lab;
use crate::laboratory::{Laboratory, modules, walk};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("plan::changes_nothing_on_empty_hosts", on_empty_hosts).alone().within(90),
        test("plan::changes_nothing_on_converged_hosts", || on_converged_hosts(&COMMANDS)).within(120),
        test("plan::reading_changes_nothing_of_nf_tables", || on_converged_hosts(&READING))
            .within(120)
            .on_distribution_kernel(),
    ]
}

/// Both families, both forwarding methods, every kind of resource.
const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    address "2001:db8::1/64"
    interface "eth0"
    sysctl "net.ipv4.vs.conntrack" 1
}
director "d2" {
    address "10.0.0.2/24"
    address "2001:db8::2/64"
    interface "eth0"
}
real-server "w1" {
    address "10.0.0.11/24"
    address "2001:db8::11/64"
    interface "eth0"
}
failover "ext" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 51
    interface "eth0"
    version 2
    auth-pass (env)"VRRP_PASS"
}
vip "10.0.0.100" failover="ext" forwarding="dr" {
    service "checked" {
        listen "tcp" 80
        fwmark 7
        scheduler "wrr"
        check "tcp" interval="1s" timeout="5s" retries=1 retry-delay="1s"
        server "w1" weight=10
    }
}
vip "10.0.0.102" director="d1" forwarding="dr" delivery="redirect" {
    service "static" {
        listen "tcp" 80
        scheduler "sh"
        server "w1" weight=3
    }
}
vip "2001:db8::100" director="d1" forwarding="dr" {
    service "six" {
        listen "tcp" 80
        fwmark 9
        scheduler "mh"
        server "w1"
    }
}
"#;

/// Everything that can be seen, by name.
type Seen = BTreeMap<String, String>;

/// Programs and modules that looking itself would bring in are only asked where the kernel has them already.
const LOOK: &str = "
cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null
! grep -qs . /proc/net/ip_tables_names || iptables-save
! grep -qs . /proc/net/ip6_tables_names || ip6tables-save
[ ! -e /proc/net/ip_vs ] || { ipvsadm -Sn; ipvsadm -Ln --daemon; }
ip -d address; ip route show table all; ip -6 route show table all; ip rule; ip maddress; ip netconf 2>/dev/null
ls /proc/net
";

/// Counters and neighbours, which live by themselves.
fn lives_by_itself(key: &str) -> bool {
    key.ends_with("nf_conntrack_count") || key.ends_with("/random") || key.contains("fs/")
}

fn see(laboratory: &Laboratory) -> Seen {
    let mut seen = Seen::new();
    seen.insert("modules".to_owned(), modules().join("\n"));
    for (name, place) in &laboratory.layout.places {
        let text = lab::within(&place.namespace, &["sh", "-c", LOOK]);
        let steady = text.lines().filter(|line| !line.starts_with('#')).map(|line| match line.starts_with(':') {
            true => line.split(" [").next().unwrap_or_default(),
            false => line,
        });
        seen.insert(format!("{name} state"), steady.collect::<Vec<_>>().join("\n"));
        lab::enter(&place.namespace, || parameters(name.as_str(), &mut seen));
        for path in walk(Path::new(&place.root)) {
            let data = fs::symlink_metadata(&path).expect("a file");
            let restless = path.ends_with("var/log/keepalived.log");
            let time = if restless { String::new() } else { format!("{}.{}", data.mtime(), data.mtime_nsec()) };
            let text = format!("{:o} {} {} {time}", data.mode(), data.uid(), if restless { 0 } else { data.size() });
            seen.insert(path.to_string_lossy().into_owned(), text);
        }
    }
    seen
}

/// Notes every parameter of the network namespace that the thread is in.
fn parameters(host: &str, seen: &mut Seen) {
    let mut count = 0;
    for path in walk(Path::new("/proc/sys/net")) {
        let key = format!("{host} {}", path.display());
        if path.is_file() && !lives_by_itself(&key) {
            count += 1;
            // Some can only be written.
            seen.insert(key, fs::read_to_string(&path).unwrap_or_default());
        }
    }
    assert!(count > 300, "only {count} parameters of {host}");
}

fn assert_equal(before: &Seen, after: &Seen, when: &str) {
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing: Vec<_> = keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).collect();
    let show = |seen: &Seen, key: &String| seen.get(key).cloned().unwrap_or("(none)".to_owned());
    let lines = |one: &str, other: &str, sign: &str| -> String {
        one.lines()
            .filter(|line| !other.lines().any(|found| found == *line))
            .map(|line| format!("{sign} {line}\n"))
            .collect()
    };
    let text: Vec<_> = differing
        .iter()
        .map(|key| {
            let (old, new) = (show(before, key), show(after, key));
            format!("{key}:\n{}{}", lines(&old, &new, "-"), lines(&new, &old, "+"))
        })
        .collect();
    assert!(text.is_empty(), "{when}:\n{}", text.join("\n"));
}

/// A command that must change nothing, with its exit status where there are changes to make and where there are none.
type Command = (&'static [&'static str], [i32; 2]);

/// Every such command.
const COMMANDS: [Command; 7] = [
    (&["check"], [0, 0]),
    (&["check", "--format", "json"], [0, 0]),
    (&["compile"], [0, 0]),
    (&["plan"], [0, 0]),
    (&["plan", "--format", "json"], [0, 0]),
    (&["plan", "--detailed-exitcode", "--host", "d1", "--host", "w1"], [2, 0]),
    // Nobody can be asked, so nothing is done.
    (&["apply"], [1, 0]),
];

/// One that reads everything of every host; on an emulated processor each takes many seconds.
const READING: [Command; 1] = [(&["plan"], [0, 0])];

fn change_nothing(laboratory: &Laboratory, commands: &[Command], changes: bool) {
    let before = see(laboratory);
    assert_equal(&before, &see(laboratory), "looking alone");
    for (arguments, [some, none]) in commands {
        let started = Instant::now();
        let ran = laboratory.lvsctl(arguments).expect(if changes { *some } else { *none });
        println!("{arguments:?}: {:?}", started.elapsed());
        assert!(!ran.stdout.is_empty(), "{arguments:?}");
        let mut after = see(laboratory);
        if *arguments == ["apply"] {
            // What an apply locks with is the one thing that it leaves.
            let lock = |key: &String| key.ends_with("/run/lvsctl.lock") || key.ends_with("/run");
            after.retain(|key, _| !lock(key));
            let unlocked: Seen = before.clone().into_iter().filter(|(key, _)| !lock(key)).collect();
            assert_equal(&unlocked, &after, "apply without an answer");
        } else {
            assert_equal(&before, &after, &arguments.join(" "));
        }
    }
}

fn on_empty_hosts() {
    let laboratory = Laboratory::new(SITE);
    // A guest may have served another test before: what can be unloaded is.
    unload();
    for module in ["ip_vs", "iptable_mangle", "ip6table_nat", "nf_conntrack"] {
        assert!(!modules().iter().any(|name| name == module), "{module} is loaded");
    }
    assert!(!Path::new("/proc/net/ip_vs").exists());
    change_nothing(&laboratory, &COMMANDS, true);
    // The test sees what a module brings: asking for a table's rules by name loads it.
    let before = see(&laboratory);
    laboratory.run("d1", "iptables-save -t nat");
    assert_ne!(before, see(&laboratory));
}

/// Unloads every module that nobody uses, until there is none that could be.
fn unload() {
    loop {
        let text = fs::read_to_string("/proc/modules").expect("/proc/modules");
        let ours = ["ip_vs", "nf_", "xt_", "ip_tables", "ip6_tables", "iptable_", "ip6table_", "x_tables", "nfnetlink"];
        let unused = text.lines().filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let is_ours = ours.iter().any(|start| words[0].starts_with(start));
            (is_ours && words[2] == "0").then(|| words[0].to_owned())
        });
        let unused: Vec<String> = unused.collect();
        let removed = unused.iter().filter(|name| {
            std::process::Command::new("rmmod").arg(name).output().is_ok_and(|output| output.status.success())
        });
        if removed.count() == 0 {
            return;
        }
    }
}

fn on_converged_hosts(commands: &[Command]) {
    let started = Instant::now();
    let laboratory = Laboratory::new(SITE);
    println!("laid out after {:?}", started.elapsed());
    laboratory.apply();
    println!("applied after {:?}", started.elapsed());
    crate::laboratory::eventually("the election is over", || {
        let holds = |host| laboratory.run(host, "ip -o address show dev eth0").contains("10.0.0.100/32");
        holds("d1") && !holds("d2")
    });
    laboratory.serves("checked", 2);
    println!("served after {:?}", started.elapsed());
    change_nothing(&laboratory, commands, false);
    println!("ended after {:?}", started.elapsed());
}
