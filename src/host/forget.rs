//! Makes the kernel forget the connections of a destination that is taken out of the table.
//!
//! With `net.ipv4.vs.expire_nodest_conn` set, a kernel from 5.9 on ends them within a tick of the removal
//! (`ip_vs_expire_nodest_conn_flush` in `net/netfilter/ipvs/ip_vs_conn.c`), an earlier one each when its next packet comes. A
//! destination that is added again before that takes its connections back.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::files::Files;
use super::session::Pauses;
use super::{HostError, sysctl};
use crate::effect::{DestinationKey, ServiceKey};
use crate::topology::SysctlKey;

/// How long the kernel is given; the rest is left to what the parameter does with later packets.
const LIMIT: Duration = Duration::from_secs(1);

/// Says that the parameter is set for a moment: whoever dies in it leaves this behind, and the next one puts the parameter
/// back. After a reboot both are gone.
const NOTE: &str = "/run/lvsctl.expire_nodest_conn";

/// The value of the parameter in which connections stay.
const OFF: &str = "0";

/// Every connection of the namespace, a line each.
const CONNECTIONS: &str = "/proc/thread-self/net/ip_vs_conn";

/// Does something while the kernel ends connections that lost their destination, and puts the parameter back.
pub(super) fn with_forgetfulness<T>(
    files: &Files,
    work: impl FnOnce() -> Result<T, HostError>,
) -> Result<T, HostError> {
    if value()?.is_none_or(|value| value != OFF) {
        return work();
    }
    files.write(NOTE, OFF, 0o600, false, |_| Ok(()))?;
    let result = sysctl::write(&key(), "1").and_then(|()| work());
    let put_back = put_back(files);
    result.and_then(|value| put_back.map(|()| value))
}

/// Puts the parameter back if it is set for a moment, by this process or by one that died.
pub(super) fn put_back(files: &Files) -> Result<(), HostError> {
    if files.read(NOTE)?.is_none() {
        return Ok(());
    }
    // Where the module has gone, so has the parameter.
    if value()?.is_some() {
        sysctl::write(&key(), OFF)?;
    }
    files.remove(NOTE)
}

fn key() -> SysctlKey {
    SysctlKey::from_path("net/ipv4/vs/expire_nodest_conn")
}

fn value() -> Result<Option<String>, HostError> {
    Ok(sysctl::read(&[key()])?.remove(&key()).flatten())
}

/// Waits until a destination has no connection, at most until the deadline, which is no error.
pub(super) fn wait(service: &ServiceKey, destination: &DestinationKey) -> Result<(), HostError> {
    let deadline = Instant::now() + LIMIT;
    let mut pauses = Pauses::default();
    loop {
        let text = fs::read_to_string(CONNECTIONS).map_err(|error| HostError::file("read", CONNECTIONS, &error))?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !text.lines().any(|line| leads_to(line, service, destination)) {
            return Ok(());
        }
        std::thread::sleep(pauses.next().min(left));
    }
}

/// Tells whether a connection is one of a service with a destination: protocol, client, port, VIP, port, server, port.
fn leads_to(line: &str, service: &ServiceKey, destination: &DestinationKey) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, vip, vip_port, server, server_port, ..] = words[..] else { return false };
    let is_address = |text: &str, address: IpAddr| text.eq_ignore_ascii_case(&in_hexadecimal(address));
    // Port 0 stands for every port.
    let is_port = |text: &str, port: u16| port == 0 || u16::from_str_radix(text, 16) == Ok(port);
    let of_service = match service {
        ServiceKey::Address { address, port, .. } => is_address(vip, *address) && is_port(vip_port, *port),
        ServiceKey::Mark { .. } => true,
    };
    of_service && is_address(server, destination.address) && is_port(server_port, destination.port)
}

/// Returns an address as the file has it: eight digits, or eight groups of four.
fn in_hexadecimal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:08X}", u32::from(address)),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:04x}")).join(":"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Family, Protocol};

    fn service(address: &str, port: u16) -> ServiceKey {
        ServiceKey::Address { protocol: Protocol::Tcp, address: address.parse().unwrap(), port }
    }

    fn server(address: &str, port: u16) -> DestinationKey {
        DestinationKey { address: address.parse().unwrap(), port }
    }

    #[test]
    fn a_connection_is_known_by_vip_and_server() {
        let four = "TCP C6336402 C3D2 0A010064 0050 0A01000B 1F90 ESTABLISHED     899";
        let web = service("10.1.0.100", 80);
        assert!(leads_to(four, &web, &server("10.1.0.11", 8080)));
        assert!(leads_to(four, &service("10.1.0.100", 0), &server("10.1.0.11", 0)), "every port");
        assert!(leads_to(four, &ServiceKey::Mark { mark: 1, family: Family::Ipv4 }, &server("10.1.0.11", 8080)));
        for (service, server) in [
            (service("10.1.0.101", 80), server("10.1.0.11", 8080)),
            (service("10.1.0.100", 81), server("10.1.0.11", 8080)),
            (web, server("10.1.0.12", 8080)),
            (web, server("10.1.0.11", 80)),
        ] {
            assert!(!leads_to(four, &service, &server), "{service} {server}");
        }
        let six = "TCP 2001:0db8:ffff:0000:0000:0000:0000:0002 AC0A fd00:0001:0000:0000:0000:0000:0000:0100 0050 \
            fd00:0001:0000:0000:0000:0000:0000:0011 0050 SYN_RECV 41";
        assert!(leads_to(six, &service("fd00:1::100", 80), &server("fd00:1::11", 80)));
        assert!(!leads_to(six, &service("fd00:1::100", 80), &server("fd00:1::12", 80)));
        let head = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData";
        assert!(!leads_to(head, &web, &server("10.1.0.11", 8080)) && !leads_to("", &web, &server("10.1.0.11", 80)));
    }
}
