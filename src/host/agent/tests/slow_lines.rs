//! A line that is slow is not one that is dead, whatever is under way on it.

use std::sync::mpsc::Receiver;

use super::super::frame::read;
use super::super::message::Reply;
use super::*;

/// How long the agents here live without a word: long enough for a thread of a busy machine to come to its turn.
const LOST: Duration = Duration::from_secs(8);

/// Serves a host on a thread. Tells how it ended, and each time that the client was heard.
fn served(host: impl Host + 'static) -> (UnixStream, Receiver<Result<(), FrameError>>, Receiver<()>) {
    let (mut near, far) = UnixStream::pair().unwrap();
    let ((ends, ended), (heard, hears)) = (channel(), channel());
    let rhythm = Rhythm { lost: LOST, ..Rhythm::default() };
    thread::spawn(move || {
        let tell = move || {
            let _ = heard.send(());
        };
        ends.send(serve(Box::new(host), far.try_clone().unwrap(), far, rhythm, tell))
    });
    near.set_timeout(PATIENCE).unwrap();
    near.read_exact(&mut [0; MAGIC.len()]).unwrap();
    read::<Hello>(&mut near).unwrap().unwrap();
    (near, ended, hears)
}

fn question(request: &Request) -> Vec<u8> {
    frame(&serde_json::to_string(request).unwrap())
}

/// Returns the next answer; that the agent is at work is none.
fn answer(near: &mut UnixStream) -> Option<Reply> {
    loop {
        match read::<Reply>(near).expect("the agent has given its client up") {
            Some(Reply::Working) => {}
            reply => return reply,
        }
    }
}

/// Returns the length of a large answer when it begins to come, and gives signs until then as clients do: a busy machine may
/// need long to make it.
fn length_of_large_answer(near: &mut UnixStream) -> usize {
    near.set_timeout(LOST / 8).unwrap();
    let length = loop {
        let mut length = [0; 4];
        match near.read(&mut length) {
            Ok(4) => match u32::from_be_bytes(length) as usize {
                // It is at work.
                little @ ..LITTLE => near.read_exact(&mut vec![0; little]).unwrap(),
                large => break large,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                near.write_all(&question(&Request::Alive)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    };
    near.set_timeout(PATIENCE).unwrap();
    length
}

/// The most that is taken at a time, which is less than what waits on the way.
const LITTLE: usize = 32 << 10;

/// Takes what comes a little at a time, with a pause before each.
struct Slowly<'a>(&'a UnixStream, Duration);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        thread::sleep(self.1);
        let little = buffer.len().min(LITTLE);
        self.0.read(&mut buffer[..little])
    }
}

#[test]
fn a_question_that_arrives_slowly_is_heard_all_the_while() {
    let (mut near, _ended, hears) = served(FakeHost::new());
    let effects: Vec<Effect> = (0..20).map(|number| Effect::LoadModule(format!("module{number}"))).collect();
    let question = question(&Request::perform(&effects));
    // All in all longer than the agent lives without a word.
    for piece in question.chunks(question.len().div_ceil(10)) {
        thread::sleep(LOST / 8);
        near.write_all(piece).unwrap();
        hears.recv_timeout(PATIENCE).expect("what arrives is heard before all of it is there");
        hears.try_iter().count();
    }
    let reply = answer(&mut near);
    assert!(matches!(reply, Some(Reply::Performed(results)) if results.len() == 20));
}

#[test]
fn an_answer_that_is_taken_slowly_is_a_sign_of_life() {
    let (mut near, _ended, hears) = served(Slow(|| {}));
    near.write_all(&question(&Request::Probe(Probe::Ipvs))).unwrap();
    let length = length_of_large_answer(&mut near);
    hears.try_iter().count();
    let begun = Instant::now();
    let pieces = u32::try_from(length / LITTLE).unwrap();
    Slowly(&near, LOST * 5 / 4 / pieces).read_exact(&mut vec![0; length]).unwrap();
    assert!(begun.elapsed() > LOST, "{length} bytes in {:?} are not slow", begun.elapsed());
    assert!(hears.try_iter().count() > 4, "the client is heard while it takes what it asked for");
    near.write_all(&question(&Request::Capabilities)).unwrap();
    let reply = answer(&mut near);
    assert_eq!(reply, Some(Reply::Capabilities(Ok(Capabilities::default()))));
}

#[test]
fn a_client_that_takes_no_answer_does_not_keep_the_agent() {
    let (mut near, ended, _hears) = served(Slow(|| {}));
    near.write_all(&question(&Request::Probe(Probe::Ipvs))).unwrap();
    let ended = ended.recv_timeout(PATIENCE).expect("the agent, and the host's lock, wait for a client that is gone");
    assert!(matches!(ended, Err(FrameError::Silent)), "{ended:?}");
    drop(near);
}
