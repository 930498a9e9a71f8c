//! Programs on the other side: what they read, say and complain of, and how they end.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use lvsctl::host::ssh::{Ending, SshSession};

use super::site::Site;

/// How long a busy machine may take for what takes no time; what hangs does so for as long as anything is waited for.
const SLACK: Duration = Duration::from_secs(30);

/// Runs a program and returns what it says.
pub fn say(session: &mut SshSession, command: &str) -> String {
    let mut said = String::new();
    session.run(command).unwrap().read_to_string(&mut said).unwrap();
    said
}

#[test]
fn programs_run_one_after_the_other_and_tell_how_they_ended() {
    let site = Site::with("LogLevel VERBOSE\nBanner FOLDER/banner");
    std::fs::write(site.path().join("banner"), "Authorised users only!\n".repeat(100)).unwrap();
    let mut session = site.open().unwrap();
    assert_eq!(say(&mut session, "echo one"), "one\n");
    let mut failing = session.run("echo two; echo three >&2; exit 7").unwrap();
    let mut said = String::new();
    failing.read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), failing.complaints().as_str()), ("two\n", "three\n"));
    assert_eq!(failing.finish().unwrap(), Ending { status: 7, signal: None });
    let killed = session.run("kill -KILL $$").unwrap().finish().unwrap();
    assert_eq!(killed.signal.as_deref(), Some("KILL"));
    let mut echo = session.run("cat").unwrap();
    echo.write_all(b"there and back").unwrap();
    let mut back = [0; 14];
    echo.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"there and back");
    echo.close_input().unwrap();
    assert_eq!(echo.read(&mut back).unwrap(), 0, "the end of the output");
    assert_eq!(echo.finish().unwrap(), Ending { status: 0, signal: None });
}

#[test]
fn much_travels_both_ways_unchanged() {
    let site = Site::new();
    let mut session = site.open().unwrap();
    let data: Vec<u8> = (0..10_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut upload = session.run("sha256sum; echo rest >&2").unwrap();
    upload.write_all(&data).unwrap();
    upload.close_input().unwrap();
    let mut digest = String::new();
    upload.read_to_string(&mut digest).unwrap();
    std::fs::write(site.path().join("data"), &data).unwrap();
    let local = super::site::run("sha256sum", &[&site.path().join("data").display().to_string()]);
    assert_eq!(digest.split(' ').next(), local.split(' ').next());
    let mut back = Vec::new();
    let mut download = session.run(&format!("cat {}/data", site.path().display())).unwrap();
    download.read_to_end(&mut back).unwrap();
    assert!(back == data, "{} bytes came back", back.len());
    assert_eq!(download.finish().unwrap().status, 0);
}

#[test]
fn a_full_standard_error_blocks_neither_reading_nor_writing() {
    let site = Site::with("LogLevel VERBOSE");
    let mut session = site.open().unwrap();
    let mut loud = session.run("echo first words >&2; head -c 8000000 /dev/zero >&2; echo done").unwrap();
    let mut said = String::new();
    loud.read_to_string(&mut said).unwrap();
    assert_eq!(said, "done\n");
    let complaints = loud.complaints();
    assert!(complaints.starts_with("first words\n"), "the beginning is kept");
    assert!(complaints.len() < 20_000 && complaints.ends_with(" bytes more"), "{} bytes are kept", complaints.len());
    // It reads nothing before it has complained.
    let mut late = session.run("head -c 8000000 /dev/zero >&2; wc -c").unwrap();
    late.write_all(&vec![b'x'; 6_000_000]).unwrap();
    late.close_input().unwrap();
    let mut count = String::new();
    late.read_to_string(&mut count).unwrap();
    assert_eq!(count.trim(), "6000000");
}

#[test]
fn a_program_that_only_complains_is_not_listened_to_for_ever() {
    let site = Site::new();
    let mut session = site.open().unwrap();
    let mut loud = session.run("cat /dev/zero >&2").unwrap();
    loud.set_timeout(Duration::from_millis(500)).unwrap();
    let begun = Instant::now();
    // More than once where the machine is so busy that little has come by then.
    loop {
        let error = loud.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        if loud.complaints().ends_with(" bytes more") {
            break;
        }
        assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    }
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
}

#[test]
fn silence_ends_in_a_timeout_and_the_program_may_still_speak() {
    let site = Site::new();
    let mut session = site.open().unwrap();
    let mut slow = session.run("read line; echo $line").unwrap();
    slow.set_timeout(Duration::from_millis(200)).unwrap();
    let begun = Instant::now();
    assert_eq!(slow.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < SLACK);
    slow.set_timeout(Duration::from_secs(60)).unwrap();
    slow.write_all(b"late\n").unwrap();
    let mut said = String::new();
    slow.read_to_string(&mut said).unwrap();
    assert_eq!(said, "late\n");
}

#[test]
fn a_session_is_ended_from_another_thread() {
    let site = Site::new();
    let mut session = site.open().unwrap();
    let canceller = session.canceller();
    let mut silent = session.run("echo ready; cat").unwrap();
    let mut ready = [0; 6];
    silent.read_exact(&mut ready).unwrap();
    let ended = thread::scope(|scope| {
        let reader = scope.spawn(|| silent.read(&mut [0; 10]));
        // It may not wait yet; a cancelled session does not begin to.
        canceller.cancel();
        reader.join().unwrap()
    });
    assert!(ended.is_err(), "{ended:?}");
    let begun = Instant::now();
    drop(silent);
    assert!(session.run("true").is_err());
    drop(session);
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
}
