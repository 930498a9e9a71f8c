//! Another machine over SSH: how it is reached, whether it is the right one, who logs in, and a program that runs there.
//!
//! [`SshSession::open`] takes a [`Target`] from the topology to a login, and [`SshSession::run`] starts a program, whose standard
//! input and output are an [`SshChannel`]. Nothing waits for ever: each part has its time in [`Patience`].
//!
//! ```text
//! config.rs          what OpenSSH's own configuration says of the target, asked of `ssh -G`, as an Endpoint; output.rs reads it
//! stream.rs          a TCP connection; proxy.rs the program that stands for one (ProxyJump, ProxyCommand)
//! wire.rs            what travels, read
//! link.rs            libssh2 without blocking: every call is repeated when the socket is ready, until a deadline
//! known_hosts.rs     the lines of known_hosts files; pattern.rs which of them are about a host
//! host_key.rs        the verdict over the key that the handshake proved; certificate.rs over one that an authority signed
//! authentication.rs  which keys are tried; key_agent.rs and key_file.rs what there is; agent_relay.rs lets an agent sign; prompt.rs asks for a passphrase, on a terminal only
//! session.rs         the login; channel.rs a program on the other side
//! ```
//!
//! What is never done: a host whose key was not verified is told nothing but a greeting; no agent, X11 or port is forwarded;
//! no text of a topology is given to a shell (a ProxyCommand is the operator's, and gets names of letters, digits and `._-:%` only).
//!
//! To read a further option of ssh_config(5): a field of `Endpoint` and an arm in `output.rs`. To add a way to log in: a step in
//! `authentication.rs`, which says what it tried. To add a way to a host: a `Route` and an arm in `stream.rs`.

mod agent_relay;
mod authentication;
mod certificate;
mod channel;
mod config;
mod host_key;
mod key_agent;
mod key_file;
mod known_hosts;
mod link;
mod output;
mod pattern;
mod prompt;
mod proxy;
mod session;
mod stream;
mod wire;

pub use channel::{Ending, SshChannel};
pub use prompt::{forget_typed, is_asking, is_possible as is_somebody_there, sudo_password};
pub use proxy::withhold;
pub use session::{Canceller, SshSession};

use std::path::PathBuf;
use std::time::Duration;

use crate::source::plain::one_line;
use crate::topology::Connection;

/// What a topology says about a host behind SSH; the rest is OpenSSH's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name that OpenSSH would be given.
    pub host: String,
    /// The remote user.
    pub user: Option<String>,
    /// The remote port.
    pub port: Option<u16>,
    /// The private key that is tried first; `~/` at its beginning is the operator's home.
    pub identity: Option<String>,
    /// The fingerprint of the one key that the host may have, as `SHA256:…`; known_hosts is not asked then.
    pub host_key: Option<String>,
    /// The file that is read instead of OpenSSH's own configuration, as with `ssh -F`.
    pub configuration: Option<PathBuf>,
}

impl Target {
    /// Returns the target of a connection, if it is one over SSH.
    pub fn of(connection: &Connection) -> Option<Self> {
        match connection {
            Connection::Ssh { host, user, port, identity, host_key, become_root: _, become_password: _ } => {
                Some(Target {
                    host: host.clone(),
                    user: user.clone(),
                    port: *port,
                    identity: identity.clone(),
                    host_key: host_key.clone(),
                    configuration: None,
                })
            }
            Connection::Local | Connection::Namespace { .. } => None,
        }
    }
}

/// How long each part may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a TCP connection stands, over all addresses of a name; `ConnectTimeout` of the configuration goes before it.
    pub connect: Duration,
    /// Until keys are exchanged; a jump host's login is a part of it.
    pub handshake: Duration,
    /// Until somebody is logged in, without the time in which a passphrase is typed.
    pub login: Duration,
    /// Until a program is started, and until one read or write of it makes progress.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Patience { connect: seconds(10), handshake: seconds(20), login: seconds(20), answer: seconds(20) }
    }
}

/// How much of what another program says becomes part of an error.
const QUOTED: usize = 500;

/// Makes one line, without what a terminal would act on, of what another program says.
fn printable(text: &str) -> String {
    one_line(text, QUOTED)
}
