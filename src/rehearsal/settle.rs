//! Waits until the election of masters is over, since requests that are sent into it measure the election.

use std::time::{Duration, Instant};

use super::failover::{Group, holders};
use super::layout::Layout;
use crate::topology::{HostName, Preemption};

/// Time between two looks.
const POLL: Duration = Duration::from_millis(50);

/// Waits until one director has held all VIPs of a group for two advert intervals: the preferred one if it takes over at
/// once, else any. Tells who, or `None` if that does not come to pass before the deadline.
pub fn master(layout: &Layout, group: &Group<'_>, deadline: Instant) -> Option<HostName> {
    let preferred = group.failover.by_priority().first().map(|name| (*name).clone());
    let must_be = (group.failover.preemption == Preemption::Immediate).then_some(preferred).flatten();
    let mut held: Option<(HostName, Instant)> = None;
    while Instant::now() < deadline {
        let now = holders(layout, group);
        held = match (now.as_slice(), held) {
            ([one], Some((before, since))) if *one == before => Some((before, since)),
            ([one], _) if must_be.as_ref().is_none_or(|wanted| wanted == one) => Some((one.clone(), Instant::now())),
            _ => None,
        };
        if let Some((name, since)) = &held
            && since.elapsed() >= group.failover.advert_interval * 2
        {
            return Some(name.clone());
        }
        std::thread::sleep(POLL);
    }
    None
}
