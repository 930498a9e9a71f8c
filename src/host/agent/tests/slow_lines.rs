//! A line that is slow is not one that is dead, whatever is under way on it.

use std::sync::mpsc::Receiver;

use super::super::frame::read;
use super::super::message::Reply;
use super::*;

/// How long the agents here live without a word: long enough for a busy machine to make a large answer.
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
    let reply = read::<Reply>(&mut near).expect("the agent has given its client up");
    assert!(matches!(reply, Some(Reply::Performed(results)) if results.len() == 20));
}

#[test]
fn an_answer_that_is_taken_slowly_is_a_sign_of_life() {
    let (mut near, _ended, hears) = served(Slow(|| {}));
    near.write_all(&question(&Request::Probe(Probe::Ipvs))).unwrap();
    let mut length = [0; 4];
    near.read_exact(&mut length).unwrap();
    hears.try_iter().count();
    let begun = Instant::now();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    let pieces = u32::try_from(answer.len() / LITTLE).unwrap();
    Slowly(&near, LOST * 5 / 4 / pieces).read_exact(&mut answer).unwrap();
    assert!(begun.elapsed() > LOST, "{} bytes in {:?} are not slow", answer.len(), begun.elapsed());
    assert!(hears.try_iter().count() > 4, "the client is heard while it takes what it asked for");
    near.write_all(&question(&Request::Capabilities)).unwrap();
    let reply = read::<Reply>(&mut near).expect("the agent has given its client up");
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
