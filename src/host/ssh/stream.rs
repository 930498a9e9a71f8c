//! The bytes between here and a host: a TCP connection, or a program that stands for one.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use std::{io, sync::Arc};

use rustix::net::{Shutdown, shutdown, sockopt};

use super::config::{Endpoint, Family, Route};
use super::proxy::Proxy;
use crate::host::HostError;

/// How long the system waits between two signs of life of a silent TCP connection; it gives up after three of them.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// The least that one of several addresses is given.
const LEAST: Duration = Duration::from_secs(1);

/// A connected socket, which several may hold.
#[derive(Clone, Debug)]
pub(super) struct Socket(Arc<OwnedFd>);

impl Socket {
    /// Ends both directions, so that whoever waits for the socket goes on with an error.
    pub(super) fn cut(&self) {
        // One that has ended already needs no end.
        let _ = shutdown(&*self.0, Shutdown::Both);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A connection that carries SSH.
pub(super) struct Stream {
    pub(super) socket: Socket,
    /// The program at the other end of the socket, if it is not the network.
    pub(super) proxy: Option<Proxy>,
}

impl Stream {
    /// Connects the way that the configuration says.
    pub(super) fn open(endpoint: &Endpoint, within: Duration) -> Result<Self, HostError> {
        match &endpoint.route {
            Route::Direct => {
                let stream = connect(endpoint, endpoint.connect_timeout.unwrap_or(within))?;
                let settled = stream.set_nodelay(true).and_then(|()| Ok(keep_alive(&stream)?));
                settled.map_err(|error| unreachable(endpoint, &error.to_string()))?;
                Ok(Stream { socket: Socket(Arc::new(stream.into())), proxy: None })
            }
            Route::Command(_) | Route::Jump(_) => {
                let (socket, proxy) = Proxy::start(endpoint)?;
                Ok(Stream { socket: Socket(Arc::new(socket)), proxy: Some(proxy) })
            }
        }
    }
}

/// Has the system notice a connection whose other end is gone, also while nobody reads or writes.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SIGN_OF_LIFE)?;
    sockopt::set_tcp_keepintvl(stream, SIGN_OF_LIFE)?;
    sockopt::set_tcp_keepcnt(stream, 3)
}

/// Tries each address of a name in turn; all of them share the time.
fn connect(endpoint: &Endpoint, within: Duration) -> Result<TcpStream, HostError> {
    let deadline = Instant::now() + within;
    let addresses = resolve(endpoint, within)?;
    try_each(&addresses, deadline).map_err(|refusals| unreachable(endpoint, &refusals))
}

fn try_each(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, String> {
    let mut refusals = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, (remaining / share).max(LEAST)) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => refusals.push(format!("{address}: no answer")),
            Err(error) => refusals.push(format!("{address}: {}", plain(&error))),
        }
    }
    Err(refusals.join("; "))
}

/// Looks a name up; the resolver has no deadline of its own, so it has a thread that may be left behind.
fn resolve(endpoint: &Endpoint, within: Duration) -> Result<Vec<SocketAddr>, HostError> {
    let (sender, receiver) = channel();
    let (name, port) = (endpoint.host.clone(), endpoint.port);
    thread::spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = sender.send((name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    });
    let found = match receiver.recv_timeout(within) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(unreachable(endpoint, &format!("the name was not found: {}", plain(&error)))),
        Err(_) => return Err(HostError::Timeout { doing: format!("look up {}", endpoint.host), within }),
    };
    let addresses: Vec<SocketAddr> = found.into_iter().filter(|address| endpoint.family.takes(address)).collect();
    match addresses.is_empty() {
        true => Err(unreachable(endpoint, &format!("the name has no address of {}", endpoint.family))),
        false => Ok(addresses),
    }
}

impl Family {
    fn takes(self, address: &SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::Inet => address.is_ipv4(),
            Family::Inet6 => address.is_ipv6(),
        }
    }
}

/// Makes the error of a host that was not reached.
pub(super) fn unreachable(endpoint: &Endpoint, why: &str) -> HostError {
    HostError::Unreachable { text: format!("{} port {}: {why}", endpoint.host, endpoint.port) }
}

/// Returns the system's words without the number that Rust adds.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    use super::*;

    #[test]
    fn an_address_that_refuses_does_not_hide_the_next_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        // Bound and not listening: nobody else can take the port meanwhile.
        let bound =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let bound = TcpListener::from(bound);
        let refusing = bound.local_addr().unwrap();
        let within = || Instant::now() + Duration::from_secs(60);
        assert_eq!(try_each(&[refusing, good], within()).unwrap().peer_addr().unwrap(), good);
        let refusals = try_each(&[refusing, refusing], within()).unwrap_err();
        assert_eq!(refusals, format!("{refusing}: Connection refused; {refusing}: Connection refused"));
    }

    #[test]
    fn the_system_watches_over_a_silent_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        keep_alive(&stream).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), SIGN_OF_LIFE);
    }
}
