//! Who gives a command, as others are told who find a host locked, and how long they wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::document::shape;
use crate::host::Operator;
use crate::source::plain::one_line;

/// How much of a name is kept, in characters.
const LONGEST: usize = 64;

/// Returns who gives a command.
pub fn operator(command: &str) -> Operator {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(variable);
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Operator { user: one_line(&user, LONGEST), from: one_line(&machine, LONGEST), command: command.to_owned() }
}

/// Reads how long something may take, as the language writes it: `90s`, `5m`, `1h`, and `0` for not at all.
pub fn duration(text: &str) -> Result<Duration, String> {
    let read = if text == "0" { Some(Duration::ZERO) } else { shape::duration(text) };
    let read = read.ok_or_else(|| "expected a time with its unit, such as 60s, 5m or 1h".to_owned())?;
    if read <= LONGEST_WAIT { Ok(read) } else { Err("expected at most 24h".to_owned()) }
}

/// The longest time that is taken: a longer one is more likely a slip.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Reads a window for a confirmation, of which there may be none.
pub fn window(text: &str) -> Result<Window, String> {
    match text {
        "none" => Ok(Window(None)),
        text => match duration(text)? {
            Duration::ZERO => Ok(Window(None)),
            short if short < SHORTEST_WINDOW => {
                Err(format!("expected at least {}s, or none", SHORTEST_WINDOW.as_secs()))
            }
            window => Ok(Window(Some(window))),
        },
    }
}

/// The shortest window in which a client can be expected to make a new connection to every host.
const SHORTEST_WINDOW: Duration = Duration::from_secs(5);

/// How long hosts wait for a confirmation, if they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub Option<Duration>);

/// Returns what tells an apply apart from every other: the beginning of a digest of who gives it, and when.
pub fn new_id(plan: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let machine = rustix::system::uname();
    let text = format!("{plan} {} {} {now:?}", machine.nodename().to_string_lossy(), std::process::id());
    let digits = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digits.chars().take(ID_DIGITS).collect()
}

/// How many digits of the digest are enough.
const ID_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "s", "-1s", "1.5s", "60 s", "1d", "25h", "90"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_window_is_long_enough_or_there_is_none() {
        assert_eq!(window("none"), Ok(Window(None)));
        assert_eq!(window("0"), Ok(Window(None)));
        assert_eq!(window("60s"), Ok(Window(Some(Duration::from_secs(60)))));
        assert!(window("2s").unwrap_err().contains("5s"));
    }

    #[test]
    fn who_gives_a_command_is_told() {
        assert_eq!(operator("lvsctl apply").command, "lvsctl apply");
    }
}
