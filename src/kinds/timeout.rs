//! The timeouts after which IPVS forgets idle connections, those that the operator sets.
//!
//! They belong to the table of a network namespace and exist only with the module. One that is given up becomes what it
//! was before lvsctl, or what the kernel starts with if the module was not there then.

use super::{Context, Kind, ParseError, Scope, Site, ids, module};
use crate::effect::{Answer, Effect, IpvsCommand, Probe};
use crate::resource::{Action, Change, Entry, Resource, ResourceKey};
use crate::source::Problems;
use crate::topology::Host;

/// The kind of timeouts.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutKind;

impl Kind for TimeoutKind {
    fn name(&self) -> &'static str {
        "timeout"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::IpvsTimeout(_))
    }

    fn compile(&self, _site: &Site<'_>, host: &Host, _problems: &mut Problems) -> Vec<Entry> {
        let entry = |(timeout, seconds): (&_, &crate::source::Spanned<u32>)| {
            Entry::new(ResourceKey::IpvsTimeout(*timeout), Resource::Timeout(seconds.value))
                .origin(seconds.span)
                .requires(ids::module(&host.name.value, module::IP_VS))
        };
        host.tuning.timeouts.iter().map(entry).collect()
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let asked = scope.keys.iter().any(|key| self.owns(key));
        asked.then_some(Probe::IpvsTimeouts).into_iter().collect()
    }

    fn parse(&self, scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        for answer in answers {
            let Answer::IpvsTimeouts(timeouts) = answer else {
                return Err(ParseError { kind: self.name(), message: "expected the timeouts of IPVS".into() });
            };
            let live = timeouts.iter().map(|(timeout, seconds)| (ResourceKey::IpvsTimeout(*timeout), *seconds));
            let of_interest = live.filter(|(key, _)| scope.keys.contains(key));
            entries.extend(of_interest.map(|(key, seconds)| Entry::new(key, Resource::Timeout(seconds))));
        }
        Ok(entries)
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let ResourceKey::IpvsTimeout(timeout) = change.key() else {
            return Vec::new();
        };
        let wanted = if change.action == Action::Delete { &change.previous } else { &change.after };
        let seconds = match wanted {
            Some(Resource::Timeout(seconds)) => *seconds,
            _ => timeout.kernel_default(),
        };
        vec![Effect::Ipvs(IpvsCommand::SetTimeout(*timeout, seconds))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fixture::*;
    use crate::topology::fixture::{at, reference_site};
    use crate::topology::{HostName, IpvsTimeout};

    #[test]
    fn a_timeout_is_set_and_becomes_what_it_was() {
        let mut topology = reference_site();
        let director = topology.hosts.get_mut(&HostName::new("lb01")).unwrap();
        director.tuning.timeouts.insert(IpvsTimeout::TcpFin, at(60));
        let (entries, _) = compile(&TimeoutKind, &topology, &Facts::new(), "lb01");
        assert_eq!(listing(&entries), ["ipvs/timeout/tcp-fin Timeout(60)"]);
        assert_eq!(required(&entries[0]), ["lb01/module/ip_vs"]);
        let key = entries[0].key.clone();
        let live = Answer::IpvsTimeouts(IpvsTimeout::ALL.map(|timeout| (timeout, 7)).into());
        assert_eq!(
            listing(&parse(&TimeoutKind, std::slice::from_ref(&key), &[live]).unwrap()),
            ["ipvs/timeout/tcp-fin Timeout(7)"]
        );
        let set = |seconds| [Effect::Ipvs(IpvsCommand::SetTimeout(IpvsTimeout::TcpFin, seconds))];
        let made = change(&key, Some(Resource::Timeout(7)), Some(Resource::Timeout(60)));
        assert_eq!(effects(&TimeoutKind, &made), set(60));
        let given_up = change(&key, Some(Resource::Timeout(60)), None);
        assert_eq!(effects(&TimeoutKind, &given_up), set(120));
        let given_back = Change { previous: Some(Resource::Timeout(7)), ..given_up };
        assert_eq!(effects(&TimeoutKind, &given_back), set(7));
    }
}
