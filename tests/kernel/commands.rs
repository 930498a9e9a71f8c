//! The commands as an operator or a pipeline calls them: exit statuses, documents, and what happens when something is in
//! the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::Value;

use crate::laboratory::{Laboratory, Ran, Snapshot, texts};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("commands::exit_statuses_and_destroy", exit_statuses).within(90).on_both_kernels(),
        test("commands::documents_have_their_fields_and_the_same_bytes", documents).within(90),
        test("commands::a_named_host_alone_is_changed", a_named_host_alone).within(90),
        test("commands::a_host_that_is_not_there_stops_the_apply", dead_hosts).within(90),
        test("commands::a_plain_user_is_told_what_is_missing", a_plain_user).within(60),
        test("commands::a_failed_apply_is_taken_back", taken_back).within(120),
        test("commands::a_failed_apply_is_kept_if_that_is_wanted", kept).within(120),
        test("commands::nothing_is_claimed_when_nothing_was_done", nothing_claimed).within(90),
    ]
}

/// One director and one real server, with a checked and a static service.
pub const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
}
real-server "w1" {
    address "10.0.0.11/24"
    interface "eth0"
}
vip "10.0.0.100" director="d1" forwarding="dr" {
    service "checked" {
        listen "tcp" 80
        fwmark 7
        scheduler "wrr"
        check "tcp" interval="1s" timeout="5s" retries=1 retry-delay="1s"
        server "w1" weight=10
    }
    service "static" {
        listen "tcp" 8080
        scheduler "rr"
        server "w1"
    }
}
"#;

const APPLY: &[&str] = &["apply", "--auto-approve", "--format", "json"];

/// Takes out what cannot be taken back without risk: loaded modules, empty tables, folders, kept copies.
pub fn essence(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.0.retain(|key, text| {
        let is_folder = key.contains(" file ") && text.starts_with('4');
        key != "modules" && !is_folder && !key.contains(".before-lvsctl")
    });
    for (key, text) in &mut snapshot.0 {
        if key.ends_with("tables") {
            *text = text.lines().filter(|line| line.starts_with("-A") || line.contains(" - ")).collect();
        }
        // IPVS's parameters come with its module.
        if key.ends_with("parameters") {
            *text = text.lines().filter(|line| !line.starts_with("vs/")).flat_map(|line| [line, "\n"]).collect();
        }
    }
    snapshot.0.retain(|_, text| !text.trim().is_empty());
    snapshot
}

fn exit_statuses() {
    let laboratory = Laboratory::new(SITE);
    let empty = laboratory.snapshot();
    laboratory.lvsctl(&["check"]).expect(0);
    laboratory.lvsctl(&["plan"]).expect(0);
    let plan = laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(2);
    assert!(plan.stdout.contains("Plan: ") && plan.stdout.contains(" create"), "{}", plan.stdout);
    let unasked = laboratory.lvsctl(&["apply"]).expect(1);
    assert!(unasked.stderr.contains("--auto-approve"), "{}", unasked.stderr);
    laboratory.lvsctl(&["destroy"]).expect(0);
    let unknown = laboratory.lvsctl(&["plan", "--host", "d9"]).expect(1);
    assert!(unknown.stderr.contains("d9") && unknown.stderr.contains("d1, w1"), "{}", unknown.stderr);
    empty.assert_equal(&laboratory.snapshot(), "nothing was done yet");

    let applied = laboratory.lvsctl(&["apply", "--auto-approve"]).expect(0);
    assert!(applied.stdout.contains("Converged: "), "{}", applied.stdout);
    let standing = laboratory.snapshot();
    let plan = laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(plan.stdout.contains("No changes"), "{}", plan.stdout);
    laboratory.lvsctl(&["apply"]).expect(0);
    laboratory.lvsctl(&["destroy"]).expect(1);
    standing.assert_equal(&laboratory.snapshot(), "it stood already");

    laboratory.write(&SITE.replace("scheduler \"rr\"", "scheduler \"nonesuch\""));
    for command in [&["check"][..], &["plan"], &["apply", "--auto-approve"], &["compile"]] {
        let refused = laboratory.lvsctl(command).expect(1);
        assert!((refused.stdout + &refused.stderr).contains("nonesuch"));
    }
    standing.assert_equal(&laboratory.snapshot(), "a broken topology changes nothing");

    laboratory.write(SITE);
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    essence(&empty).assert_equal(&essence(&laboratory.snapshot()), "after everything was taken away");
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(2);
}

