//! The seed of everything that is random in a run: shown before the guests are booted, which all get the same.

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

/// The variable that asks for a seed.
pub const SEED_VARIABLE: &str = "LVSCTL_TEST_SEED";

/// The seed of `make test`: a change is not to be held up by what another draw would have found before it as well. `make soak`
/// draws a new one each time.
const FIXED: u64 = 1;

/// Returns the seed that is asked for, or else the fixed one, or in a soak the time.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) if crate::soak().is_none() => FIXED,
        Err(_) => UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs()),
    })
}
