//! Files, the lock, and what a failure stops.

use std::time::{Duration, Instant};

use lvsctl::effect::{Answer, Effect, FileState, Probe};
use lvsctl::host::{Host, HostError, Operator};
use lvsctl::topology::{SecretText, SysctlKey, TextPiece};

use super::{Bench, ask, failure, mismatch, succeed};

const PATH: &str = "/etc/keepalived/keepalived.conf";

fn write(path: &str, text: SecretText, mode: u32) -> Effect {
    Effect::WriteFile { path: path.into(), text, mode, keepalived_test: false, keep_previous: false }
}

fn read(host: &mut dyn Host, path: &str) -> Option<FileState> {
    let Answer::File(answered, state) = ask(host, &Probe::File(path.into())) else { mismatch(&"file") };
    assert_eq!(answered, path);
    state
}

fn with_secret(value: Option<&str>) -> SecretText {
    let mut text = SecretText::plain("auth_pass ");
    text.push(TextPiece::Secret(value.map(str::to_owned)));
    text
}

pub fn files_are_replaced_whole(bench: &dyn Bench) {
    let mut host = bench.connect();
    let manifest = "/var/lib/lvsctl/manifest.json";
    assert_eq!(read(&mut *host, manifest), None);
    succeed(&mut *host, &[write(manifest, SecretText::plain("{}\n"), 0o600)]);
    assert_eq!(read(&mut *host, manifest), Some(FileState { mode: 0o600, text: "{}\n".into() }));
    succeed(&mut *host, &[write(manifest, with_secret(Some("hunter2")), 0o644)]);
    assert_eq!(read(&mut *host, manifest), Some(FileState { mode: 0o644, text: "auth_pass hunter2".into() }));
    let unknown = failure(&mut *host, &write(manifest, with_secret(None), 0o600));
    assert!(matches!(unknown, HostError::MissingSecret { .. }), "{unknown}");
    assert_eq!(read(&mut *host, manifest).map(|file| file.mode), Some(0o644), "and the file is as it was");
    let remove = Effect::RemoveFile { path: manifest.into() };
    succeed(&mut *host, &[remove.clone(), remove]);
    assert_eq!(read(&mut *host, manifest), None);
    for bad in ["etc/relative", "/etc/../../escape"] {
        let refused = failure(&mut *host, &write(bad, SecretText::plain(""), 0o600));
        assert!(matches!(refused, HostError::Io { .. }), "{refused}");
    }
    // Every file that is asked to be kept is kept once, and for its owner alone.
    for (text, keep_previous) in [
        ("by hand", false),
        ("own", true),
        ("by another hand", false),
        ("own", true),
        ("by hand", false),
        ("own", true),
    ] {
        let path = "/etc/site.conf".into();
        let text = SecretText::plain(text);
        succeed(&mut *host, &[Effect::WriteFile { path, text, mode: 0o640, keepalived_test: false, keep_previous }]);
    }
    let kept = |text: &str| Some(FileState { mode: 0o600, text: text.into() });
    for (suffix, there) in [("", kept("by hand")), (".2", kept("by another hand")), (".3", None)] {
        assert_eq!(read(&mut *host, &format!("/etc/site.conf.before-lvsctl{suffix}")), there);
    }
}

pub fn a_link_takes_the_place_of_anything(bench: &dyn Bench) {
    let mut host = bench.connect();
    let path = "/etc/systemd/system/multi-user.target.wants/site.service";
    let names = |host: &mut dyn Host| match ask(host, &Probe::Link(path.into())) {
        Answer::Link(answered, target) if answered == path => target,
        other => mismatch(&other),
    };
    let link = |target: &str| Effect::WriteLink { path: path.into(), target: target.into() };
    assert_eq!(names(&mut *host), None);
    succeed(&mut *host, &[link("/etc/one"), Effect::ReloadUnits]);
    assert_eq!(names(&mut *host).as_deref(), Some("/etc/one"));
    succeed(&mut *host, &[link("/etc/two")]);
    assert_eq!(names(&mut *host).as_deref(), Some("/etc/two"));
    let remove = Effect::RemoveFile { path: path.into() };
    succeed(&mut *host, &[remove.clone(), remove.clone()]);
    assert_eq!(names(&mut *host), None);
    succeed(&mut *host, &[write(path, SecretText::plain("by hand"), 0o644)]);
    assert_eq!(names(&mut *host).as_deref(), Some(""), "a file is no link");
    succeed(&mut *host, &[link("/etc/one")]);
    assert_eq!(names(&mut *host).as_deref(), Some("/etc/one"));
    succeed(&mut *host, &[remove]);
}

