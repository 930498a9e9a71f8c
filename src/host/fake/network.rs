//! Interfaces, addresses and default routes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;

use crate::effect::{Link, LinkAddress, LiveRoute};
use crate::host::HostError;
use crate::topology::{Family, Offload};

/// The kernel's metric of a route that names none (`IP6_RT_PRIO_USER`).
const METRIC_IPV6: u32 = 1024;

/// What the host has.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) links: Vec<Link>,
    pub(super) routes: Vec<LiveRoute>,
    /// The ports of `fou`, with whether each expects Generic UDP Encapsulation.
    pub(super) fou_ports: BTreeMap<(Family, u16), bool>,
    /// Offloads that are not as they are to begin with.
    switched: BTreeMap<(String, Offload), bool>,
}

impl Network {
    /// Makes an interface that is down.
    pub(super) fn add_link(&mut self, device: &str, sort: &str) -> Result<(), HostError> {
        let doing = format!("make the interface {device}");
        if self.links.iter().any(|link| link.name == device) {
            return Err(HostError::kernel(&doing, Errno::EXIST, |_| Some("another interface has this name")));
        }
        let (name, sort) = (device.to_owned(), Some(sort.to_owned()));
        self.links.push(Link { name, mac: None, sort, is_up: false, addresses: Vec::new() });
        Ok(())
    }

    /// Takes an interface away with its addresses.
    pub(super) fn remove_link(&mut self, device: &str) -> Result<(), HostError> {
        self.link(&format!("remove the interface {device}"), device)?;
        self.links.retain(|link| link.name != device);
        Ok(())
    }

    /// Brings an interface up or down.
    pub(super) fn set_link(&mut self, device: &str, is_up: bool) -> Result<(), HostError> {
        let doing = format!("bring {device} {}", if is_up { "up" } else { "down" });
        self.link(&doing, device)?.is_up = is_up;
        Ok(())
    }

    /// Opens a port for Generic UDP Encapsulation.
    pub(super) fn add_fou_port(&mut self, family: Family, port: u16) -> Result<(), HostError> {
        if self.fou_ports.contains_key(&(family, port)) {
            return Err(HostError::kernel("open the port", Errno::ADDRINUSE, |_| None));
        }
        self.fou_ports.insert((family, port), true);
        Ok(())
    }

    /// Closes one.
    pub(super) fn remove_fou_port(&mut self, family: Family, port: u16) -> Result<(), HostError> {
        let removed = self.fou_ports.remove(&(family, port));
        removed.map(drop).ok_or_else(|| HostError::kernel("close the port", Errno::INVAL, |_| None))
    }

    /// Returns what an interface offloads; to begin with everything but what breaks forwarding.
    pub(super) fn offloads(&self, device: &str) -> BTreeMap<Offload, bool> {
        let is_on = |offload: Offload| {
            let switched = self.switched.get(&(device.to_owned(), offload));
            switched.copied().unwrap_or(offload != Offload::Lro)
        };
        let is_there = self.links.iter().any(|link| link.name == device);
        Offload::ALL.into_iter().filter(|_| is_there).map(|offload| (offload, is_on(offload))).collect()
    }

    /// Switches an offload.
    pub(super) fn set_offload(&mut self, device: &str, offload: Offload, on: bool) -> Result<(), HostError> {
        let doing = format!("switch {offload} of {device}");
        self.link(&doing, device)?;
        if on && offload == Offload::Lro {
            return Err(HostError::kernel(&doing, Errno::OPNOTSUPP, |_| Some("the interface cannot do that")));
        }
        self.switched.insert((device.to_owned(), offload), on);
        Ok(())
    }

    /// Adds an address.
    pub(super) fn add_address(
        &mut self,
        device: &str,
        address: IpAddr,
        prefix: u8,
        label: Option<&str>,
    ) -> Result<(), HostError> {
        let doing = format!("add {address}/{prefix} to {device}");
        let link = self.link(&doing, device)?;
        let network = IpNet::new(address, prefix).map_err(|_| HostError::kernel(&doing, Errno::INVAL, |_| None))?;
        // An IPv6 address may be there once, whatever its prefix.
        let is_there =
            |held: &LinkAddress| held.network == network || (address.is_ipv6() && held.network.addr() == address);
        if link.addresses.iter().any(is_there) {
            return Err(HostError::kernel(&doing, Errno::EXIST, |_| Some("the address is there already")));
        }
        let label = label.filter(|label| address.is_ipv4() && *label != device).map(str::to_owned);
        link.addresses.push(LinkAddress { network, label });
        Ok(())
    }

    /// Takes an address away.
    pub(super) fn remove_address(&mut self, device: &str, address: IpAddr, prefix: u8) -> Result<(), HostError> {
        let doing = format!("remove {address}/{prefix} from {device}");
        let link = self.link(&doing, device)?;
        let is_it = |held: &LinkAddress| held.network.addr() == address && held.network.prefix_len() == prefix;
        let place = link.addresses.iter().position(is_it);
        let missing = || HostError::kernel(&doing, Errno::ADDRNOTAVAIL, |_| Some("the address is not there"));
        link.addresses.remove(place.ok_or_else(missing)?);
        Ok(())
    }

    /// Changes the gateway of the default route that is used, or makes one.
    pub(super) fn replace_route(&mut self, via: IpAddr, device: Option<&str>) -> Result<(), HostError> {
        let doing = format!("set the default route to {via}");
        if let Some(device) = device {
            self.link(&doing, device)?;
        }
        let reaches = |link: &&Link| {
            let named = device.is_none_or(|device| device == link.name);
            named && link.addresses.iter().any(|held| held.network.contains(&via) && held.network.addr() != via)
        };
        let found = self.links.iter().find(reaches);
        let unreachable = if via.is_ipv4() { Errno::NETUNREACH } else { Errno::HOSTUNREACH };
        let missing =
            || HostError::kernel(&doing, unreachable, |_| Some("the gateway is in none of the host's networks"));
        let link = found.ok_or_else(missing)?;
        let used = self.routes.iter().find(|route| route.family == Family::of(via)).map(|route| route.metric);
        let metric = used.unwrap_or(if via.is_ipv4() { 0 } else { METRIC_IPV6 });
        let route = LiveRoute { family: Family::of(via), via: Some(via), device: Some(link.name.clone()), metric };
        self.routes.retain(|held| (held.family, held.metric) != (route.family, route.metric));
        self.routes.push(route);
        self.routes.sort_by_key(|route| (route.family, route.metric));
        Ok(())
    }

    /// Takes a default route away.
    pub(super) fn remove_route(&mut self, via: IpAddr) -> Result<(), HostError> {
        let doing = format!("remove the default route to {via}");
        let place = self.routes.iter().position(|route| route.via == Some(via));
        let missing = || HostError::kernel(&doing, Errno::SRCH, |_| Some("the route is not there"));
        self.routes.remove(place.ok_or_else(missing)?);
        Ok(())
    }

    fn link(&mut self, doing: &str, device: &str) -> Result<&mut Link, HostError> {
        let found = self.links.iter_mut().find(|link| link.name == device);
        found.ok_or_else(|| HostError::kernel(doing, Errno::NODEV, |_| Some("there is no such interface")))
    }
}
