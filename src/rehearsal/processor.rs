//! One processor a guest.
//!
//! User Mode Linux hands over between two processes at every system call and page fault of the guest. Where these are on two
//! processors, each handover wakes the other one up, which on a virtual machine leaves it as well: a program then takes 80 ms to
//! start in the guest instead of 17. So a guest stays where it is, and the guests of one lvsctl share the processors out.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// On which processors guests of this process are.
static TAKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// A guest's processor, until it is dropped.
#[derive(Debug)]
pub(super) struct Processor(usize);

impl Processor {
    /// Takes the one that fewest guests have, of those that this process may run on.
    pub(super) fn take() -> io::Result<Self> {
        let own = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| own.is_set(*number)).collect();
        let mut taken = taken();
        // Another lvsctl most likely begins elsewhere.
        let from = usize::try_from(std::process::id()).unwrap_or_default() % allowed.len().max(1);
        let number = least_taken(&allowed, from, &taken).ok_or(io::ErrorKind::NotFound)?;
        taken.push(number);
        Ok(Processor(number))
    }

    /// Returns its number.
    pub(super) fn number(&self) -> usize {
        self.0
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        let mut taken = taken();
        if let Some(place) = taken.iter().position(|number| *number == self.0) {
            taken.swap_remove(place);
        }
    }
}

/// Keeps this process, and what it starts, on a processor.
pub(super) fn stay_on(number: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    if number < CpuSet::MAX_CPU {
        set.set(number);
    }
    Ok(sched_setaffinity(None, &set)?)
}

fn taken() -> MutexGuard<'static, Vec<usize>> {
    // Who panicked meanwhile had nothing half done.
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the first of those that are taken least, counted from a place in the list.
fn least_taken(allowed: &[usize], from: usize, taken: &[usize]) -> Option<usize> {
    let (before, after) = allowed.split_at_checked(from)?;
    let count = |number: &&usize| taken.iter().filter(|other| other == number).count();
    after.iter().chain(before).min_by_key(count).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_share_the_processors_out() {
        assert_eq!(least_taken(&[2, 3, 7], 0, &[]), Some(2));
        assert_eq!(least_taken(&[2, 3, 7], 2, &[]), Some(7));
        assert_eq!(least_taken(&[2, 3, 7], 0, &[2, 3]), Some(7));
        assert_eq!(least_taken(&[2, 3, 7], 1, &[7, 3]), Some(2));
        assert_eq!(least_taken(&[2, 3, 7], 0, &[7, 3, 2]), Some(2));
        assert_eq!(least_taken(&[], 0, &[]), None);
    }

    #[test]
    fn a_processor_is_free_again_when_its_guest_has_gone() {
        let numbers = || taken().clone();
        let guests: Vec<Processor> = (0..100).map(|_| Processor::take().unwrap()).collect();
        let count = |number: usize| numbers().iter().filter(|taken| **taken == number).count();
        let counts: Vec<usize> = guests.iter().map(|guest| count(guest.number())).collect();
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        drop(guests);
        assert_eq!(numbers(), Vec::<usize>::new());
    }

    #[test]
    fn a_thread_stays_where_it_is_told_to() {
        let all = sched_getaffinity(None).unwrap();
        let number = (0..CpuSet::MAX_CPU).rfind(|number| all.is_set(*number)).unwrap();
        let own = std::thread::spawn(move || {
            stay_on(number).unwrap();
            sched_getaffinity(None).unwrap()
        });
        let own = own.join().unwrap();
        assert_eq!(own.count(), 1);
        assert!(own.is_set(number));
    }
}