pub fn a_refused_configuration_is_not_written(bench: &dyn Bench) {
    let mut host = bench.connect();
    let tested = |text: SecretText| Effect::WriteFile {
        path: PATH.into(),
        text,
        mode: 0o600,
        keepalived_test: true,
        keep_previous: true,
    };
    let good = "global_defs {\n    router_id test\n}\nvirtual_server 192.0.2.10 80 {\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n    real_server 192.0.2.20 80 {\n        weight 1\n        TCP_CHECK {\n        }\n    }\n}\n";
    succeed(&mut *host, &[tested(SecretText::plain(good))]);
    let mut bad = SecretText::plain("vitual_server 192.0.2.10 80 {\n    ");
    bad.push(TextPiece::Secret(Some("hunter2".into())));
    bad.push_str("\n}\n");
    for bad in [bad, SecretText::plain("virtual_server 192.0.2.10 80 {\n    lb_kind NAT\n}\n}\n")] {
        let refused = failure(&mut *host, &tested(bad));
        let HostError::Program { program, exit, text, .. } = &refused else { panic!("{refused}") };
        assert_eq!(program, "keepalived -t");
        assert!(exit.contains("exit status") && !text.is_empty(), "{refused}");
        assert!(!text.contains("hunter2"), "the secret is in {text}");
        assert_eq!(read(&mut *host, PATH), Some(FileState { mode: 0o600, text: good.into() }));
    }
    assert_eq!(read(&mut *host, &format!("{PATH}.before-lvsctl")), None, "and nothing was kept of what stayed");
}

pub fn the_lock_is_held_by_one(bench: &dyn Bench) {
    let (mut first, mut second) = (bench.connect(), bench.connect());
    let operator = Operator { user: "alice".into(), from: "desk".into(), command: "lvsctl apply".into() };
    first.lock(&operator, Duration::ZERO).unwrap();
    first.lock(&operator, Duration::ZERO).unwrap();
    let refused = second.lock(&operator, Duration::ZERO).unwrap_err();
    // On another machine it is the agent's process.
    let HostError::Locked { holder } = &refused else { panic!("{refused}") };
    assert!(holder.starts_with("process ") && holder.contains(", lvsctl apply by alice@desk"), "{refused}");
    assert!(refused.help().is_some(), "{refused}");
    drop(first);
    // An agent lets go of it a moment after it has said that it ends.
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = second.lock(&operator, Duration::ZERO) {
        assert!(matches!(error, HostError::Locked { .. }) && Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn nothing_is_tried_after_a_failure(bench: &dyn Bench) {
    let mut host = bench.connect();
    let set = |path: &str| Effect::WriteSysctl { key: SysctlKey::from_path(path), value: "1".into() };
    let file = write("/etc/later", SecretText::plain("x"), 0o600);
    let results = host.perform_all(vec![set("net/ipv4/conf/lo/arp_ignore"), set("net/ipv4/none"), file]);
    assert_eq!(results[0], Ok(()));
    assert_eq!(results[1].as_ref().unwrap_err().errno(), Some("ENOENT"));
    assert_eq!(results[2], Err(HostError::NotTried));
    assert_eq!(read(&mut *host, "/etc/later"), None);
    assert_eq!(host.perform_all(vec![]), []);
}
