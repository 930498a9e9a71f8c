//! A failover under NAT without a floating address that real servers could route to.

use super::Rule;
use crate::source::{Problem, Problems};
use crate::topology::{Forwarding, Server, Topology, Vip, VipHolder};

/// Finds real servers whose replies would still go to the old master after a failover.
pub const RULE: Rule =
    Rule { name: "nat-gateway", explanation: include_str!("nat_gateway.md"), check: staying_gateways };

fn staying_gateways(topology: &Topology, problems: &mut Problems) {
    for (vip, service) in topology.services() {
        let VipHolder::Failover(failover) = &vip.holder else { continue };
        let several = topology.failovers.get(&failover.value).is_some_and(|failover| failover.members.len() > 1);
        let stuck = service
            .servers
            .iter()
            .find(|server| server.forwarding == Forwarding::Nat && !has_floating_gateway(topology, vip, server));
        if let (Some(server), true) = (stuck, several) {
            problems.push(
                Problem::warning(
                    RULE.name,
                    format!("After a failover {} still routes to the old master", server.host.value),
                )
                .label(server.span, "its replies must pass the director that translated the request")
                .label(vip.address.span, format!("failover {:?} has no address in its network", failover.value))
                .help(format!(
                    "Add an address in that network that serves as the gateway to the failover {:?}: address \"ADDRESS/PREFIX\"",
                    failover.value
                )),
            );
        }
    }
}

/// Tells whether an address that moves with the VIP lies in the server's network.
fn has_floating_gateway(topology: &Topology, vip: &Vip, server: &Server) -> bool {
    let Some(host) = topology.hosts.get(&server.host.value) else { return true };
    let network = host.addresses.iter().find(|network| network.contains(&server.address));
    let VipHolder::Failover(name) = &vip.holder else { return true };
    let failover = topology.failovers.get(&name.value).into_iter();
    let moves_along = failover.flat_map(|failover| topology.floating(failover));
    let mut addresses = moves_along.map(|floating| floating.address().value);
    network.is_none_or(|network| addresses.any(|address| network.contains(&address)))
}
