//! One client of the site: single requests over HTTP and datagrams, and runs of them over TLS.
//!
//! Each request is a new connection. Everything here runs on a thread that is in the client's namespace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How much of an answer is read.
const ANSWER_BYTES: u64 = 16 << 10;

/// The ports that requests come from, below those that the kernel gives out by itself (`ip_local_port_range`).
const FIRST_PORT: u16 = 16384;
const PORTS: u16 = 16384;

static NEXT_DATAGRAM: AtomicU16 = AtomicU16::new(0);
static NEXT_CONNECTION: AtomicU16 = AtomicU16::new(0);

/// Marks the line that curl writes after each answer.
const MARK: char = '@';

/// Asks for a page and returns what its body says: the name of the host that answered. The kernel chooses the port, as it
/// does for any client: it may be one that IPVS still remembers.
pub fn page(address: SocketAddr, timeout: Duration) -> Result<String, String> {
    page_over(TcpStream::connect_timeout(&address, timeout), address, timeout)
}

/// Asks for a page over a connection that no scheduler and no director can take for an earlier one.
pub fn fresh_page(address: SocketAddr, timeout: Duration) -> Result<String, String> {
    page_over(fresh_stream(address, timeout), address, timeout)
}

fn page_over(stream: std::io::Result<TcpStream>, address: SocketAddr, timeout: Duration) -> Result<String, String> {
    let told = |error: std::io::Error| plainly(&error);
    let mut stream = stream.map_err(told)?;
    stream.set_read_timeout(Some(timeout)).map_err(told)?;
    stream.set_write_timeout(Some(timeout)).map_err(told)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).map_err(told)?;
    body(&String::from_utf8_lossy(&answer))
}

/// Listens to what a mail server says first, and returns what it calls itself: the name of the host that answered.
pub fn greeting(address: SocketAddr, timeout: Duration) -> Result<String, String> {
    let told = |error: std::io::Error| plainly(&error);
    let stream = TcpStream::connect_timeout(&address, timeout).map_err(told)?;
    stream.set_read_timeout(Some(timeout)).map_err(told)?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES)).read_line(&mut line).map_err(told)?;
    match line.split_once(' ') {
        Some(("220", name)) => Ok(name.trim().to_owned()),
        _ => Err("the answer is no greeting".to_owned()),
    }
}

fn body(answer: &str) -> Result<String, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.trim().to_owned()),
        status => Err(format!("the answer has status {}", status.unwrap_or("none"))),
    }
}

/// Sends a datagram and returns what the answer says.
pub fn datagram(address: SocketAddr, timeout: Duration) -> Result<String, String> {
    let told = |error: std::io::Error| plainly(&error);
    let socket = fresh_socket(address).map_err(told)?;
    socket.set_read_timeout(Some(timeout)).map_err(told)?;
    socket.connect(address).map_err(told)?;
    socket.send(b"who").map_err(told)?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).map_err(told)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).trim().to_owned())
}

fn fresh_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    on_fresh_port(&NEXT_DATAGRAM, address, UdpSocket::bind)
}

fn fresh_stream(address: SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = on_fresh_port(&NEXT_CONNECTION, address, |from| {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &from)?;
        Ok(socket)
    })?;
    // It bounds connecting as well, which then says that it is in progress (socket(7)).
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout))?;
    match connect(&socket, &address) {
        Err(rustix::io::Errno::INPROGRESS) => Err(std::io::ErrorKind::TimedOut.into()),
        connected => connected.map(|()| TcpStream::from(socket)).map_err(Into::into),
    }
}

/// Makes a socket on a port that no earlier one of this process came from, as long as there are any.
///
/// IPVS remembers for minutes where packets came from, and would send others from there to the same server, in the same way.
fn on_fresh_port<T>(
    next: &AtomicU16,
    address: SocketAddr,
    make: impl Fn(SocketAddr) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let mut outcome = Err(std::io::ErrorKind::AddrInUse.into());
    for _ in 0..PORTS {
        let port = FIRST_PORT + next.fetch_add(1, Ordering::Relaxed) % PORTS;
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        outcome = make(SocketAddr::new(any, port));
        if !matches!(&outcome, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse) {
            break;
        }
    }
    outcome
}

