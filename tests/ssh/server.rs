//! A real sshd, started on a free port of the loopback interface and ended by its process number.

use std::fs::{self, File};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// How long a server has to begin, and to say what it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ports of the servers, below those that the system gives to clients (`net.ipv4.ip_local_port_range`): nobody is given one
/// while a server is stopped and another one started in its place.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

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
        (0..20).find_map(|_| Self::on_port(folder, free_port(), keys, lines)).expect("no sshd would start")
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

    /// Waits until the server has said something, which it may do after its client knows it, and returns all that it said.
    pub fn says(&self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(what) {
            assert!(Instant::now() < deadline, "never said {what:?}: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
        self.log()
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

/// Returns a port that nobody has, and another one each time.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other runs of these tests begin elsewhere.
    let begin = std::process::id().wrapping_mul(61);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let length = u32::from(PORTS.end - PORTS.start);
    let next =
        || PORTS.start + u16::try_from(begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % length).unwrap();
    std::iter::repeat_with(next).take(length as usize).find(is_free).expect("a free port")
}

/// Takes a port on which nobody listens and which nobody else is given as long as the socket is there.
pub fn refusing_port() -> (TcpListener, u16) {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    // Bound, and not listening.
    let socket = TcpListener::from(socket);
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}
