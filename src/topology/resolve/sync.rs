//! The synchronisation of connections: who runs the daemons, and what the kernel refuses while one runs.

use crate::source::{Problem, Problems, Span};
use crate::topology::{Family, Host, Topology};

/// Looks for directors with daemons of keepalived's and of their own, and for what no daemon goes along with.
pub fn check(topology: &Topology, problems: &mut Problems) {
    for host in topology.hosts.values() {
        let own = host.tuning.sync_daemons.values().next().map(|daemon| daemon.span);
        let by_failover = topology
            .failovers_of(&host.name.value)
            .find_map(|failover| failover.sync_daemon.as_ref().map(|daemon| daemon.span));
        if let (Some(own), Some(other)) = (own, by_failover) {
            problems.push(
                Problem::error("conflict", format!("Two would run the sync daemons of \"{}\"", host.name.value))
                    .label(own, "by lvsctl")
                    .label(other, "by keepalived, on every director of the failover")
                    .help("Keep the one of the failover: its master sends and the others receive"),
            );
        }
        if let Some(span) = own.or(by_failover) {
            check_families(topology, host, span, problems);
        }
    }
}

/// The kernel refuses a server of another family while a daemon runs, and a daemon while there is such a server
/// (`ip_vs_add_dest` and `ip_vs_genl_new_daemon` in `ip_vs_ctl.c`): its messages have no room for it.
fn check_families(topology: &Topology, host: &Host, daemon: Span, problems: &mut Problems) {
    for vip in topology.vips_of(&host.name.value) {
        let mut servers = vip.services.iter().flat_map(|service| &service.servers);
        if let Some(server) = servers.find(|server| Family::of(server.address) != Family::of(vip.address.value)) {
            problems.push(
                Problem::error("conflict", "A server of the other address family cannot be synchronised")
                    .label(server.span, "of the other family than its VIP")
                    .label(daemon, "connections are synchronised here")
                    .help("Give the server an address of the VIP's family, or take the sync daemon away"),
            );
        }
    }
}
