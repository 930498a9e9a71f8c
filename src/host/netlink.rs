//! A netlink socket with a deadline on every answer, and the three ways to use one: a request, a batch, a dump.
//!
//! The socket is rustix's and not neli's, because neli's hands out no descriptor on which safe code could set
//! `SO_RCVTIMEO`; what is inside the messages is made and read elsewhere. The header in front of them (`struct nlmsghdr`,
//! netlink(7)) is read here byte by byte, because a length that lies must not end the process.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::time::Duration;

use neli::consts::nl::{NlmF, Nlmsg};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// How long the kernel may take for one answer; it answers within milliseconds or never.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// The most messages in one batch: the refusals of this many fit into an ordinary receive buffer (212,992 bytes).
pub(super) const BATCH: usize = 128;

/// The receive buffer that is asked for, where the rights are there.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How often a dump is begun anew because the table changed under it or another dump is in progress.
const DUMP_ATTEMPTS: u32 = 20;

/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The kernel refused, or the system call failed.
    Refused(Errno),
    /// No answer within [`ANSWER`].
    Silent,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::AGAIN => Failure::Silent,
            other => Failure::Refused(other),
        }
    }
}

/// One message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reply<'a> {
    kind: u16,
    flags: NlmF,
    sequence: u32,
    payload: &'a [u8],
}

impl Reply<'_> {
    /// Returns what the kernel says at an end: 0 for success in `NLMSG_ERROR`, and the same in `NLMSG_DONE`.
    fn outcome(&self) -> Option<Result<(), Errno>> {
        let error = self.kind == u16::from(Nlmsg::Error);
        if !error && self.kind != u16::from(Nlmsg::Done) {
            return None;
        }
        let number = self.payload.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        Some(if number < 0 { Err(Errno::from_raw_os_error(number.saturating_neg())) } else { Ok(()) })
    }
}

