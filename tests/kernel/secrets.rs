//! A password goes into `keepalived.conf` and nowhere else: no output, no argument, no environment, no other file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::gate::Gate;
use crate::laboratory::{Laboratory, Ran, walk};
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("secrets::no_command_prints_one", no_command_prints_one).within(120),
        test("secrets::no_process_and_no_file_holds_one", no_process_and_no_file_holds_one).within(120),
    ]
}

/// The password that must be nowhere.
const CANARY: &str = "Kanari5x";

/// The password that somebody else's file holds.
const FOREIGN: &str = "Fremd77y";

const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
}
director "d2" {
    address "10.0.0.2/24"
    interface "eth0"
}
real-server "w1" {
    address "10.0.0.11/24"
    interface "eth0"
}
failover "ext" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 51
    interface "eth0"
    auth-pass (env)"VRRP_PASS"
    version 2
}
vip "10.0.0.100" failover="ext" forwarding="dr" {
    service "web" {
        listen "tcp" 80
        scheduler "wrr"
        check "tcp" interval="1s" timeout="5s" retries=1 retry-delay="1s"
        server "w1"
    }
}
"#;

fn command(laboratory: &Laboratory, arguments: &[&str]) -> Command {
    let mut command = laboratory.command(arguments);
    command.env("VRRP_PASS", CANARY);
    command
}

/// Runs a command, asserts that it prints no password, and returns what it came to.
fn quiet(command: &mut Command) -> Ran {
    let ran: Ran = command.output().expect("lvsctl starts").into();
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(CANARY) && !text.contains(FOREIGN), "{command:?}: {text}");
    }
    ran
}

fn no_command_prints_one() {
    let laboratory = Laboratory::new(SITE);
    let run = |arguments: &[&str], code: i32| quiet(&mut command(&laboratory, arguments)).expect(code);
    let conf = laboratory.root("d1").join("etc/keepalived/keepalived.conf");
    let foreign = format!(
        "vrrp_instance x {{\n interface eth0\n virtual_router_id 51\n authentication {{\n auth_type PASS\n \
        auth_pass {FOREIGN}\n }}\n virtual_ipaddress {{\n 10.0.0.100\n }}\n}}\n"
    );
    fs::write(&conf, &foreign).expect("a file of somebody else");
    for arguments in [
        &["check"][..],
        &["check", "--format", "json"],
        &["compile"],
        &["plan"],
        &["plan", "--format", "json"],
        &["--log", "debug", "plan"],
        &["--color", "always", "plan"],
    ] {
        run(arguments, 0);
    }
    let plan = run(&["plan"], 0).stdout;
    assert!(plan.contains("- vrrp_instance x") && plan.contains("auth_pass (sensitive)"), "it is shown: {plan}");

    // A keepalived that prints the file which it refuses, and one that prints the file which it cannot run with.
    let bin = Path::new("/run/impostor");
    fs::create_dir_all(bin).expect("the folder");
    let impostor = |when: &str| {
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *{when}*) for word; do :; done; for word; do [ ! -f \"$word\" ] || cat \"$word\"; \
            done; exit 5;; esac\nexec /usr/sbin/keepalived \"$@\"\n"
        );
        fs::write(bin.join("keepalived"), script).expect("the impostor");
        fs::set_permissions(bin.join("keepalived"), fs::Permissions::from_mode(0o755)).expect("its mode");
    };
    for (when, format) in [("-t", "human"), ("-t", "json"), ("--dont-fork", "human"), ("--dont-fork", "json")] {
        impostor(when);
        let mut command = command(&laboratory, &["--log", "debug", "apply", "--auto-approve", "--format", format]);
        let refused = quiet(command.env("PATH", "/run/impostor:/usr/sbin:/usr/bin:/sbin:/bin")).expect(6);
        assert!(refused.stdout.contains("keepalived"), "{}", refused.stdout);
        assert_eq!(fs::read_to_string(&conf).expect("the file"), foreign, "{when}");
    }
    fs::remove_dir_all(bin).expect("the folder");
    let log = fs::read_to_string(laboratory.root("d2").join("var/log/keepalived.log"));
    let log = log.or_else(|_| fs::read_to_string(laboratory.root("d1").join("var/log/keepalived.log")));
    assert!(log.expect("the impostor's log").contains("auth_pass"), "the impostor printed the file");

    run(&["--log", "debug", "apply", "--auto-approve"], 0);
    run(&["apply", "--auto-approve", "--format", "json"], 0);
    // The password is another one.
    let changed = "andere1z";
    let mut plan = command(&laboratory, &["plan"]);
    let shown = quiet(plan.env("VRRP_PASS", changed)).expect(0).stdout;
    assert!(shown.contains("auth_pass (sensitive, changed)") && !shown.contains(changed), "{shown}");
    run(&["--log", "debug", "destroy", "--auto-approve"], 0);

    // A secret that does not fit, and one that is written in the topology, beside a mistake.
    let long = format!("{CANARY}{FOREIGN}");
    let refused = quiet(command(&laboratory, &["plan"]).env("VRRP_PASS", &long)).expect(1);
    assert!(refused.stderr.contains("longer than 8 bytes"), "{}", refused.stderr);
    for mistake in ["version 2", "version 7"] {
        let literal = SITE.replace("(env)\"VRRP_PASS\"", &format!("{CANARY:?}")).replace("version 2", mistake);
        laboratory.write(&literal);
        let code = i32::from(mistake == "version 7");
        for arguments in [&["check"][..], &["check", "--format", "json"], &["plan"], &["compile"], &["apply"]] {
            let code = if arguments == ["apply"] { 1 } else { code };
            run(arguments, code);
        }
    }
}

