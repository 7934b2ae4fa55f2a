//! How many cases a law is tried with, for the tests of every floor.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use proptest::test_runner::{Config, RngSeed};

const COMMIT_CASES: u32 = 10_000;
const NIGHTLY_CASES: u32 = 1_000_000;

/// `BATTERY=nightly` tries a hundred times as many cases, `CASES=n` so many. A failing run prints its seed; `SEED=n` runs the same
/// cases again.
#[allow(clippy::print_stdout, reason = "a failing run must tell its seed")]
pub(crate) fn config() -> Config {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    let seed = number("SEED").unwrap_or_else(|| RandomState::new().hash_one(0u8));
    println!("SEED={seed}");
    let of_battery = match std::env::var("BATTERY").as_deref() {
        Ok("nightly") => NIGHTLY_CASES,
        _ => COMMIT_CASES,
    };
    let given = number("CASES").and_then(|cases| u32::try_from(cases).ok());
    Config {
        cases: given.unwrap_or(of_battery),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    }
}
