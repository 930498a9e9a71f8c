//! What can go wrong on a host: what was tried, what came back, and what the operator can do about it.
//!
//! Every variant names its attempt in an infinitive (`doing`), so that its text reads "Cannot add 10.0.0.1/32 to lo: ...".
//! No variant ever holds the text of a secret. To add one, add its help to [`HostError::help`], which matches all of them.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::rights::Right;
use crate::effect::Effect;

/// Something that could not be done on a host.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostError {
    /// The kernel or a program wants more rights than this process has.
    #[error("Cannot {doing}: permission denied, which takes {right}")]
    MissingRights {
        /// What was tried.
        doing: String,
        /// The capability, or whose rights it takes.
        right: Cow<'static, str>,
    },
    /// A program that lvsctl calls is not installed.
    #[error("Cannot {doing}: the program {program} is not installed")]
    MissingProgram {
        /// What was tried.
        doing: String,
        /// The program's name.
        program: String,
        /// The Debian package that holds it.
        package: String,
    },
    /// A text needs a secret that was not looked up.
    #[error("Cannot {doing}: a secret in it was not looked up")]
    MissingSecret {
        /// What was tried.
        doing: String,
    },
    /// The host itself could not be reached.
    #[error("Cannot reach the host: {text}")]
    Unreachable {
        /// Why.
        text: String,
    },
    /// The host did not prove to be the one that is known.
    #[error("Cannot trust the host: {text}")]
    HostKey {
        /// What is wrong with its key, with the fingerprint.
        text: String,
        /// What accepts it, if that is right.
        help: String,
    },
    /// The host let nobody in.
    #[error("Cannot log in to the host: {text}")]
    Login {
        /// What was tried.
        text: String,
        /// What could let somebody in.
        help: String,
    },
    /// lvsctl could not be started on the host.
    #[error("Cannot start lvsctl on the host: {text}")]
    Agent {
        /// Why.
        text: String,
        /// What the operator can do about it.
        help: String,
    },
    /// A file could not be read or written.
    #[error("Cannot {doing} {path}: {text}")]
    Io {
        /// What was tried, such as `write`.
        doing: String,
        /// The path on the host.
        path: String,
        /// The system's words.
        text: String,
    },
    /// The kernel refused.
    #[error("Cannot {doing}: {meaning} ({errno})")]
    Kernel {
        /// What was tried.
        doing: String,
        /// The symbol of errno(3), such as `EEXIST`.
        errno: String,
        /// What that number means for what was tried.
        meaning: String,
    },
    /// The kernel's answer could not be read.
    #[error("Cannot {doing}: the kernel's answer is malformed: {text}")]
    Malformed {
        /// What was tried.
        doing: String,
        /// What is wrong with the answer.
        text: String,
    },
    /// A program ran and failed.
    #[error("Cannot {doing}: {program} ended with {exit}: {text}")]
    Program {
        /// What was tried.
        doing: String,
        /// The program's name.
        program: String,
        /// How it ended, such as `exit status 5`.
        exit: String,
        /// What it printed, secrets masked.
        text: String,
    },
    /// Something did not come to pass in time.
    #[error("Cannot {doing}: nothing came of it within {}", seconds(*within))]
    Timeout {
        /// What was waited for.
        doing: String,
        /// How long.
        within: Duration,
    },
    /// Another apply holds the host's lock.
    #[error("Another lvsctl works on this host: {holder}")]
    Locked {
        /// Who holds it, such as `process 123`.
        holder: String,
    },
    /// A transaction is over, or another one is open.
    #[error("The apply {id} is not open on this host: {text}")]
    NotOpen {
        /// Which transaction.
        id: String,
        /// What became of it.
        text: String,
    },
    /// What is to be taken back was done in another network namespace than this one.
    #[error("Cannot take the apply {id} back: it was made in another network namespace")]
    OtherNamespace {
        /// Which transaction.
        id: String,
    },
    /// Something before it failed.
    #[error("Not tried, because something before it failed")]
    NotTried,
}

impl HostError {
    /// Returns the error of work on a host that ended without a result.
    pub fn interrupted() -> Self {
        HostError::Unreachable { text: "the work on it ended without a result".to_owned() }
    }

