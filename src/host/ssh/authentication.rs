//! Logs in: keys that the agent holds, then key files, until the first that the host accepts.
//!
//! Keys that the configuration names come first, the topology's before them; so a host that lets somebody try few keys is not
//! asked about all that an agent holds. A certificate beside a key's file goes before the key. Nothing else is offered: no password goes to a host, and the agent is not forwarded.

use std::path::Path;
use std::time::{Duration, Instant};

use ssh2::ErrorCode;
use zeroize::Zeroizing;

use super::agent_relay::{Door, Trouble};
use super::config::Endpoint;
use super::host_key::fingerprint;
use super::key_agent::{self, Held};
use super::key_file::KeyFile;
use super::link::{Failure, Link, WouldBlock};
use super::{printable, prompt};
use crate::host::HostError;

/// Codes of libssh2.h for a key that the host does not take.
const REFUSED: [ErrorCode; 2] = [ErrorCode::Session(-18), ErrorCode::Session(-19)];
/// `LIBSSH2_ERROR_FILE` and `LIBSSH2_ERROR_KEYFILE_AUTH_FAILED`: the private key cannot be read, or not with this passphrase.
const UNREADABLE: [ErrorCode; 2] = [ErrorCode::Session(-16), ErrorCode::Session(-48)];
/// What libssh2 says under the code of a refusal when the connection ended instead.
const ENDED: &str = "Waiting for ";

/// How often somebody is asked for the same passphrase.
const QUESTIONS: u32 = 3;

/// What came of a key.
enum Tried {
    Accepted,
    Refused,
    Unreadable,
}

/// Logs in, or says what was tried.
pub(super) fn log_in(link: &Link, endpoint: &Endpoint, within: Duration) -> Result<(), HostError> {
    let deadline = Instant::now() + within;
    let mut attempts = Attempts { link, endpoint, within, deadline, tried: Vec::new(), to_add: None };
    let methods = attempts.methods()?;
    if link.session.authenticated() {
        return Ok(());
    }
    if !methods.split(',').any(|method| method == "publickey") {
        return Err(attempts.no_keys_wanted(&methods));
    }
    let files: Vec<KeyFile> = endpoint.identities.iter().filter_map(|path| KeyFile::read(path)).collect();
    let held = attempts.agent();
    let place = |held: &Held| files.iter().position(|file| held.is_of(file.public.as_deref()));
    let (mut named, others): (Vec<_>, Vec<_>) = held.iter().partition(|held| place(held).is_some());
    named.sort_by_key(|held| place(held));
    let is_held = |file: &KeyFile| held.iter().any(|held| file.public.as_ref() == Some(&held.blob));
    let mut files: Vec<&KeyFile> = files.iter().filter(|file| !is_held(file)).collect();
    for key in named {
        if attempts.with_agent(key)? {
            return Ok(());
        }
    }
    // The topology's own key goes before those that merely happen to be in the agent.
    let is_own = |file: &KeyFile| endpoint.has_own_identity && Some(&file.path) == endpoint.identities.first();
    if files.first().is_some_and(|file| is_own(file)) && attempts.with_file(files.remove(0))? {
        return Ok(());
    }
    for key in others.into_iter().filter(|_| !endpoint.identities_only) {
        if attempts.with_agent(key)? {
            return Ok(());
        }
    }
    for file in files {
        if attempts.with_file(file)? {
            return Ok(());
        }
    }
    Err(attempts.nobody())
}

/// The attempts to log in on one host.
struct Attempts<'a> {
    link: &'a Link,
    endpoint: &'a Endpoint,
    within: Duration,
    deadline: Instant,
    /// What was tried, and what came of it.
    tried: Vec<String>,
    /// A key that only its passphrase is missing of.
    to_add: Option<String>,
}

