use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::*;
use crate::effect::{Effect, Probe};
use crate::host::fake::FakeHost;
use crate::host::{Host, HostError};
use crate::topology::{SecretText, TextPiece};

impl Transport for UnixStream {
    fn set_timeout(&mut self, _within: Duration) -> io::Result<()> {
        // Long enough for a busy machine, and short enough for a test that hears nothing.
        self.set_read_timeout(Some(Duration::from_millis(500)))
    }
}

/// Serves a host in memory on a thread, and greets it.
fn remote(host: &FakeHost) -> RemoteHost<UnixStream> {
    let (near, far) = UnixStream::pair().unwrap();
    let host = host.clone();
    thread::spawn(move || serve(Box::new(host), far.try_clone().unwrap(), far));
    RemoteHost::greet(near).unwrap()
}

/// Greets somebody who says this and no more.
fn said(bytes: &[u8]) -> String {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(bytes).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    RemoteHost::greet(near).map(drop).unwrap_err().to_string()
}

fn framed(payload: &str) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&MAGIC[..], &length.to_be_bytes(), payload.as_bytes()].concat()
}

#[test]
fn a_secret_arrives_and_is_still_one() {
    let host = FakeHost::new();
    let mut text = SecretText::plain("auth_pass ");
    text.push(TextPiece::Secret(Some("canary".into())));
    let write = Effect::WriteFile {
        path: "/etc/keepalived/keepalived.conf".into(),
        text: text.clone(),
        mode: 0o600,
        keepalived_test: false,
        keep_previous: false,
    };
    let mut remote = remote(&host);
    assert_eq!(remote.perform(&write), Ok(()));
    assert_eq!(host.performed(), [write]);
    assert!(remote.end().is_ok());
}

#[test]
fn errors_and_results_come_back_in_order() {
    let host = FakeHost::new();
    let effects = ["ip_vs", "ip_vs_rr", "ip_vs_wrr"].map(|name| Effect::LoadModule(name.into()));
    let error = HostError::MissingRights { doing: "load the module".into(), right: "CAP_SYS_MODULE".into() };
    host.fail_at(1, error.clone());
    let mut remote = remote(&host);
    assert_eq!(remote.perform_all(&effects), [Ok(()), Err(error), Err(HostError::NotTried)]);
    assert_eq!(remote.perform_all(&[]), []);
    assert!(remote.lock().is_ok());
}

#[test]
fn whoever_is_no_agent_is_quoted() {
    assert!(said(b"").contains("the connection ended"));
    assert!(said(b"Welcome to lb01!\n").contains("\"Welcome to lb01!\""), "{}", said(b"Welcome to lb01!\n"));
    assert!(said(&MAGIC[..8]).contains("the connection ended"));
    assert!(said(&framed("{}")).contains("malformed"));
    assert!(said(&framed(r#"{"protocol":2,"version":"9.9.9","process":1}"#)).contains("version 9.9.9"));
    let oversized = [&MAGIC[..], &u32::MAX.to_be_bytes()].concat();
    assert!(said(&oversized).contains("4294967295 bytes is longer than any may be"));
    let truncated = framed(r#"{"protocol":1}"#);
    assert!(said(&truncated[..truncated.len() - 3]).contains("the connection ended"));
}

#[test]
fn a_silent_agent_is_given_up_and_not_asked_again() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let hello = format!(r#"{{"protocol":1,"version":"{}","process":1}}"#, env!("CARGO_PKG_VERSION"));
    far.write_all(&framed(&hello)).unwrap();
    let mut remote = RemoteHost::greet(near).unwrap();
    let error = remote.capabilities().unwrap_err();
    assert_eq!(error.to_string(), "Cannot reach the host: nothing was heard in time");
    // What it says later is not taken for the answer to another question.
    let late = r#"{"answer":{"Ok":{"modules":[]}}}"#;
    far.write_all(&u32::try_from(late.len()).unwrap().to_be_bytes()).unwrap();
    far.write_all(late.as_bytes()).unwrap();
    assert_eq!(remote.probe(&Probe::Modules(vec![])).unwrap_err(), error);
}

#[test]
fn an_agent_ends_with_its_client_and_counts_what_it_did() {
    let (mut near, far) = UnixStream::pair().unwrap();
    let agent = thread::spawn(move || serve(Box::new(FakeHost::new()), far.try_clone().unwrap(), far));
    near.shutdown(Shutdown::Write).unwrap();
    near.read_to_end(&mut Vec::new()).unwrap();
    assert!(matches!(agent.join().unwrap(), Err(FrameError::Ended)));
    let (near, far) = UnixStream::pair().unwrap();
    let agent = thread::spawn(move || serve(Box::new(FakeHost::new()), far.try_clone().unwrap(), far));
    let mut remote = RemoteHost::greet(near).unwrap();
    remote.capabilities().unwrap();
    remote.end().unwrap();
    assert!(agent.join().unwrap().is_ok());
}
