//! What answers on a real server beside the web server: datagrams, name queries, and mail.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use rustix::net::{AddressFamily, SocketType, sockopt};

use super::layout::Place;
use super::namespace::{join, within};
use crate::topology::HostName;

/// The longest datagram that is read.
const DATAGRAM: usize = 512;

/// How many lines a mail client may say.
const MAIL_LINES: usize = 100;

/// Starts a thread that answers each datagram with the host's name, and a name query as a name server does. It binds to an
/// address that the host may not have yet, because an answer must come from the address that was asked.
pub fn datagrams(name: &HostName, place: &Place, address: SocketAddr) -> Result<(), String> {
    let socket = within(&place.namespace, || bind(address).map_err(|error| error.to_string()))
        .map_err(|error| format!("The datagram server of {name} cannot listen on {address}: {error}"))?;
    let (answer, namespace) = (format!("{name}\n"), place.namespace.clone());
    std::thread::spawn(move || {
        let _ = join(&namespace);
        let mut buffer = [0; DATAGRAM];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = buffer.get(..length).unwrap_or_default();
            let resolved = answer_to_query(query);
            let _ = socket.send_to(resolved.as_deref().unwrap_or(answer.as_bytes()), from);
        }
    });
    Ok(())
}

/// Returns the answer to a query of one name: that there is no error, and nothing more (RFC 1035, section 4.1.1).
fn answer_to_query(query: &[u8]) -> Option<Vec<u8>> {
    let [_, _, flags, _, 0, 1, ..] = query else { return None };
    // Neither an answer nor another sort of query, and the rest of a header behind it.
    if flags & 0b1111_1000 != 0 || query.len() < 17 {
        return None;
    }
    let mut answer = query.to_vec();
    if let Some(flags) = answer.get_mut(2) {
        *flags |= 0b1000_0000;
    }
    Some(answer)
}

fn bind(address: SocketAddr) -> rustix::io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    match address {
        SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
        SocketAddr::V6(_) => {
            sockopt::set_ipv6_v6only(&socket, true)?;
            sockopt::set_ipv6_freebind(&socket, true)?;
        }
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

/// Starts a thread that greets with the host's name as a mail server does, on IPv4 and IPv6.
pub fn mail(name: &HostName, place: &Place, port: u16) -> Result<(), String> {
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = within(&place.namespace, || TcpListener::bind(address).map_err(|error| error.to_string()))
        .map_err(|error| format!("The mail server of {name} cannot listen on port {port}: {error}"))?;
    let name = name.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let name = name.clone();
            std::thread::spawn(move || drop(greet(&name, stream)));
        }
    });
    Ok(())
}

/// Says what RFC 5321 asks for at the least (section 4.5.1); no mail is taken.
fn greet(name: &HostName, mut stream: TcpStream) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    write!(stream, "220 {name}\r\n")?;
    for line in lines.take(MAIL_LINES) {
        let line = line?;
        let word = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "HELO" | "EHLO" | "NOOP" | "RSET" => write!(stream, "250 {name}\r\n")?,
            "QUIT" => return write!(stream, "221 {name}\r\n"),
            _ => write!(stream, "502 nothing else is spoken here\r\n")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_query_of_one_name_is_answered_as_one() {
        // A query for the address of "a", as RFC 1035 lays it out.
        let query = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
        let answer = answer_to_query(&query).unwrap();
        assert_eq!(answer[..6], [7, 7, 0x81, 0, 0, 1]);
        assert_eq!(answer[6..], query[6..]);
        assert_eq!(answer_to_query(&answer), None);
        assert_eq!(answer_to_query(b"who"), None);
        assert_eq!(answer_to_query(&query[..12]), None);
    }
}
