//! Who logs in, and what is said when nobody does.

use std::ffi::OsStr;
use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::host::HostError;
use lvsctl::host::ssh::{Patience, SshSession, Target};

use super::site::{PATIENCE, Site, line_of, make_key, public, run};

/// An agent with keys.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(folder: &Path, keys: &[&Path]) -> Self {
        let socket = folder.join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        // Its socket is there before it listens.
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "the agent does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        for key in keys {
            let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
            assert!(added.success());
        }
        Agent { child, socket }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Lets the keys of these files in, and nobody else.
fn allow(site: &Site, keys: &[&Path]) {
    let lines: Vec<String> = keys.iter().map(|key| line_of(key).unwrap()).collect();
    fs::write(site.path().join("authorized_keys"), lines.join("\n") + "\n").unwrap();
}

fn login_error(site: &Site) -> (String, String) {
    let error = site.refused();
    assert!(matches!(error, HostError::Login { .. }), "{error}");
    (error.to_string(), error.help().unwrap())
}

/// Counts the keys that the server was asked about.
fn asked(site: &Site) -> usize {
    site.server.says("attempt ").matches("attempt ").count()
}

#[test]
fn keys_of_every_sort_log_in() {
    let site = Site::new();
    for sort in ["ed25519", "ecdsa-256", "ecdsa-521", "rsa"] {
        let key = make_key(site.path(), &format!("key_{sort}"), sort, "");
        allow(&site, &[&key]);
        let target = Target { identity: Some(key.display().to_string()), ..site.target() };
        SshSession::open(&target, &PATIENCE).unwrap_or_else(|error| panic!("{sort}: {error}"));
    }
    let old = make_key(site.path(), "old", "rsa", "");
    run("ssh-keygen", &["-q", "-p", "-m", "PEM", "-N", "", "-f", &old.display().to_string()]);
    assert!(fs::read_to_string(&old).unwrap().starts_with("-----BEGIN RSA PRIVATE KEY"));
    allow(&site, &[&old]);
    let target = Target { identity: Some(old.display().to_string()), ..site.target() };
    SshSession::open(&target, &PATIENCE).unwrap();
}

#[test]
fn the_first_key_that_is_accepted_ends_the_attempts() {
    let site = Site::new();
    let keys: Vec<PathBuf> = (1..=3).map(|n| make_key(site.path(), &format!("key{n}"), "ed25519", "")).collect();
    site.configure(
        "IdentityFile FOLDER/key1\nIdentityFile FOLDER/missing\nIdentityFile FOLDER/key2\nIdentityFile FOLDER/key3",
    );
    allow(&site, &[&keys[1], &keys[2]]);
    site.open().unwrap();
    let log = site.server.says("Accepted publickey");
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
    assert!(log.contains(&site.fingerprint("key2")) && !log.contains(&site.fingerprint("key3")), "{log}");
}

#[test]
fn an_agent_logs_in_with_the_named_keys_first() {
    let site = Site::new();
    let keys: Vec<PathBuf> = (1..=3).map(|n| make_key(site.path(), &format!("key{n}"), "ed25519", "")).collect();
    let agent = Agent::start(site.path(), &[&keys[0], &keys[1], &keys[2]]);
    // Only the public half of the named key is here.
    fs::remove_file(&keys[2]).unwrap();
    site.configure("IdentityAgent FOLDER/agent\nIdentityFile FOLDER/key3\nIdentitiesOnly yes");
    allow(&site, &[&keys[2]]);
    site.open().unwrap();
    let log = site.server.says("Accepted publickey");
    assert!(!log.contains(&site.fingerprint("key1")), "another key was offered: {log}");
    // The keys that are not named are asked about only where they may be.
    allow(&site, &[&keys[1]]);
    let (text, _) = login_error(&site);
    assert!(text.contains(&site.fingerprint("key3.pub")) && !text.contains(&site.fingerprint("key2")), "{text}");
    site.configure("IdentityAgent FOLDER/agent\nIdentityFile FOLDER/key3");
    site.open().unwrap();
    drop(agent);
    let (text, _) = login_error(&site);
    assert!(text.contains("agent does not answer: ") && text.contains("user is not accepted"), "{text}");
}

