//! The host in memory keeps the contract that the kernel keeps.

mod contract;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use contract::Bench;
use lvsctl::host::Host;
use lvsctl::host::agent::{RemoteHost, Rhythm, Transport, serve};
use lvsctl::host::fake::FakeHost;

impl Bench for FakeHost {
    fn connect(&self) -> Box<dyn Host> {
        Box::new(self.clone())
    }
}

#[test]
fn every_case_holds() {
    for (name, case) in contract::cases() {
        println!("{name}");
        case(&FakeHost::new().with_link("eth0", Some("02:00:00:00:00:01"), &["192.0.2.1/24", "2001:db8::1/64"]));
    }
}

#[test]
fn a_failure_can_be_made_to_happen() {
    use lvsctl::effect::Effect;
    use lvsctl::host::HostError;

    let mut host = FakeHost::new();
    let effects = ["ip_vs", "ip_vs_rr", "ip_vs_wrr"].map(|name| Effect::LoadModule(name.into()));
    let error = HostError::Unreachable { text: "the cable was pulled".into() };
    host.fail_at(1, error.clone());
    assert_eq!(host.perform_all(effects.to_vec()), [Ok(()), Err(error), Err(HostError::NotTried)]);
    assert_eq!(host.performed(), effects[..2]);
    assert_eq!(host.perform_all(effects.to_vec()), [Ok(()), Ok(()), Ok(())], "and only once");
}

/// A host in memory at the far end of a connection.
struct Remote(FakeHost);

impl Bench for Remote {
    fn connect(&self) -> Box<dyn Host> {
        let (near, far) = UnixStream::pair().expect("a connection");
        let host = self.0.clone();
        thread::spawn(move || {
            serve(Box::new(host), far.try_clone().expect("its other half"), far, Rhythm::default(), || {})
        });
        Box::new(RemoteHost::greet(Wire(near), Duration::from_secs(60)).expect("the agent"))
    }
}

struct Wire(UnixStream);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Transport for Wire {
    fn set_timeout(&mut self, within: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(within))?;
        self.0.set_write_timeout(Some(within))
    }
}

#[test]
fn every_case_holds_over_a_connection() {
    for (name, case) in contract::cases() {
        println!("{name}");
        let host = FakeHost::new().with_link("eth0", Some("02:00:00:00:00:01"), &["192.0.2.1/24", "2001:db8::1/64"]);
        case(&Remote(host));
    }
}
