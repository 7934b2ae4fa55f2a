//! A log on a simulated disk, worked on step by step beside a model of what it promised. The crash tests and the simulation drive it.

mod bench;
mod look;
mod model;
mod reading;
mod step;
mod subject;

use std::fmt;

pub(crate) use bench::{Bench, Eyes, Keeps, Setup, Since, TopicSetup};
pub(crate) use model::Kind;
pub(crate) use step::{Step, draw_step};

/// Splitmix: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Says where a check failed, so that it can be run again.
#[derive(Debug)]
pub(crate) struct Story<T: fmt::Debug>(pub(crate) T);

impl<T: fmt::Debug> Drop for Story<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("  in {:?}", self.0);
        }
    }
}
