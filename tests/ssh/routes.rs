//! The ways to a host: addresses, jump hosts, the operator's own program.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::host::HostError;
use lvsctl::host::ssh::{Patience, SshSession};

use super::programs::say;
use super::server::{Server, refusing_port};
use super::site::{PATIENCE, Site, line_of};

/// Starts a second server with the same keys.
fn jump_host(site: &Site) -> Server {
    let server = Server::start(site.path(), &[site.path().join("host_ed25519")], "");
    let key = line_of(&site.path().join("host_ed25519")).unwrap();
    site.know(&format!("[127.0.0.1]:{} {key}\n[127.0.0.1]:{} {key}", site.server.port, server.port));
    server
}

fn unreachable(site: &Site) -> String {
    let error = site.refused();
    assert!(matches!(error, HostError::Unreachable { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_host_is_reached_through_jump_hosts() {
    let site = Site::new();
    let jump = jump_host(&site);
    let port = jump.port;
    for hops in [format!("jump:{port}"), format!("jump:{port},jump2:{port}"), format!("ssh://jump:{port}")] {
        site.configure(&format!("Host jump jump2\nPort {port}\nHost lb1\nProxyJump {hops}\nHost *"));
        let mut session = site.open().unwrap_or_else(|error| panic!("{hops}: {error}"));
        assert_eq!(say(&mut session, "echo through"), "through\n");
    }
    // The jump host was used.
    jump.says("direct-tcpip");
    // Its key is OpenSSH's to verify, and nobody is asked about it.
    let key = line_of(&site.path().join("host_ed25519")).unwrap();
    site.know(&format!("[127.0.0.1]:{} {key}", site.server.port));
    let text = unreachable(&site);
    assert!(text.contains("Host key verification failed"), "{text}");
}

#[test]
fn the_host_behind_a_jump_host_is_verified_here() {
    let site = Site::new();
    let jump = jump_host(&site);
    site.configure(&format!("Host jump\nPort {}\nHost lb1\nProxyJump jump\nHost *", jump.port));
    site.know(&format!("[127.0.0.1]:{} {}", jump.port, line_of(&site.path().join("host_ed25519")).unwrap()));
    let (text, _) = site.distrusted();
    assert!(text.contains("is not known"), "{text}");
}

#[test]
fn a_proxy_command_runs_as_openssh_runs_it() {
    let site = Site::new();
    let jump = jump_host(&site);
    let port = jump.port;
    site.configure(&format!(
        "Host jump\nPort {port}\nHost lb1\nProxyCommand sh -c 'echo $$ > FOLDER/pid; exec ssh -F FOLDER/ssh_config -W [%h]:%p jump'\nHost *"
    ));
    let mut session = site.open().unwrap();
    assert_eq!(say(&mut session, "echo through"), "through\n");
    let process = fs::read_to_string(site.path().join("pid")).unwrap();
    let process = Path::new("/proc").join(process.trim());
    assert!(process.exists(), "the proxy runs as long as the session");
    drop(session);
    assert!(!process.exists(), "the proxy is ended and reaped with the session");
}

#[test]
fn what_a_proxy_says_is_quoted() {
    let site = Site::new();
    site.configure("ProxyCommand sh -c 'echo \"no way\x1b[31m to %h\" >&2; exit 3'");
    let text = unreachable(&site);
    assert!(text.ends_with("the ProxyCommand ended with exit status 3 and said: no way [31m to 127.0.0.1"), "{text}");
    site.configure("ProxyCommand /nonexistent/program");
    assert!(unreachable(&site).contains("exit status 127"));
    site.configure("ProxyCommand cat /dev/zero >&2");
    let patience = Patience { handshake: Duration::from_millis(500), connect: Duration::from_millis(500), ..PATIENCE };
    let begun = Instant::now();
    let refused = SshSession::open(&site.target(), &patience).map(drop).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(refused.to_string().contains("nothing came of it within 1 s"), "{refused}");
}

#[test]
fn a_port_that_nobody_listens_on_is_named() {
    let site = Site::new();
    let (_bound, port) = refusing_port();
    site.configure(&format!("Port {port}"));
    assert_eq!(
        unreachable(&site),
        format!("Cannot reach the host: 127.0.0.1 port {port}: 127.0.0.1:{port}: Connection refused")
    );
    site.configure("HostName no-such-host.invalid");
    let text = unreachable(&site);
    assert!(text.contains("no-such-host.invalid") && text.contains("the name was not found"), "{text}");
    site.configure("AddressFamily inet6");
    assert!(unreachable(&site).contains("the name has no address of IPv6"));
}

#[test]
fn many_sessions_stand_at_once() {
    let site = Site::new();
    let said: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| {
                scope.spawn({
                    let site = &site;
                    move || say(&mut site.open().unwrap(), &format!("echo {number}"))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(said, (0..16).map(|number| format!("{number}\n")).collect::<Vec<_>>());
}
