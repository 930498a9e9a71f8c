//! What becomes of replies that take another way than the plan hopes.

use lvsctl::rehearsal::traffic;

use crate::laboratory::{Laboratory, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("return_path::what_may_miss_the_director_is_said", what_may_miss_the_director_is_said).within(60)]
}

const SITE: &str = r#"
director "lb" { address "10.1.0.1/24"; address "fd00:1::1/64"; interface "eth0"; }
real-server "web" { address "10.1.0.11/24"; address "fd00:1::11/64"; interface "eth0"; }
vip "10.1.0.100" director="lb" forwarding="nat" {
    service "translated" { listen "tcp" 80; server "web" port=8080; }
}
"#;

const DIRECT: &str = r#"
vip "10.1.0.101" director="lb" forwarding="dr" {
    service "direct" { listen "tcp" 80; server "web"; }
}
"#;

fn what_may_miss_the_director_is_said() {
    let laboratory = Laboratory::new(&format!("{SITE}{DIRECT}"));
    laboratory.write(SITE);
    let warnings = || texts(&laboratory.plan()["diagnostics"], "code");
    laboratory.apply();
    assert_eq!(warnings(), Vec::<String>::new());
    laboratory.serves("translated", 10);
    // The kernel's own rules are none; somebody else's may send replies anywhere.
    laboratory.run("web", "ip -6 rule add from fd00:1::11 lookup 100");
    assert_eq!(warnings(), Vec::<String>::new(), "of the other family");
    laboratory.run("web", "ip rule add from 10.1.0.11 lookup 100");
    assert_eq!(warnings(), ["nat-return-path"]);
    laboratory.run("web", "ip rule del from 10.1.0.11 lookup 100");
    // A packet whose source is an address of the director ends there.
    laboratory.write(&format!("{SITE}{DIRECT}"));
    laboratory.apply();
    assert_eq!(warnings(), ["martian-replies"]);
    laboratory.serves("translated", 10);
    let answers = traffic::ask(&laboratory.target("direct"), 2);
    assert_eq!((answers.answered, answers.failed), (0, 2), "{answers:?}");
}
