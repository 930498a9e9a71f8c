//! What the operator has keepalived watch, and without which a director may not be master.
//!
//! A script without a weight, or an interface that is down, puts a director out of the election, and with it the other failovers
//! of its sync group (`vrrp_track.c` and `vrrp_sync.c` of keepalived).

use std::collections::BTreeMap;

use crate::effect::Capabilities;
use crate::topology::{Failover, HostName, Topology};

/// Says what may keep every director of a failover from being master, if something that it or its sync group tracks does.
pub(super) fn veto(
    topology: &Topology,
    failover: &Failover,
    facts: &BTreeMap<HostName, Capabilities>,
) -> Option<String> {
    let together = together(topology, failover);
    let tracked = || together.iter().flat_map(|failover| &failover.options.tracked_scripts);
    if let Some(script) = tracked().map(|name| name.value.as_str()).find(|name| is_veto(topology, name)) {
        return Some(format!("the script {script:?} decides which director may"));
    }
    let down = |director: &HostName| {
        let facts = facts.get(director)?;
        let mut interfaces = together.iter().flat_map(|failover| &failover.options.tracked_interfaces);
        let is_down = |name: &str| !facts.link(name).is_some_and(|link| link.is_up);
        let down = interfaces.find(|name| is_down(&name.value))?;
        Some(format!("{} of {director}", down.value))
    };
    let down: Option<Vec<String>> = failover.members.keys().map(down).collect();
    down.map(|down| format!("it tracks interfaces that are down, {}", down.join(" and ")))
}

/// Returns a failover with those that change their master with it.
fn together<'a>(topology: &'a Topology, failover: &'a Failover) -> Vec<&'a Failover> {
    let mut groups = topology.sync_groups.values();
    match groups.find(|group| group.failovers.iter().any(|name| name.value == failover.name.value)) {
        None => vec![failover],
        Some(group) => group.failovers.iter().filter_map(|name| topology.failovers.get(&name.value)).collect(),
    }
}

/// Tells whether a script that fails puts a director out of the election, rather than lowering its priority.
fn is_veto(topology: &Topology, name: &str) -> bool {
    let mut scripts = topology.failovers.values().flat_map(|failover| &failover.options.scripts);
    scripts.any(|script| script.name.value == name && script.weight.value == 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::effect::Link;
    use crate::topology::fixture::{at, reference_site};
    use crate::topology::{Script, SyncGroup};

    fn told(change: impl Fn(&mut Topology), down: &[&str]) -> Option<String> {
        let mut topology = reference_site();
        let mut other = topology.failovers["ext"].clone();
        other.name = at("other".into());
        topology.failovers.insert("other".into(), other);
        change(&mut topology);
        let link = |is_up| Link { name: "eth1".into(), mac: None, sort: None, is_up, addresses: Vec::new() };
        let facts = ["lb01", "lb02"].map(|name| {
            let facts = Capabilities { links: vec![link(!down.contains(&name))], ..Capabilities::default() };
            (HostName::new(name), facts)
        });
        veto(&topology, &topology.failovers["ext"], &facts.into())
    }

    fn tracks(topology: &mut Topology, failover: &str, weight: i16) {
        let options = &mut topology.failovers.get_mut(failover).unwrap().options;
        options.tracked_scripts = vec![at("chk".into())];
        let run = at("/bin/false".into());
        let (name, weight, user) = (at("chk".into()), at(weight), "nobody".into());
        options.scripts = vec![Script { name, run, interval: Duration::from_secs(1), weight, rise: 1, fall: 1, user }];
    }

    fn group(topology: &mut Topology) {
        let failovers = ["ext", "other"].map(|name| at(name.into())).into();
        topology.sync_groups.insert("all".into(), SyncGroup { name: at("all".into()), failovers });
    }

    #[test]
    fn a_script_without_a_weight_decides() {
        assert_eq!(
            told(|topology| tracks(topology, "ext", 0), &[]).as_deref(),
            Some("the script \"chk\" decides which director may")
        );
        assert_eq!(told(|topology| tracks(topology, "ext", -20), &[]), None);
        assert_eq!(told(|topology| tracks(topology, "other", 0), &[]), None);
        let together = |topology: &mut Topology| {
            tracks(topology, "other", 0);
            group(topology);
        };
        assert!(told(together, &[]).is_some());
    }

    #[test]
    fn a_tracked_interface_decides_while_it_is_down_everywhere() {
        let tracked = |topology: &mut Topology| {
            topology.failovers.get_mut("ext").unwrap().options.tracked_interfaces = vec![at("eth1".into())];
        };
        assert_eq!(told(tracked, &["lb01"]), None);
        let down = told(tracked, &["lb01", "lb02"]);
        assert_eq!(down.as_deref(), Some("it tracks interfaces that are down, eth1 of lb01 and eth1 of lb02"));
        assert_eq!(told(|_| (), &["lb01", "lb02"]), None, "nobody tracks it");
    }
}
