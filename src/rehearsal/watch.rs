//! A steady stream of requests to one service, to see for how long it is away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::TlsWatch;
use super::layout::CLIENT;
use super::namespace::{join, within};
use super::target::{Language, Target};
use super::traffic::one;

/// Time between two requests.
const EVERY: Duration = Duration::from_millis(50);

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A request of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was sent.
    pub sent: Instant,
    /// Whether it was answered.
    pub answered: bool,
}

type Samples = Arc<Mutex<Vec<Sample>>>;

/// The stream; it ends when it is finished or dropped.
pub struct Watch {
    samples: Samples,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    tls: Option<TlsWatch>,
}

impl Watch {
    /// Starts a stream of requests; none for a protocol that the rehearsal does not speak.
    pub fn start(target: &Target) -> Result<Self, String> {
        let samples = Samples::default();
        let stop = Arc::new(AtomicBool::new(false));
        let mut watch = Watch { samples: samples.clone(), stop: stop.clone(), thread: None, tls: None };
        let note = move |sent, answered| {
            samples.lock().unwrap_or_else(PoisonError::into_inner).push(Sample { sent, answered });
        };
        match target.language {
            None => {}
            Some(Language::Https) => {
                watch.tls = Some(within(CLIENT, || TlsWatch::start(target.address(), EVERY, TIMEOUT, note))?);
            }
            Some(_) => {
                let target = target.clone();
                watch.thread = Some(std::thread::spawn(move || {
                    let joined = join(CLIENT).is_ok();
                    while joined && !stop.load(Ordering::Relaxed) {
                        let sent = Instant::now();
                        note(sent, one(&target, TIMEOUT).is_ok());
                        std::thread::sleep(EVERY.saturating_sub(sent.elapsed()));
                    }
                }));
            }
        }
        Ok(watch)
    }

    /// Returns how many requests were answered so far.
    pub fn answered(&self) -> usize {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().filter(|sample| sample.answered).count()
    }

    /// Tells whether requests are sent at all.
    pub fn is_speaking(&self) -> bool {
        self.thread.is_some() || self.tls.is_some()
    }

    /// Ends the stream and returns what was sent since a moment, in the order of sending.
    pub fn finish(mut self, since: Instant) -> Vec<Sample> {
        self.end();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples: Vec<Sample> = samples.iter().copied().filter(|sample| sample.sent >= since).collect();
        samples.sort_by_key(|sample| sample.sent);
        samples
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tls = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the longest time without an answer: from the first of a row of failed requests to the next answered one.
pub fn longest_outage(samples: &[Sample]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut since: Option<Instant> = None;
    for sample in samples {
        let began = since.unwrap_or(sample.sent);
        if since.is_some() || !sample.answered {
            longest = longest.max(sample.sent - began);
        }
        since = if sample.answered { None } else { Some(began) };
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(samples: &[(u64, bool)]) -> u64 {
        let start = Instant::now();
        let at = |(millis, answered): &(u64, bool)| Sample {
            sent: start + Duration::from_millis(*millis),
            answered: *answered,
        };
        longest_outage(&samples.iter().map(at).collect::<Vec<_>>()).as_millis() as u64
    }

    #[test]
    fn an_outage_lasts_from_the_first_failure_to_the_next_answer() {
        assert_eq!(outage(&[(0, true), (50, true)]), 0);
        assert_eq!(outage(&[(0, true), (50, false), (150, false), (400, true), (450, false), (500, true)]), 350);
        assert_eq!(outage(&[(0, false), (90, false)]), 90);
        assert_eq!(outage(&[]), 0);
    }
}
