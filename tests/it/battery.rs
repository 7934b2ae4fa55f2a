//! How much of the battery a run does. By default what every commit is asked; with `BATTERY=nightly` what a night is.
//! `SEED=n` replays one case and nothing else.

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// `commit` or, with `BATTERY=nightly`, `nightly`.
pub(crate) fn effort(commit: u64, nightly: u64) -> u64 {
    match std::env::var("BATTERY").as_deref() {
        Err(_) | Ok("commit") => commit,
        Ok("nightly") => nightly,
        Ok(other) => panic!("BATTERY is commit or nightly, not {other}"),
    }
}

/// The seeds of a randomised test: as many as the effort, or the one of `SEED`.
pub(crate) fn seeds(commit: u64, nightly: u64) -> Range<u64> {
    let first = |name| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a seed is a number"))
    };
    match first("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = first("FIRST_SEED").unwrap_or(1);
            first..first + effort(commit, nightly)
        }
    }
}

/// The seeds that a bug was found with, and as many as the effort; or the one of `SEED`.
pub(crate) fn seeds_after(found: &[u64], commit: u64, nightly: u64) -> Vec<u64> {
    let drawn = seeds(commit, nightly);
    let is_replay = std::env::var_os("SEED").is_some();
    let found = if is_replay { &[] } else { found };
    found.iter().copied().chain(drawn).collect()
}

/// A number that a run is given by name, or the default.
pub(crate) fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap())
}

/// Says aloud that a test cannot run here, and why; `.ci/run` counts these lines.
pub(crate) fn skip(what: &str, why: &str) {
    say(format_args!("skipped, 1: {what}: {why}"));
}

/// Past the capture of a passing test's output, which would swallow it.
fn say(line: fmt::Arguments<'_>) {
    writeln!(std::io::stderr().lock(), "{line}").expect("standard error takes a line");
}

/// Counts cases from any thread, and prints the figure that a rung reports.
#[derive(Debug, Default)]
pub(crate) struct Cases(AtomicU64);

impl Cases {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails when a rung ran empty.
    pub(crate) fn report(&self, rung: &str, at_least: u64) {
        let cases = self.get();
        say(format_args!("battery, {rung}: {cases} cases"));
        assert!(
            cases >= at_least,
            "{rung} ran {cases} cases, not {at_least}"
        );
    }
}
