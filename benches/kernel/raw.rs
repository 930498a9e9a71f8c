//! The limit: messages that were made beforehand, in batches of which the kernel acknowledges the last message only.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use lvsctl::effect::IpvsCommand;
use lvsctl::effect::wire;
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `NLM_F_REQUEST` and `NLM_F_ACK`, and the number of the family that knows the others (`GENL_ID_CTRL`).
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const CONTROL: u16 = 16;

/// The messages of a batch.
const BATCH: usize = 128;

/// Sends all commands on a socket of the calling thread's namespace; returns how long that took, without the making.
pub fn send(commands: &[IpvsCommand]) -> Result<Duration, String> {
    let told = |error: rustix::io::Errno| error.to_string();
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC));
    let socket = socket.map_err(told)?;
    net::bind(&socket, &SocketAddrNetlink::new(0, 0)).map_err(told)?;
    let mut buffer = vec![0; 1 << 16];
    let question = wire::get_family("IPVS").map_err(|error| error.to_string())?;
    let length = exchange(&socket, &framed(CONTROL, REQUEST, &question), &mut buffer)?;
    let answer = buffer.get(16..length).unwrap_or_default();
    let family = wire::family_number(answer).map_err(|error| error.to_string())?;
    let payloads: Result<Vec<Vec<u8>>, _> = commands.iter().map(wire::command).collect();
    let payloads = payloads.map_err(|error| error.to_string())?;
    let batches: Vec<Vec<u8>> = payloads
        .chunks(BATCH)
        .map(|payloads| {
            let last = payloads.len() - 1;
            let flags = |at| if at == last { REQUEST | ACKNOWLEDGE } else { REQUEST };
            payloads.iter().enumerate().flat_map(|(at, payload)| framed(family, flags(at), payload)).collect()
        })
        .collect();
    let started = Instant::now();
    for batch in &batches {
        let length = exchange(&socket, batch, &mut buffer)?;
        if buffer.get(16..20.min(length)) != Some(&[0; 4]) {
            return Err("the kernel refused a message".to_owned());
        }
    }
    Ok(started.elapsed())
}

fn exchange(socket: &OwnedFd, bytes: &[u8], buffer: &mut [u8]) -> Result<usize, String> {
    net::send(socket, bytes, SendFlags::empty()).map_err(|error| error.to_string())?;
    net::recv(socket, buffer, RecvFlags::empty()).map(|(length, _)| length).map_err(|error| error.to_string())
}

fn framed(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = 16 + payload.len();
    let mut bytes = (length as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}
