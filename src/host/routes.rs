//! The default routes of the main table over rtnetlink(7).

use std::collections::BTreeMap;
use std::net::IpAddr;

use neli::attr::Attribute;
use neli::consts::nl::NlmF;
use neli::consts::rtnl::{RtAddrFamily, RtScope, RtTable, Rta, Rtm, Rtn, Rtprot};
use neli::rtnl::{Rtmsg, RtmsgBuilder};
use neli::types::RtBuffer;
use rustix::io::Errno;

use super::HostError;
use super::rtnetlink::{Network, address, attribute, encode, family, octets, refused};
use crate::effect::LiveRoute;
use crate::topology::Family;

/// `RTA_VIA`, a gateway of another family, which neli names on some targets only.
const VIA: u16 = 18;

/// `RTPROT_RA`, which neli does not name.
const ADVERTISED: u8 = 9;

/// The priorities of the rules that the kernel makes itself: for the tables local, main and default.
const KERNELS_RULES: [u32; 3] = [0, 32766, 32767];

impl Network {
    /// Returns the default routes, IPv4 first, each family in the kernel's order.
    pub(super) fn default_routes(&mut self) -> Result<Vec<LiveRoute>, HostError> {
        let doing = "list the default routes";
        let names: BTreeMap<u32, String> =
            self.interfaces()?.into_iter().map(|(index, link)| (index, link.name)).collect();
        let mut routes = Vec::new();
        for family in [Family::Ipv4, Family::Ipv6] {
            let asked = match family {
                Family::Ipv4 => RtAddrFamily::Inet,
                Family::Ipv6 => RtAddrFamily::Inet6,
            };
            let question = encode(doing, route(asked).rtm_scope(RtScope::Universe).rtm_type(Rtn::Unspec).build())?;
            let found = self.dump(doing, Rtm::Getroute, &question, |message: Rtmsg| {
                is_default(&message, asked).then(|| hops(&message, family, &names))
            });
            match found {
                Ok(found) => routes.extend(found.into_iter().flatten()),
                // A kernel without IPv6 has no IPv6 routes.
                Err(error) if error.errno() == Some("EOPNOTSUPP") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(routes)
    }

    /// Returns the interfaces of the default routes of IPv6 that came from a router's advertisement.
    pub(super) fn advertised_routes(&mut self) -> Result<Vec<String>, HostError> {
        let doing = "list the default routes";
        let names: BTreeMap<u32, String> =
            self.interfaces()?.into_iter().map(|(index, link)| (index, link.name)).collect();
        let asked = RtAddrFamily::Inet6;
        let question = encode(doing, route(asked).rtm_scope(RtScope::Universe).rtm_type(Rtn::Unspec).build())?;
        let found = self.dump(doing, Rtm::Getroute, &question, |message: Rtmsg| {
            let is_advertised = is_default(&message, asked) && u8::from(*message.rtm_protocol()) == ADVERTISED;
            is_advertised.then(|| hops(&message, Family::Ipv6, &names))
        });
        match found {
            Ok(found) => Ok(found.into_iter().flatten().filter_map(|hop| hop.device).collect()),
            // A kernel without IPv6 has no IPv6 routes.
            Err(error) if error.errno() == Some("EOPNOTSUPP") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the families with rules of policy routing beside the kernel's own.
    pub(super) fn policy_routing(&mut self) -> Result<Vec<Family>, HostError> {
        let doing = "list the rules of policy routing";
        let mut families = Vec::new();
        for (asked, named) in [(RtAddrFamily::Inet, Family::Ipv4), (RtAddrFamily::Inet6, Family::Ipv6)] {
            let question = encode(doing, route(asked).rtm_scope(RtScope::Universe).rtm_type(Rtn::Unspec).build())?;
            // A rule has the layout of a route, and its priority is where that of a route is (`struct fib_rule_hdr`).
            let found = self.dump(doing, Rtm::Getrule, &question, |message: Rtmsg| {
                let priority = message.rtattrs().get_attr_handle().get_attr_payload_as::<u32>(Rta::Priority);
                (*message.rtm_family() == asked).then(|| priority.unwrap_or(0))
            });
            match found {
                Ok(found) if found.iter().any(|priority| !KERNELS_RULES.contains(priority)) => families.push(named),
                Ok(_) => {}
                // A kernel may lack rules altogether, or IPv6, as long as its module is not loaded (`fib_nl_dumprule`).
                Err(error) if matches!(error.errno(), Some("EOPNOTSUPP" | "EAFNOSUPPORT")) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(families)
    }

    /// Changes the gateway of the default route that is used, or makes one.
    ///
    /// Metric and protocol stay, so that changing the gateway back brings back what was there, and a route with a metric
    /// does not stay behind another one without.
    pub(super) fn replace_default_route(&mut self, via: IpAddr, device: Option<&str>) -> Result<(), HostError> {
        let doing = format!("set the default route to {via}");
        let (metric, protocol) = self.used_default_route(&doing, family(via))?.unwrap_or((0, Rtprot::Static));
        let mut attributes = vec![attribute(&doing, Rta::Gateway, octets(via))?];
        if metric != 0 {
            attributes.push(attribute(&doing, Rta::Priority, metric)?);
        }
        if let Some(device) = device {
            attributes.push(attribute(&doing, Rta::Oif, self.index_of(&doing, device)?)?);
        }
        let message = route(family(via))
            .rtm_protocol(protocol)
            .rtm_scope(RtScope::Universe)
            .rtm_type(Rtn::Unicast)
            .rtattrs(attributes.into_iter().collect::<RtBuffer<_, _>>());
        let message = encode(&doing, message.build())?;
        let flags = NlmF::CREATE | NlmF::REPLACE;
        self.socket.request(Rtm::Newroute.into(), flags, &message, |_| ()).map_err(|failure| {
            refused(&doing, failure, |errno| match errno {
                Errno::NETUNREACH | Errno::HOSTUNREACH => Some("the gateway is in none of the host's networks"),
                Errno::INVAL => Some("the gateway is one of the host's own addresses, or no gateway at all"),
                _ => None,
            })
        })
    }

    /// Returns metric and protocol of the default route that the kernel takes: the first of the lowest metric.
    fn used_default_route(&mut self, doing: &str, family: RtAddrFamily) -> Result<Option<(u32, Rtprot)>, HostError> {
        let question = encode(doing, route(family).rtm_scope(RtScope::Universe).rtm_type(Rtn::Unspec).build())?;
        let found = self.dump(doing, Rtm::Getroute, &question, |message: Rtmsg| {
            let metric = message.rtattrs().get_attr_handle().get_attr_payload_as::<u32>(Rta::Priority).unwrap_or(0);
            is_default(&message, family).then(|| (metric, *message.rtm_protocol()))
        });
        Ok(found?.into_iter().min_by_key(|(metric, _)| *metric))
    }

    /// Takes a default route away; `ESRCH` if it is not there.
    pub(super) fn remove_default_route(&mut self, via: IpAddr) -> Result<(), HostError> {
        let doing = format!("remove the default route to {via}");
        let attributes = [attribute(&doing, Rta::Gateway, octets(via))?];
        // RT_SCOPE_NOWHERE is the wildcard of a deletion.
        let message = route(family(via))
            .rtm_scope(RtScope::Nowhere)
            .rtm_type(Rtn::Unspec)
            .rtattrs(attributes.into_iter().collect::<RtBuffer<_, _>>());
        let message = encode(&doing, message.build())?;
        self.socket.request(Rtm::Delroute.into(), NlmF::empty(), &message, |_| ()).map_err(|failure| {
            refused(&doing, failure, |errno| (errno == Errno::SRCH).then_some("the route is not there"))
        })
    }
}

/// Begins a message about routes to everywhere in the main table.
fn route(family: RtAddrFamily) -> RtmsgBuilder {
    RtmsgBuilder::default()
        .rtm_family(family)
        .rtm_dst_len(0)
        .rtm_src_len(0)
        .rtm_tos(0)
        .rtm_table(RtTable::Main)
        .rtm_protocol(Rtprot::Unspec)
}

fn is_default(message: &Rtmsg, family: RtAddrFamily) -> bool {
    *message.rtm_family() == family
        && *message.rtm_dst_len() == 0
        && *message.rtm_table() == RtTable::Main
        && *message.rtm_type() == Rtn::Unicast
}

/// Returns one route for each gateway; a multipath route has several (`struct rtnexthop`).
fn hops(message: &Rtmsg, family: Family, names: &BTreeMap<u32, String>) -> Vec<LiveRoute> {
    let attributes = message.rtattrs().get_attr_handle();
    let metric = attributes.get_attr_payload_as::<u32>(Rta::Priority).unwrap_or(0);
    let payload = |kind| attributes.get_attribute(kind).map(|found| found.payload().as_ref());
    let live = |via: Option<IpAddr>, device: Option<u32>| LiveRoute {
        family,
        via,
        device: device.and_then(|index| names.get(&index).cloned()),
        metric,
    };
    if let Some(bytes) = payload(Rta::Multipath) {
        return next_hops(bytes).into_iter().map(|(via, device)| live(via, Some(device))).collect();
    }
    let via = payload(Rta::Gateway).and_then(address);
    // `struct rtvia` is a family of two bytes and an address.
    let other = || payload(Rta::from(VIA)).and_then(|bytes| address(bytes.get(2..)?));
    vec![live(via.or_else(other), attributes.get_attr_payload_as::<u32>(Rta::Oif).ok())]
}

/// Reads `struct rtnexthop`s: length, flags, hops, interface, attributes, of which only the gateway matters.
fn next_hops(mut bytes: &[u8]) -> Vec<(Option<IpAddr>, u32)> {
    let mut hops = Vec::new();
    while let Some(hop) = bytes.first_chunk::<8>() {
        let [low, high, _, _, index @ ..] = *hop;
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let Some(mut attributes) = bytes.get(8..length) else { break };
        let mut via = None;
        while let Some(header) = attributes.first_chunk::<4>() {
            let [low, high, kind @ ..] = *header;
            let end = usize::from(u16::from_ne_bytes([low, high]));
            let Some(payload) = attributes.get(4..end) else { break };
            if u16::from_ne_bytes(kind) == u16::from(Rta::Gateway) {
                via = address(payload);
            }
            attributes = attributes.get(end.next_multiple_of(4)..).unwrap_or_default();
        }
        hops.push((via, u32::from_ne_bytes(index)));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_reading_hops_panic_or_go_on_forever(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(next_hops(&bytes).len() <= bytes.len() / 8);
        }
    }

    #[test]
    fn every_gateway_of_a_multipath_route_is_read() {
        let hop =
            |index: u32, octets: [u8; 4]| [&[16, 0, 0, 0][..], &index.to_ne_bytes(), &[8, 0, 5, 0], &octets].concat();
        let bytes = [hop(2, [10, 0, 0, 1]), hop(3, [10, 0, 1, 1])].concat();
        let wanted = [("10.0.0.1", 2), ("10.0.1.1", 3)].map(|(via, index)| (Some(via.parse().unwrap()), index));
        assert_eq!(next_hops(&bytes), wanted);
    }
}
