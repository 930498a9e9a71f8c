//! Many hosts at once, a thread each, and no more than so many at a time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many hosts are worked on at once where nobody says otherwise.
pub const PARALLELISM: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// Does something with each of many things, at most `limit` of them at once, and returns the results in their order.
///
/// One that takes long delays no other, as long as fewer than `limit` do. One that panics has no result.
pub fn fan_out<T: Send, R: Send>(
    things: Vec<T>,
    limit: NonZeroUsize,
    action: impl Fn(T) -> R + Sync,
) -> Vec<Option<R>> {
    let workers = limit.get().min(things.len());
    let results: Mutex<Vec<Option<R>>> = Mutex::new(things.iter().map(|_| None).collect());
    let waiting = Mutex::new(things.into_iter().enumerate());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((place, thing)) = next() {
            // A panic has been printed by then, and the thread's other hosts are to have their turn.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| action(thing)));
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(result), Ok(done)) = (results.get_mut(place), done) {
                *result = Some(done);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn so_many_are_worked_on_at_once_and_no_more() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Each waits until there are four of them, which never comes to pass if fewer work at once.
        let four = Barrier::new(4);
        let results = fan_out((0..12).collect(), NonZeroUsize::new(4).unwrap(), |number| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            four.wait();
            now.fetch_sub(1, Ordering::SeqCst);
            number * 2
        });
        assert_eq!(results, (0..12).map(|number| Some(number * 2)).collect::<Vec<_>>());
        assert_eq!(most.into_inner(), 4);
    }

    #[test]
    fn who_hangs_delays_no_other_and_who_panics_has_no_result() {
        let (over, is_over) = std::sync::mpsc::channel();
        let is_over = Mutex::new(is_over);
        let results = fan_out(vec!["hangs", "panics", "a", "b", "last"], NonZeroUsize::new(2).unwrap(), |name| {
            match name {
                // It goes on only when all the others are done.
                "hangs" => is_over.lock().unwrap().recv().unwrap(),
                "panics" => panic!("as it should"),
                "last" => over.send(()).unwrap(),
                _ => {}
            }
            name
        });
        assert_eq!(results, [Some("hangs"), None, Some("a"), Some("b"), Some("last")]);
        let nothing: Vec<Option<()>> = fan_out(Vec::<()>::new(), PARALLELISM, |()| ());
        assert!(nothing.is_empty());
    }
}
