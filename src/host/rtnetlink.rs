//! Interfaces and their addresses over rtnetlink(7); `routes.rs` has the default routes.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use neli::attr::Attribute;
use neli::consts::nl::NlmF;
use neli::consts::rtnl::{Ifa, IfaF, Iff, Ifla, RtAddrFamily, RtScope, RtaType, Rtm};
use neli::rtnl::{Ifaddrmsg, IfaddrmsgBuilder, Ifinfomsg, IfinfomsgBuilder, Rtattr, RtattrBuilder};
use neli::types::{Buffer, RtBuffer};
use neli::{FromBytesWithInput, Size, ToBytes};
use rustix::io::Errno;

use super::netlink::{ANSWER, Failure, Socket};
use super::{HostError, links};
use crate::effect::{Link, LinkAddress};
use crate::topology::MacAddress;

/// The interfaces, addresses and routes of one network namespace.
pub(super) struct Network {
    pub(super) socket: Socket,
}

impl Network {
    /// Opens the network of the calling thread's namespace.
    pub(super) fn open() -> Result<Self, HostError> {
        let socket = Socket::open(None).map_err(|failure| refused("open rtnetlink", failure, |_| None))?;
        Ok(Network { socket })
    }

    /// Returns every interface with its addresses, in the kernel's order.
    pub(super) fn links(&mut self) -> Result<Vec<Link>, HostError> {
        let mut addresses = self.addresses()?;
        let links = self.interfaces()?;
        let with_addresses = links.into_iter().map(|(index, mut link)| {
            link.addresses = addresses.remove(&index).unwrap_or_default();
            for address in &mut link.addresses {
                address.label = address.label.take().filter(|label| *label != link.name);
            }
            link
        });
        Ok(with_addresses.collect())
    }

    /// Returns every interface with the number that the kernel knows it by, without addresses.
    pub(super) fn interfaces(&mut self) -> Result<Vec<(u32, Link)>, HostError> {
        let doing = "list the interfaces";
        let question = IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified).build();
        let question = encode(doing, question)?;
        self.dump(doing, Rtm::Getlink, &question, |message: Ifinfomsg| {
            let attributes = message.rtattrs().get_attr_handle();
            let name = attributes.get_attr_payload_as_with_len::<String>(Ifla::Ifname).ok()?;
            let mac = attributes.get_attribute(Ifla::Address).and_then(|found| mac(found.payload().as_ref()));
            let (sort, is_up) = (links::sort(&message), message.ifi_flags().contains(Iff::UP));
            Some((u32::try_from(*message.ifi_index()).ok()?, Link { name, mac, sort, is_up, addresses: Vec::new() }))
        })
    }

    fn addresses(&mut self) -> Result<BTreeMap<u32, Vec<LinkAddress>>, HostError> {
        let doing = "list the addresses";
        let question = IfaddrmsgBuilder::default()
            .ifa_family(RtAddrFamily::Unspecified)
            .ifa_prefixlen(0)
            .ifa_scope(RtScope::Universe)
            .ifa_index(0)
            .build();
        let question = encode(doing, question)?;
        let listed = self.dump(doing, Rtm::Getaddr, &question, |message: Ifaddrmsg| {
            let attributes = message.rtattrs().get_attr_handle();
            // On a point-to-point interface IFA_ADDRESS is the peer's, and only IFA_LOCAL is ours.
            let own = attributes.get_attribute(Ifa::Local).or_else(|| attributes.get_attribute(Ifa::Address))?;
            let network = IpNet::new(address(own.payload().as_ref())?, *message.ifa_prefixlen()).ok()?;
            let label = attributes.get_attr_payload_as_with_len::<String>(Ifa::Label).ok();
            Some((*message.ifa_index(), LinkAddress { network, label }))
        })?;
        let mut by_link = BTreeMap::<u32, Vec<LinkAddress>>::new();
        for (index, address) in listed {
            by_link.entry(index).or_default().push(address);
        }
        Ok(by_link)
    }

    /// Adds an address; `EEXIST` if it is there.
    pub(super) fn add_address(
        &mut self,
        device: &str,
        address: IpAddr,
        prefix: u8,
        label: Option<&str>,
    ) -> Result<(), HostError> {
        let doing = format!("add {address}/{prefix} to {device}");
        self.change_address(&doing, Rtm::Newaddr, NlmF::CREATE | NlmF::EXCL, (device, address, prefix, label))
    }

    /// Takes an address away; `EADDRNOTAVAIL` if it is not there.
    pub(super) fn remove_address(&mut self, device: &str, address: IpAddr, prefix: u8) -> Result<(), HostError> {
        let doing = format!("remove {address}/{prefix} from {device}");
        self.change_address(&doing, Rtm::Deladdr, NlmF::empty(), (device, address, prefix, None))
    }

    fn change_address(
        &mut self,
        doing: &str,
        kind: Rtm,
        flags: NlmF,
        (device, address, prefix, label): (&str, IpAddr, u8, Option<&str>),
    ) -> Result<(), HostError> {
        let index = self.index_of(doing, device)?;
        let mut attributes =
            vec![attribute(doing, Ifa::Local, octets(address))?, attribute(doing, Ifa::Address, octets(address))?];
        if let Some(label) = label.filter(|_| address.is_ipv4()) {
            attributes.push(attribute(doing, Ifa::Label, label)?);
        }
        if address.is_ipv6() && prefix == address_bits(address) {
            // Deprecated (RFC 6724, rule 3): the host must not choose it as a source of its own packets. A real server that
            // holds the same address would take a tunnelled packet or a check of the director for its own, and drop it.
            let lifetimes = [0, u32::MAX, 0, 0].map(u32::to_ne_bytes).concat();
            attributes.push(attribute(doing, Ifa::Cacheinfo, Buffer::from(lifetimes))?);
        }
        // Without duplicate address detection an IPv6 address answers at once; keepalived does the same with its VIPs.
        let address_flags = if address.is_ipv6() { IfaF::NODAD } else { IfaF::empty() };
        let message = IfaddrmsgBuilder::default()
            .ifa_family(family(address))
            .ifa_prefixlen(prefix)
            .ifa_flags(address_flags)
            .ifa_scope(RtScope::Universe)
            .ifa_index(index)
            .rtattrs(attributes.into_iter().collect::<RtBuffer<_, _>>())
            .build();
        let message = encode(doing, message)?;
        self.socket.request(kind.into(), flags, &message, |_| ()).map_err(|failure| {
            refused(doing, failure, |errno| match errno {
                Errno::EXIST => Some("the address is there already"),
                Errno::ADDRNOTAVAIL => Some("the address is not there"),
                Errno::INVAL => Some("the kernel refuses this address, prefix or label"),
                _ => None,
            })
        })
    }

    /// Returns the number that the kernel knows an interface by.
    pub(super) fn index_of(&mut self, doing: &str, device: &str) -> Result<u32, HostError> {
        let found = self.interfaces()?.into_iter().find(|(_, link)| link.name == device);
        let missing = || HostError::kernel(doing, Errno::NODEV, |_| Some("there is no such interface"));
        found.map(|(index, _)| index).ok_or_else(missing)
    }

    /// Reads a dump and leaves out messages that hold nothing of interest.
    pub(super) fn dump<M: FromBytesWithInput<Input = usize>, T>(
        &mut self,
        doing: &str,
        kind: Rtm,
        question: &[u8],
        mut pick: impl FnMut(M) -> Option<T>,
    ) -> Result<Vec<T>, HostError> {
        let picked = self.socket.dump(kind.into(), question, |bytes| {
            match M::from_bytes_with_input(&mut Cursor::new(bytes), bytes.len()) {
                Ok(message) => Ok(pick(message)),
                Err(error) => Err(Trouble::Malformed(error.to_string())),
            }
        });
        match picked {
            Ok(items) => Ok(items.into_iter().flatten().collect()),
            Err(Trouble::Failure(failure)) => Err(refused(doing, failure, |_| None)),
            Err(Trouble::Malformed(text)) => Err(HostError::Malformed { doing: doing.into(), text }),
        }
    }
}

