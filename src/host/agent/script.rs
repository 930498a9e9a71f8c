//! The commands that start an agent: constants, a digest and a length, and nothing else.
//!
//! The login shell is given one line, `/bin/sh -c '…'`, with `sudo` in front where root is somebody else: `-n`, or `-S` with a prompt
//! of lvsctl's own where a password is at hand. Between the single
//! quotes are neither quotes of that sort, backslashes, exclamation marks nor line ends, so that every shell takes it alike,
//! csh and fish included. What the commands have to say begins with a word of its own ([`super::opening::WORD`]).
//!
//! The agent lies in a folder that is root's alone, under the digest of its bytes. It gets this name only when the digest of what
//! has arrived was checked, so that what has this name can be started without another look; before, its name cannot be
//! guessed. Where programs may not be run from below /run, which is how Debian mounts it, the folder gets a file system of its own.

use super::binary::Binary;
use super::password::Password;

/// The folder of agents.
pub(super) const FOLDER: &str = "/run/lvsctl-agent";

/// By which word `sudo` asks for a password.
pub(super) const PROMPT: &str = "lvsctl-asks-for-the-password:";

/// What is said once a password is no longer asked for.
pub(super) const READY: &[u8] = b"lvsctl-start root\n";

/// How root is reached.
#[derive(Clone, Copy)]
pub enum Root<'a> {
    /// The login is root's.
    Login,
    /// By `sudo`, which must ask for no password.
    Sudo,
    /// By `sudo`, which is given a password if it asks for one.
    SudoWith(&'a Password<'a>),
}

/// Starts the agent of a build if it is there, and says `absent`, with the system and the processor, if it is not.
const START: &str = "umask 077; D=@FOLDER; A=$D/@DIGEST; \
    S=$(stat --printf=%f:%u: $D $A 2>/dev/null); \
    case \"$S\" in \
    41c0:0:81c0:0:) [ -x $A ] && exec $A agent;; \
    41c0:0:|\"\") ;; \
    *) echo \"@WORD folder $S\"; exit 0;; \
    esac; \
    [ \"$(id -u)\" = 0 ] || { echo \"@WORD not-root\"; exit 0; }; \
    echo \"@WORD absent $(uname -s) $(uname -m)\"";

/// Takes the agent of a build from standard input, and starts it.
///
/// Two that find no program may be run from the folder would both mount there. They take turns by a lock on the folder, which
/// nobody but root may open, and wait for each other no longer than that takes many times over.
///
/// What is not read of the input is read away after a failure, because the other side sends it all before it listens.
const UPLOAD: &str = "umask 077; LC_ALL=C; export LC_ALL; D=@FOLDER; T=; \
    fail() { [ -z \"$T\" ] || rm -f $T; echo \"@WORD $*\"; cat >/dev/null; exit 0; }; \
    [ \"$(id -u)\" = 0 ] || fail not-root; \
    mkdir $D 2>/dev/null; \
    S=$(stat --printf=%f:%u: $D 2>/dev/null); \
    [ \"$S\" = 41c0:0: ] || fail folder $S; \
    exec 9<$D; flock -w 60 9 || fail busy; \
    T=$(mktemp $D/upload.XXXXXXXXXX 2>&1) || { S=$T; T=; fail write $S; }; \
    chmod 700 $T; \
    $T 2>/dev/null || { \
    rm -f $T; T=; \
    S=$(mount -t tmpfs -o mode=0700,nosuid,nodev lvsctl-agent $D 2>&1) || fail noexec $S; \
    T=$(mktemp $D/upload.XXXXXXXXXX 2>&1) || { S=$T; T=; fail write $S; }; \
    chmod 700 $T; }; \
    exec 9<&-; \
    S=$(head -c @SIZE 2>&1 >$T) || fail write $S; \
    case \"$(sha256sum $T)\" in \"@DIGEST \"*) ;; *) fail digest;; esac; \
    S=$(mv -f $T $D/@DIGEST 2>&1) || fail write $S; \
    find $D -mindepth 1 -maxdepth 1 -type f -not -name @DIGEST \
    \"(\" -name \"upload.*\" -mmin +60 -o -mmin +1440 \")\" -delete 2>/dev/null; \
    exec $D/@DIGEST agent";

/// Returns the command that starts an agent that is there.
pub(super) fn start(binary: &Binary, root: Root<'_>) -> String {
    command(START, binary, root)
}

/// Returns the command that takes an agent and starts it.
pub(super) fn upload(binary: &Binary, root: Root<'_>) -> String {
    command(UPLOAD, binary, root)
}

fn command(text: &str, binary: &Binary, root: Root<'_>) -> String {
    let (prefix, first) = match root {
        Root::Login => (String::new(), ""),
        Root::Sudo => ("sudo -n -- ".to_owned(), ""),
        Root::SudoWith(_) => (format!("sudo -S -p {PROMPT} -- "), "echo \"@WORD root\"; "),
    };
    let text = format!("{first}{text}");
    let text = text
        .replace("@FOLDER", FOLDER)
        .replace("@WORD", "lvsctl-start")
        .replace("@DIGEST", binary.digest())
        .replace("@SIZE", &binary.bytes().len().to_string());
    format!("{prefix}/bin/sh -c '{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_takes_the_commands_alike() {
        let binary = Binary::of(b"\x7fELF".to_vec());
        let asking = Root::SudoWith(&|_| None);
        for command in [start(&binary, Root::Login), upload(&binary, Root::Sudo), upload(&binary, asking)] {
            let inside = command.split_once('\'').unwrap().1.strip_suffix('\'').unwrap();
            assert!(!inside.contains(['\'', '\\', '!', '\n', '@', '`']), "{inside}");
            assert!(inside.contains(binary.digest()));
            // A lock on what others may open is one that they may hold, and a lock is not waited for without an end.
            assert_eq!(inside.matches("flock").count(), inside.matches("exec 9<$D; flock -w ").count(), "{inside}");
            let known = ["", "sudo -n -- ", "sudo -S -p lvsctl-asks-for-the-password: -- "]
                .iter()
                .any(|prefix| command.starts_with(&format!("{prefix}/bin/sh -c '")));
            assert!(known, "{command}");
            let word = String::from_utf8(super::super::opening::WORD.to_vec()).unwrap();
            assert!(inside.contains(&format!("echo \"{word}")), "{inside}");
            let parsed = std::process::Command::new("sh").args(["-n", "-c", inside]).output().unwrap();
            assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
        }
    }
}
