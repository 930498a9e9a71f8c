//! A folder with keys, a server and a configuration of OpenSSH's client.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lvsctl::host::HostError;
use lvsctl::host::ssh::{Patience, SshSession, Target};
use tempfile::TempDir;

use super::server::Server;

/// What a test waits for at most.
pub const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(60),
    handshake: Duration::from_secs(60),
    login: Duration::from_secs(60),
    answer: Duration::from_secs(60),
};

/// A server that the client knows, and a user that the server lets in.
pub struct Site {
    folder: TempDir,
    pub server: Server,
}

impl Site {
    /// Makes a site whose server has one key.
    pub fn new() -> Self {
        Self::with("")
    }

    /// Makes a site with further lines of sshd_config.
    pub fn with(lines: &str) -> Self {
        Self::with_keys(&["ed25519"], lines)
    }

    /// Makes a site whose server has keys of these sorts.
    pub fn with_keys(sorts: &[&str], lines: &str) -> Self {
        // Nobody is to be asked for anything, whoever started the tests.
        rustix::stdio::dup2_stdin(File::open("/dev/null").unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let keys: Vec<PathBuf> = sorts.iter().map(|sort| make_key(path, &format!("host_{sort}"), sort, "")).collect();
        let user = make_key(path, "user", "ed25519", "");
        fs::copy(public(&user), path.join("authorized_keys")).unwrap();
        let lines = lines.replace("FOLDER", &path.display().to_string());
        let server = Server::start(path, &keys, &lines);
        let site = Site { folder, server };
        site.configure("");
        site.know(&format!("[127.0.0.1]:{} {}", site.server.port, site.host_key("ed25519").unwrap_or_default()));
        site
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the client's configuration, with lines that go before the others.
    pub fn configure(&self, lines: &str) {
        let (folder, port) = (self.path().display(), self.server.port);
        let lines = lines.replace("FOLDER", &folder.to_string()).replace("PORT", &port.to_string());
        let text = format!(
            "{lines}\nHost *\nHostName 127.0.0.1\nPort {port}\nIdentityFile {folder}/user\nIdentityAgent none\n\
             UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile none\n"
        );
        fs::write(self.configuration(), text).unwrap();
    }

    pub fn configuration(&self) -> PathBuf {
        self.path().join("ssh_config")
    }

    /// Writes what the client knows.
    pub fn know(&self, lines: &str) {
        fs::write(self.known_hosts(), format!("{lines}\n")).unwrap();
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.path().join("known_hosts")
    }

    /// Returns the server's public key of a sort, as a line of known_hosts has it.
    pub fn host_key(&self, sort: &str) -> Option<String> {
        line_of(&self.path().join(format!("host_{sort}")))
    }

    /// Returns the fingerprint of a key in the folder.
    pub fn fingerprint(&self, name: &str) -> String {
        let printed = run("ssh-keygen", &["-l", "-f", &self.path().join(name).display().to_string()]);
        printed.split(' ').nth(1).unwrap().to_owned()
    }

    pub fn target(&self) -> Target {
        Target {
            host: "lb1".into(),
            user: None,
            port: None,
            identity: None,
            host_key: None,
            configuration: Some(self.configuration()),
        }
    }

    pub fn open(&self) -> Result<SshSession, HostError> {
        SshSession::open(&self.target(), &PATIENCE)
    }

    /// Tries to log in and returns the error that must come of it.
    pub fn refused(&self) -> HostError {
        self.open().map(drop).expect_err("the session was opened")
    }

    /// Tries to reach the server and returns why it is not trusted; nothing may have been told to it.
    pub fn distrusted(&self) -> (String, String) {
        let error = self.refused();
        assert!(matches!(error, HostError::HostKey { .. }), "{error}");
        assert!(!self.server.was_asked(), "somebody asked to be let in by a server that is not trusted");
        (error.to_string(), error.help().unwrap())
    }
}

/// Makes a key pair and returns the private key's file.
pub fn make_key(folder: &Path, name: &str, sort: &str, passphrase: &str) -> PathBuf {
    let file = folder.join(name);
    let (sort, bits) = sort.split_once('-').unwrap_or((sort, "2048"));
    let text = file.display().to_string();
    let mut arguments = vec!["-q", "-t", sort, "-N", passphrase, "-C", name, "-f", &text];
    if sort != "ed25519" {
        arguments.extend(["-b", if sort == "ecdsa" && bits == "2048" { "256" } else { bits }]);
    }
    run("ssh-keygen", &arguments);
    file
}

/// Returns the public half's file.
pub fn public(key: &Path) -> PathBuf {
    PathBuf::from(format!("{}.pub", key.display()))
}

/// Returns a public key without its comment.
pub fn line_of(key: &Path) -> Option<String> {
    let text = fs::read_to_string(public(key)).ok()?;
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    Some(words.join(" "))
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
