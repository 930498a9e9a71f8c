//! Servers that die and come back: keepalived's business, listed and never a change.

use serde_json::Value;

use crate::laboratory::{Laboratory, eventually, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("health::a_dead_server_is_no_drift", || dies(REMOVE)).within(120),
        test("health::an_inhibited_server_is_no_drift", || dies(INHIBIT)).within(120),
        test("health::a_weight_of_0_by_hand_is_drift_where_keepalived_removes", quietened).within(120),
        test("health::a_sorry_server_is_no_drift", too_few_are_left).within(120),
        test("health::programs_are_told_of_servers_and_the_quorum", programs_are_told).within(120),
        test("health::a_server_that_never_lived_is_no_drift", never_lived).within(120),
    ]
}

/// A director that checks two servers by TCP.
const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
}
real-server "w1" {
    address "10.0.0.11/24"
    interface "eth0"
}
real-server "w2" {
    address "10.0.0.12/24"
    interface "eth0"
}
vip "10.0.0.100" director="d1" forwarding="nat" {
    service "web" {
        listen "tcp" 80
        scheduler "wrr"
        check "tcp" interval="1s" timeout="5s" retries=1 retry-delay="1s"
        on-failure "remove"
        server "w1" weight=10 port=8080
        server "w2" weight=20 port=8080
    }
}
"#;

/// How a dead server shows.
#[derive(Clone, Copy)]
struct Way {
    on_failure: &'static str,
    /// The server's line of `ipvsadm -Sn` while it is dead.
    dead: Option<&'static str>,
    state: &'static str,
}

const REMOVE: Way = Way { on_failure: "remove", dead: None, state: "out of the table" };
const INHIBIT: Way =
    Way { on_failure: "inhibit", dead: Some("-a -t 10.0.0.100:80 -r 10.0.0.11:8080 -m -w 0"), state: "weight 0" };

const W1: &str = "d1/ipvs/tcp:10.0.0.100:80/10.0.0.11:8080";

fn topology(way: Way) -> String {
    SITE.replace("on-failure \"remove\"", &format!("on-failure {:?}", way.on_failure))
}

/// Returns the lines of the table that are about a server.
fn lines(laboratory: &Laboratory, server: &str) -> Vec<String> {
    let table = laboratory.run("d1", "ipvsadm -Sn");
    table.lines().filter(|line| line.contains(server)).map(|line| line.trim_end().to_owned()).collect()
}

fn is_up(laboratory: &Laboratory, server: &str, weight: u32) -> bool {
    lines(laboratory, server).iter().any(|line| line.ends_with(&format!(" -w {weight}")))
}

fn stop(laboratory: &Laboratory, server: &str) {
    laboratory.run(server, "kill $(cat $ROOT/run/nginx/pid); while [ -e $ROOT/run/nginx/pid ]; do sleep 0.05; done");
}

fn start(laboratory: &Laboratory, server: &str) {
    laboratory.run(server, "nginx -c $ROOT/run/nginx/nginx.conf -e $ROOT/run/nginx/error.log");
}

/// Asserts that nothing is to be done, and returns what is said of the dead server.
fn no_change(laboratory: &Laboratory) -> Option<String> {
    let look = || {
        let human = laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0).stdout;
        let plan = laboratory.lvsctl(&["plan", "--detailed-exitcode", "--format", "json"]).expect(0).json();
        let state = plan["runtime"].as_array().expect("runtime").iter().find(|state| state["id"] == W1);
        let state = state.map(|state| state["state"].as_str().expect("a state").to_owned());
        (human, plan, state)
    };
    let (mut human, mut plan, mut state) = look();
    // keepalived may take a server out or back between the two, and comes to an end with that.
    eventually("two looks that see the same", || {
        let is_one = state.is_some() == human.contains("Runtime, not drift");
        if !is_one {
            (human, plan, state) = look();
        }
        is_one
    });
    assert!(human.contains("No changes"), "{human}");
    for list in ["changes", "drift", "foreign"] {
        assert_eq!(plan[list], Value::Array(Vec::new()), "{list}");
    }
    state
}

fn dies(way: Way) {
    let text = topology(way);
    let laboratory = Laboratory::new(&text);
    laboratory.apply();
    eventually("both servers", || is_up(&laboratory, "10.0.0.11", 10) && is_up(&laboratory, "10.0.0.12", 20));
    assert_eq!(no_change(&laboratory), None);
    let spread = laboratory.serves("web", 30);
    assert_eq!(spread.values().copied().collect::<Vec<_>>(), [10, 20]);

    let is_dead = |laboratory: &Laboratory| lines(laboratory, "10.0.0.11") == way.dead.into_iter().collect::<Vec<_>>();
    stop(&laboratory, "w1");
    eventually("the dead server is out of service", || is_dead(&laboratory));
    let state = no_change(&laboratory).expect("a runtime state");
    assert!(state.starts_with(way.state), "{state}");
    let standing = laboratory.snapshot();
    laboratory.apply();
    standing.assert_equal(&laboratory.snapshot(), "an apply does not bring it back");
    assert_eq!(laboratory.serves("web", 10)["w2"], 10);

    // Its weight is changed, and that of the living one.
    laboratory.write(&text.replace("weight=10", "weight=30").replace("weight=20", "weight=5"));
    let report = laboratory.apply();
    assert!(texts(&report["steps"], "id").contains(&"d1/keepalived/configuration".to_owned()), "{report:#}");
    assert!(is_dead(&laboratory), "{:?}", lines(&laboratory, "10.0.0.11"));
    assert!(no_change(&laboratory).is_some());
    assert!(is_up(&laboratory, "10.0.0.12", 5));
    assert_eq!(laboratory.serves("web", 10)["w2"], 10);
    assert!(is_dead(&laboratory));

    start(&laboratory, "w1");
    eventually("it is back with its new weight", || is_up(&laboratory, "10.0.0.11", 30));
    assert_eq!(no_change(&laboratory), None);
    let spread = laboratory.serves("web", 35);
    assert_eq!(spread.values().copied().collect::<Vec<_>>(), [30, 5]);
}

