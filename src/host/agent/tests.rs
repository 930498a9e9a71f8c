use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::*;
use crate::effect::{
    Answer, Capabilities, DestinationConfig, DestinationKey, Effect, IpvsCommand, LiveDestination, LiveService, Probe,
    ServiceConfig, ServiceFlags, ServiceKey, Undo,
};
use crate::host::fake::FakeHost;
use crate::host::process::wait_until;
use crate::host::{Armed, Host, HostError, Operator, Reversible, TakenBack, Transaction, Transactions};
use crate::topology::{Family, Forwarding, SecretText, TextPiece, Tunnel};
use message::Request;

/// Long enough for a busy machine, and short enough for a test that hears nothing.
const SILENCE: Duration = Duration::from_secs(3);

/// Longer than anything here takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often an agent says that it is at work where that is looked for.
const PULSE: Duration = Duration::from_millis(50);

impl Transport for UnixStream {
    fn set_timeout(&mut self, within: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(within))?;
        self.set_write_timeout(Some(within))
    }
}

type Agent = JoinHandle<Result<(), FrameError>>;

/// Serves a host on a thread.
fn agent(host: impl Host + 'static, rhythm: Rhythm) -> (UnixStream, Agent) {
    let (near, far) = UnixStream::pair().unwrap();
    (near, thread::spawn(move || serve(Box::new(host), far.try_clone().unwrap(), far, rhythm, || {})))
}

/// Serves a host in memory on a thread, and greets it.
fn remote(host: &FakeHost) -> RemoteHost<UnixStream> {
    RemoteHost::greet(agent(host.clone(), Rhythm::default()).0, PATIENCE).unwrap()
}

/// Greets somebody who says this and no more.
fn said(bytes: &[u8]) -> String {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(bytes).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    RemoteHost::greet(near, PATIENCE).map(drop).unwrap_err().to_string()
}

fn frame(payload: &str) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_be_bytes(), payload.as_bytes()].concat()
}

