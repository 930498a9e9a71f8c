//! Asks for a passphrase or a password, on a terminal only.
//!
//! The answer is read sign by sign, so that an interruption puts the terminal back before it ends the question. What was asked once is
//! kept for the other hosts of the same run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Where questions go, also while standard output is a file.
const TERMINAL: &str = "/dev/tty";

/// The longest answer, in bytes.
const LONGEST: usize = 1024;

/// Whether somebody is being asked.
static ASKING: AtomicBool = AtomicBool::new(false);

/// What was typed, by the question; `None` if nobody would answer.
static TYPED: Mutex<BTreeMap<String, Option<Zeroizing<String>>>> = Mutex::new(BTreeMap::new());

/// Tells whether somebody is being asked, and the terminal's last line is not to be written on.
pub fn is_asking() -> bool {
    ASKING.load(Ordering::Relaxed)
}

/// Tells whether somebody is there to be asked.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && File::options().read(true).write(true).open(TERMINAL).is_ok()
}

/// Returns the passphrase of a key, known or asked for, but not the one that was wrong; `None` if nobody answers.
///
/// Hosts that need the same key wait for the question and not for each other's logins.
pub(super) fn passphrase(key: &Path, wrong: Option<&str>) -> Option<Zeroizing<String>> {
    known_or_asked(format!("Passphrase of {}: ", super::printable(&key.to_string_lossy())), wrong)
}

/// Returns the password with which a user becomes root on the hosts, as [`passphrase`] does.
pub fn sudo_password(user: &str, wrong: Option<&str>) -> Option<Zeroizing<String>> {
    known_or_asked(format!("Password of {} for sudo on the hosts: ", super::printable(user)), wrong)
}

/// Forgets what was typed.
pub fn forget_typed() {
    TYPED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn known_or_asked(question: String, wrong: Option<&str>) -> Option<Zeroizing<String>> {
    let mut typed = TYPED.lock().unwrap_or_else(PoisonError::into_inner);
    match typed.get(&question) {
        Some(known) if wrong.is_none() || known.as_ref().map(|known| known.as_str()) != wrong => known.clone(),
        _ => {
            ASKING.store(true, Ordering::Relaxed);
            let answer = ask(&question).ok().flatten();
            ASKING.store(false, Ordering::Relaxed);
            typed.insert(question, answer.clone());
            answer
        }
    }
}

/// Puts a terminal back as it was.
struct Restore<'a>(&'a File, Termios);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.0, OptionalActions::Drain, &self.1);
        let _ = (&mut { self.0 }).write_all(b"\n");
    }
}

/// Asks a question whose answer is not shown; `None` if it is interrupted or empty.
fn ask(question: &str) -> io::Result<Option<Zeroizing<String>>> {
    let terminal = File::options().read(true).write(true).open(TERMINAL)?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    // Silent before the question stands there, or a quick answer would be shown.
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let restore = Restore(&terminal, before);
    (&mut { restore.0 }).write_all(question.as_bytes())?;
    let answer = answer(&mut { restore.0 })?;
    Ok(answer.filter(|answer| !answer.is_empty()))
}

fn answer(terminal: &mut impl Read) -> io::Result<Option<Zeroizing<String>>> {
    // Large enough that it never moves: what is left behind would not be wiped.
    let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut sign = [0];
    loop {
        if terminal.read(&mut sign)? == 0 {
            return Ok(None);
        }
        match sign {
            [b'\n' | b'\r'] => return Ok(Some(Zeroizing::new(String::from_utf8_lossy(&typed).into_owned()))),
            // Ctrl-C and Ctrl-D.
            [3 | 4] => return Ok(None),
            // Backspace, and Ctrl-U for the whole line.
            [8 | 0x7f] => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            [0x15] => typed.clear(),
            [other] if typed.len() < LONGEST => typed.push(other),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_the_end_of_its_line() {
        let typed = |text: &[u8]| answer(&mut { text }).unwrap().map(|typed| typed.to_string());
        assert_eq!(typed(b"secret\nrest").as_deref(), Some("secret"));
        assert_eq!(typed("sec\u{e9}x\x7f\x7fret\r".as_bytes()).as_deref(), Some("secret"));
        assert_eq!(typed(b"wrong\x15right\n").as_deref(), Some("right"));
        assert_eq!(typed(b"sec\x03ret\n"), None, "interrupted");
        assert_eq!(typed(b"sec"), None, "the terminal is gone");
    }
}
