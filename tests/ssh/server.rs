//! A real sshd, started on a free port of the loopback interface and ended by its process number.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server has to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running sshd.
pub struct Server {
    child: Child,
    log: PathBuf,
    pub port: u16,
}

impl Server {
    /// Starts one with the private keys and further lines of sshd_config.
    pub fn start(folder: &Path, keys: &[PathBuf], lines: &str) -> Self {
        // Another program may take the port between the question and the answer.
        (0..5).find_map(|_| Self::on_port(folder, free_port(), keys, lines)).expect("no sshd would start")
    }

    /// Starts one on a port, or tells what it said instead.
    pub fn on_port(folder: &Path, port: u16, keys: &[PathBuf], lines: &str) -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            // As the distribution's own script does before it starts one.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let (file, log) = (folder.join(format!("sshd_config.{port}")), folder.join(format!("sshd.{port}.log")));
        let keys: String = keys.iter().map(|key| format!("HostKey {}\n", key.display())).collect();
        let folder = folder.display();
        let text = format!(
            "ListenAddress 127.0.0.1:{port}\n{lines}\nPidFile none\nUsePAM no\nStrictModes no\nLogLevel DEBUG1\nMaxStartups 500\n\
             AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\n{keys}"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log).unwrap()).spawn().expect("openssh-server is not installed");
        let mut server = Server { child, log, port };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if server.child.try_wait().unwrap().is_some() {
                eprintln!("sshd ended: {}", server.log());
                return None;
            }
            if server.log().contains("Server listening") {
                return Some(server);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Ends the server, whose port another one may take then.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Returns what the server said so far.
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        File::open(&self.log).unwrap().read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits for a client to go and tells whether anybody asked to be let in.
    pub fn was_asked(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !["disconnect from", "closed by", "reset by"].iter().any(|end| self.log().contains(end)) {
            assert!(Instant::now() < deadline, "nobody has gone: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
        self.log().contains("userauth-request for user")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns a port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
