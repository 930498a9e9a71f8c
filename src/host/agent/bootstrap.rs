//! From a login to an agent: the one that is there, or this program, which is sent.

use std::io::Write;
use std::time::Duration;

use super::binary::{self, Binary};
use super::frame::FrameError;
use super::opening::{Opening, listen};
use super::password::{self, Refusal};
use super::remote::RemoteHost;
use super::script::{self, FOLDER, Root};
use super::transport::{Timed, Transport};
use crate::host::HostError;
use crate::source::plain::one_line;

/// How long the program may take to arrive: ten mebibytes over a line of 64 kB/s, twice.
const SENDING: Duration = Duration::from_secs(320);

/// A login on a host, on which programs can be started.
pub trait Session {
    /// Starts a program; the far side gives the command to the login shell of the user.
    fn run(&mut self, command: &str) -> Result<Box<dyn Transport>, HostError>;

    /// Returns the user that is logged in.
    fn user(&self) -> &str;
}

/// A host with an agent that was started over a login.
pub type Started = RemoteHost<Box<dyn Transport>>;

/// Starts this program's agent on a host; nobody there may be silent for longer than `silence`.
pub fn start(session: &mut dyn Session, root: Root<'_>, silence: Duration) -> Result<Started, HostError> {
    start_with(session, root, silence, Binary::own()?, &|machine| Binary::beside(machine))
}

/// Starts an agent on a host; `beside` has programs for processors for which `own` is unfit.
pub fn start_with(
    session: &mut dyn Session,
    root: Root<'_>,
    silence: Duration,
    own: &Binary,
    beside: &dyn Fn(&str) -> Option<Binary>,
) -> Result<Started, HostError> {
    let mut attempt = Attempt { session, root, silence };
    let machine = match attempt.start(own)? {
        Outcome::Started(host) => return Ok(host),
        Outcome::Absent { machine } => machine,
    };
    let Some(why) = own.unfit_for(&machine) else {
        return attempt.upload(own);
    };
    let other = beside(&machine).ok_or_else(|| unfit(&machine, &why))?;
    if let Some(other_why) = other.unfit_for(&machine) {
        return Err(unfit(&machine, &format!("{why}; of {}: {other_why}", binary::place(&machine))));
    }
    match attempt.start(&other)? {
        Outcome::Started(host) => Ok(host),
        Outcome::Absent { .. } => attempt.upload(&other),
    }
}

enum Outcome {
    Started(Started),
    Absent { machine: String },
}

struct Attempt<'a> {
    session: &'a mut dyn Session,
    root: Root<'a>,
    silence: Duration,
}

