//! Whether packets can go from director to server, and replies back.

use crate::source::{Problem, Problems};
use crate::topology::{Forwarding, Host, Server, Topology, Vip};

/// Checks every server of a VIP against the directors that can hold it.
pub fn check(topology: &Topology, vip: &Vip, problems: &mut Problems) {
    let holders: Vec<&Host> = topology.holders(vip).into_iter().filter_map(|name| topology.hosts.get(name)).collect();
    if holders.is_empty() || holders.iter().any(|host| host.addresses.is_empty()) {
        return;
    }
    for server in vip.services.iter().flat_map(|service| &service.servers) {
        let Some(host) = topology.hosts.get(&server.host.value) else { continue };
        let Some(network) = host.addresses.iter().find(|network| network.addr() == server.address) else { continue };
        let apart: Vec<&&Host> = holders
            .iter()
            .filter(|holder| !holder.addresses.iter().any(|address| network.contains(&address.addr())))
            .collect();
        // What an unmanaged host does with its replies is its operator's affair.
        let return_path = server.forwarding == Forwarding::Nat && host.managed;
        let Some(first) = apart.first() else { continue };
        let nobody = apart.len() == holders.len();
        let problem = match server.forwarding {
            Forwarding::Nat if return_path => nat(server, nobody),
            Forwarding::Dr => direct(server),
            _ => continue,
        };
        let problem = problem.label(network.span, format!("{} is in {}", host.name.value, network.trunc()));
        let problem = match first.addresses.first() {
            Some(own) => problem.label(own.span, format!("{} has no address there", first.name.value)),
            None => problem,
        };
        problems.push(problem.help("Give the director an `address` in the server's network"));
    }
}

fn nat(server: &Server, nobody: bool) -> Problem {
    let message = "Under nat a server's replies must pass the director, and this one shares no network with it";
    let problem =
        if nobody { Problem::error("return-path", message) } else { Problem::warning("return-path", message) };
    problem.label(server.host.span, "has no way back")
}

fn direct(server: &Server) -> Problem {
    Problem::warning("other-segment", "Direct routing reaches servers in the director's own network only")
        .label(server.host.span, "seems to be elsewhere")
}