fn greeting() -> Vec<u8> {
    let hello = format!(r#"{{"protocol":{PROTOCOL},"version":"{}","process":1}}"#, env!("CARGO_PKG_VERSION"));
    [&MAGIC[..], &frame(&hello)].concat()
}

/// Greets somebody who says that it is an agent, and then what is written to the other end.
fn pretender(silence: Duration) -> (RemoteHost<UnixStream>, UnixStream) {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(&greeting()).unwrap();
    (RemoteHost::greet(near, silence).unwrap(), far)
}

/// Returns what a client says of an agent that answers a question like this, and hangs up.
fn answered(bytes: &[u8]) -> String {
    let (mut remote, mut far) = pretender(PATIENCE);
    far.write_all(bytes).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let error = remote.capabilities().unwrap_err();
    assert_eq!(remote.beat().unwrap_err(), error, "nothing is asked of it any more");
    error.to_string()
}

#[test]
fn a_secret_arrives_and_is_still_one() {
    let host = FakeHost::new();
    let mut text = SecretText::plain("auth_pass ");
    text.push(TextPiece::Secret(Some("canary".into())));
    let write = Effect::WriteFile {
        path: "/etc/keepalived/keepalived.conf".into(),
        text,
        mode: 0o600,
        keepalived_test: false,
        keep_previous: false,
    };
    let mut remote = remote(&host);
    assert_eq!(remote.perform(&write), Ok(()));
    assert_eq!(host.performed(), [write]);
    assert_eq!(remote.end(), Ok(()));
}

#[test]
fn errors_and_results_come_back_in_order() {
    let host = FakeHost::new();
    let effects = ["ip_vs", "ip_vs_rr", "ip_vs_wrr"].map(|name| Effect::LoadModule(name.into())).to_vec();
    let error = HostError::MissingRights { doing: "load the module".into(), right: "CAP_SYS_MODULE".into() };
    host.fail_at(1, error.clone());
    let mut remote = remote(&host);
    assert_eq!(remote.perform_all(effects), [Ok(()), Err(error), Err(HostError::NotTried)]);
    assert_eq!(remote.perform_all(vec![]), []);
    assert_eq!(remote.lock(&Operator::default(), Duration::ZERO), Ok(()));
    assert_eq!(remote.hello().process, std::process::id());
}

#[test]
fn transactions_are_kept_by_the_far_side() {
    let host = FakeHost::new();
    let mut remote = remote(&host);
    let operator = Operator { user: "alice".into(), from: "desk".into(), command: "lvsctl apply".into() };
    let window = Some(Duration::from_secs(60));
    let transaction = Transaction { id: "7".into(), plan: "0f".into(), operator: operator.clone(), window };
    assert_eq!(remote.lock(&operator, Duration::ZERO), Ok(()));
    assert!(matches!(host.clone().lock(&operator, Duration::ZERO), Err(HostError::Locked { .. })));
    assert_eq!(remote.begin(&transaction), Ok(Armed::default()));
    assert!(matches!(remote.begin(&transaction), Err(HostError::NotOpen { .. })));
    let effect = Effect::LoadModule("ip_vs".into());
    let undo = Undo::reverse([Effect::RemoveFile { path: "/etc/x".into() }]);
    assert_eq!(remote.perform_reversibly(vec![Reversible { effect: effect.clone(), undo }]), [Ok(())]);
    assert_eq!(host.performed(), [effect]);
    assert_eq!(remote.beat(), Ok(()));
    assert_eq!(remote.transactions().unwrap().pending.unwrap().transaction, transaction);
    assert_eq!(remote.confirm("7"), Ok(()));
    assert_eq!(remote.revert("7").unwrap().effects, 1);
    assert_eq!(remote.transactions(), host.clone().transactions());
    assert_eq!((remote.close("7"), remote.forget()), (Ok(()), Ok(())));
}

#[test]
fn a_client_is_heard_while_the_agent_works_and_while_nothing_is_asked() {
    let (near, far) = UnixStream::pair().unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let (counts, while_at_work) = (Arc::clone(&heard), Arc::clone(&heard));
    let (works, worked) = channel();
    // It is at work until the client was heard by more than the pieces of the request.
    let host = Slow(move || {
        let is_heard = wait_until(PATIENCE, || while_at_work.load(Ordering::SeqCst) >= 6);
        let _ = works.send(is_heard);
    });
    let rhythm = Rhythm { pulse: PULSE, ..Rhythm::default() };
    thread::spawn(move || {
        serve(Box::new(host), far.try_clone().unwrap(), far, rhythm, move || {
            counts.fetch_add(1, Ordering::SeqCst);
        })
    });
    let mut remote = RemoteHost::greet(near, PATIENCE).unwrap();
    remote.capabilities().unwrap();
    assert_eq!(worked.recv(), Ok(true), "the request in pieces, and a sign at each pulse");
    // A client that asks nothing gives signs as well.
    let by_then = heard.load(Ordering::SeqCst);
    assert!(wait_until(PATIENCE, || heard.load(Ordering::SeqCst) > by_then));
}

#[test]
fn whoever_is_no_agent_is_quoted() {
    assert!(said(b"").contains("the connection ended"));
    assert!(said(b"Welcome to lb01!\n").contains("\"Welcome to lb01!\""), "{}", said(b"Welcome to lb01!\n"));
    let banner = [b"Last login: never\n", &greeting()[..]].concat();
    assert!(said(&banner).contains("Last login: never"), "a banner before the magic is not skipped");
    assert!(said(&MAGIC[..8]).contains("the connection ended"));
    let magic = |rest: &[u8]| said(&[&MAGIC[..], rest].concat());
    assert!(magic(&frame("{}")).contains("malformed"));
    assert!(magic(&frame(r#"{"protocol":2,"version":"9.9.9","process":1}"#)).contains("version 9.9.9"));
    assert!(magic(&u32::MAX.to_be_bytes()).contains("4294967295 bytes is longer than any may be"));
    assert!(said(&greeting()[..40]).contains("the connection ended"));
}

#[test]
fn garbled_truncated_and_oversized_answers_are_errors_and_the_last_thing_that_is_heard() {
    assert!(answered(&frame("{\"answer\":")).contains("malformed"));
    assert!(answered(&frame("\u{fffd}\0garbage")).contains("malformed"));
    assert!(answered(&frame(r#"{"done":{"Ok":null}}"#)).contains("another question"));
    assert!(answered(&frame(r#"{"performed":[{"Ok":null}]}"#)).contains("another question"));
    assert!(answered(&u32::MAX.to_be_bytes()).contains("longer than any may be"));
    let long = frame(&"x".repeat(1000));
    assert!(answered(&long[..500]).contains("the connection ended"));
    assert!(answered(b"\0\0").contains("the connection ended"));
    assert!(answered(b"").contains("the connection ended"));
    // A length that lies costs no memory: what is read is kept, and no more.
    assert!(answered(&[&LIMIT.to_be_bytes()[..], b"{"].concat()).contains("the connection ended"));
}

#[test]
fn a_silent_agent_is_given_up_and_not_asked_again() {
    let (mut remote, mut far) = pretender(SILENCE);
    let error = remote.capabilities().unwrap_err();
    assert_eq!(error.to_string(), "Cannot reach the host: nothing was heard in time");
    // What it says later is not taken for the answer to another question.
    far.write_all(&frame(r#"{"answer":{"Ok":{"modules":[]}}}"#)).unwrap();
    assert_eq!(remote.probe(&Probe::Modules(vec![])).unwrap_err(), error);
}

#[test]
fn who_says_a_byte_now_and_then_is_given_up_as_well() {
    let (near, mut far) = UnixStream::pair().unwrap();
    // Until the client hangs up, or has heard all of it.
    let trickle = thread::spawn(move || {
        greeting().iter().all(|byte| {
            thread::sleep(SILENCE / 5);
            far.write_all(&[*byte]).is_ok()
        })
    });
    let error = RemoteHost::greet(near, SILENCE).map(drop).unwrap_err();
    assert!(error.to_string().contains("nothing was heard in time"), "{error}");
    assert!(!trickle.join().unwrap(), "all of its greeting was waited for");
}

#[test]
fn a_peer_that_reads_nothing_is_given_up() {
    let (mut remote, far) = pretender(SILENCE);
    let effects: Vec<Effect> = (0..50_000).map(|number| Effect::LoadModule(format!("module{number}"))).collect();
    let results = remote.perform_all(effects);
    assert_eq!(results.len(), 50_000);
    assert!(results.iter().all(|result| matches!(result, Err(HostError::Unreachable { .. }))), "{:?}", results[0]);
    drop(far);
}

#[test]
fn an_agent_ends_with_its_client_and_counts_what_it_did() {
    let (mut near, served) = agent(FakeHost::new(), Rhythm::default());
    near.shutdown(Shutdown::Write).unwrap();
    near.read_to_end(&mut Vec::new()).unwrap();
    assert!(matches!(served.join().unwrap(), Err(FrameError::Ended)));

    let (near, served) = agent(FakeHost::new(), Rhythm::default());
    let mut remote = RemoteHost::greet(near, PATIENCE).unwrap();
    remote.capabilities().unwrap();
    remote.end().unwrap();
    assert!(served.join().unwrap().is_ok());

    let (near, served) = agent(FakeHost::new(), Rhythm::default());
    drop(RemoteHost::greet(near, PATIENCE).unwrap());
    assert!(served.join().unwrap().is_ok(), "a client that drops the host says so");
}

#[test]
fn an_agent_that_hears_nonsense_or_nothing_ends() {
    for (nonsense, why) in [
        (frame("{}"), "malformed"),
        (u32::MAX.to_be_bytes().to_vec(), "longer than any may be"),
        (frame(r#"{"end":{"requests":7}}"#), "7 requests, and 0 were answered"),
        (frame("\"beat\"")[..3].to_vec(), "the connection ended"),
    ] {
        let (mut near, agent) = agent(FakeHost::new(), Rhythm::default());
        near.write_all(&nonsense).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let error = agent.join().unwrap().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let (near, agent) = agent(FakeHost::new(), Rhythm { lost: SILENCE, ..Rhythm::default() });
    assert!(matches!(agent.join().unwrap(), Err(FrameError::Silent)), "its client may have been cut off");
    drop(near);
}

/// A host that does this to take its time, and a table that is large.
struct Slow<W>(W);

impl<W: FnMut() + Send> Host for Slow<W> {
    fn capabilities(&mut self) -> Result<Capabilities, HostError> {
        (self.0)();
        Ok(Capabilities::default())
    }

    fn probe(&mut self, _probe: &Probe) -> Result<Answer, HostError> {
        Ok(Answer::Ipvs(large_table()))
    }

    fn perform(&mut self, _effect: &Effect) -> Result<(), HostError> {
        (self.0)();
        Ok(())
    }

    fn perform_reversibly(&mut self, steps: Vec<Reversible>) -> Vec<Result<(), HostError>> {
        self.perform_all(steps.into_iter().map(|step| step.effect).collect())
    }

    fn lock(&mut self, _operator: &Operator, _patience: Duration) -> Result<(), HostError> {
        Ok(())
    }

    fn transactions(&mut self) -> Result<Transactions, HostError> {
        Ok(Transactions::default())
    }

    fn begin(&mut self, _transaction: &Transaction) -> Result<Armed, HostError> {
        Ok(Armed::default())
    }

    fn beat(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn confirm(&mut self, _id: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn revert(&mut self, id: &str) -> Result<TakenBack, HostError> {
        Err(HostError::NotOpen { id: id.into(), text: String::new() })
    }

    fn close(&mut self, _id: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn forget(&mut self) -> Result<(), HostError> {
        Ok(())
    }
}

#[test]
fn work_that_takes_longer_than_silence_may_last_is_heard_of() {
    let work = || thread::sleep(SILENCE + SILENCE / 2);
    let (near, _agent) = agent(Slow(work), Rhythm { pulse: PULSE, lost: SILENCE });
    let mut remote = RemoteHost::greet(near, SILENCE).unwrap();
    assert_eq!(remote.capabilities(), Ok(Capabilities::default()));
}

/// What is begun when the client goes away is finished before the agent ends, and what comes after it is not begun.
#[test]
fn an_agent_whose_client_has_gone_ends_what_it_does_and_begins_no_more() {
    const MANY: usize = 100;
    let (marks, marked) = channel();
    let work = move || {
        let _ = marks.send("begun");
        // The agent hears meanwhile that its client has gone.
        thread::sleep(Duration::from_millis(300));
        let _ = marks.send("done");
    };
    let (mut near, agent) = agent(Slow(work), Rhythm::default());
    let effects: Vec<Effect> = (0..MANY).map(|number| Effect::LoadModule(format!("module{number}"))).collect();
    near.write_all(&frame(&serde_json::to_string(&Request::perform(&effects)).unwrap())).unwrap();
    assert_eq!(marked.recv_timeout(PATIENCE), Ok("begun"));
    drop(near);
    assert!(agent.join().unwrap().is_err());
    assert_eq!(marked.try_recv(), Ok("done"), "the agent did not wait for it");
    // Until nobody works any more.
    assert!(marked.iter().count() < MANY, "it went on with everything");
}

fn large_table() -> Vec<LiveService> {
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
    let destination = |number: u32| LiveDestination {
        key: DestinationKey { address: address(number), port: 80 },
        config: DestinationConfig {
            forwarding: Forwarding::Nat,
            tunnel: Tunnel::default(),
            weight: 10,
            upper: 0,
            lower: 0,
        },
        active: 1,
        inactive: 2,
    };
    let config =
        ServiceConfig { scheduler: "wrr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
    let service = |mark: u32| LiveService {
        key: ServiceKey::Mark { mark, family: Family::Ipv4 },
        config: config.clone(),
        destinations: (0..10).map(|number| destination(mark * 10 + number)).collect(),
    };
    (1..=2000).map(service).collect()
}

#[test]
fn a_large_table_travels_quickly() {
    let (near, _agent) = agent(Slow(|| {}), Rhythm::default());
    let mut remote = RemoteHost::greet(near, PATIENCE).unwrap();
    let begun = Instant::now();
    let answer = remote.probe(&Probe::Ipvs).unwrap();
    println!("22,000 objects arrived after {:?}", begun.elapsed());
    assert!(answer == Answer::Ipvs(large_table()), "the table is as it was");
    let begun = Instant::now();
    let key = |number| ServiceKey::Mark { mark: number, family: Family::Ipv4 };
    let effects: Vec<Effect> =
        (1..=22_000).map(|number| Effect::Ipvs(IpvsCommand::DeleteService(key(number)))).collect();
    assert_eq!(remote.perform_all(effects).len(), 22_000);
    println!("22,000 effects were performed after {:?}", begun.elapsed());
    // A build with optimisation takes a tenth of a second for both, and this one less than one; the rest is for a busy machine.
    assert!(begun.elapsed() < PATIENCE);
}

mod every_variant;
mod slow_lines;
