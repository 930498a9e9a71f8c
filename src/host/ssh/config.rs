//! How a target is reached, as OpenSSH's own configuration has it.
//!
//! `ssh -G` reads the configuration (`Host`, `Match`, `Include`, canonical names) and prints what comes of it. A parser of our own would
//! understand less of it, and one that takes a `Match` block for the wrong host leads to the wrong machine. What the topology
//! says goes in as options, which go before the configuration; the host's name comes after `--`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Target, output, proxy};
use crate::host::{HostError, program};

/// How long `ssh -G` may take: it may look names up and run what a `Match exec` says.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a host is and how it lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The name that was asked for (`%n`).
    pub(super) alias: String,
    /// The name or address that is connected to.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) family: Family,
    pub(super) route: Route,
    pub(super) connect_timeout: Option<Duration>,
    /// Private keys in the order in which they are tried; those of the topology and the configuration, or OpenSSH's own.
    pub(super) identities: Vec<PathBuf>,
    /// Whether the first of them is the topology's.
    pub(super) has_own_identity: bool,
    /// Whether the agent is asked for these keys only.
    pub(super) identities_only: bool,
    /// The agent's socket.
    pub(super) agent: Option<PathBuf>,
    /// The name under which the host's key is known, if it is not its own.
    pub(super) host_key_alias: Option<String>,
    /// The files of known keys, the user's first.
    pub(super) known_hosts: Vec<PathBuf>,
    /// Keys that no host may have.
    pub(super) revoked_keys: Option<PathBuf>,
    /// What was read instead of OpenSSH's own configuration.
    pub(super) configuration: Option<PathBuf>,
}

/// How the bytes get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Direct,
    /// The operator's program, with its `%` sequences.
    Command(String),
    /// Jump hosts with commas between them.
    Jump(String),
}

/// The addresses that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    Inet,
    Inet6,
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Family::Any => "any family",
            Family::Inet => "IPv4",
            Family::Inet6 => "IPv6",
        })
    }
}

impl Endpoint {
    /// Asks OpenSSH.
    pub(super) fn of(target: &Target) -> Result<Self, HostError> {
        plain("host", &target.host, "._-:%")?;
        let mut command = proxy::ssh("read OpenSSH's configuration", target.configuration.as_deref())?;
        command.arg("-G").env("LC_ALL", "C");
        if let Some(user) = &target.user {
            plain("user", user, "._-")?;
            // One word, so that it can never be an option of its own.
            command.arg(format!("-oUser={user}"));
        }
        if let Some(port) = target.port {
            command.arg(format!("-oPort={port}"));
        }
        command.arg("--").arg(&target.host);
        let doing = format!("read OpenSSH's configuration for {}", target.host);
        let printed = program::run_prepared(&doing, "ssh", command, None, PATIENCE)?;
        match (printed.status.success(), printed.is_complete) {
            (true, true) => output::endpoint(target, &printed.stdout).map_err(|why| HostError::Unreachable {
                text: format!("OpenSSH's configuration for {}: {why}", target.host),
            }),
            (true, false) => Err(HostError::Timeout { doing, within: PATIENCE }),
            (false, _) => Err(program::failure(&doing, "ssh", &printed)),
        }
    }

    /// Returns the name that stands for the host in known_hosts.
    pub(super) fn known_as(&self) -> String {
        match &self.host_key_alias {
            Some(alias) => alias.to_lowercase(),
            None if self.port == 22 => self.host.to_lowercase(),
            None => format!("[{}]:{}", self.host.to_lowercase(), self.port),
        }
    }

    /// Fills in the `%` sequences of a command for a shell (ssh_config(5), TOKENS).
    ///
    /// The command is the operator's own; what is put into it means nothing to a shell, or the command is refused.
    pub(super) fn for_shell(&self, command: &str) -> Result<String, HostError> {
        for (what, text) in [("host", &self.host), ("host", &self.alias), ("user", &self.user)] {
            plain(what, text, "._-:%@")?;
        }
        self.expand(command, &[])
            .map_err(|why| HostError::Unreachable { text: format!("the ProxyCommand for {}: {why}", self.alias) })
    }

    /// Fills in `%` sequences.
    pub(super) fn expand(&self, text: &str, more: &[(char, String)]) -> Result<String, String> {
        let mut expanded = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                expanded.push(character);
                continue;
            }
            match characters.next() {
                Some('%') => expanded.push('%'),
                Some('h') => expanded.push_str(&self.host),
                Some('n') => expanded.push_str(&self.alias),
                Some('p') => expanded.push_str(&self.port.to_string()),
                Some('r') => expanded.push_str(&self.user),
                Some('k') => expanded.push_str(self.host_key_alias.as_deref().unwrap_or(&self.alias)),
                other => match other.and_then(|sign| more.iter().find(|(known, _)| *known == sign)) {
                    Some((_, value)) => expanded.push_str(value),
                    None => {
                        return Err(format!("lvsctl does not know %{}", other.map(String::from).unwrap_or_default()));
                    }
                },
            }
        }
        Ok(expanded)
    }
}

/// Refuses what could be an option, or mean something to a shell; the language refuses it on its place already.
fn plain(what: &str, text: &str, signs: &str) -> Result<(), HostError> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || signs.contains(character);
    match text.is_empty() || text.starts_with('-') || !text.chars().all(is_plain) {
        true => Err(HostError::Unreachable { text: format!("the {what} {text:?} is not one that ssh would be given") }),
        false => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An endpoint that lacks everything but its name.
    pub(in crate::host::ssh) fn endpoint() -> Endpoint {
        Endpoint {
            alias: "lb1".into(),
            host: "lb1.example.net".into(),
            port: 22,
            user: "ops".into(),
            family: Family::Any,
            route: Route::Direct,
            connect_timeout: None,
            identities: Vec::new(),
            has_own_identity: false,
            identities_only: false,
            agent: None,
            host_key_alias: None,
            known_hosts: Vec::new(),
            revoked_keys: None,
            configuration: None,
        }
    }

    #[test]
    fn sequences_are_filled_in_once_and_unknown_ones_are_named() {
        let endpoint = Endpoint { host: "fe80::1%eth0".into(), port: 2222, ..endpoint() };
        let command = endpoint.for_shell("nc -X 5 %h %p # %r %n 100%% %k").unwrap();
        assert_eq!(command, "nc -X 5 fe80::1%eth0 2222 # ops lb1 100% lb1");
        let unknown = endpoint.for_shell("x %C").unwrap_err().to_string();
        assert!(unknown.ends_with("lvsctl does not know %C"), "{unknown}");
        assert!(endpoint.for_shell("x %").is_err(), "a lone sign");
    }

    #[test]
    fn what_means_something_to_a_shell_is_not_put_into_a_command() {
        let endpoint = Endpoint { user: "x; rm -rf /".into(), ..endpoint() };
        assert!(
            endpoint.for_shell("nc %h %p").unwrap_err().to_string().contains("the user"),
            "even where it is not used"
        );
    }

    #[test]
    fn a_host_is_known_by_its_name_its_port_or_its_alias() {
        assert_eq!(Endpoint { host: "LB1.example.net".into(), ..endpoint() }.known_as(), "lb1.example.net");
        assert_eq!(Endpoint { port: 2222, ..endpoint() }.known_as(), "[lb1.example.net]:2222");
        assert_eq!(Endpoint { port: 2222, host_key_alias: Some("Bob".into()), ..endpoint() }.known_as(), "bob");
    }
}
