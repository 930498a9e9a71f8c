//! Waits for destinations to lose their connections, for many of them at once.
//!
//! Each has its own deadline from the same beginning. A service is looked at once for all of its destinations, because a
//! site that is taken down drains tens of thousands.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::HostError;
use super::session::Pauses;
use crate::effect::{DestinationKey, Effect, LiveDestination, ServiceKey};

/// A destination that is waited for.
#[derive(Clone, Copy)]
struct Awaited<'a> {
    /// The place of its effect.
    place: usize,
    service: &'a ServiceKey,
    destination: &'a DestinationKey,
    within: Duration,
}

/// Waits for the destinations of effects and returns a result an effect. That a deadline passes is no error.
///
/// `look` returns the destinations of a service, none if it is gone.
pub(super) fn wait(
    effects: &[Effect],
    mut look: impl FnMut(&ServiceKey) -> Result<Vec<LiveDestination>, HostError>,
) -> Vec<Result<(), HostError>> {
    let started = Instant::now();
    let mut pauses = Pauses::default();
    let mut results = vec![Ok(()); effects.len()];
    let mut waiting: Vec<Awaited<'_>> = effects.iter().enumerate().filter_map(awaited).collect();
    waiting.sort_by_key(|awaited| (awaited.service, awaited.destination));
    loop {
        let passed = started.elapsed();
        match busy(&waiting, &mut look) {
            Ok(busy) => waiting = busy,
            Err(error) => {
                waiting.iter().for_each(|awaited| results[awaited.place] = Err(error.clone()));
                return results;
            }
        }
        waiting.retain(|awaited| awaited.within > passed);
        let Some(longest) = waiting.iter().map(|awaited| awaited.within).max() else { return results };
        std::thread::sleep(pauses.next().min(longest.saturating_sub(passed)));
    }
}

fn awaited((place, effect): (usize, &Effect)) -> Option<Awaited<'_>> {
    match effect {
        Effect::AwaitDrained { service, destination, within } => {
            Some(Awaited { place, service, destination, within: *within })
        }
        _ => None,
    }
}

/// Returns those that have connections still.
fn busy<'a>(
    waiting: &[Awaited<'a>],
    mut look: impl FnMut(&ServiceKey) -> Result<Vec<LiveDestination>, HostError>,
) -> Result<Vec<Awaited<'a>>, HostError> {
    let mut busy = Vec::new();
    for of_service in waiting.chunk_by(|one, next| one.service == next.service) {
        let Some(first) = of_service.first() else { continue };
        let live = look(first.service)?;
        let carrying: BTreeSet<&DestinationKey> = live
            .iter()
            .filter(|live| first.service.in_use(live.active, live.inactive) > 0)
            .map(|live| &live.key)
            .collect();
        busy.extend(of_service.iter().filter(|awaited| carrying.contains(awaited.destination)));
    }
    Ok(busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::DestinationConfig;
    use crate::topology::{Family, Forwarding, Protocol, Tunnel};

    fn service(mark: u32) -> ServiceKey {
        ServiceKey::Mark { mark, family: Family::Ipv4 }
    }

    fn server(last: u8) -> DestinationKey {
        DestinationKey { address: [10, 0, 0, last].into(), port: 80 }
    }

    fn drained(mark: u32, last: u8, milliseconds: u64) -> Effect {
        let within = Duration::from_millis(milliseconds);
        Effect::AwaitDrained { service: service(mark), destination: server(last), within }
    }

    fn live(last: u8, active: u32) -> LiveDestination {
        let forwarding = Forwarding::Nat;
        let config = DestinationConfig { forwarding, tunnel: Tunnel::Ipip, weight: 0, upper: 0, lower: 0 };
        LiveDestination { key: server(last), config, active, inactive: 0 }
    }

    #[test]
    fn a_service_is_looked_at_once_and_only_while_it_is_waited_for() {
        let effects = [drained(1, 1, 20_000), drained(2, 1, 20_000), drained(1, 2, 20_000), drained(1, 3, 0)];
        let mut looks = Vec::new();
        let results = wait(&effects, |key| {
            looks.push(*key);
            let carries = u32::from(looks.len() < 3);
            Ok(if *key == service(1) { vec![live(1, 0), live(2, carries), live(3, 1)] } else { Vec::new() })
        });
        assert_eq!(results, vec![Ok(()); 4]);
        assert_eq!(looks, [service(1), service(2), service(1)]);
    }

    #[test]
    fn flows_of_udp_are_waited_for_although_they_are_never_active() {
        let udp = |protocol| ServiceKey::Address { protocol, address: [192, 0, 2, 1].into(), port: 53 };
        for (protocol, looks) in [(Protocol::Udp, 3), (Protocol::Tcp, 1)] {
            let within = Duration::from_secs(20);
            let effect = Effect::AwaitDrained { service: udp(protocol), destination: server(1), within };
            let mut seen = 0;
            let results = wait(&[effect], |_| {
                seen += 1;
                Ok(vec![LiveDestination { inactive: u32::from(seen < 3), ..live(1, 0) }])
            });
            assert_eq!((results, seen), (vec![Ok(())], looks), "{protocol:?}");
        }
    }

    #[test]
    fn a_deadline_is_no_error_and_a_failure_is_one_of_those_still_waited_for() {
        let started = Instant::now();
        assert_eq!(wait(&[drained(1, 1, 30)], |_| Ok(vec![live(1, 7)])), [Ok(())]);
        assert!(started.elapsed() >= Duration::from_millis(30));
        let mut looks = 0;
        let results = wait(&[drained(1, 1, 20_000), drained(1, 2, 20_000)], |_| {
            looks += 1;
            if looks > 1 { Err(HostError::interrupted()) } else { Ok(vec![live(1, 0), live(2, 1)]) }
        });
        assert_eq!(results, [Ok(()), Err(HostError::interrupted())]);
    }
}