fn has(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document.get(field).is_some(), "{field} is missing in {document:#}");
    }
}

fn documents() {
    let laboratory = Laboratory::new(SITE);
    for detailed in [&["plan"][..], &["plan", "--format", "json"], &["check", "--format", "json"], &["compile"]] {
        assert_eq!(laboratory.lvsctl(detailed).stdout, laboratory.lvsctl(detailed).stdout, "{detailed:?}");
    }
    let plan = laboratory.plan();
    has(
        &plan,
        &[
            "format_version",
            "lvsctl_version",
            "plan_id",
            "complete",
            "source",
            "hosts",
            "changes",
            "drift",
            "runtime",
            "foreign",
            "guards",
            "waves",
            "summary",
            "diagnostics",
        ],
    );
    assert_eq!(plan["format_version"], "1.0");
    assert_eq!(plan["complete"], true);
    has(&plan["source"], &["revision", "files"]);
    has(&plan["source"]["files"][0], &["path", "sha256"]);
    has(&plan["hosts"][0], &["name", "status", "observed_digest"]);
    has(&plan["summary"], &["create", "update", "replace", "delete", "noop"]);
    let changes = plan["changes"].as_array().expect("changes");
    for change in changes {
        has(
            change,
            &["id", "host", "action", "reason", "before", "after", "sensitive", "origin", "impact", "requires"],
        );
    }
    let service = changes.iter().find(|change| change["id"] == "d1/ipvs/tcp:10.0.0.100:8080").expect("the service");
    assert_eq!(service["action"], "create");
    assert_eq!(service["origin"]["line"], 18, "{service:#}");
    // Every change is in one wave, behind what it requires.
    let waves: Vec<String> = plan["waves"].as_array().expect("waves").iter().flat_map(ids).collect();
    assert_eq!(waves.len(), changes.len());
    let place = |id: &str| waves.iter().position(|found| found == id).expect("a wave");
    for change in changes {
        for required in ids(&change["requires"]) {
            assert!(place(&required) < place(change["id"].as_str().expect("an id")), "{change:#}");
        }
    }
    let count = |action: &str| changes.iter().filter(|change| change["action"] == action).count();
    for action in ["create", "update", "replace", "delete"] {
        assert_eq!(plan["summary"][action], count(action), "{action}");
    }
    assert!(count("create") > 8 && count("update") > 3, "{:#}", plan["summary"]);

    let applied = laboratory.lvsctl(APPLY).expect(0).json();
    has(&applied, &["format_version", "outcome", "exit_code", "verified", "steps", "errors", "remaining"]);
    assert_eq!((&applied["outcome"], &applied["verified"]), (&"converged".into(), &true.into()));
    assert_eq!(applied["applied"], changes.len());
    for detailed in [&["plan"][..], &["plan", "--format", "json"]] {
        assert_eq!(laboratory.lvsctl(detailed).stdout, laboratory.lvsctl(detailed).stdout, "{detailed:?}");
    }
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

fn a_named_host_alone() {
    let laboratory = Laboratory::new(SITE);
    let empty = laboratory.snapshot();
    let report = laboratory.lvsctl(&[APPLY, &["--host", "w1"]].concat()).expect(0).json();
    assert!(texts(&report["steps"], "id").iter().all(|id| id.starts_with("w1/")), "{report:#}");
    let after = laboratory.snapshot();
    let of_director = |snapshot: &Snapshot| {
        let mut snapshot = snapshot.clone();
        snapshot.0.retain(|key, _| key.starts_with("d1 "));
        snapshot
    };
    of_director(&empty).assert_equal(&of_director(&after), "the other host is as it was");
    assert!(after.0["w1 addresses"].contains("10.0.0.100/32"), "{:?}", after.0["w1 addresses"]);
    laboratory.lvsctl(&["plan", "--detailed-exitcode", "--host", "w1"]).expect(0);
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(2);
}

fn dead_hosts() {
    let laboratory = Laboratory::new(SITE);
    let before = laboratory.snapshot();
    let text = fs::read_to_string(laboratory.file()).expect("the topology");
    // Nobody listens for SSH, and one namespace is not there.
    for (dead, why) in [("netns \"gone\" root=\"/run/lab/gone\"", "gone"), ("ssh \"127.0.0.1\"", "refused")] {
        let place = format!("netns \"{}\" root={:?}", laboratory.namespace("w1"), laboratory.root("w1"));
        assert!(text.contains(&place), "{text}");
        fs::write(laboratory.file(), text.replace(&place, dead)).expect("the topology");
        let plan = laboratory.lvsctl(&["plan", "--format", "json", "--detailed-exitcode"]).expect(1).json();
        assert_eq!(plan["complete"], false);
        let hosts = plan["hosts"].as_array().expect("hosts");
        assert_eq!(texts(&plan["hosts"], "status"), ["read", "unread"]);
        assert!(hosts[1]["error"].as_str().expect("an error").contains(why), "{}", hosts[1]);
        assert!(texts(&plan["changes"], "host").iter().all(|host| host == "d1") && !plan["changes"][0].is_null());
        let human = laboratory.lvsctl(&["plan"]).expect(1).stdout;
        assert!(human.contains("INCOMPLETE") && human.contains("? w1") && !human.contains("No changes"), "{human}");
        let refused = laboratory.lvsctl(&["apply", "--auto-approve"]).expect(1);
        assert!(refused.stderr.contains("Nothing was changed"), "{}", refused.stderr);
        before.assert_equal(&laboratory.snapshot(), "nothing is done while a host is away");
    }
    // The live host alone can be brought there.
    laboratory.lvsctl(&["apply", "--auto-approve", "--host", "d1"]).expect(0);
    laboratory.lvsctl(&["plan", "--detailed-exitcode", "--host", "d1"]).expect(0);
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(1);
}

fn a_plain_user() {
    let laboratory = Laboratory::new(SITE);
    let before = laboratory.snapshot();
    for arguments in [&["plan"][..], &["apply", "--auto-approve"]] {
        let mut command = laboratory.command(arguments);
        let ran: Ran = command.uid(65534).gid(65534).output().expect("lvsctl starts").into();
        let ran = ran.expect(1);
        let said = ran.stdout + &ran.stderr;
        assert!(said.to_lowercase().contains("permission denied") && said.contains("Run as root"), "{said}");
    }
    before.assert_equal(&laboratory.snapshot(), "nothing was done");
}

/// A folder with programs that stand before the machine's own.
struct Impostor(&'static str);

impl Impostor {
    fn new(program: &str, script: &str) -> Self {
        let folder = "/run/impostor";
        fs::create_dir_all(folder).expect("the folder");
        let path = Path::new(folder).join(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the impostor");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the mode");
        Impostor(folder)
    }

    fn lvsctl(&self, laboratory: &Laboratory, arguments: &[&str]) -> Ran {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.0);
        laboratory.command(arguments).env("PATH", path).output().expect("lvsctl starts").into()
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

/// A keepalived that finds every file in order and does not start.
fn no_keepalived() -> Impostor {
    let script = "case \"$*\" in *--dont-fork*) echo I will not >&2; exit 3;; esac; exec /usr/sbin/keepalived \"$@\"";
    Impostor::new("keepalived", script)
}

fn taken_back() {
    let laboratory = Laboratory::new(SITE);
    let conf = laboratory.root("d1").join("etc/keepalived/keepalived.conf");
    fs::write(&conf, "global_defs {\n    router_id by_hand\n}\n").expect("a file of somebody else");
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o640)).expect("its mode");
    let before = laboratory.snapshot();
    let ran = no_keepalived().lvsctl(&laboratory, APPLY).expect(6);
    let report = ran.json();
    assert_eq!((&report["outcome"], &report["verified"]), (&"rolled_back".into(), &true.into()));
    let steps = report["steps"].as_array().expect("steps");
    let failed: Vec<&Value> = steps.iter().filter(|step| step["state"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{report:#}");
    assert_eq!(failed[0]["id"], "d1/keepalived/daemon");
    assert!(failed[0]["error"].as_str().expect("why").contains("I will not"), "{}", failed[0]);
    assert!(steps.iter().all(|step| step["state"] != "applied"), "{report:#}");
    assert!(steps.iter().filter(|step| step["state"] == "undone").count() > 8, "{report:#}");
    essence(&before).assert_equal(&essence(&laboratory.snapshot()), "after everything was taken back");

    // A refusal of the configuration comes before the file is in place.
    let refusal = "case \"$*\" in *-t*) echo not this file; exit 5;; esac; exec /usr/sbin/keepalived \"$@\"";
    let refused = Impostor::new("keepalived", refusal).lvsctl(&laboratory, APPLY).expect(6).json();
    let failed = refused["steps"].as_array().expect("steps").iter().find(|step| step["state"] == "failed");
    assert_eq!(failed.expect("a failure")["id"], "d1/keepalived/configuration");
    essence(&before).assert_equal(&essence(&laboratory.snapshot()), "after the configuration was refused");

    // Another attempt, with nothing in the way.
    laboratory.apply();
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
}

fn kept() {
    let laboratory = Laboratory::new(SITE);
    let before = laboratory.snapshot();
    let arguments = [APPLY, &["--on-failure", "keep"]].concat();
    let report = no_keepalived().lvsctl(&laboratory, &arguments).expect(5).json();
    assert_eq!(report["outcome"], "partial");
    let state = |wanted: &str| {
        let steps = report["steps"].as_array().expect("steps").iter();
        steps.filter(|step| step["state"] == wanted).map(|step| step["id"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(state("failed"), ["\"d1/keepalived/daemon\""]);
    assert!(state("applied").len() > 8 && state("undone").is_empty(), "{report:#}");
    assert!(!state("skipped").is_empty());
    assert!(texts_of(&report["remaining"]).contains(&"d1/keepalived/daemon".to_owned()), "{report:#}");
    // What was kept is claimed: it can be taken away again.
    laboratory.lvsctl(&["destroy", "--auto-approve"]).expect(0);
    essence(&before).assert_equal(&essence(&laboratory.snapshot()), "after what was kept was taken away");
    no_keepalived().lvsctl(&laboratory, &arguments).expect(5);
    laboratory.apply();
    laboratory.lvsctl(&["plan", "--detailed-exitcode"]).expect(0);
}

fn texts_of(list: &Value) -> Vec<String> {
    ids(list)
}

/// The first step fails, and a host cannot be written to: exit status 1, and nothing is different.
fn nothing_claimed() {
    let laboratory = Laboratory::new(SITE);
    let empty = laboratory.snapshot();
    // All that there is to do fails: nobody owns anything.
    laboratory.write(&SITE.replace("forwarding=\"dr\"", "forwarding=\"dr\" delivery=\"redirect\""));
    let impostor = Impostor::new("iptables-restore", "echo no rules today >&2; exit 4");
    impostor.lvsctl(&laboratory, &[APPLY, &["--host", "w1"]].concat()).expect(1);
    drop(impostor);
    essence(&empty).assert_equal(&essence(&laboratory.snapshot()), "nothing was claimed on an empty host");

    laboratory.write(SITE);
    laboratory.apply();
    let standing = laboratory.snapshot();
    // One change of something that is there fails.
    let two_ports = SITE.replace("listen \"tcp\" 80\n", "listen \"tcp\" 80\n        listen \"tcp\" 81\n");
    laboratory.write(&two_ports.replace("check \"tcp\"", "check \"tcp\" port=80"));
    let impostor = Impostor::new("iptables-restore", "echo no rules today >&2; exit 4");
    let report = impostor.lvsctl(&laboratory, APPLY);
    drop(impostor);
    let report = report.expect(1);
    assert!(report.stdout.contains("no rules today"), "{report:?}");
    standing.assert_equal(&laboratory.snapshot(), "nothing was claimed");

    // A program that is not there is named with its package.
    let (real, aside) = ("/usr/sbin/iptables-restore", "/usr/sbin/iptables-restore.aside");
    fs::rename(real, aside).expect("the guest's own file");
    let missing = laboratory.lvsctl(APPLY);
    fs::rename(aside, real).expect("the guest's own file");
    let said = missing.expect(1).stdout;
    assert!(said.contains("iptables-restore is not installed") && said.contains("apt-get install iptables"), "{said}");
    standing.assert_equal(&laboratory.snapshot(), "nothing was claimed");

    // A folder that cannot be written to.
    let root = laboratory.root("w1");
    let root = root.to_str().expect("UTF-8");
    let mount = |words: &[&str]| {
        let status = std::process::Command::new("mount").args(words).status().expect("mount");
        assert!(status.success());
    };
    mount(&["--bind", root, root]);
    mount(&["-o", "remount,ro,bind", root]);
    let refused = laboratory.lvsctl(APPLY);
    let status = std::process::Command::new("umount").arg(root).status().expect("umount");
    assert!(status.success());
    let refused = refused.expect(1);
    assert!(refused.stderr.contains("w1: ") && refused.stderr.contains("Read-only"), "{}", refused.stderr);
    standing.assert_equal(&laboratory.snapshot(), "a root that is read-only");
    laboratory.apply();
}
