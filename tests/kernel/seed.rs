//! The seed of everything that is random in a run: chosen and shown before the guests are booted, which all get the same.

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

/// The variable that asks for a seed.
pub const SEED_VARIABLE: &str = "LVSCTL_TEST_SEED";

/// Returns the seed that is asked for, or else the time.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs()),
    })
}