impl Attempt<'_> {
    fn start(&mut self, binary: &Binary) -> Result<Outcome, HostError> {
        let mut transport = self.session.run(&script::start(binary, self.root))?;
        self.become_root(&mut transport)?;
        self.hear(transport, self.silence)
    }

    fn upload(&mut self, binary: &Binary) -> Result<Started, HostError> {
        let mut transport = self.session.run(&script::upload(binary, self.root))?;
        self.become_root(&mut transport)?;
        // Whatever keeps the far side from taking it, it says so in the end.
        let sent = Timed::new(&mut transport, self.silence, SENDING).write_all(binary.bytes());
        match self.hear(transport, self.silence.max(Duration::from_secs(60)))? {
            Outcome::Started(host) => Ok(host),
            Outcome::Absent { .. } => {
                let text = sent.err().map_or_else(|| "it did not start".to_owned(), |error| error.to_string());
                Err(failed(text, "Try again".to_owned()))
            }
        }
    }

    fn become_root(&self, transport: &mut Box<dyn Transport>) -> Result<(), HostError> {
        let Root::SudoWith(answer) = self.root else { return Ok(()) };
        let user = self.session.user();
        password::give(transport, self.silence, answer).map_err(|refusal| match refusal {
            Refusal::Unanswered => failed(
                format!("{user} does not become root: sudo asks for a password, and nobody gave one"),
                "Write become-password=(env)\"NAME\" at the host's ssh, or call lvsctl from a terminal".to_owned(),
            ),
            Refusal::Wrong => failed(
                format!("{user} does not become root: sudo does not take the password"),
                "Look at what become-password names, and whether the account is locked on the host".to_owned(),
            ),
            Refusal::Line(error) => self.explain(transport, &error),
        })
    }

    fn hear(&self, mut transport: Box<dyn Transport>, within: Duration) -> Result<Outcome, HostError> {
        match listen(&mut transport, self.silence, within) {
            Ok(Opening::Agent(hello)) => RemoteHost::begin(transport, hello, self.silence).map(Outcome::Started),
            Ok(Opening::Said(said)) => self.understand(&said),
            Err(error) => Err(self.explain(&mut transport, &error)),
        }
    }

    /// Turns what the commands say into what is to be done, or into an error.
    fn understand(&self, said: &str) -> Result<Outcome, HostError> {
        let words: Vec<&str> = said.split_whitespace().collect();
        match words.as_slice() {
            ["absent", "Linux", machine] => Ok(Outcome::Absent { machine: (*machine).to_owned() }),
            ["absent", system, ..] => {
                Err(failed(format!("it runs {}, not Linux", quoted(system)), "lvsctl manages Linux hosts".to_owned()))
            }
            ["not-root"] => Err(failed(
                format!("{} is not root there", self.session.user()),
                "Log in as root, or write become=#true at the host's ssh".to_owned(),
            )),
            ["folder", state @ ..] => Err(failed(
                format!(
                    "the folder {FOLDER} and what is in it must be root's alone, and are not (mode and owner: {})",
                    quoted(&state.join(" "))
                ),
                format!("Find out who made it, then: rm -r {FOLDER}"),
            )),
            ["noexec", why @ ..] => Err(failed(
                format!(
                    "no program may be run from {FOLDER}, and no file system mounted there: {}",
                    quoted(&why.join(" "))
                ),
                "On the host: mount -o remount,exec /run".to_owned(),
            )),
            ["write", why @ ..] => Err(failed(
                format!("this program cannot be written to {FOLDER}: {}", quoted(&why.join(" "))),
                "Look at the room in it on the host: df /run".to_owned(),
            )),
            ["busy"] => Err(failed(
                format!("another lvsctl has held {FOLDER} for a minute"),
                format!("Try again; if it fails once more, look on the host who holds it: fuser -v {FOLDER}"),
            )),
            ["digest"] => Err(failed(
                "what arrived is not what was sent".to_owned(),
                "Try again; if it fails once more, look at the connection and the host's memory".to_owned(),
            )),
            _ => Err(failed(format!("it says {}", quoted(said)), "Try again".to_owned())),
        }
    }

    /// Makes the error of an agent that did not begin.
    fn explain(&self, transport: &mut Box<dyn Transport>, error: &FrameError) -> HostError {
        let complaints = transport.complaints().replace(script::PROMPT, "");
        let complaints = quoted(complaints.trim());
        match error {
            FrameError::Noise(noise) => failed(
                format!("its shell says {} at login, where an agent would begin", quoted(noise)),
                format!("Make the shell of {} say nothing where there is no terminal", self.session.user()),
            ),
            FrameError::Ended if !matches!(self.root, Root::Login) && !complaints.is_empty() => failed(
                format!("{} does not become root: {complaints}", self.session.user()),
                format!(
                    "Install sudo on the host, and put into /etc/sudoers.d/lvsctl: {} ALL=(root) NOPASSWD: /bin/sh; or write \
                     become-password at the host's ssh",
                    self.session.user()
                ),
            ),
            _ if complaints.is_empty() => failed(error.to_string(), LOOK.to_owned()),
            _ => failed(format!("{error}; it says: {complaints}"), LOOK.to_owned()),
        }
    }
}

const LOOK: &str = "Try on the host: /bin/sh -c \"uname -m\"";

fn failed(text: String, help: String) -> HostError {
    HostError::Agent { text, help }
}

fn unfit(machine: &str, why: &str) -> HostError {
    failed(
        format!("this lvsctl cannot run on the host, which has the processor {}: {why}", quoted(machine)),
        format!(
            "Use the released lvsctl, or one that was built with make release; for another processor, put one of version {} for it \
             at {}",
            env!("CARGO_PKG_VERSION"),
            binary::places("PROCESSOR")
        ),
    )
}

/// How much is quoted of what the far side says.
const QUOTED: usize = 300;

/// Quotes what the far side says, without what a terminal would act on.
fn quoted(text: &str) -> String {
    one_line(text, QUOTED)
}
