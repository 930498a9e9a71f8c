//! What an operator turns on a director beside its services, looked at with ipvsadm and below `/proc/sys`.

use std::collections::BTreeMap;

use lvsctl::effect::{Answer, Probe};
use lvsctl::host::{Host, LocalHost};
use lvsctl::topology::Offload;

use crate::laboratory::{Laboratory, eventually, modules, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("tuning::timeouts_are_set_and_become_what_they_were", timeouts).within(90),
        test("tuning::the_connection_table_has_its_size_from_the_next_load", connection_table).within(90).alone(),
        test("tuning::offloads_are_switched_and_go_back", offloads).within(90),
        test("tuning::sync_daemons_carry_connections", sync_daemons).within(120),
        test("tuning::sync_daemons_pass_from_keepalived_to_lvsctl_and_back", sync_daemons_change_hands).within(150),
        test("tuning::every_parameter_of_ipvs_can_be_set", every_parameter).within(120),
    ]
}

/// Returns a site of one director and one real server; `tuning` stands in the director's braces.
fn site(tuning: &str) -> String {
    format!(
        r#"
director "d1" {{
    address "10.0.0.1/24"
    interface "eth0"
    {tuning}
}}
real-server "w1" {{
    address "10.0.0.11/24"
    interface "eth0"
}}
vip "10.0.0.100" director="d1" forwarding="dr" {{
    service "web" {{
        listen "tcp" 80
        scheduler "rr"
        server "w1"
    }}
}}
"#
    )
}

fn timeouts_of(laboratory: &Laboratory) -> String {
    let text = laboratory.run("d1", "ipvsadm -Ln --timeout");
    text.rsplit(": ").next().unwrap_or_default().trim().to_owned()
}