/// Looks at every process but lvsctl itself, and at every file below the hosts' folders.
struct Watch {
    own: u32,
    processes: BTreeSet<String>,
    files: BTreeSet<(PathBuf, u32)>,
}

impl Watch {
    fn look(&mut self, laboratory: &Laboratory) {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            for name in ["cmdline", "environ"] {
                let text = fs::read(entry.path().join(name)).unwrap_or_default();
                let program = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                // The operator gave it to lvsctl in its environment, and a child is lvsctl until it is its program.
                let given = (pid == self.own || program.starts_with("lvsctl")) && name == "environ";
                if String::from_utf8_lossy(&text).contains(CANARY) && !given {
                    self.processes.insert(format!("{name} of {}", program.trim()));
                }
            }
        }
        self.look_at_files(laboratory);
    }

    fn look_at_files(&mut self, laboratory: &Laboratory) {
        for host in ["d1", "d2", "w1"] {
            for path in walk(&laboratory.root(host)).into_iter().filter(|path| path.is_file()) {
                let Ok(data) = fs::metadata(&path) else { continue };
                if fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(CANARY)) {
                    self.files.insert((path, data.permissions().mode() & 0o7777));
                }
            }
        }
    }
}

fn no_process_and_no_file_holds_one() {
    let laboratory = Laboratory::new(SITE);
    let gate = Gate::new();
    let mut command = command(&laboratory, &["apply", "--auto-approve"]);
    gate.put_before(&mut command);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lvsctl starts");
    let mut watch = Watch { own: child.id(), processes: BTreeSet::new(), files: BTreeSet::new() };
    let mut looks = 0;
    let status = loop {
        // Counted while it is in the middle of it: the file is written, and a program runs.
        let is_held = gate.is_held();
        watch.look(&laboratory);
        looks += u32::from(is_held);
        if looks >= 3 {
            gate.open();
        }
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    assert!(status.success() && looks >= 3, "{status}, {looks} looks");
    drop(gate);
    // keepalived goes on and is looked at once more.
    watch.look(&laboratory);
    assert_eq!(watch.processes, BTreeSet::new());
    let is_ours = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name == "keepalived.conf" || name.starts_with(".keepalived.conf.lvsctl-")
    };
    for (path, mode) in &watch.files {
        assert!(is_ours(path) && *mode == 0o600, "{} {mode:o}", path.display());
    }
    let settled = |host: &str| laboratory.root(host).join("etc/keepalived/keepalived.conf");
    for host in ["d1", "d2"] {
        assert!(watch.files.contains(&(settled(host), 0o600)), "{:?}", watch.files);
    }
    // Neither where the operator stands, nor where lvsctl could have left something.
    for folder in ["/run/operator", "/var/lib/lvsctl", "/var/log", "/etc/keepalived"] {
        for path in walk(Path::new(folder)).into_iter().filter(|path| path.is_file()) {
            let found = fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(CANARY));
            assert!(!found, "{}", path.display());
        }
    }
    // Somebody else's file stays as a copy for its owner alone, and a mode set by hand makes no copy of lvsctl's own.
    laboratory.run("d1", "chmod 644 $ROOT/etc/keepalived/keepalived.conf");
    quiet(&mut self::command(&laboratory, &["apply", "--auto-approve"])).expect(0);
    let mut after = Watch { own: 0, processes: BTreeSet::new(), files: BTreeSet::new() };
    after.look_at_files(&laboratory);
    let expected = ["d1", "d2"].map(|host| (settled(host), 0o600));
    assert_eq!(after.files, BTreeSet::from(expected));
}
