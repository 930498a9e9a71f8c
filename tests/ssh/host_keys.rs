//! Which host is trusted, and what is said of one that is not.

use std::fs;

use lvsctl::host::ssh::{SshSession, Target};

use super::server::Server;
use super::site::{PATIENCE, Site, line_of, make_key, public, run};

/// Runs the command that a help offers, as an operator who copies it would.
fn follow(help: &str) {
    let command = help.split("accept it: ").nth(1).expect("the help offers no command");
    let command = command.split("; or write").next().unwrap();
    run("sh", &["-c", command]);
}

#[test]
fn a_host_is_known_by_every_kind_of_line() {
    let site = Site::new();
    let (port, key) = (site.server.port, site.host_key("ed25519").unwrap());
    for hosts in [
        format!("[127.0.0.1]:{port}"),
        format!("other.example.net,[127.0.0.1]:{port}"),
        "[127.0.0.*]:*".to_owned(),
        "*,!other".to_owned(),
        "127.0.0.1".to_owned(),
    ] {
        site.know(&format!("# a comment\n{hosts} {key} a comment"));
        let session = site.open().unwrap_or_else(|error| panic!("{hosts}: {error}"));
        assert_eq!(session.host_key(), site.fingerprint("host_ed25519"));
    }
    site.know(&format!("[127.0.0.1]:{port} {key}"));
    run("ssh-keygen", &["-q", "-H", "-f", &site.known_hosts().display().to_string()]);
    assert!(fs::read_to_string(site.known_hosts()).unwrap().starts_with("|1|"), "the name is hashed");
    site.open().unwrap();
    site.know(&format!("cluster {key}"));
    site.configure("HostKeyAlias cluster");
    site.open().unwrap();
}

#[test]
fn an_unknown_host_is_an_error_whose_command_makes_it_known() {
    let site = Site::new();
    let (port, key) = (site.server.port, site.host_key("ed25519").unwrap());
    for known in [
        String::new(),
        format!("[127.0.0.1]:{} {key}", port - 1),
        format!("*,![127.0.0.1]:{port},!127.0.0.1 {key}"),
        format!("@cert-authority * {key}"),
        "[127.0.0.*]:* ssh-ed25519 broken".into(),
    ] {
        site.know(&known);
        let (text, _) = site.distrusted();
        assert!(text.contains(&format!("the ssh-ed25519 key {}", site.fingerprint("host_ed25519"))), "{text}");
        assert!(text.contains(&format!("of [127.0.0.1]:{port} is not known")), "{known}: {text}");
    }
    fs::remove_file(site.known_hosts()).unwrap();
    let (_, help) = site.distrusted();
    assert!(help.contains(&format!("host-key=\"{}\"", site.fingerprint("host_ed25519"))), "{help}");
    follow(&help);
    site.open().unwrap();
}

#[test]
fn a_key_that_changes_between_two_connections_is_an_error_with_the_line_and_both_fingerprints() {
    let mut site = Site::new();
    site.open().unwrap();
    let (port, before) = (site.server.port, site.fingerprint("host_ed25519"));
    // Somebody stands in between from now on, or the host was installed anew.
    let other = make_key(site.path(), "other", "ed25519", "");
    site.server.stop();
    site.server = Server::on_port(site.path(), port, &[other], "").expect("the port is taken");
    let (text, help) = site.distrusted();
    assert!(text.contains(&format!("has changed: it is {}", site.fingerprint("other"))), "{text}");
    assert!(text.contains(&format!("{}:1 has {before}", site.known_hosts().display())), "{text}");
    assert!(help.contains("ssh-keygen -R"), "{help}");
    follow(&help);
    site.open().unwrap();
}