fn timeouts() {
    let laboratory = Laboratory::new(&site(r#"timeouts tcp="20m" tcp-fin="5s" udp="60s""#));
    laboratory.apply();
    assert_eq!(timeouts_of(&laboratory), "1200 5 60");
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    // By hand: that is drift, and put back.
    laboratory.run("d1", "ipvsadm --set 0 0 99");
    let plan = laboratory.plan();
    assert_eq!(texts(&plan["changes"], "id"), ["d1/ipvs/timeout/udp"]);
    assert_eq!(texts(&plan["changes"], "reason"), ["altered_on_host"]);
    laboratory.apply();
    assert_eq!(timeouts_of(&laboratory), "1200 5 60");
    // One is given up, one is left as it is with 0, one changes.
    laboratory.write(&site(r#"timeouts tcp="15m" tcp-fin="0s""#));
    laboratory.apply();
    assert_eq!(timeouts_of(&laboratory), "900 120 300");
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    // What was there before lvsctl comes back.
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    laboratory.run("d1", "ipvsadm --set 700 70 7");
    laboratory.write(&site(r#"timeouts tcp="1s""#));
    laboratory.apply();
    assert_eq!(timeouts_of(&laboratory), "1 70 7");
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    assert_eq!(timeouts_of(&laboratory), "700 70 7");
}

/// Tells what an interface offloads; the guest has no ethtool of its own, so lvsctl's reader is asked, whose answers the contract holds.
fn is_on(laboratory: &Laboratory, offload: Offload) -> bool {
    let host = LocalHost::namespace(laboratory.namespace("d1"), &laboratory.root("d1"));
    match host.expect("the host").probe(&Probe::Offloads("eth0".into())) {
        Ok(Answer::Offloads(_, offloads)) => offloads[&offload],
        other => panic!("{other:?}"),
    }
}

fn offloads() {
    let laboratory = Laboratory::new(&site("offload gro=#true gso=#false lro=#false"));
    let before = [is_on(&laboratory, Offload::Gro), is_on(&laboratory, Offload::Gso)];
    laboratory.apply();
    assert_eq!([is_on(&laboratory, Offload::Gro), is_on(&laboratory, Offload::Gso)], [true, false]);
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    laboratory.write(&site("offload gro=#false"));
    laboratory.apply();
    assert_eq!([is_on(&laboratory, Offload::Gro), is_on(&laboratory, Offload::Gso)], [false, before[1]]);
    assert!(laboratory.serves("web", 10).contains_key("w1"));
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    assert_eq!([is_on(&laboratory, Offload::Gro), is_on(&laboratory, Offload::Gso)], before);
    // What the interface cannot do is refused, and nothing stays of the apply.
    laboratory.write(&site("offload lro=#true"));
    let refused = laboratory.lvsctl(&["apply", "--auto-approve"]).expect(6);
    assert!((refused.stdout + &refused.stderr).contains("cannot do that"));
}

fn connection_table() {
    let laboratory = Laboratory::new(&site("connection-table-bits 10"));
    assert!(!modules().contains(&"ip_vs".to_owned()));
    laboratory.apply();
    let size = || laboratory.run("d1", "ipvsadm -Ln | head -n 1");
    assert!(size().contains("size=1024"), "{}", size());
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    // A loaded module keeps its table, and every plan says so.
    laboratory.write(&site("connection-table-bits 14"));
    laboratory.apply();
    let plan = laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0).stdout;
    assert!(plan.contains("14 bits take effect when ip_vs is next loaded; now it has 10"), "{plan}");
    assert!(size().contains("size=1024"), "{}", size());
    let file = laboratory.root("d1").join("etc/modprobe.d/lvsctl.conf");
    assert!(std::fs::read_to_string(&file).expect("the file").ends_with("options ip_vs conn_tab_bits=14\n"));
    // A kernel before 6.5 may take its own size instead of one that is too large. This one does not, which shows when it has it.
    laboratory.write(&site("connection-table-bits 21"));
    let warned = || {
        let warned = laboratory.lvsctl(&["plan"]).expect(0).stderr;
        warned.split_whitespace().collect::<Vec<_>>().join(" ").contains("may take no connection table of 21 bits")
    };
    assert!(warned());
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    assert!(!file.exists());
    laboratory.run("d1", "modprobe -r ip_vs_rr ip_vs; modprobe ip_vs conn_tab_bits=21");
    assert!(size().contains("size=2097152") && !warned(), "{}", size());
}

fn sync_daemons() {
    let daemon = r#"sync-daemon "master" id=3 group="224.0.0.99" port=9000 ttl=2"#;
    let two = |first: &str, second: &str| {
        let other = format!(
            "director \"d2\" {{\n    address \"10.0.0.2/24\"\n    interface \"eth0\"\n    {second}\n}}\n\
             vip \"10.0.0.102\" director=\"d2\" forwarding=\"dr\" {{}}\n"
        );
        site(first) + &other
    };
    let laboratory = Laboratory::new(&two(daemon, &daemon.replace("master", "backup")));
    laboratory.apply();
    let shown = |host: &str| laboratory.run(host, "ipvsadm -Ln --daemon");
    for (host, state) in [("d1", "master"), ("d2", "backup")] {
        let text = shown(host);
        let wanted = ["sync daemon", state, "mcast=eth0", "syncid=3", "group=224.0.0.99", "port=9000", "ttl=2"];
        assert!(wanted.iter().all(|word| text.contains(word)), "{text}");
    }
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    // A connection that one director makes is known to the other.
    laboratory.run(
        "d1",
        "echo 1 > /proc/sys/net/ipv4/vs/sync_refresh_period; echo '0 1' > /proc/sys/net/ipv4/vs/sync_threshold",
    );
    laboratory.serves("web", 20);
    eventually("connections on the other director", || laboratory.run("d2", "ipvsadm -Lnc").contains("10.0.0.100:80"));
    // What changes is stopped and started anew; what goes is stopped; drift is put back.
    laboratory.write(&two(&daemon.replace("id=3", "id=4 maxlen=700"), ""));
    let plan = laboratory.plan();
    assert_eq!(texts(&plan["changes"], "id")[..3], ["d1/sync-daemon/master", "d1/boot-files", "d1/manifest"]);
    laboratory.apply();
    assert!(shown("d1").contains("syncid=4") && shown("d1").contains("maxlen=700"), "{}", shown("d1"));
    assert_eq!(shown("d2").trim(), "");
    laboratory.run("d1", "ipvsadm --stop-daemon master");
    laboratory.apply();
    assert!(shown("d1").contains("syncid=4"));
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    assert_eq!(shown("d1").trim(), "");
}

/// Two directors; the first synchronises as told, the failover as told, and a check keeps keepalived alive.
fn synchronised(own: &str, failover: &str) -> String {
    let holder = if failover.is_empty() { "director=\"d1\"" } else { "failover=\"ext\"" };
    format!(
        r#"
director "d1" {{
    address "10.0.0.1/24"
    interface "eth0"
    {own}
}}
director "d2" {{
    address "10.0.0.2/24"
    interface "eth0"
}}
real-server "w1" {{
    address "10.0.0.11/24"
    interface "eth0"
}}
{failover}
vip "10.0.0.100" {holder} forwarding="dr" {{
    service "web" {{
        listen "tcp" 80
        scheduler "rr"
        check "tcp" interval="1s"
        server "w1"
    }}
}}
"#
    )
}

fn sync_daemons_change_hands() {
    let failover = |sync: &str| {
        format!(
            "failover \"ext\" {{ director \"d1\" priority=100; director \"d2\" priority=50; virtual-router-id 51; {sync} }}"
        )
    };
    let by_keepalived = synchronised("", &failover("sync-daemon"));
    let own = "sync-daemon \"master\" id=4 maxlen=700; sync-daemon \"backup\" id=5";
    let laboratory = Laboratory::new(&by_keepalived);
    let shown = |host: &str| laboratory.run(host, "ipvsadm -Ln --daemon");
    let has_two = || shown("d1").contains("master sync daemon") && shown("d2").contains("backup sync daemon");
    let goes_to = |text: &str| {
        laboratory.write(text);
        laboratory.apply();
        laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    };
    laboratory.apply();
    eventually("a daemon of keepalived's on each", || has_two() && shown("d1").contains("syncid=51"));
    // keepalived stays as the master's keeper, or for the check only, or with its daemons again.
    for further in [failover(""), String::new()] {
        goes_to(&synchronised(own, &further));
        assert!(shown("d1").contains("syncid=4") && shown("d1").contains("syncid=5"), "{}", shown("d1"));
        assert_eq!(shown("d2").trim(), "");
        goes_to(&by_keepalived);
        eventually("keepalived's daemons again", || has_two() && !shown("d1").contains("syncid=4"));
    }
    // Where keepalived keeps no VIP any more it leaves its daemon behind, and stopped as a whole as well.
    goes_to(&synchronised("", ""));
    assert_eq!(shown("d1").trim().to_owned() + shown("d2").trim(), "");
    goes_to(&by_keepalived);
    eventually("keepalived's daemons once more", has_two);
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    assert_eq!(shown("d1").trim().to_owned() + shown("d2").trim(), "");
}

/// A further value that the kernel takes, where adding 1 is not one.
const OTHERWISE: &[(&str, &str)] =
    &[("sync_threshold", "4 40"), ("sync_ports", "2"), ("est_cpulist", "0"), ("est_nice", "5")];

fn every_parameter() {
    let laboratory = Laboratory::new(&site(""));
    laboratory.apply();
    let list = "cd /proc/sys/net/ipv4/vs && for key in *; do echo \"$key=$(tr '\\t' ' ' < $key)\"; done";
    let values = |laboratory: &Laboratory| -> BTreeMap<String, String> {
        let text = laboratory.run("d1", list);
        text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
    };
    let before = values(&laboratory);
    assert!(before.len() > 15, "{before:?}");
    let mut wanted = before.clone();
    // This one is the whole machine's, and read-only in a network namespace.
    for (key, value) in wanted.iter_mut().filter(|(key, _)| *key != "debug_level") {
        let otherwise = OTHERWISE.iter().find(|(name, _)| name == key).map(|(_, value)| (*value).to_owned());
        let flipped = match value.as_str() {
            "0" => "1".to_owned(),
            "1" => "0".to_owned(),
            number => number.parse::<i64>().map_or_else(|_| number.to_owned(), |number| (number + 1).to_string()),
        };
        *value = otherwise.unwrap_or(flipped);
    }
    let lines: Vec<String> = wanted
        .iter()
        .filter(|(key, value)| before[*key] != **value)
        .map(|(key, value)| format!("sysctl \"net.ipv4.vs.{key}\" {value:?}"))
        .collect();
    laboratory.write(&site(&lines.join("\n    ")));
    laboratory.apply();
    assert_eq!(values(&laboratory), wanted);
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    laboratory.write(&site(""));
    laboratory.apply();
    assert_eq!(values(&laboratory), before, "what was there before comes back");
    // A parameter that there is not shows in the plan, and nothing is done.
    laboratory.write(&site("sysctl \"net.ipv4.vs.no_such_key\" 1"));
    let refused = laboratory.lvsctl(&["plan"]).expect(1);
    assert!((refused.stdout + &refused.stderr).contains("no_such_key"));
    let standing = laboratory.snapshot();
    laboratory.lvsctl(&["apply", "--auto-approve"]).expect(1);
    standing.assert_equal(&laboratory.snapshot(), "a parameter that is not there stops the apply");
}
