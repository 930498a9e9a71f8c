//! What a digest of an observed state rests on.

use super::super::digest::observation;
use super::{key, resource};
use crate::observe::Observation;
use crate::resource::{Entry, Manifest, Owned, Programmer, Resource, ResourceKey};
use crate::topology::{SecretText, TextPiece};

fn observed(names: &[&str], watched: bool) -> Observation {
    let mut observation = Observation::default();
    let programmer = if watched { Programmer::Keepalived } else { Programmer::Lvsctl };
    let mut manifest = Manifest::default();
    for name in names {
        let key = key(name);
        let owned = Owned { digest: "x".into(), programmer: Some(programmer), previous: None };
        manifest.owned.insert(key.clone(), owned);
        observation.state.insert(key.clone(), Entry::new(key.clone(), resource(&key, programmer)));
    }
    observation.manifest = Some(manifest);
    observation
}

fn set_weight(observation: &mut Observation, weight: u32) {
    for entry in observation.state.values_mut() {
        if let Resource::IpvsDestination { config, .. } = &mut entry.resource {
            config.weight = weight;
        }
    }
}

const NAMES: [&str; 6] = ["module x", "sysctl net/a", "vip", "marks", "service", "server 10.0.0.1"];

#[test]
fn counters_and_health_are_left_out() {
    let before = observed(&NAMES, true);
    let mut after = before.clone();
    after.state.values_mut().for_each(|entry| entry.connections = Some((7, 7)));
    set_weight(&mut after, 0);
    assert_eq!(observation(&before), observation(&after));
    after.state.retain(|key, _| !matches!(key, ResourceKey::IpvsDestination(..)));
    assert_eq!(observation(&before), observation(&after), "a destination that keepalived took out");
}

#[test]
fn everything_else_counts() {
    let before = observed(&NAMES, false);
    let mut weight = before.clone();
    set_weight(&mut weight, 0);
    assert_ne!(observation(&before), observation(&weight), "a weight that lvsctl programs");
    for name in NAMES {
        let mut after = before.clone();
        after.state.remove(&key(name));
        assert_ne!(observation(&before), observation(&after), "{name} is gone");
    }
    let mut after = before.clone();
    let sysctl = after.state.get_mut(&key("sysctl net/a")).unwrap();
    sysctl.resource = Resource::Sysctl("2".into());
    assert_ne!(observation(&before), observation(&after), "a value");
}

#[test]
fn a_password_cannot_be_guessed_from_it() {
    let with = |password: &str| {
        let mut observation = observed(&["vip"], false);
        let mut text = SecretText::plain("auth_pass ");
        text.push(TextPiece::Secret(Some(password.into())));
        let key = ResourceKey::KeepalivedConfiguration;
        observation.state.insert(key.clone(), Entry::new(key, Resource::File { text, mode: 0o600 }));
        let key = ResourceKey::KeepalivedDaemon;
        let configuration = Some(format!("digest of {password}"));
        observation.state.insert(key.clone(), Entry::new(key, Resource::Daemon { configuration }));
        observation
    };
    assert_eq!(observation(&with("one")), observation(&with("two")));
}