#[test]
fn a_certificate_beside_the_key_logs_in() {
    let site = Site::with("TrustedUserCAKeys FOLDER/authority.pub");
    let authority = make_key(site.path(), "authority", "ed25519", "").display().to_string();
    let me = run("id", &["-un"]);
    allow(&site, &[]);
    for sort in ["ed25519", "ecdsa-256", "rsa"] {
        let key = make_key(site.path(), &format!("key_{sort}"), sort, "");
        let target = Target { identity: Some(key.display().to_string()), ..site.target() };
        assert!(SshSession::open(&target, &PATIENCE).is_err(), "the key alone is nobody's");
        let half = public(&key).display().to_string();
        run("ssh-keygen", &["-q", "-s", &authority, "-I", "test", "-n", me.trim(), &half]);
        SshSession::open(&target, &PATIENCE).unwrap_or_else(|error| panic!("{sort}: {error}"));
        // An agent takes the certificate along with the key; libssh2 signs such a login with SHA-1, which sshd refuses, under RSA.
        if sort == "rsa" {
            continue;
        }
        let _agent = Agent::start(site.path(), &[&key]);
        fs::remove_file(&key).unwrap();
        site.configure("IdentityAgent FOLDER/agent\nIdentitiesOnly yes");
        SshSession::open(&target, &PATIENCE).unwrap_or_else(|error| panic!("{sort} in an agent: {error}"));
        site.configure("");
    }
}

#[test]
fn an_agent_that_does_not_answer_is_not_waited_for() {
    let site = Site::new();
    let listener = UnixListener::bind(site.path().join("agent")).unwrap();
    site.configure("IdentityAgent FOLDER/agent");
    let begun = Instant::now();
    site.open().expect("the key file is enough");
    assert!(begun.elapsed() < PATIENCE.login, "{:?}", begun.elapsed());
    drop(listener);
}

/// Reads a message of the agent's protocol, with its length.
fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut message = [&length[..], &vec![0; u32::from_be_bytes(length) as usize]].concat();
    stream.read_exact(&mut message[4..]).ok().map(|()| message)
}

/// Listens for an agent that has another one's keys, and hangs up over a request to sign or leaves it unanswered.
fn reluctant(place: &Path, agent: &Agent, hangs_up: bool) {
    let (listener, agent) = (UnixListener::bind(place).unwrap(), agent.socket.clone());
    thread::spawn(move || {
        for near in listener.incoming() {
            let (mut near, mut far) = (near.unwrap(), UnixStream::connect(&agent).unwrap());
            thread::spawn(move || {
                while let Some(question) = message(&mut near) {
                    match (question[4], hangs_up) {
                        (SIGN_REQUEST, true) => return,
                        (SIGN_REQUEST, false) => {}
                        _ => {
                            far.write_all(&question).unwrap();
                            near.write_all(&message(&mut far).unwrap()).unwrap();
                        }
                    }
                }
            });
        }
    });
}

/// `SSH_AGENTC_SIGN_REQUEST`.
const SIGN_REQUEST: u8 = 13;

/// How long a login may take that waits in vain: a busy machine has come as far as the signature by then.
const LATE: Duration = Duration::from_secs(10);