enum Trouble {
    Failure(Failure),
    Malformed(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Failure(failure)
    }
}

/// Makes the error of a refusal.
pub(super) fn refused(doing: &str, failure: Failure, meaning: impl FnOnce(Errno) -> Option<&'static str>) -> HostError {
    match failure {
        Failure::Silent => HostError::Timeout { doing: doing.into(), within: ANSWER },
        Failure::Refused(errno) => HostError::kernel(doing, errno, meaning),
    }
}

/// Turns a message that neli has built into bytes.
pub(super) fn encode<M: ToBytes, E: std::fmt::Display>(
    doing: &str,
    message: Result<M, E>,
) -> Result<Vec<u8>, HostError> {
    let malformed = |text: String| HostError::Malformed { doing: doing.into(), text };
    let mut bytes = Cursor::new(Vec::new());
    message
        .map_err(|error| malformed(error.to_string()))?
        .to_bytes(&mut bytes)
        .map_err(|error| malformed(error.to_string()))?;
    Ok(bytes.into_inner())
}

/// Makes an attribute of a message.
pub(super) fn attribute<T: RtaType, P: Size + ToBytes>(
    doing: &str,
    kind: T,
    payload: P,
) -> Result<Rtattr<T, Buffer>, HostError> {
    let built = RtattrBuilder::default().rta_type(kind).rta_payload(payload).build();
    built.map_err(|error| HostError::Malformed { doing: doing.into(), text: error.to_string() })
}

/// Reads an address by its length.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        16 => bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}

/// Writes an address.
pub(super) fn octets(address: IpAddr) -> Buffer {
    Buffer::from(match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

/// Returns an address's family as rtnetlink writes it.
pub(super) fn family(address: IpAddr) -> RtAddrFamily {
    if address.is_ipv4() { RtAddrFamily::Inet } else { RtAddrFamily::Inet6 }
}

/// Returns how many bits an address has.
fn address_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The loopback interface has a hardware address of zeros, which is none.
fn mac(bytes: &[u8]) -> Option<MacAddress> {
    <[u8; 6]>::try_from(bytes).ok().filter(|octets| *octets != [0; 6]).map(MacAddress)
}