/// keepalived that removes never sets a weight of 0, so somebody else has, and keepalived would leave it so for good.
fn quietened() {
    let laboratory = Laboratory::new(SITE);
    laboratory.apply();
    eventually("both servers", || is_up(&laboratory, "10.0.0.11", 10) && is_up(&laboratory, "10.0.0.12", 20));
    laboratory.run("d1", "ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11:8080 -m -w 0");
    let plan = laboratory.lvsctl(&["plan", "--detailed-exitcode", "--format", "json"]).expect(2).json();
    assert_eq!(texts(&plan["changes"], "id"), [W1], "{plan:#}");
    laboratory.apply();
    assert!(is_up(&laboratory, "10.0.0.11", 10), "{:?}", lines(&laboratory, "10.0.0.11"));
    assert_eq!(no_change(&laboratory), None);
}

/// The sorry server is in the table while the weight of the living is below the quorum, and they are not.
fn too_few_are_left() {
    let sorry = "quorum 30\n        sorry-server \"10.0.0.13\" port=8080\n        server \"w1\" weight";
    let laboratory = Laboratory::new(&SITE.replace("server \"w1\" weight", sorry));
    laboratory.apply();
    eventually("both servers", || is_up(&laboratory, "10.0.0.11", 10) && is_up(&laboratory, "10.0.0.12", 20));
    assert_eq!(no_change(&laboratory), None);
    stop(&laboratory, "w1");
    eventually("the sorry server stands in", || is_up(&laboratory, "10.0.0.13", 1));
    eventually("nobody else does", || lines(&laboratory, "10.0.0.12").is_empty());
    assert_eq!(no_change(&laboratory).as_deref(), Some("out of the table: the sorry server stands in"));
    laboratory.apply();
    assert!(is_up(&laboratory, "10.0.0.13", 1), "an apply leaves it there");
    start(&laboratory, "w1");
    eventually("both are back", || is_up(&laboratory, "10.0.0.11", 10) && is_up(&laboratory, "10.0.0.12", 20));
    eventually("the sorry server has gone", || lines(&laboratory, "10.0.0.13").is_empty());
    assert_eq!(no_change(&laboratory), None);
}

/// The programs leave files, with their arguments as names.
fn programs_are_told() {
    let tells = |what: &str| format!("up=\"/usr/bin/touch /run/{what}-up\" down=\"/usr/bin/touch /run/{what}-down\"");
    let told = |what: &str| std::path::Path::new("/run").join(what).exists();
    let text = SITE.replace(
        "server \"w1\" weight=10 port=8080",
        &format!(
            "quorum 25 {}\n        server \"w1\" weight=10 port=8080 {{ notify {} }}",
            tells("quorum"),
            tells("server")
        ),
    );
    let laboratory = Laboratory::new(&text);
    laboratory.apply();
    eventually("both servers", || is_up(&laboratory, "10.0.0.11", 10) && is_up(&laboratory, "10.0.0.12", 20));
    let nobody = !told("server-down") && !told("quorum-down");
    assert!(nobody, "nobody is told of a loss while all are well");
    for (stops, way) in [(true, "down"), (false, "up")] {
        laboratory.run("d1", "rm -f /run/server-* /run/quorum-*");
        if stops {
            stop(&laboratory, "w1")
        } else {
            start(&laboratory, "w1")
        }
        for what in ["server", "quorum"] {
            eventually(&format!("the program {what} {way}"), || told(&format!("{what}-{way}")));
        }
        let other = if stops { "up" } else { "down" };
        assert!(!told(&format!("server-{other}")) && !told(&format!("quorum-{other}")), "only one side is told");
        eventually("a settled table", || lines(&laboratory, "10.0.0.11").is_empty() == stops);
        no_change(&laboratory);
    }
}

/// A server that is dead when lvsctl first comes, and when keepalived starts anew.
fn never_lived() {
    let laboratory = Laboratory::new(SITE);
    stop(&laboratory, "w1");
    let report = laboratory.apply();
    assert_eq!(report["outcome"], "converged", "{report:#}");
    eventually("the check has failed", || lines(&laboratory, "10.0.0.11").is_empty());
    assert!(no_change(&laboratory).is_some());
    assert_eq!(laboratory.serves("web", 10)["w2"], 10);
    // A service that is new and whose only server is dead.
    laboratory.write(&SITE.replace("listen \"tcp\" 80\n", "listen \"tcp\" 80\n        listen \"tcp\" 81\n"));
    laboratory.apply();
    eventually("the check has failed", || lines(&laboratory, "10.0.0.11").is_empty());
    assert!(laboratory.run("d1", "ipvsadm -Sn").contains("-A -t 10.0.0.100:81 -s wrr"));
    assert!(no_change(&laboratory).is_some());
    start(&laboratory, "w1");
    eventually("it lives", || lines(&laboratory, "10.0.0.11").len() == 2);
    assert_eq!(no_change(&laboratory), None);
}
