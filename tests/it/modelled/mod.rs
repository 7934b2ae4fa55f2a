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