    /// Returns what the operator can do about it, if anything general can be said.
    pub fn help(&self) -> Option<String> {
        match self {
            HostError::MissingRights { right, .. } if right.starts_with("CAP_") => {
                Some(format!("Run as root, or with the capability {right}"))
            }
            HostError::MissingRights { .. } => Some("Run as root".into()),
            HostError::MissingProgram { package, .. } => Some(format!("apt-get install {package}")),
            HostError::MissingSecret { .. } => {
                Some("Set the environment variable, or write the file, that the topology names".into())
            }
            HostError::Unreachable { .. } => Some(
                "Look at the connection of this host in the topology (ssh, local or netns); over SSH, try: ssh -v HOST true"
                    .into(),
            ),
            HostError::HostKey { help, .. } | HostError::Login { help, .. } | HostError::Agent { help, .. } => {
                Some(help.clone())
            }
            HostError::Kernel { errno, .. } if errno == "EEXIST" || errno == "ESRCH" => {
                Some("Something else changed the host in the meantime; plan again".into())
            }
            HostError::Locked { .. } => Some("Wait until it has ended, or give --lock-timeout, then plan again".into()),
            HostError::OtherNamespace { .. } => {
                Some("Run it in there (ip netns exec NAME lvsctl recover --root FOLDER), or apply again".into())
            }
            HostError::NotOpen { .. } => Some("Plan again: the plan says what is there now".into()),
            HostError::Io { .. }
            | HostError::Kernel { .. }
            | HostError::Malformed { .. }
            | HostError::Program { .. }
            | HostError::Timeout { .. }
            | HostError::NotTried => None,
        }
    }

    /// Makes the error of a file operation.
    pub(super) fn file(doing: &str, path: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let right = "the rights of the file's owner".into();
                HostError::MissingRights { doing: format!("{doing} {path}"), right }
            }
            _ => HostError::Io { doing: doing.into(), path: path.into(), text: error.to_string() },
        }
    }

    /// Makes the error of a refusal by the kernel; `meaning` says what a number means here, if it means something special.
    pub(super) fn kernel(doing: &str, errno: Errno, meaning: impl FnOnce(Errno) -> Option<&'static str>) -> Self {
        let right = Right::NetworkAdministration;
        if matches!(errno, Errno::PERM | Errno::ACCESS) && right.is_missing() {
            return HostError::MissingRights { doing: doing.into(), right: right.as_str().into() };
        }
        HostError::Kernel {
            doing: doing.into(),
            errno: errno_name(errno),
            meaning: meaning(errno).map_or_else(|| plain_meaning(errno), str::to_owned),
        }
    }

    /// Returns the symbol of the kernel's refusal, such as `EEXIST`.
    pub fn errno(&self) -> Option<&str> {
        match self {
            HostError::Kernel { errno, .. } => Some(errno),
            _ => None,
        }
    }
}

impl HostError {
    /// Tells whether an error says for certain that nothing was done.
    pub fn is_refusal(&self) -> bool {
        match self {
            // The answers of a whole batch were lost (netlink(7)).
            HostError::Kernel { errno, .. } if errno == "ENOBUFS" => false,
            HostError::MissingRights { .. }
            | HostError::MissingProgram { .. }
            | HostError::MissingSecret { .. }
            | HostError::Kernel { .. }
            | HostError::NotOpen { .. }
            | HostError::OtherNamespace { .. }
            | HostError::NotTried => true,
            HostError::Unreachable { .. }
            | HostError::HostKey { .. }
            | HostError::Login { .. }
            | HostError::Agent { .. }
            | HostError::Io { .. }
            | HostError::Malformed { .. }
            | HostError::Program { .. }
            | HostError::Timeout { .. }
            | HostError::Locked { .. } => false,
        }
    }

    /// Tells whether an effect that failed with this error may have been made all the same.
    pub fn leaves_in_doubt(&self, effect: &Effect) -> bool {
        match self {
            // A program that says no has done nothing, but for one that goes on working.
            HostError::Program { .. } => {
                matches!(effect, Effect::StartKeepalived { .. } | Effect::ReloadKeepalived { .. })
            }
            error => !error.is_refusal(),
        }
    }

    /// Tells whether an error of taking something back says that there is nothing left to do.
    pub fn is_done_already(&self) -> bool {
        matches!(self.errno(), Some("EEXIST" | "ENODEV" | "ENOENT" | "ESRCH" | "EADDRNOTAVAIL"))
    }
}

