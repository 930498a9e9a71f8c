//! Passwords on their way to hosts behind SSH: one for `keepalived.conf`, one for `sudo`, and neither is anywhere else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fleet::{Fleet, USER};
use crate::laboratory::{Ran, walk};
use crate::machine;
use crate::runner::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("secrets_over_ssh::no_process_and_no_file_holds_one", no_process_and_no_file_holds_one).within(180),
        test("secrets_over_ssh::sudo_is_given_its_password", sudo_is_given_its_password).within(120),
    ]
}

/// The passwords that must be nowhere: keepalived's and that of the account.
const CANARY: &str = "Kanari5x";
const OF_SUDO: &str = "Zeisig 8%y";

const SITE: &str = r#"
director "d1" {
    address "10.0.0.1/24"
    interface "eth0"
}
director "d2" {
    address "10.0.0.2/24"
    interface "eth0"
    ssh "d2" user="deploy" become=#true become-password=(env)"SUDO_PASS"
}
failover "ext" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 51
    interface "eth0"
    auth-pass (env)"VRRP_PASS"
    version 2
}
vip "10.0.0.100" failover="ext"
"#;

/// Gives the account of a host a password, without which it does not become root.
fn set_password(fleet: &Fleet, host: &str) {
    let etc = fleet.root(host).join("etc");
    let mut command = Command::new("openssl");
    command.args(["passwd", "-6", "-stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut hash = command.spawn().expect("openssl");
    hash.stdin.take().expect("a pipe").write_all(OF_SUDO.as_bytes()).expect("the password");
    let hash = String::from_utf8(hash.wait_with_output().expect("openssl").stdout).expect("text");
    let shadow = fs::read_to_string(etc.join("shadow")).expect("the passwords");
    let with = shadow.replace(&format!("{USER}:*:"), &format!("{USER}:{}:", hash.trim()));
    assert_ne!(shadow, with);
    fs::write(etc.join("shadow"), with).expect("the passwords");
    may_become_root(fleet, host, "");
}

/// Says under which condition the account becomes root.
fn may_become_root(fleet: &Fleet, host: &str, tag: &str) {
    let line = format!("{USER} ALL=(root) {tag} /bin/sh\n");
    fs::write(fleet.root(host).join("etc/sudoers.d/lvsctl"), line).expect("the line");
}

fn with_secrets(mut command: Command) -> Command {
    command.env("VRRP_PASS", CANARY).env("SUDO_PASS", OF_SUDO);
    command
}

fn assert_silent(text: &str) {
    assert!(!text.contains(CANARY) && !text.contains(OF_SUDO), "{text}");
}

/// Looks at every process but the operator's lvsctl itself, and at every file below the machines' folders.
#[derive(Default)]
struct Watch {
    own: u32,
    processes: BTreeSet<String>,
    files: BTreeSet<(PathBuf, u32)>,
}

impl Watch {
    fn look(&mut self) {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            for name in ["cmdline", "environ"] {
                let text = fs::read(entry.path().join(name)).unwrap_or_default();
                let program = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                // The operator gave them to lvsctl in its environment. A child is lvsctl until it is its program, and
                // `mount` makes the operator's machine before lvsctl begins.
                let is_given = pid == self.own || ["lvsctl", "mount"].contains(&program.trim());
                if is_secret(&text) && !(is_given && name == "environ") {
                    self.processes.insert(format!("{name} of {}", program.trim()));
                }
            }
        }
        for path in walk(Path::new("/run/lab")).into_iter().filter(|path| path.is_file()) {
            let Ok(data) = fs::metadata(&path) else { continue };
            // No agent holds a secret in its program, which is large.
            if data.len() < 1 << 20 && fs::read(&path).is_ok_and(|bytes| is_secret(&bytes)) {
                self.files.insert((path, data.permissions().mode() & 0o7777));
            }
        }
    }
}

fn is_secret(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains(CANARY) || text.contains(OF_SUDO)
}

fn no_process_and_no_file_holds_one() {
    let fleet = Fleet::new(SITE, "10.0.0.250/24").with_agents();
    set_password(&fleet, "d2");
    let (mut watch, mut looks) = (Watch::default(), 0);
    // The second one has a password to take back.
    for (text, format) in [(SITE.to_owned(), "human"), (SITE.replace("priority=50", "priority=60"), "json")] {
        fs::write(fleet.site.file(), text).expect("the topology");
        let said = ["/run/said", "/run/complained"].map(|path| File::create(path).expect("a file"));
        let arguments = ["--log", "debug", "apply", "--auto-approve", "--format", format];
        let mut command = with_secrets(fleet.prepare(&arguments));
        let [stdout, stderr] = said;
        let mut child = command.stdout(stdout).stderr(stderr).spawn().expect("lvsctl starts");
        watch.own = child.id();
        let status = loop {
            watch.look();
            looks += 1;
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        let [stdout, stderr] =
            ["/run/said", "/run/complained"].map(|path| fs::read_to_string(path).expect("what it said"));
        assert!(status.success(), "{stdout}\n{stderr}");
        assert_silent(&stdout);
        assert_silent(&stderr);
    }
    assert!(looks > 20, "{looks} looks");
    // keepalived goes on and is looked at once more.
    watch.look();
    assert_eq!(watch.processes, BTreeSet::new());
    for (path, mode) in &watch.files {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let is_journal = path.ends_with("var/lib/lvsctl/journal/transaction");
        let is_ours = is_journal || name == "keepalived.conf" || name.starts_with(".keepalived.conf.lvsctl-");
        assert!(is_ours && *mode == 0o600, "{} {mode:o}", path.display());
        assert!(!fs::read_to_string(path).unwrap_or_default().contains(OF_SUDO), "{}", path.display());
    }
    for host in ["d1", "d2"] {
        let file = fleet.root(host).join("etc/keepalived/keepalived.conf");
        assert!(watch.files.contains(&(file, 0o600)), "{:?}", watch.files);
    }
}

/// One host, which is reached as a user who becomes root with a password.
const ONE: &str = r#"
real-server "w1" {
    address "10.0.0.11/24"
    interface "eth0"
    ssh "w1" user="deploy" become=#true become-password=(env)"SUDO_PASS"
}
"#;

fn sudo_is_given_its_password() {
    let fleet = Fleet::new(ONE, "10.0.0.250/24").with_agents();
    set_password(&fleet, "w1");
    let plan = |password: &str, code: i32| {
        let mut command = fleet.prepare(&["plan"]);
        let ran = Ran::from(command.env("SUDO_PASS", password).output().expect("lvsctl starts")).expect(code);
        assert_silent(&ran.stdout);
        assert_silent(&ran.stderr);
        ran
    };
    plan(OF_SUDO, 0);
    let refused = plan("falsch", 1).stdout;
    assert!(refused.contains("sudo does not take the password") && !refused.contains("falsch"), "{refused}");
    assert!(plan("", 1).stderr.contains("is empty or has several lines"));
    let missing = fleet.lvsctl(&["destroy", "--auto-approve"]).expect(1).stderr;
    assert!(missing.contains("SUDO_PASS is not set"), "what is taken away needs the login: {missing}");
    // Without a terminal and without a reference nobody is asked.
    let asking = ONE.replace(" become-password=(env)\"SUDO_PASS\"", "");
    fs::write(fleet.site.file(), &asking).expect("the topology");
    let refused = fleet.lvsctl(&["plan"]).expect(1).stdout;
    assert!(refused.contains("does not become root") && refused.contains("become-password"), "{refused}");
    let typed = on_a_terminal(&fleet, &["falsch", OF_SUDO]);
    assert!(typed.contains("No changes") && typed.matches("Password of deploy for sudo").count() == 2, "{typed}");
    assert_silent(&typed);
    // Where sudo wants none, none is sent: what the agent would take for a question.
    may_become_root(&fleet, "w1", "NOPASSWD:");
    fs::write(fleet.site.file(), ONE).expect("the topology");
    plan(OF_SUDO, 0);
    assert!(!fs::read_to_string("/run/auth.log").unwrap_or_default().contains(OF_SUDO));
}

/// Plans on a terminal on which somebody types these answers, one a question, and returns all that stood there.
fn on_a_terminal(fleet: &Fleet, answers: &[&str]) -> String {
    drop(fleet.prepare(&["plan"]));
    let line = format!("{} plan /root/topology.kdl", machine::lvsctl().display());
    let mut command = fleet.command(&["script", "--quiet", "--echo", "never", "--command", &line, "/dev/null"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("script");
    let (mut input, mut output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let (mut shown, mut answers, mut asked) = (Vec::new(), answers.iter(), 0);
    let mut byte = [0];
    while output.read(&mut byte).is_ok_and(|length| length > 0) {
        shown.extend(byte);
        let questions = String::from_utf8_lossy(&shown).matches("on the hosts: ").count();
        if questions > asked {
            asked = questions;
            let answer = answers.next().expect("one question too many");
            input.write_all(format!("{answer}\n").as_bytes()).expect("it is typed");
        }
    }
    child.wait().expect("it ends");
    String::from_utf8_lossy(&shown).into_owned()
}