/// Asks for a page over TLS so many times, each over a connection of its own, with one curl.
pub fn tls_pages(address: SocketAddr, count: u32, timeout: Duration) -> Vec<Result<String, String>> {
    let form = format!("\\n{MARK}%{{http_code}} %{{errormsg}}\\n");
    let output = curl(address, count, timeout, &form).stderr(Stdio::null()).output();
    let mut answers = match output {
        Ok(output) => tls_answers(&String::from_utf8_lossy(&output.stdout)),
        Err(error) => vec![Err(format!("curl cannot be run: {error}"))],
    };
    // A curl that stopped early owes answers.
    answers.resize(count as usize, Err("curl gave no result".to_owned()));
    answers
}

fn tls_answers(output: &str) -> Vec<Result<String, String>> {
    let mut answers = Vec::new();
    let mut body = "";
    for line in output.lines() {
        match line.strip_prefix(MARK) {
            Some(result) => {
                answers.push(match result.split_once(' ').unwrap_or((result, "")) {
                    ("200", _) => Ok(body.trim().to_owned()),
                    ("000", reason) => Err(reason.trim().to_owned()),
                    (status, _) => Err(format!("the answer has status {status}")),
                });
                body = "";
            }
            None if !line.trim().is_empty() => body = line,
            None => {}
        }
    }
    answers
}

/// A curl that asks over TLS at a steady pace until it is dropped.
pub struct TlsWatch {
    child: Child,
}

impl TlsWatch {
    /// Starts it; `on_answer` is called on a thread of its own with the start of each request and whether it was answered.
    pub fn start(
        address: SocketAddr,
        every: Duration,
        timeout: Duration,
        mut on_answer: impl FnMut(Instant, bool) + Send + 'static,
    ) -> Result<Self, String> {
        let form = format!("%{{stderr}}{MARK}%{{http_code}} %{{time_total}}\\n");
        let pace = format!("{}/m", Duration::from_secs(60).as_millis() / every.as_millis().max(1));
        let spawned = curl(address, u32::MAX >> 8, timeout, &form)
            .args(["--rate", &pace])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| format!("curl cannot be run: {error}"))?;
        if let Some(lines) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(lines).lines().map_while(Result::ok) {
                    let Some((status, seconds)) = line.strip_prefix(MARK).and_then(|line| line.split_once(' ')) else {
                        continue;
                    };
                    let took = Duration::try_from_secs_f64(seconds.trim().parse().unwrap_or(0.0)).unwrap_or_default();
                    on_answer(Instant::now().checked_sub(took).unwrap_or_else(Instant::now), status == "200");
                }
            });
        }
        Ok(TlsWatch { child })
    }
}

impl Drop for TlsWatch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a curl that asks `count` times and writes a line of the given form after each.
fn curl(address: SocketAddr, count: u32, timeout: Duration, form: &str) -> Command {
    let seconds = timeout.as_secs_f64().to_string();
    let mut command = Command::new("curl");
    command.args(["-k", "-s", "-H", "Connection: close", "--noproxy", "*", "--connect-timeout", &seconds]);
    command.args(["--max-time", &seconds, "-w", form, &format!("https://{address}/?[1-{count}]")]);
    command.stdin(Stdio::null());
    command
}

/// Words an error without the system's number.
fn plainly(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_its_body_if_its_status_is_200() {
        assert_eq!(body("HTTP/1.1 200 OK\r\nA: b\r\n\r\nweb1\n"), Ok("web1".to_owned()));
        assert_eq!(body("HTTP/1.1 503 No\r\n\r\nweb1\n"), Err("the answer has status 503".to_owned()));
        assert!(body("").is_err());
    }

    #[test]
    fn curls_lines_become_answers() {
        let output = "web1\n\n@200 \n\n@000 Failed to connect to 10.0.0.9 port 443\nno\n\n@502 \nweb2\n\n@200 \n";
        let answers = tls_answers(output);
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0], Ok("web1".to_owned()));
        assert_eq!(answers[1], Err("Failed to connect to 10.0.0.9 port 443".to_owned()));
        assert_eq!(answers[2], Err("the answer has status 502".to_owned()));
        assert_eq!(answers[3], Ok("web2".to_owned()));
    }
}