/// Returns the symbol of an error number as errno(3) lists it; a rare one is shown as its number.
fn errno_name(errno: Errno) -> String {
    let name = match errno {
        Errno::PERM => "EPERM",
        Errno::NOENT => "ENOENT",
        Errno::SRCH => "ESRCH",
        Errno::INTR => "EINTR",
        Errno::IO => "EIO",
        Errno::NXIO => "ENXIO",
        Errno::AGAIN => "EAGAIN",
        Errno::NOMEM => "ENOMEM",
        Errno::ACCESS => "EACCES",
        Errno::BUSY => "EBUSY",
        Errno::EXIST => "EEXIST",
        Errno::NODEV => "ENODEV",
        Errno::INVAL => "EINVAL",
        Errno::NOSPC => "ENOSPC",
        Errno::ROFS => "EROFS",
        Errno::RANGE => "ERANGE",
        Errno::MSGSIZE => "EMSGSIZE",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::PROTONOSUPPORT => "EPROTONOSUPPORT",
        Errno::AFNOSUPPORT => "EAFNOSUPPORT",
        Errno::ADDRINUSE => "EADDRINUSE",
        Errno::ADDRNOTAVAIL => "EADDRNOTAVAIL",
        Errno::NETDOWN => "ENETDOWN",
        Errno::NETUNREACH => "ENETUNREACH",
        Errno::HOSTUNREACH => "EHOSTUNREACH",
        Errno::NOBUFS => "ENOBUFS",
        other => return format!("error {}", other.raw_os_error()),
    };
    name.to_owned()
}

/// Returns the system's words for an error number, without the number that Rust adds.
fn plain_meaning(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_a_sentence_and_missing_rights_are_told_apart() {
        let refused = HostError::kernel("add fwm:1", Errno::EXIST, |_| Some("the service is there already"));
        assert_eq!(refused.to_string(), "Cannot add fwm:1: the service is there already (EEXIST)");
        assert_eq!(refused.errno(), Some("EEXIST"));
        assert!(refused.help().is_some_and(|help| help.contains("plan again")));
        let denied = HostError::kernel("read the IPVS table", Errno::PERM, |_| None);
        // Who has the right is refused for another reason, and is not told to get it.
        let text = match Right::NetworkAdministration.is_missing() {
            true => "Cannot read the IPVS table: permission denied, which takes CAP_NET_ADMIN",
            false => "Cannot read the IPVS table: Operation not permitted (EPERM)",
        };
        assert_eq!(denied.to_string(), text);
        let right = Right::ModuleLoading.as_str().into();
        let denied = HostError::MissingRights { doing: "load the module ip_vs".into(), right };
        assert_eq!(denied.help().as_deref(), Some("Run as root, or with the capability CAP_SYS_MODULE"));
        let odd = HostError::kernel("add fwm:1", Errno::NOTTY, |_| None);
        assert_eq!(odd.to_string(), "Cannot add fwm:1: Inappropriate ioctl for device (error 25)");
    }

    #[test]
    fn what_failed_is_in_doubt_unless_it_was_refused() {
        let start = Effect::StartKeepalived { configuration: "0".to_owned() };
        let write = Effect::RemoveFile { path: "/etc/a".to_owned() };
        let program = HostError::Program {
            doing: "do this".to_owned(),
            program: "keepalived".to_owned(),
            exit: "exit status 1".to_owned(),
            text: String::new(),
        };
        assert!(program.leaves_in_doubt(&start) && !program.leaves_in_doubt(&write));
        let io = HostError::Io { doing: "write".to_owned(), path: "/etc/a".to_owned(), text: String::new() };
        let timeout = HostError::Timeout { doing: "do this".to_owned(), within: Duration::ZERO };
        assert!(io.leaves_in_doubt(&write) && timeout.leaves_in_doubt(&write));
        assert!(!HostError::NotTried.leaves_in_doubt(&start));
    }

    #[test]
    fn lost_answers_are_no_refusal() {
        let kernel = |errno: &str| HostError::Kernel {
            doing: "add the service fwm:1".to_owned(),
            errno: errno.to_owned(),
            meaning: String::new(),
        };
        assert!(kernel("EEXIST").is_refusal());
        assert!(!kernel("ENOBUFS").is_refusal());
    }
}