#[test]
fn an_agent_that_does_not_sign_is_not_waited_for_longer_than_a_login_may_take() {
    let site = Site::new();
    let key = make_key(site.path(), "held", "ed25519", "");
    let agent = Agent::start(site.path(), &[&key]);
    fs::remove_file(&key).unwrap();
    allow(&site, &[&key, &site.path().join("user")]);
    let open = |name: &str, hangs_up: bool| {
        reluctant(&site.path().join(name), &agent, hangs_up);
        site.configure(&format!("IdentityAgent FOLDER/{name}"));
        let (target, patience) =
            (site.target(), if hangs_up { PATIENCE } else { Patience { login: LATE, ..PATIENCE } });
        let (sender, opened) = channel();
        thread::spawn(move || sender.send(SshSession::open(&target, &patience).map(drop)));
        opened.recv_timeout(PATIENCE.login * 2).expect("the login hangs")
    };
    assert_eq!(open("hangs-up", true), Ok(()), "the key file is enough");
    let late = open("silent", false).unwrap_err();
    assert!(matches!(late, HostError::Timeout { .. }), "{late}");
    assert!(late.to_string().contains("of the agent (held)"), "{late}");
    allow(&site, &[&key]);
    fs::remove_file(site.path().join("hangs-up")).unwrap();
    let nobody = open("hangs-up", true).unwrap_err().to_string();
    assert!(nobody.contains("of the agent (held): the agent would not sign with it"), "{nobody}");
}

#[test]
fn an_encrypted_key_without_a_terminal_is_named_with_what_opens_it() {
    let site = Site::new();
    let key = make_key(site.path(), "locked", "ed25519", "a passphrase");
    allow(&site, &[&key]);
    site.configure("IdentityFile FOLDER/locked");
    let (text, help) = login_error(&site);
    assert!(text.contains("locked is encrypted, and there is no terminal"), "{text}");
    assert_eq!(help, format!("Give the key to an agent: ssh-add {}", key.display()));
    // The agent holds it open.
    run("ssh-keygen", &["-q", "-p", "-P", "a passphrase", "-N", "", "-f", &key.display().to_string()]);
    let agent = Agent::start(site.path(), &[&key]);
    run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "a passphrase", "-f", &key.display().to_string()]);
    site.configure("IdentityAgent FOLDER/agent\nIdentityFile FOLDER/locked");
    site.open().unwrap();
    drop(agent);
    for format in ["PEM", "PKCS8"] {
        let old = make_key(site.path(), format, "rsa", "");
        run("ssh-keygen", &["-q", "-p", "-m", format, "-N", "a passphrase", "-f", &old.display().to_string()]);
        fs::remove_file(public(&old)).unwrap();
        let target = Target { identity: Some(old.display().to_string()), ..site.target() };
        let refused = SshSession::open(&target, &PATIENCE).map(drop).unwrap_err().to_string();
        assert!(refused.contains(&format!("{format} is encrypted")), "{refused}");
    }
}