impl Attempts<'_> {
    /// Asks which ways to log in the host has.
    fn methods(&self) -> Result<String, HostError> {
        let session = &self.link.session;
        let asked = self.link.complete(self.deadline, || session.auth_methods(&self.endpoint.user).map(str::to_owned));
        asked.map_err(|failure| failure.into_error(&self.doing(), self.within))
    }

    fn doing(&self) -> String {
        format!("log in to {} as {}", self.endpoint.host, self.endpoint.user)
    }

    /// Asks the agent for its keys; one that does not answer is a thing that was tried.
    fn agent(&mut self) -> Vec<Held> {
        let Some(path) = &self.endpoint.agent else { return Vec::new() };
        match key_agent::keys(path) {
            Ok(keys) => keys,
            Err(why) => {
                self.tried.push(format!("the agent at {} {why}", path.display()));
                Vec::new()
            }
        }
    }

    fn with_agent(&mut self, key: &Held) -> Result<bool, HostError> {
        let name = format!("{} of the agent ({})", fingerprint(&key.blob), printable(&key.comment));
        let Some(path) = self.endpoint.agent.as_deref() else { return Ok(false) };
        match self.ask_agent(path, key) {
            Ok(tried) => self.came_of(tried, &name, "the agent would not sign with it"),
            Err(failure) => Err(self.broken_off(failure, &name)),
        }
    }

    fn ask_agent(&self, path: &Path, key: &Held) -> Result<Tried, Failure> {
        let said = |error: ssh2::Error| Failure::Said(error.words());
        let failed = |error: std::io::Error| Failure::Said(error.words());
        let mut agent = self.link.session.agent().map_err(said)?;
        let door = Door::open().map_err(failed)?;
        agent.set_identity_path(&door.path()).map_err(said)?;
        agent.connect().map_err(said)?;
        let relay = door.relay(path, self.deadline).map_err(failed)?;
        let tried = self.sign_with(&mut agent, key);
        // libssh2 says of an agent that does not sign that the host has not accepted the key.
        match relay.trouble() {
            None => tried,
            Some(Trouble::Late) => Err(Failure::Late),
            Some(Trouble::Refused) => Ok(Tried::Unreadable),
        }
    }

    fn sign_with(&self, agent: &mut ssh2::Agent, key: &Held) -> Result<Tried, Failure> {
        let said = |error: ssh2::Error| Failure::Said(error.words());
        agent.list_identities().map_err(said)?;
        let identities = agent.identities().map_err(said)?;
        let Some(identity) = identities.iter().find(|identity| identity.blob() == key.blob) else {
            return Ok(Tried::Unreadable);
        };
        self.outcome(|| agent.userauth(&self.endpoint.user, identity))
    }

    fn with_file(&mut self, file: &KeyFile) -> Result<bool, HostError> {
        let name = file.path.display().to_string();
        if let Some(why) = &file.trouble {
            self.tried.push(format!("{name} {why}"));
            return Ok(false);
        }
        if !file.is_encrypted {
            return match self.ask_file(file, None) {
                Ok(tried) => self.came_of(tried, &name, "it is no private key that lvsctl can use"),
                Err(failure) => Err(self.broken_off(failure, &name)),
            };
        }
        if !prompt::is_possible() {
            self.tried.push(format!("{name} is encrypted, and there is no terminal to ask for its passphrase"));
            self.to_add.get_or_insert(name);
            return Ok(false);
        }
        let mut wrong: Option<Zeroizing<String>> = None;
        for _ in 0..QUESTIONS {
            let Some(passphrase) = prompt::passphrase(&file.path, wrong.as_ref().map(|wrong| wrong.as_str())) else {
                break;
            };
            self.deadline = Instant::now() + self.within;
            match self.ask_file(file, Some(&passphrase)) {
                Ok(Tried::Unreadable) => wrong = Some(passphrase),
                Ok(tried) => return self.came_of(tried, &name, ""),
                Err(failure) => return Err(self.broken_off(failure, &name)),
            }
        }
        self.tried.push(format!("{name} was not opened with any passphrase"));
        self.to_add.get_or_insert(name);
        Ok(false)
    }

    /// Tries a key with its certificate, if it has one, and by itself.
    fn ask_file(&self, file: &KeyFile, passphrase: Option<&str>) -> Result<Tried, Failure> {
        let (session, user) = (&self.link.session, &self.endpoint.user);
        if let Some(certificate) = &file.certificate {
            let tried =
                self.outcome(|| session.userauth_pubkey_file(user, Some(certificate), &file.path, passphrase))?;
            if !matches!(tried, Tried::Refused) {
                return Ok(tried);
            }
        }
        self.outcome(|| session.userauth_pubkey_file(user, None, &file.path, passphrase))
    }

    /// Tries a key and tells a refusal from a connection that broke.
    fn outcome(&self, mut call: impl FnMut() -> Result<(), ssh2::Error>) -> Result<Tried, Failure> {
        self.link.complete(self.deadline, || match call() {
            Ok(()) => Ok(Tried::Accepted),
            Err(error) if error.would_block() => Err(error),
            Err(error) if error.message().starts_with(ENDED) => Err(error),
            Err(error) if REFUSED.contains(&error.code()) => Ok(Tried::Refused),
            Err(error) if UNREADABLE.contains(&error.code()) => Ok(Tried::Unreadable),
            Err(error) => Err(error),
        })
    }

    fn came_of(&mut self, tried: Tried, name: &str, unreadable: &str) -> Result<bool, HostError> {
        match tried {
            Tried::Accepted => return Ok(true),
            Tried::Refused => self.tried.push(format!("{name} is not accepted")),
            Tried::Unreadable => self.tried.push(format!("{name}: {unreadable}")),
        }
        Ok(false)
    }

    /// Makes the error of a connection that ended over a key; hosts end it after some refusals.
    fn broken_off(&mut self, failure: Failure, name: &str) -> HostError {
        match failure {
            Failure::Late => HostError::Timeout { doing: format!("{} with {name}", self.doing()), within: self.within },
            Failure::Said(text) => {
                self.tried.push(format!("{name} ended it: {}", printable(&text)));
                self.nobody()
            }
        }
    }

    fn no_keys_wanted(&self, methods: &str) -> HostError {
        HostError::Login {
            text: format!(
                "{} lets {} in by {} only, and lvsctl uses keys",
                self.endpoint.host,
                self.endpoint.user,
                printable(methods)
            ),
            help: "Allow PubkeyAuthentication in the host's sshd_config".into(),
        }
    }

    fn nobody(&self) -> HostError {
        let Endpoint { host, user, .. } = self.endpoint;
        let tried = match self.tried.is_empty() {
            true => "there is no key to try, neither in an agent nor in a file".to_owned(),
            false => self.tried.join("; "),
        };
        let help = match &self.to_add {
            Some(file) => format!("Give the key to an agent: ssh-add {file}"),
            None => {
                format!("Add a public key to authorized_keys of {user} on {host}, and name its file with `identity`")
            }
        };
        HostError::Login { text: format!("{host} does not let {user} in: {tried}"), help }
    }
}
