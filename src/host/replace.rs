//! Takes a destination out of the table and adds it again, for what the kernel cannot change in place.

use std::time::Duration;

use super::session::Session;
use super::{HostError, forget};
use crate::effect::{DestinationConfig, DestinationKey, IpvsCommand, ServiceKey};
use crate::topology::Forwarding;

impl Session {
    /// Performs [`crate::effect::Effect::ReplaceDestination`].
    ///
    /// Only a destination that is routed to directly suffers from the routes of earlier connections; what goes back to another
    /// way is changed in place, so that doing it twice cuts nothing.
    pub(super) fn replace_destination(
        &mut self,
        key: (ServiceKey, DestinationKey),
        wanted: &DestinationConfig,
        only_if_there: bool,
        within: Duration,
    ) -> Result<(), HostError> {
        let (service, destination) = key;
        let is_so = |live: &DestinationConfig| live.forwarding == wanted.forwarding;
        self.wait(within, |session| Ok(session.destination(key)?.is_none_or(|live| is_so(&live))))?;
        let live = self.destination(key)?;
        let weight = live.as_ref().filter(|_| only_if_there).map_or(wanted.weight, |live| live.weight);
        let config = DestinationConfig { weight, ..wanted.clone() };
        let new = |config: &DestinationConfig| IpvsCommand::NewDestination(service, destination, config.clone());
        let is_direct = config.forwarding == Forwarding::Dr;
        match &live {
            None if only_if_there => return Ok(()),
            // One that went a moment ago comes back with the connections that it had.
            None => self.command(&new(&config))?,
            Some(_) if is_direct => {}
            Some(_) => self.command(&IpvsCommand::SetDestination(service, destination, config.clone()))?,
        }
        if !is_direct {
            return Ok(());
        }
        let earlier = live.unwrap_or_else(|| config.clone());
        let files = self.files().clone();
        forget::with_forgetfulness(&files, || {
            self.command(&IpvsCommand::DeleteDestination(service, destination))?;
            // Whatever comes of it, the destination goes back.
            let forgotten = forget::wait(&service, &destination);
            let Err(error) = self.command(&new(&config)) else { return forgotten };
            match self.command(&new(&earlier)) {
                Ok(()) => Err(error),
                // It is out of the table: no refusal, after which nothing would have been done.
                Err(again) => Err(HostError::Io {
                    doing: "put back".into(),
                    path: format!("{service}/{destination}"),
                    text: format!("{error}; and then: {again}"),
                }),
            }
        })
    }

    fn destination(
        &mut self,
        (service, destination): (ServiceKey, DestinationKey),
    ) -> Result<Option<DestinationConfig>, HostError> {
        let live = self.with_table(|table| table.destinations(&service))?;
        Ok(live.into_iter().find(|live| live.key == destination).map(|live| live.config))
    }
}