#[test]
fn an_error_names_everything_that_was_tried() {
    let site = Site::new();
    let other = make_key(site.path(), "other", "ed25519", "");
    allow(&site, &[&other]);
    fs::write(site.path().join("garbage"), "no key\n").unwrap();
    fs::copy(public(&other), site.path().join("half")).unwrap();
    site.configure("IdentityFile FOLDER/garbage\nIdentityFile FOLDER/half\nIdentityFile FOLDER/user");
    let (text, help) = login_error(&site);
    for expected in
        ["garbage: it is no private key", "half is a public key that no agent holds", "user is not accepted"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(help.contains("authorized_keys"), "{help}");
    assert!(asked(&site) >= 1);
}

#[test]
fn a_host_that_takes_no_keys_and_one_that_ends_the_attempts_say_so() {
    let site = Site::with("PubkeyAuthentication no\nKbdInteractiveAuthentication yes");
    let (text, _) = login_error(&site);
    assert!(text.contains("only, and lvsctl uses keys"), "{text}");
    let site = Site::with("MaxAuthTries 3");
    let keys: Vec<PathBuf> = (1..=4).map(|n| make_key(site.path(), &format!("key{n}"), "ed25519", "")).collect();
    site.configure(
        "IdentityFile FOLDER/key1\nIdentityFile FOLDER/key2\nIdentityFile FOLDER/key3\nIdentityFile FOLDER/key4",
    );
    let (text, _) = login_error(&site);
    assert!(text.contains("key1 is not accepted") && text.contains(" ended it: "), "{text}");
    // The topology's key goes first, and is not lost behind the others.
    let target = Target { identity: Some(site.path().join("user").display().to_string()), ..site.target() };
    SshSession::open(&target, &PATIENCE).unwrap();
    drop(keys);
}

#[test]
fn the_topology_goes_before_the_configuration() {
    let site = Site::new();
    site.configure("User nobody-at-all\nPort 1");
    let me = run("id", &["-un"]).trim().to_owned();
    let target = Target { user: Some(me.clone()), port: Some(site.server.port), ..site.target() };
    assert_eq!(SshSession::open(&target, &PATIENCE).unwrap().user(), me);
}

/// What names the configuration to the half of a test that runs on a terminal.
const ON_A_TERMINAL: &str = "LVSCTL_TEST_CONFIGURATION";

/// Logs in on two hosts, and says on the terminal what came of it.
fn log_in_on_this_terminal(configuration: &OsStr) {
    assert!(std::io::stdin().is_terminal(), "the passphrase would not be asked for");
    let target = |host: &str| Target {
        host: host.into(),
        user: None,
        port: None,
        identity: None,
        host_key: None,
        configuration: Some(configuration.into()),
    };
    for host in ["lb1", "lb2"] {
        match SshSession::open(&target(host), &PATIENCE) {
            Ok(_) => println!("{host} LET IN"),
            Err(error) => println!("{host} REFUSED {error}"),
        }
    }
}

/// Runs a test of this program once more on a terminal, types there and returns what stands there at the end.
fn typed(site: &Site, test: &str, answers: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let command = format!("{} --exact --nocapture {test}", program.display());
    let mut script = Command::new("timeout");
    script.args(["300", "script", "-qec", &command, "/dev/null"]).env(ON_A_TERMINAL, site.configuration());
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (mut screen, mut answers) = (Vec::new(), answers.split_inclusive('\n'));
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = output.read(&mut buffer) {
        screen.extend_from_slice(&buffer[..length]);
        // What is typed before the question would be lost, as it is for people.
        if screen.ends_with(b": ")
            && String::from_utf8_lossy(&screen).lines().last().unwrap().contains("Passphrase of ")
        {
            input.write_all(answers.next().unwrap_or("\x03").as_bytes()).unwrap();
        }
    }
    let status = script.wait().unwrap();
    let screen = String::from_utf8_lossy(&screen).into_owned();
    assert!(status.success() && screen.contains("1 passed"), "{status}: {screen}");
    screen
}

#[test]
fn a_passphrase_is_asked_for_on_a_terminal() {
    // The test is both of its halves: only a process of its own can have a terminal of its own.
    if let Some(configuration) = std::env::var_os(ON_A_TERMINAL) {
        return log_in_on_this_terminal(&configuration);
    }
    let typed = |site: &Site, answers: &str| typed(site, "login::a_passphrase_is_asked_for_on_a_terminal", answers);
    let site = Site::new();
    for (sort, format) in [("ed25519", "RFC4716"), ("rsa", "PEM"), ("ecdsa", "PKCS8")] {
        let name = format!("locked_{sort}");
        let key = make_key(site.path(), &name, sort, "");
        run("ssh-keygen", &["-q", "-p", "-m", format, "-N", "a passphrase", "-f", &key.display().to_string()]);
        allow(&site, &[&key]);
        site.configure(&format!("IdentityFile FOLDER/{name}\nIdentitiesOnly yes"));
        let screen = typed(&site, "wrong\na passphrase\n");
        assert!(screen.contains("lb1 LET IN") && screen.contains("lb2 LET IN"), "{sort}: {screen}");
        assert_eq!(
            screen.matches("Passphrase of ").count(),
            2,
            "once more for the wrong one, not for the second host: {screen}"
        );
        assert!(!screen.contains("a passphrase"), "what is typed is not shown: {screen}");
    }
    // The answers end, and then somebody presses Ctrl-C.
    let screen = typed(&site, "wrong\n");
    assert!(screen.contains("lb1 REFUSED") && screen.contains("was not opened with any passphrase"), "{screen}");
}
