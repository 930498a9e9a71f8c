//! The connection by which lvsctl, or the login that it runs in, is on a host.
//!
//! sshd(8) says it in `SSH_CONNECTION`; sudo(8) keeps that from its command, so the environments of the processes above this
//! one are looked at as well.

use std::fs;
use std::net::IpAddr;

use super::process::Process;
use crate::effect::{Link, Management};

/// The variable: the client's address and port, then the host's.
const VARIABLE: &str = "SSH_CONNECTION";

/// How many processes above this one are looked at.
const GENERATIONS: usize = 16;

/// Returns the connection, if its end is an address of one of these interfaces.
pub(super) fn find(links: &[Link]) -> Option<Management> {
    let mut process = std::process::id();
    for _ in 0..GENERATIONS {
        if let Some(text) = variable(process) {
            let management = read(&text)?;
            let addresses = links.iter().flat_map(|link| &link.addresses);
            return addresses
                .map(|held| held.network.addr())
                .any(|held| held == management.address)
                .then_some(management);
        }
        process = Process::parent(process).filter(|parent| *parent > 0)?;
    }
    None
}

fn variable(process: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
    let entries = environment.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    let mut values = entries.filter_map(|entry| entry.strip_prefix(VARIABLE)?.strip_prefix('='));
    values.next().map(str::to_owned)
}

fn read(text: &str) -> Option<Management> {
    let mut words = text.split(' ');
    let client = address(words.next()?);
    let (address, port) = (address(words.nth(1)?)?, words.next()?.parse().ok()?);
    Some(Management { address, port, client })
}

/// Reads an address, which may name its interface (RFC 4007) and be of IPv4 in the clothes of IPv6 (RFC 4291).
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.split('%').next()?.parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sshd_says_is_read() {
        let read = |text: &str| read(text).map(|read| (read.address.to_string(), read.port, read.client.is_some()));
        assert_eq!(read("192.0.2.9 50022 10.0.0.1 22"), Some(("10.0.0.1".into(), 22, true)));
        assert_eq!(read("::ffff:192.0.2.9 50022 ::ffff:10.0.0.1 22"), Some(("10.0.0.1".into(), 22, true)));
        assert_eq!(read("fe80::9%eth0 50022 fe80::1%eth0 2222"), Some(("fe80::1".into(), 2222, true)));
        assert_eq!(read("UNKNOWN 65535 10.0.0.1 22"), Some(("10.0.0.1".into(), 22, false)));
        for text in ["", "10.0.0.1", "a b c d", "192.0.2.9 1 10.0.0.1 x"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
