//! Servers that are silent, garbled or gone: an error each, in time.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::host::HostError;
use lvsctl::host::ssh::{Patience, SshSession};
use rustix::process::{Pid, Signal, kill_process};

use super::site::{PATIENCE, Site};

/// How long a test of a deadline may take beyond it on a busy machine; what hangs does so for as long as anything is waited for.
const SLACK: Duration = Duration::from_secs(30);

/// Serves one client after the other in its own way.
fn serve(action: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(&action));
    port
}

/// Tries to log in on a port and returns the error and the time that it took.
fn tried(site: &Site, port: u16) -> (HostError, Duration) {
    site.configure(&format!("Port {port}"));
    let patience = Patience { handshake: Duration::from_millis(800), ..PATIENCE };
    let begun = Instant::now();
    let error = SshSession::open(&site.target(), &patience).map(drop).unwrap_err();
    (error, begun.elapsed())
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let site = Site::new();
    let silent = serve(|stream| {
        thread::spawn(move || {
            let mut stream = stream;
            // Until the client goes.
            while let Ok(1..) = stream.read(&mut [0; 100]) {}
        });
    });
    let (error, took) = tried(&site, silent);
    assert!(matches!(error, HostError::Timeout { .. }), "{error}");
    assert!(took >= Duration::from_millis(800) && took < SLACK, "{took:?}");
}

#[test]
fn a_server_that_says_something_else_is_an_error() {
    let site = Site::new();
    for said in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14garbage",
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"SSH-1.5-old\r\n",
        b"",
        b"\0\0\0\0",
    ] {
        let port = serve(move |mut stream| {
            let _ = stream.write_all(said);
        });
        let (error, took) = tried(&site, port);
        assert!(matches!(error, HostError::Unreachable { .. } | HostError::Timeout { .. }), "{error}");
        assert!(took < SLACK, "{took:?}");
    }
}

#[test]
fn a_server_that_never_ends_its_greeting_is_given_up() {
    let site = Site::new();
    for word in ["hello\r\n", "x"] {
        let port = serve(move |mut stream| {
            thread::spawn(move || while stream.write_all(word.repeat(1000).as_bytes()).is_ok() {});
        });
        let (error, took) = tried(&site, port);
        assert!(matches!(error, HostError::Unreachable { .. } | HostError::Timeout { .. }), "{error}");
        assert!(took < SLACK, "{took:?}");
    }
}

/// Starts a program that tells the process number of the server that serves it, and waits.
fn session_process(session: &mut SshSession) -> (lvsctl::host::ssh::SshChannel, Pid) {
    let mut program = session.run("echo $PPID; cat").unwrap();
    let mut said = Vec::new();
    let mut byte = [0];
    while program.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        said.extend(byte);
    }
    let pid = String::from_utf8(said).unwrap().parse().unwrap();
    (program, Pid::from_raw(pid).unwrap())
}

#[test]
fn a_connection_that_is_cut_is_an_error_and_no_end_of_the_output() {
    let site = Site::new();
    let mut session = site.open().unwrap();
    let (mut program, pid) = session_process(&mut session);
    kill_process(pid, Signal::KILL).unwrap();
    let begun = Instant::now();
    let error = program.read(&mut [0; 10]).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(begun.elapsed() < SLACK);
    let written = (0..100).map(|_| program.write(&[0; 100_000])).find(Result::is_err);
    assert!(written.is_some(), "nothing can be written to it");
    assert!(session.run("true").is_err());
}

#[test]
fn a_frozen_server_is_given_up() {
    let site = Site::new();
    let mut session = site.open().unwrap();
    let (mut program, pid) = session_process(&mut session);
    kill_process(pid, Signal::STOP).unwrap();
    program.set_timeout(Duration::from_millis(500)).unwrap();
    let begun = Instant::now();
    assert_eq!(program.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::TimedOut);
    let data = vec![0; 1 << 20];
    let error = (0..1000).find_map(|_| program.write_all(&data).err()).expect("it takes everything");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    let begun = Instant::now();
    drop(program);
    drop(session);
    assert!(begun.elapsed() < SLACK, "leaving took {:?}", begun.elapsed());
    kill_process(pid, Signal::CONT).unwrap();
}
