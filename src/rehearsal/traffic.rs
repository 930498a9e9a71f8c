//! Requests from the client to the services, counted by who answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::client;
use super::layout::CLIENT;
use super::namespace::{join, within};
use super::report::Traffic;
use super::target::{Language, Target};
use crate::topology::HostName;

/// How long one request may take. A packet that is lost twice is sent again after 1 s and after 3 s (RFC 6298), and a machine
/// that is busy stands still for a second or two.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request that only asks whether a service is ready may take: the first one, so much longer each further one, and
/// at most. On a machine that is busy an answer that comes takes its time as well.
const READY_TIMEOUT: Duration = Duration::from_millis(500);
const LONGEST_READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Time between two such requests.
const READY_PAUSE: Duration = Duration::from_millis(50);

/// How many clients ask at once.
const CLIENTS: u32 = 8;

/// How many errors a report quotes.
const QUOTED_ERRORS: usize = 3;

/// Waits until a service has answered once; tells why not if it does not before the deadline.
pub fn await_answer(target: &Target, deadline: Instant) -> Result<(), String> {
    within(CLIENT, || {
        let mut patience = READY_TIMEOUT;
        loop {
            match one(target, patience) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(READY_PAUSE),
            }
            patience = (patience + READY_TIMEOUT).min(LONGEST_READY_TIMEOUT);
        }
    })
}

/// Sends requests to a service and counts the answers.
pub fn ask(target: &Target, requests: u32) -> Traffic {
    let mut answers: Vec<Result<String, String>> = Vec::new();
    if target.language.is_some() {
        std::thread::scope(|scope| {
            let shares = (0..CLIENTS).map(|client| requests / CLIENTS + u32::from(client < requests % CLIENTS));
            let clients: Vec<_> = shares.map(|share| scope.spawn(move || in_turn(target, share))).collect();
            for client in clients {
                answers.extend(client.join().unwrap_or_else(|_| vec![Err("a client panicked".to_owned())]));
            }
        });
    }
    tally(target, answers)
}

fn in_turn(target: &Target, count: u32) -> Vec<Result<String, String>> {
    if let Err(error) = join(CLIENT) {
        return vec![Err(error); count as usize];
    }
    match target.language {
        Some(Language::Https) if count > 0 => client::tls_pages(target.address(), count, REQUEST_TIMEOUT),
        _ => (0..count).map(|_| one(target, REQUEST_TIMEOUT)).collect(),
    }
}

/// Sends one request on a thread that is in the client's namespace.
pub fn one(target: &Target, timeout: Duration) -> Result<String, String> {
    match target.language {
        Some(Language::Http) => client::fresh_page(target.address(), timeout),
        Some(Language::Datagram) => client::datagram(target.address(), timeout),
        Some(Language::Mail) => client::greeting(target.address(), timeout),
        Some(Language::Https) => {
            client::tls_pages(target.address(), 1, timeout).pop().unwrap_or_else(|| Err("no result".to_owned()))
        }
        None => Err(format!("a rehearsal does not speak {}", target.protocol)),
    }
}

fn tally(target: &Target, answers: Vec<Result<String, String>>) -> Traffic {
    let requests = answers.len() as u32;
    let mut spread: BTreeMap<HostName, u32> = target.weights.keys().map(|host| (host.clone(), 0)).collect();
    let mut errors: Vec<String> = Vec::new();
    let mut failed = 0;
    for answer in answers {
        match answer {
            Ok(host) => *spread.entry(HostName::new(&host)).or_default() += 1,
            Err(error) => {
                failed += 1;
                if errors.len() < QUOTED_ERRORS && !errors.contains(&error) {
                    errors.push(error);
                }
            }
        }
    }
    Traffic {
        vip: target.vip,
        service: target.service.clone(),
        protocol: target.protocol,
        port: target.port,
        scheduler: target.scheduler.clone(),
        requests,
        answered: requests - failed,
        failed,
        errors,
        spread,
        weights: target.weights.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::target::targets;
    use crate::topology::fixture::reference_site;

    #[test]
    fn answers_are_counted_by_host_and_errors_quoted_once() {
        let target = &targets(&reference_site())[0];
        let refused = || Err("Connection refused".to_owned());
        let answers =
            vec![Ok("web1".to_owned()), Ok("web1".to_owned()), refused(), refused(), Err("timed out".to_owned())];
        let traffic = tally(target, answers);
        assert_eq!((traffic.requests, traffic.answered, traffic.failed), (5, 2, 3));
        assert_eq!(traffic.errors, ["Connection refused", "timed out"]);
        assert_eq!(traffic.spread, BTreeMap::from([(HostName::new("web1"), 2), (HostName::new("web2"), 0)]));
    }
}
