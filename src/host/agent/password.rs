//! Becoming root with a password: `sudo` reads it from standard input, before anything else is written there.
//!
//! It asks on standard error, by a word of lvsctl's own. What it starts says `root` before it reads anything, so that the password is
//! written when `sudo` waits for it and at no other time: where it asks for none, none is sent.

use std::io;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::frame::FrameError;
use super::script::{PROMPT, READY};
use super::transport::Transport;

/// Returns the password, which is not the one that was `wrong`; `None` if there is no other.
pub type Password<'a> = dyn Fn(Option<&str>) -> Option<Zeroizing<String>> + 'a;

/// How long the output is waited for between two looks at what `sudo` asks.
const LOOK: Duration = Duration::from_millis(50);

/// How much is read of what is neither.
const QUOTED: usize = 160;

/// Why nobody became root.
#[derive(Debug)]
pub(super) enum Refusal {
    /// `sudo` asks and nobody answers.
    Unanswered,
    /// `sudo` does not take the password.
    Wrong,
    /// It came to no word.
    Line(FrameError),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Line(error.into())
    }
}

/// Waits until the far side is root, and gives the password as often as it is asked for.
pub(super) fn give<T: Transport + ?Sized>(
    transport: &mut T,
    silence: Duration,
    password: &Password<'_>,
) -> Result<(), Refusal> {
    let mut deadline = Instant::now() + silence;
    let mut said = Vec::new();
    let mut given: Option<Zeroizing<String>> = None;
    let mut answered = 0;
    loop {
        match next(transport)? {
            Some(byte) => said.push(byte),
            None if transport.complaints().matches(PROMPT).count() > answered => {
                let wrong = given.as_ref().map(|given| given.as_str());
                let refused = if wrong.is_some() { Refusal::Wrong } else { Refusal::Unanswered };
                let answer = password(wrong).ok_or(refused)?;
                transport.set_timeout(silence)?;
                transport.write_all(answer.as_bytes())?;
                transport.write_all(b"\n")?;
                transport.flush()?;
                answered += 1;
                given = Some(answer);
                // Somebody may have typed for a while, and sudo takes its time after a wrong one.
                deadline = Instant::now() + silence;
            }
            None if Instant::now() >= deadline => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            None => {}
        }
        if said == READY {
            return Ok(());
        }
        let is_noise = !READY.starts_with(&said);
        if is_noise && (said.len() >= QUOTED || said.ends_with(b"\n")) {
            let noise = String::from_utf8_lossy(&said).trim_end().to_owned();
            return Err(Refusal::Line(FrameError::Noise(noise)));
        }
    }
}

/// Reads one byte, if one comes soon.
fn next<T: Transport + ?Sized>(transport: &mut T) -> Result<Option<u8>, Refusal> {
    transport.set_timeout(LOOK)?;
    let mut byte = [0];
    match transport.read(&mut byte) {
        Ok(0) => Err(Refusal::Line(FrameError::Ended)),
        Ok(_) => Ok(Some(byte[0])),
        Err(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::io::{Read, Write};

    use super::*;

    /// A far side that goes on with what it says when it has heard a line.
    struct Far {
        /// What it says on its output and on its standard error, and the line that it waits for after it.
        turns: VecDeque<(&'static str, &'static str, Option<&'static str>)>,
        output: VecDeque<u8>,
        complaints: String,
        heard: Vec<u8>,
    }

    impl Far {
        fn new(turns: &[(&'static str, &'static str, Option<&'static str>)]) -> Self {
            let turns = turns.iter().copied().collect();
            let mut far = Far { turns, output: VecDeque::new(), complaints: String::new(), heard: Vec::new() };
            far.speak();
            far
        }

        fn speak(&mut self) {
            if let Some((output, complaint, _)) = self.turns.front() {
                self.output.extend(output.bytes());
                self.complaints.push_str(complaint);
            }
        }
    }

    impl Read for Far {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.output.pop_front() {
                Some(byte) => {
                    buffer[0] = byte;
                    Ok(1)
                }
                None if self.turns.front().is_some_and(|turn| turn.2.is_some()) => Err(io::ErrorKind::TimedOut.into()),
                None => Ok(0),
            }
        }
    }

    impl Write for Far {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.heard.extend(buffer);
            let awaited = self.turns.front().and_then(|turn| turn.2).expect("it listens");
            if self.heard.ends_with(b"\n") {
                assert_eq!(String::from_utf8_lossy(&self.heard), format!("{awaited}\n"));
                self.heard.clear();
                self.turns.pop_front();
                self.speak();
            }
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Transport for Far {
        fn set_timeout(&mut self, _within: Duration) -> io::Result<()> {
            Ok(())
        }

        fn complaints(&mut self) -> String {
            self.complaints.clone()
        }
    }

    const OPEN: &str = "lvsctl-start root\n";

    fn tried(far: &mut Far, answers: &[&str]) -> (Result<(), Refusal>, Vec<Option<String>>) {
        let (answers, asked) = (RefCell::new(answers.iter()), RefCell::new(Vec::new()));
        let password = |wrong: Option<&str>| {
            asked.borrow_mut().push(wrong.map(str::to_owned));
            answers.borrow_mut().next().map(|answer| Zeroizing::new((*answer).to_owned()))
        };
        let result = give(far, Duration::from_millis(200), &password);
        (result, asked.into_inner())
    }

    #[test]
    fn a_password_is_given_when_it_is_asked_for_and_not_otherwise() {
        let (result, asked) = tried(&mut Far::new(&[(OPEN, "sudo: a lecture", None)]), &["geheim"]);
        assert!(result.is_ok() && asked.is_empty(), "nobody asked");
        let mut far = Far::new(&[("", PROMPT, Some("geheim")), ("lvsctl-start root\nrest", "", Some(""))]);
        let (result, asked) = tried(&mut far, &["geheim"]);
        assert!(result.is_ok() && asked == [None]);
        assert_eq!(far.output, b"rest", "what comes next is somebody else's");
    }

    #[test]
    fn a_wrong_password_is_asked_for_again_as_long_as_there_is_another() {
        let again = [("", PROMPT, Some("one")), ("", PROMPT, Some("two")), (OPEN, "", None)];
        let (result, asked) = tried(&mut Far::new(&again), &["one", "two"]);
        assert!(result.is_ok() && asked == [None, Some("one".to_owned())]);
        let (result, _) = tried(&mut Far::new(&again), &["one"]);
        assert!(matches!(result, Err(Refusal::Wrong)), "{result:?}");
        let (result, _) = tried(&mut Far::new(&again), &[]);
        assert!(matches!(result, Err(Refusal::Unanswered)), "{result:?}");
    }

    #[test]
    fn whoever_says_something_else_or_nothing_is_given_nothing() {
        let (result, asked) = tried(&mut Far::new(&[("Welcome!\n", "", Some(""))]), &["geheim"]);
        assert!(matches!(&result, Err(Refusal::Line(FrameError::Noise(noise))) if noise == "Welcome!"), "{result:?}");
        assert!(asked.is_empty());
        let (result, _) = tried(&mut Far::new(&[("", "", Some(""))]), &["geheim"]);
        assert!(matches!(result, Err(Refusal::Line(_))), "{result:?}");
        let (result, _) = tried(&mut Far::new(&[("lvsctl-", "deploy is not in the sudoers file", None)]), &["geheim"]);
        assert!(matches!(result, Err(Refusal::Line(FrameError::Ended))), "{result:?}");
    }
}
