//! Something on many hosts at once, while none of them forgets that its client lives.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::host::{Host, HostError};
use crate::topology::HostName;

/// How often a host is told that its client lives while the client waits for others.
const BEAT: Duration = Duration::from_secs(1);

/// Does something on many hosts, on at most `limit` of them at once, and returns the results in the order of the hosts.
///
/// A host whose turn has not come, or that is done before the last one is, is told that its client lives.
pub fn at_most<'a, T: Send, E: From<HostError> + Send>(
    limit: NonZeroUsize,
    hosts: impl Iterator<Item = (&'a HostName, &'a mut Box<dyn Host>)>,
    action: impl Fn(&HostName, &mut dyn Host) -> Result<T, E> + Sync,
) -> Vec<(HostName, Result<T, E>)> {
    let action = &action;
    let hosts: Vec<_> = hosts.collect();
    let turns = &Turns { state: Mutex::new((hosts.len(), limit.get())), changed: Condvar::new() };
    let work = |name: &HostName, host: &mut dyn Host| {
        // Whatever becomes of the host, the others go on when this is dropped.
        let turn = turns.take(host);
        let result = action(name, host);
        drop(turn);
        turns.await_others(host);
        result
    };
    thread::scope(|scope| {
        let threads: Vec<_> = hosts
            .into_iter()
            .map(|(name, host)| (name.clone(), scope.spawn(move || work(name, host.as_mut()))))
            .collect();
        let results = threads.into_iter().map(|(name, thread)| {
            let result = thread.join().unwrap_or_else(|_| Err(HostError::interrupted().into()));
            (name, result)
        });
        results.collect()
    })
}

/// How many hosts are not done, and how many may begin.
struct Turns {
    state: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Turns {
    /// Waits until the host may be worked on.
    fn take(&self, host: &mut dyn Host) -> Turn<'_> {
        self.beat_until(host, |(_, free)| *free > 0).1 -= 1;
        Turn(self)
    }

    /// Waits until the last host is done.
    fn await_others(&self, host: &mut dyn Host) {
        drop(self.beat_until(host, |(busy, _)| *busy == 0));
    }

    fn beat_until(
        &self,
        host: &mut dyn Host,
        is_so: impl Fn(&(usize, usize)) -> bool,
    ) -> MutexGuard<'_, (usize, usize)> {
        loop {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.changed.wait_timeout_while(state, BEAT, |state| !is_so(state));
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if is_so(&state) {
                return state;
            }
            drop(state);
            // One that is lost meanwhile is found out when something is asked of it.
            let _ = host.beat();
        }
    }
}

/// A host that is worked on until this is dropped, however that comes.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        state.1 += 1;
        drop(state);
        self.0.changed.notify_all();
    }
}