/// A connected netlink socket.
pub(super) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open(protocol: Option<Protocol>) -> Result<Self, Failure> {
        let descriptor = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        net::bind(&descriptor, &SocketAddrNetlink::new(0, 0))?;
        sockopt::set_socket_timeout(&descriptor, Timeout::Recv, Some(ANSWER))?;
        sockopt::set_socket_timeout(&descriptor, Timeout::Send, Some(ANSWER))?;
        // Only root may, and batches are small enough without it.
        let _ = sockopt::set_socket_recv_buffer_size_force(&descriptor, RECEIVE_BUFFER);
        // A dump fills at most 32 KiB at a time (`netlink_recvmsg`).
        Ok(Socket { descriptor, sequence: 0, buffer: vec![0; 1 << 16] })
    }

    /// Sends one message and waits for its acknowledgement; hands over what the kernel answers before that.
    pub(super) fn request(
        &mut self,
        kind: u16,
        flags: NlmF,
        payload: &[u8],
        mut answer: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        let sequence = self.framed(&mut bytes, kind, flags | NlmF::ACK, payload);
        self.send(&bytes)?;
        loop {
            let received = self.receive()?;
            for reply in replies(&self.buffer, received).filter(|reply| reply.sequence == sequence) {
                match reply.outcome() {
                    Some(outcome) => return outcome.map_err(Failure::from),
                    None => answer(reply.payload),
                }
            }
        }
    }

    /// Sends a message for each of at most [`BATCH`] items without waiting for it: only refusals are answered, and the
    /// acknowledgement of the harmless `sentinel` at the end. `write` appends what is behind the header; where it fails,
    /// nothing of the item is sent.
    pub(super) fn batch<T, E: From<Failure>>(
        &mut self,
        kind: u16,
        items: &[T],
        sentinel: &[u8],
        mut write: impl FnMut(&T, &mut Vec<u8>) -> Result<(), E>,
    ) -> Vec<Result<(), E>> {
        let mut bytes = Vec::new();
        let first = self.sequence.wrapping_add(1);
        let written =
            items.iter().map(|item| self.frame(&mut bytes, kind, NlmF::empty(), |bytes| write(item, bytes)).1);
        let mut results: Vec<Result<(), E>> = written.collect();
        let last = self.framed(&mut bytes, kind, NlmF::ACK, sentinel);
        if let Err(failure) = self.send(&bytes).and_then(|()| self.refusals(first, last, &mut results)) {
            // Which of them the kernel took is not known.
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(failure.into()));
        }
        results
    }

    fn refusals<E: From<Failure>>(
        &mut self,
        first: u32,
        last: u32,
        results: &mut [Result<(), E>],
    ) -> Result<(), Failure> {
        loop {
            let received = self.receive()?;
            for reply in replies(&self.buffer, received) {
                let Some(outcome) = reply.outcome() else { continue };
                if reply.sequence == last {
                    return outcome.map_err(Failure::from);
                }
                let place = usize::try_from(reply.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let Some(result) = results.get_mut(place) {
                    *result = outcome.map_err(|errno| Failure::from(errno).into());
                }
            }
        }
    }

    /// Reads a whole dump in the kernel's order, anew if it was torn.
    pub(super) fn dump<T, E: From<Failure>>(
        &mut self,
        kind: u16,
        payload: &[u8],
        mut decode: impl FnMut(&[u8]) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut pause = Duration::from_millis(1);
        for _ in 1..DUMP_ATTEMPTS {
            match self.dump_once(kind, payload, &mut decode)? {
                Dumped::Whole(items) => return Ok(items),
                Dumped::Torn => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        match self.dump_once(kind, payload, &mut decode)? {
            Dumped::Whole(items) => Ok(items),
            Dumped::Torn => Err(Failure::Refused(Errno::BUSY).into()),
        }
    }

    fn dump_once<T, E: From<Failure>>(
        &mut self,
        kind: u16,
        payload: &[u8],
        decode: &mut impl FnMut(&[u8]) -> Result<T, E>,
    ) -> Result<Dumped<T>, E> {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        let sequence = self.framed(&mut bytes, kind, NlmF::DUMP, payload);
        self.send(&bytes)?;
        let mut items = Vec::new();
        let mut torn = false;
        let mut malformed = None;
        loop {
            let received = match self.receive() {
                Err(Failure::Refused(Errno::NOBUFS)) => return Ok(Dumped::Torn),
                other => other?,
            };
            for reply in replies(&self.buffer, received).filter(|reply| reply.sequence == sequence) {
                torn |= reply.flags.contains(NlmF::DUMP_INTR);
                match reply.outcome() {
                    Some(Err(Errno::BUSY | Errno::INTR)) => return Ok(Dumped::Torn),
                    Some(Err(errno)) => return Err(Failure::from(errno).into()),
                    Some(Ok(())) if torn => return Ok(Dumped::Torn),
                    // A dump is read to its end whatever it holds, or the socket could not be used again.
                    Some(Ok(())) => return malformed.map_or(Ok(Dumped::Whole(items)), Err),
                    None => match decode(reply.payload) {
                        Ok(item) => items.push(item),
                        Err(error) => malformed = malformed.or(Some(error)),
                    },
                }
            }
        }
    }

    /// Appends a message with what is behind its header, and returns its sequence number.
    fn framed(&mut self, bytes: &mut Vec<u8>, kind: u16, flags: NlmF, payload: &[u8]) -> u32 {
        let (sequence, Ok(())) = self.frame(bytes, kind, flags, |bytes| {
            bytes.extend_from_slice(payload);
            Ok::<(), Infallible>(())
        });
        sequence
    }

    /// Appends a message; `write` appends what is behind its header. Nothing is left of one that could not be written.
    fn frame<E>(
        &mut self,
        bytes: &mut Vec<u8>,
        kind: u16,
        flags: NlmF,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> (u32, Result<(), E>) {
        self.sequence = self.sequence.wrapping_add(1);
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NlmF::REQUEST).bits().to_ne_bytes());
        bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let written = write(bytes);
        if written.is_err() {
            bytes.truncate(start);
            return (self.sequence, written);
        }
        let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(field) = bytes.get_mut(start..start + 4) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        (self.sequence, written)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        retry_on_intr(|| net::send(&self.descriptor, bytes, SendFlags::empty()))?;
        Ok(())
    }

    fn receive(&mut self) -> Result<usize, Failure> {
        let (received, _) =
            retry_on_intr(|| net::recv(&self.descriptor, self.buffer.as_mut_slice(), RecvFlags::empty()))?;
        Ok(received)
    }
}

enum Dumped<T> {
    Whole(Vec<T>),
    Torn,
}

/// Reads the messages of one datagram; what is cut off is left out.
fn replies(buffer: &[u8], received: usize) -> impl Iterator<Item = Reply<'_>> {
    let mut rest = buffer.get(..received).unwrap_or(buffer);
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let reply = Reply {
            kind: u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?),
            flags: NlmF::from_bits_retain(u16::from_ne_bytes(*rest.get(6..)?.first_chunk()?)),
            sequence: u32::from_ne_bytes(*rest.get(8..)?.first_chunk()?),
            payload: rest.get(HEADER..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_datagram_makes_reading_panic_or_go_on_forever(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(replies(&bytes, bytes.len()).count() <= bytes.len() / HEADER);
        }
    }

    #[test]
    fn messages_are_told_apart_and_a_refusal_carries_its_number() {
        let message = |kind: u16, sequence: u32, payload: &[u8]| {
            let length = u32::try_from(HEADER + payload.len()).unwrap();
            let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0, 0]].concat();
            bytes.extend_from_slice(&[&sequence.to_ne_bytes()[..], &[0; 4], payload].concat());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let bytes = [message(30, 7, b"odd"), message(2, 8, &(-17_i32).to_ne_bytes()), message(2, 9, &[0; 4])].concat();
        let read: Vec<_> = replies(&bytes, bytes.len()).collect();
        assert_eq!(read[0].payload, b"odd");
        assert_eq!(read.iter().map(|reply| reply.sequence).collect::<Vec<_>>(), [7, 8, 9]);
        let outcomes: Vec<_> = read.iter().map(Reply::outcome).collect();
        assert_eq!(outcomes, [None, Some(Err(Errno::EXIST)), Some(Ok(()))]);
        assert_eq!(replies(&bytes, 18).count(), 0, "a message that was cut off is not read");
    }
}
