//! A site over SSH as an operator has it: planned, applied, used and taken away, through a jump host, as root and with sudo.

use std::fmt::Write;
use std::fs;
use std::time::Instant;

use crate::agent;
use crate::commands::{SITE, essence};
use crate::fleet::{Fleet, USER};
use crate::lab;
use crate::laboratory::texts;
use crate::machine;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("ssh::a_fleet_converges_serves_and_fails_over", a_fleet).within(240),
        test("ssh::the_released_program_brings_itself_along", brings_itself_along).within(120),
    ]
}

/// How many real servers there are.
const SERVERS: u32 = 8;

/// Two directors as root, and real servers, half of them with sudo.
fn site() -> String {
    let mut text = String::new();
    for number in [1, 2] {
        let _ =
            writeln!(text, "director \"d{number}\" {{\n    address \"10.0.0.{number}/24\"\n    interface \"eth0\"\n}}");
    }
    let mut servers = String::new();
    for number in 1..=SERVERS {
        let ssh = if number % 2 == 0 {
            format!("    ssh \"w{number}\" user=\"{USER}\" become=#true\n")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "real-server \"w{number}\" {{\n    address \"10.0.0.{}/24\"\n    interface \"eth0\"\n{ssh}}}",
            number + 10
        );
        let _ = writeln!(servers, "        server \"w{number}\"");
    }
    let _ = writeln!(
        text,
        "failover \"ext\" {{
    director \"d1\" priority=100
    director \"d2\" priority=50
    virtual-router-id 7
    interface \"eth0\"
    auth-pass (env)\"VRRP_PASS\"
}}
vip \"10.0.0.100\" failover=\"ext\" forwarding=\"dr\" {{
    service \"http\" {{
        listen \"tcp\" 80
        scheduler \"rr\"
        check \"tcp\" interval=\"1s\" timeout=\"1s\" retries=1 retry-delay=\"1s\"
{servers}    }}
}}"
    );
    text
}

fn a_fleet() {
    let begun = Instant::now();
    let fleet = Fleet::new(&site(), "10.0.0.250/24").with_agents();
    println!("the fleet stood after {:?}", begun.elapsed());
    let before = fleet.site.snapshot();
    let timed = |arguments: &[&str], code: i32| {
        let begun = Instant::now();
        // How soon ten logins are done on one busy processor is not what this is about.
        let patient = if arguments.contains(&"--timeout") { &[][..] } else { &["--timeout", "2m"] };
        let ran = fleet.lvsctl(&[arguments, patient].concat()).expect(code);
        println!("{arguments:?} took {:?}", begun.elapsed());
        ran
    };
    let plan = timed(&["plan", "--format", "json"], 0);
    assert_eq!(texts(&plan.json()["hosts"], "status"), ["read"; 10]);
    assert!(plan.stderr.contains("w8: connected (") && plan.stderr.contains("(10/10)"), "{}", plan.stderr);
    before.assert_equal(&fleet.site.snapshot(), "a plan changes nothing");
    let applied = timed(&["apply", "--auto-approve", "--format", "json"], 0).json();
    assert_eq!(applied["verified"], true, "{applied:#}");
    let spread = fleet.site.serves("http", 16);
    assert_eq!(spread.len(), SERVERS as usize, "{spread:?}");
    // The master's machine goes, and with it the way to it: the rest is served, and the plan says which one is missing.
    lab::within("switch", &["ip", "link", "set", "p0", "down"]);
    fleet.site.serves("http", 16);
    let plan = timed(&["plan", "--timeout", "3s", "--detailed-exitcode"], 1);
    assert!(plan.stdout.contains("? d1") && plan.stdout.contains("INCOMPLETE"), "{}", plan.stdout);
}

fn brings_itself_along() {
    agent::static_build();
    let text = SITE.replace(
        "real-server \"w1\" {",
        &format!("real-server \"w1\" {{\n    ssh \"w1\" user=\"{USER}\" become=#true"),
    );
    let fleet = Fleet::new(&text, "10.0.0.250/24").with_lvsctl(agent::STATIC.as_ref());
    let before = fleet.site.snapshot();
    fleet.lvsctl(&["apply", "--auto-approve"]).expect(0);
    let agents = |host: &str| {
        let folder = fs::read_dir(fleet.root(host).join("run/lvsctl-agent")).expect("the folder of agents");
        folder.map(|entry| entry.expect("an agent").path()).collect::<Vec<_>>()
    };
    for host in ["d1", "w1"] {
        let agents = agents(host);
        assert_eq!(agents.len(), 1, "{agents:?}");
        assert!(fs::read(&agents[0]).expect("the agent") == fs::read(agent::STATIC).expect("lvsctl"));
    }
    fleet.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    fleet.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    essence(&before).assert_equal(&essence(&fleet.site.snapshot()), "after everything was taken away");
    // A program that only runs where its libraries are is not brought, and nothing is changed.
    let fleet = fleet.with_lvsctl(&machine::lvsctl());
    let refused = fleet.lvsctl(&["plan"]).expect(1).stdout;
    assert!(refused.contains("not a static build") && refused.contains("make release"), "{refused}");
    // Nobody becomes root without a line for it.
    fs::remove_file(fleet.root("w1").join("etc/sudoers.d/lvsctl")).expect("the line");
    let refused = fleet.lvsctl(&["plan"]).expect(1).stdout;
    let line = format!("/etc/sudoers.d/lvsctl: {USER} ALL=(root) NOPASSWD: /bin/sh");
    assert!(refused.contains("does not become root") && refused.contains(&line), "{refused}");
}