#[test]
fn a_revoked_key_is_refused_whatever_else_is_known_of_it() {
    let site = Site::new();
    let key = site.host_key("ed25519").unwrap();
    for hosts in ["*", "127.0.0.1", "[127.0.0.1]:*"] {
        site.know(&format!("* {key}\n@revoked {hosts} {key}"));
        let (text, _) = site.distrusted();
        assert!(text.contains(&format!("is revoked ({}:2)", site.known_hosts().display())), "{text}");
    }
    let pinned = Target { host_key: Some(site.fingerprint("host_ed25519")), ..site.target() };
    let refused = SshSession::open(&pinned, &PATIENCE).map(drop).unwrap_err();
    assert!(refused.to_string().contains("is revoked"), "{refused}");
    site.know(&format!("* {key}\n@revoked other {key}"));
    site.open().unwrap();
}

#[test]
fn a_file_of_revoked_keys_is_heeded() {
    let site = Site::new();
    let (folder, key) = (site.path().display().to_string(), site.path().join("host_ed25519"));
    site.configure("RevokedHostKeys FOLDER/revoked");
    let other = make_key(site.path(), "other", "ed25519", "");
    fs::copy(public(&other), site.path().join("revoked")).unwrap();
    site.open().unwrap();
    fs::copy(public(&key), site.path().join("revoked")).unwrap();
    assert!(site.refused().to_string().contains(&format!("is revoked ({folder}/revoked)")));
    run("ssh-keygen", &["-q", "-k", "-f", &format!("{folder}/revoked"), &public(&key).display().to_string()]);
    assert!(site.refused().to_string().contains("is revoked"), "a KRL");
    fs::remove_file(site.path().join("revoked")).unwrap();
    let unreadable = site.refused().to_string();
    assert!(unreadable.contains("among the revoked ones"), "a missing file might name it: {unreadable}");
}

#[test]
fn the_handshake_asks_for_the_sort_of_key_that_is_known() {
    let site = Site::with_keys(&["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa"], "");
    for sort in ["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa"] {
        let (port, key) = (site.server.port, site.host_key(sort).unwrap());
        site.know(&format!("[127.0.0.1]:{port} {key}"));
        assert_eq!(site.open().unwrap().host_key(), site.fingerprint(&format!("host_{sort}")), "{sort}");
    }
    // The host no longer has the one that is known, and shows another.
    let other = make_key(site.path(), "other", "rsa", "");
    let folder = tempfile::tempdir().unwrap();
    let lone = Server::start(folder.path(), &[site.path().join("host_ed25519")], "");
    site.configure(&format!("Port {}", lone.port));
    site.know(&format!("[127.0.0.1]:{} {}", lone.port, line_of(&other).unwrap()));
    let text = site.refused().to_string();
    assert!(
        text.contains("ssh-ed25519 key") && text.contains("it does not show the one that is known (ssh-rsa at "),
        "{text}"
    );
}

#[test]
fn a_pinned_key_is_the_only_one_whatever_the_files_say() {
    let site = Site::with_keys(&["ed25519", "ecdsa-256", "rsa"], "");
    site.know("");
    for sort in ["ed25519", "ecdsa-256", "rsa"] {
        let pinned = site.fingerprint(&format!("host_{sort}"));
        let target = Target { host_key: Some(pinned.clone()), ..site.target() };
        let session = SshSession::open(&target, &PATIENCE).unwrap_or_else(|error| panic!("{sort}: {error}"));
        assert_eq!(session.host_key(), pinned);
    }
    let site = Site::with_keys(&["ed25519", "rsa"], "");
    let wrong = format!("SHA256:{}A", "x".repeat(42));
    let target = Target { host_key: Some(wrong.clone()), ..site.target() };
    let refused = SshSession::open(&target, &PATIENCE).map(drop).unwrap_err().to_string();
    for expected in [&wrong, &site.fingerprint("host_ed25519"), &site.fingerprint("host_rsa")] {
        assert!(refused.contains(expected.as_str()), "{refused}");
    }
    assert!(!site.server.was_asked(), "although the file knows the host");
}
