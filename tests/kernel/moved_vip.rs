//! VIPs that pass from one failover to another, which keepalived cannot be told in one file.

use crate::laboratory::{Laboratory, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("moved_vip::one_director_holds_it_wherever_it_goes", one_director_holds_it_wherever_it_goes).within(240)]
}

/// Two failovers with the same preferred director; keepalived comes upon `a` first.
fn site(of_a: &[u8], of_z: &[u8]) -> String {
    let vips = |name: &str, last: &[u8]| {
        let vip = |last: &u8| {
            format!(
                "vip \"10.1.0.{last}\" failover=\"{name}\" forwarding=\"dr\" {{\n    service \"web{last}\" {{ listen \"tcp\" 80; scheduler \
                 \"rr\"; server \"web1\"; }}\n}}\n"
            )
        };
        last.iter().map(vip).collect::<String>()
    };
    format!("{HOSTS}{}{}", vips("a", of_a), vips("z", of_z))
}

const HOSTS: &str = r#"
director "lb1" { address "10.1.0.1/24"; interface "eth0"; }
director "lb2" { address "10.1.0.2/24"; interface "eth0"; }
real-server "web1" { address "10.1.0.11/24"; }
failover "a" {
    director "lb1" priority=150
    director "lb2" priority=100
    virtual-router-id 51
    version 3
}
failover "z" {
    director "lb1" priority=150
    director "lb2" priority=100
    virtual-router-id 52
}
"#;

fn one_director_holds_it_wherever_it_goes() {
    let first = site(&[100], &[101, 102]);
    let laboratory = Laboratory::new(&first);
    laboratory.apply();
    let holders = |last: u8| {
        let held = |director: &str| laboratory.run(director, "ip -o address").contains(&format!(" 10.1.0.{last}/32 "));
        [held("lb1"), held("lb2")]
    };
    let all = || [100, 101, 102].map(holders);
    eventually("the preferred master with all VIPs", || all() == [[true, false]; 3]);
    // To the one that keepalived comes upon first, back, all of either to the other, and back.
    for (of_a, of_z) in
        [(&[100, 101][..], &[102][..]), (&[100], &[101, 102]), (&[101, 102], &[100]), (&[100], &[101, 102])]
    {
        laboratory.write(&site(of_a, of_z));
        let plan = laboratory.lvsctl(&["plan"]).expect(0).stdout;
        assert!(plan.contains("keepalived reads a file without it first"), "{plan}");
        // That it converges says that lvsctl has seen one director with each of them.
        laboratory.apply();
        assert_eq!(all(), [[true, false]; 3], "{of_a:?} {of_z:?}");
        assert!(texts(&laboratory.plan()["changes"], "id").is_empty());
        for last in [100, 101, 102] {
            laboratory.serves(&format!("web{last}"), 4);
        }
        // A guest that stood still for some seconds elects once more, and comes back to this.
        eventually("the preferred master with all VIPs, later", || all() == [[true, false]; 3]);
    }
    let placeholders = laboratory.run("lb1", "ip -o address show dev lo");
    assert!(!placeholders.contains("127.0.112."), "{placeholders}");
}
