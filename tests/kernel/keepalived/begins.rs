//! A failover that has just begun: an apply waits until one director holds its VIPs, and says so where none or several do.

use std::time::Instant;

use crate::laboratory::{Laboratory, Ran, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("keepalived::an_apply_waits_for_the_first_election", an_apply_waits_for_the_first_election).within(60),
        test("keepalived::an_apply_tells_who_was_not_elected", an_apply_tells_who_was_not_elected).within(90),
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
    version 3
    advert-interval "500ms"
}
vip "10.0.0.100" failover="ext" forwarding="dr" {
    service "web" { listen "tcp" 80; scheduler "rr"; server "w1"; }
}
"#;

fn holders(laboratory: &Laboratory, vip: &str) -> Vec<&'static str> {
    let holds = |host: &&str| laboratory.run(host, "ip -o address").contains(&format!(" {vip}/32 "));
    ["d1", "d2"].into_iter().filter(holds).collect()
}

fn an_apply_waits_for_the_first_election() {
    let laboratory = Laboratory::new(SITE);
    let plan = laboratory.plan();
    let told = texts(&plan["elections"], "text");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("failover ext begins on d2; d1, which is preferred, starts last"), "{told:?}");
    let started = Instant::now();
    laboratory.apply();
    println!("applied within {:?}", started.elapsed());
    // Nothing is waited for here: it is proved already.
    assert_eq!(holders(&laboratory, "10.0.0.100"), ["d1"]);
    laboratory.serves("web", 4);
    let plan = laboratory.plan();
    assert!(texts(&plan["changes"], "id").is_empty() && texts(&plan["elections"], "text").is_empty());
    // The other one becomes the better one, and takes over.
    laboratory.write(&SITE.replace("priority=50", "priority=150"));
    let told = laboratory.lvsctl(&["plan"]).expect(0).stdout;
    assert!(told.contains("AT RISK: failover ext moves to d2"), "{told}");
    assert!(told.contains("Election: failover ext moves from d1 to d2, which gets the highest priority"), "{told}");
    laboratory.apply();
    eventually("the better one takes over", || holders(&laboratory, "10.0.0.100") == ["d2"]);
    // Who already is master stays there, and nothing is told.
    laboratory.write(&SITE.replace("priority=50", "priority=160"));
    assert!(texts(&laboratory.plan()["elections"], "text").is_empty());
}

fn an_apply_tells_who_was_not_elected() {
    let watched = r#"failover "watched" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 52
    version 3
    advert-interval "500ms"
    script "never" run="/usr/bin/test -e /nowhere" user="nobody"
    track script="never"
}
vip "10.0.0.101" failover="watched" {}
"#;
    let laboratory = Laboratory::new(&format!("{SITE}{watched}"));
    for host in ["d1", "d2"] {
        laboratory.run(host, "iptables -I INPUT -p 112 -j DROP");
    }
    let ran = laboratory.lvsctl(&["apply", "--auto-approve", "--format", "json"]).expect(5);
    let document = ran.json();
    assert_eq!(document["outcome"], "partial");
    assert_eq!(document["errors"][0], "10.0.0.100 of failover ext is held by d1 and d2 at once");
    let warnings: Vec<&str> =
        document["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let veto = "10.0.0.101 of failover watched is held by no director: the script \"never\" decides which director may";
    assert_eq!(warnings, [veto]);
    // When they hear each other again, the same topology has nothing to change and the apply nothing to say.
    for host in ["d1", "d2"] {
        laboratory.run(host, "iptables -D INPUT -p 112 -j DROP");
    }
    eventually("one holder", || holders(&laboratory, "10.0.0.100") == ["d1"]);
    // Nobody may be master is a warning and no failure.
    laboratory.write(&format!("{SITE}{}", watched.replace("priority=50", "priority=60")));
    let Ran { stdout, .. } = laboratory.lvsctl(&["apply", "--auto-approve"]).expect(0);
    assert!(stdout.contains(&format!("warning: {veto}")), "{stdout}");
}
