//! Runs a test in many orders of its threads, and says how many.
//!
//! A failing order is printed by shuttle as one word. `SCHEDULE=word`, with the name of the one test, runs that order again and
//! nothing else. `FIRST_SEED=n` draws others; `BATTERY=nightly` draws fifty times as many.

use std::sync::Arc;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

#[allow(dead_code, reason = "shared with the tests from outside of the crate")]
#[path = "../../tests/it/battery.rs"]
mod battery;

use battery::Cases;

/// Each nightly run is this many of a commit.
const NIGHTLY_TIMES: u64 = 50;
/// Changes of priority that the second half of the draws may make: a fault that needs more is rare.
const DEPTH: usize = 4;

/// Every order that there is, which must be at most `most`.
pub(crate) fn every_order(name: &str, most: u64, test: impl Fn() + Send + Sync + 'static) {
    let test = Counted::new(test);
    if test.replayed() {
        return;
    }
    let bound = usize::try_from(most).expect("a small number");
    test.run(DfsScheduler::new(Some(bound), false));
    test.cases
        .report(&format!("schedules, {name}, every one"), 1);
    let all = test.cases.get();
    assert!(all < most, "{name}: the orders do not end before {most}");
}

/// `commit` orders by chance: one half with each next thread drawn, the other by drawn priorities.
pub(crate) fn drawn_orders(name: &str, commit: u64, test: impl Fn() + Send + Sync + 'static) {
    let test = Counted::new(test);
    if test.replayed() {
        return;
    }
    let seeds = battery::seeds(commit, commit * NIGHTLY_TIMES);
    let count = usize::try_from(seeds.end - seeds.start).expect("a small number");
    let half = count.div_ceil(2);
    test.run(RandomScheduler::new_from_seed(seeds.start, half));
    test.run(PctScheduler::new_from_seed(
        seeds.start,
        DEPTH,
        count - half,
    ));
    let at_least = u64::try_from(count).expect("a small number");
    test.cases.report(&format!("schedules, {name}"), at_least);
}

/// A test that counts its runs.
struct Counted<T> {
    test: Arc<T>,
    cases: Arc<Cases>,
}

impl<T: Fn() + Send + Sync + 'static> Counted<T> {
    fn new(test: T) -> Self {
        Self {
            test: Arc::new(test),
            cases: Arc::default(),
        }
    }

    fn run(&self, scheduler: impl Scheduler + 'static) {
        let (test, cases) = (Arc::clone(&self.test), Arc::clone(&self.cases));
        let mut config = Config::new();
        config.stack_size = 1 << 18;
        config.silence_warnings = true;
        Runner::new(scheduler, config).run(move || {
            super::scheduled::forget_held();
            test();
            cases.count();
        });
    }

    /// Runs the order of `SCHEDULE` again, if there is one.
    fn replayed(&self) -> bool {
        let Ok(schedule) = std::env::var("SCHEDULE") else {
            return false;
        };
        self.run(ReplayScheduler::new_from_encoded(&schedule));
        true
    }
}
