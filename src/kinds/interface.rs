//! Which interface of a director a VIP belongs to; addresses, marks and failover must all name the same one.
//!
//! A virtual hardware address puts the VIP on an interface that keepalived makes on top of it: packets for the VIP come in there,
//! and what the director sends on leaves by the one below, with its hardware address (seen with keepalived 2.2.7).

use std::borrow::Cow;

use super::Site;
use crate::topology::{Failover, Floating, Host, Vip, VipHolder};

/// Returns the interface of a VIP on a director: the VIP's own, else the failover's, else the director's.
pub fn of_vip<'a>(site: &Site<'a>, vip: &'a Vip, director: &'a Host) -> Option<&'a str> {
    if let Some(interface) = &vip.interface {
        return Some(&interface.value);
    }
    let failover = match &vip.holder {
        VipHolder::Failover(name) => site.topology.failovers.get(&name.value),
        VipHolder::Director(_) => None,
    };
    of_failover(site, failover, director)
}

/// Returns the interface by which packets for a VIP come in.
pub fn of_arrivals<'a>(site: &Site<'a>, vip: &'a Vip, director: &'a Host) -> Option<Cow<'a, str>> {
    let virtual_one = match &vip.holder {
        VipHolder::Failover(name) => site.topology.failovers.get(&name.value),
        VipHolder::Director(_) => None,
    };
    let virtual_one = virtual_one.and_then(|failover| site.topology.virtual_interface_of(failover, Floating::Vip(vip)));
    virtual_one.map(Cow::Owned).or_else(|| of_vip(site, vip, director).map(Cow::Borrowed))
}

/// Returns the interface of an address that moves with a failover's master.
pub fn of_floating<'a>(
    site: &Site<'a>,
    failover: &'a Failover,
    floating: Floating<'a>,
    director: &'a Host,
) -> Option<&'a str> {
    match floating {
        Floating::Vip(vip) => of_vip(site, vip, director),
        Floating::Further(further) => match &further.interface {
            Some(interface) => Some(&interface.value),
            None => of_failover(site, Some(failover), director),
        },
    }
}

/// Returns the interface of a failover on a director.
pub fn of_failover<'a>(site: &Site<'a>, failover: Option<&'a Failover>, director: &'a Host) -> Option<&'a str> {
    match failover.and_then(|failover| failover.interface.as_ref()) {
        Some(interface) => Some(&interface.value),
        None => site.interface_of(director),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::topology::fixture::*;
    use crate::topology::{HostName, SecretValues};

    #[test]
    fn the_nearest_word_wins() {
        let mut topology = reference_site();
        let (facts, secrets) = (BTreeMap::new(), SecretValues::default());
        let name = |topology: &crate::topology::Topology| {
            let site = Site { topology, facts: &facts, secrets: &secrets };
            let vip = topology.vips.values().next().unwrap();
            of_vip(&site, vip, &topology.hosts[&HostName::new("lb01")]).map(str::to_owned)
        };
        assert_eq!(name(&topology).as_deref(), Some("eth0"));
        topology.failovers.get_mut("ext").unwrap().interface = Some(at("bond0".into()));
        assert_eq!(name(&topology).as_deref(), Some("bond0"));
        topology.vips.values_mut().next().unwrap().interface = Some(at("vlan7".into()));
        assert_eq!(name(&topology).as_deref(), Some("vlan7"));
    }
}
