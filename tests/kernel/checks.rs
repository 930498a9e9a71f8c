//! Every sort of check on a real keepalived: a server that answers stays in the table, one that does not goes.

use std::os::unix::fs::PermissionsExt;

use crate::laboratory::{Laboratory, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("checks::each_sort_tells_a_living_server_from_a_dead_one", each_sort).within(120)]
}

/// A service for each sort of check; the two last expect what no server says. keepalived searches the whole answer, its head
/// included.
const SITE: &str = r#"
director "d1" { address "10.0.0.1/24"; interface "eth0"; }
real-server "w1" { address "10.0.0.11/24"; interface "eth0"; }
real-server "w2" { address "10.0.0.12/24"; interface "eth0"; }
pool "both" { server "w1"; server "w2"; }
vip "10.0.0.100" director="d1" forwarding="nat" {
    service "tcp" { listen "tcp" 1; check "tcp" port=7001 QUICK; pool "both"; }
    service "http" { listen "tcp" 2; check "http" port=7001 digest="DIGEST" host="a.example" QUICK; pool "both"; }
    service "head" { listen "tcp" 3; check "http" port=7001 regex="^HTTP.1[.]1 200 OK" QUICK; pool "both"; }
    service "page" { listen "tcp" 12; check "http" port=7001 regex="w[1-2]" QUICK; pool "both"; }
    service "tls" { listen "tcp" 4; check "https" port=7004 host="a.example" sni=#true QUICK; pool "both"; }
    service "udp" { listen "udp" 5; check "udp" port=7005 payload="77686f" reply=#true QUICK; pool "both"; }
    service "dns" { listen "udp" 6; check "dns" port=7006 name="example.org" type="A" QUICK; pool "both"; }
    service "smtp" { listen "tcp" 7; check "smtp" port=7007 helo="d1.example" QUICK; pool "both"; }
    service "ping" { listen "tcp" 8; check "ping" QUICK; pool "both"; }
    service "script" {
        listen "tcp" 9
        server "w1" { check "script" run="SCRIPT yes please" user="root" QUICK; }
        server "w2" { check "script" run="SCRIPT no" user="root" QUICK; }
    }
    service "other-page" { listen "tcp" 10; check "http" port=7001 regex="w3" QUICK; pool "both"; }
    service "other-digest" { listen "tcp" 11; check "http" port=7001 digest="NOT-IT" QUICK; pool "both"; }
}
"#;

/// Fast enough for a test.
const QUICK: &str = r#"interval="1s" timeout="1s" retries=1 retry-delay="1s""#;

const SCRIPT: &str = "/run/lab/check.sh";

fn topology(digest: &str) -> String {
    let text = SITE.replace("QUICK", QUICK).replace("SCRIPT", SCRIPT);
    text.replace("DIGEST", digest).replace("NOT-IT", &"0".repeat(32))
}

fn each_sort() {
    let laboratory = Laboratory::new(&topology(&"1".repeat(32)));
    std::fs::write(SCRIPT, "#!/bin/sh\n[ \"$#,$1,$2\" = 2,yes,please ]\n").expect("the script");
    std::fs::set_permissions(SCRIPT, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let digest = laboratory.run("d1", "curl -s http://10.0.0.11:7001/ | md5sum | cut -c1-32");
    laboratory.write(&topology(&digest.trim().to_uppercase()));
    laboratory.apply();
    laboratory.run("w2", "ip link set eth0 down");

    let servers = |port: u16| -> Vec<String> {
        let table = laboratory.run("d1", "ipvsadm -Sn");
        let of_service = |line: &&str| line.starts_with("-a") && line.contains(&format!(" 10.0.0.100:{port} "));
        table.lines().filter(of_service).map(|line| line.split(' ').nth(4).expect("a server").to_owned()).collect()
    };
    for port in (1..=9).chain([12]) {
        eventually(&format!("w1 alone at port {port}"), || servers(port) == [format!("10.0.0.11:{port}")]);
    }
    for port in [10, 11] {
        eventually(&format!("nobody at port {port}"), || servers(port).is_empty());
    }
    let plan = laboratory.plan();
    let changes = texts(&plan["changes"], "id");
    assert!(changes.iter().all(|id| id.starts_with("w2/")), "{changes:?}");
    // Those that answer again come back, and a script that no longer agrees is a server that has failed.
    laboratory.run("w2", "ip link set eth0 up");
    eventually("both at port 1", || servers(1).len() == 2);
    std::fs::write(SCRIPT, "#!/bin/sh\nexit 1\n").expect("the script");
    eventually("nobody at port 9", || servers(9).is_empty());
}
