//! The slow work of a log: retention, rolling of idle segments, forgetting of idle producers. One thread, or `maintain`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::LogCore;
use crate::error::Result;
use crate::limits;
use crate::partition::ClockWatch;
use crate::sync::{Condvar, Mutex};
use crate::timestamp::Clock;

/// Between two looks at all partitions.
const CHECK_INTERVAL: Duration = Duration::from_millis(limits::RETENTION_CHECK_INTERVAL_MS);
/// Before the first look: an adopted log gives its owner time to set the retention (`log.initial.task.delay.ms`).
const FIRST_CHECK: Duration = Duration::from_secs(30);

/// What the housekeeper remembers between rounds.
#[derive(Debug)]
pub(crate) struct Housekeeper {
    bell: Arc<Bell>,
    clock_watch: Mutex<ClockWatch>,
}

impl Housekeeper {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            bell: Arc::default(),
            clock_watch: Mutex::new(ClockWatch::new(clock)),
        }
    }

    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }
}

/// Wakes the housekeeper to stop.
#[derive(Debug, Default)]
pub(super) struct Bell {
    stopped: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    pub(super) fn stop(&self) {
        *self.stopped.lock() = true;
        self.rung.notify_all();
    }

    /// Waits; whether to stop.
    fn wait(&self, time: Duration) -> Ring {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.rung.wait_for(&mut stopped, time);
        }
        if *stopped { Ring::Stop } else { Ring::GoOn }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ring {
    GoOn,
    Stop,
}

/// Runs until the bell says stop or the log is gone.
pub(super) fn run(log: &Weak<LogCore>, bell: &Bell) {
    let mut wait = FIRST_CHECK;
    while bell.wait(wait) == Ring::GoOn {
        let Some(log) = log.upgrade() else { return };
        // A partition that cannot be worked on says so to whoever writes to it; the next round tries again.
        drop(log.housekeep(&|| Duration::MAX));
        wait = CHECK_INTERVAL;
    }
}

impl LogCore {
    /// One look at every partition, until the budget is used up.
    pub(super) fn housekeep(&self, left: &dyn Fn() -> Duration) -> Result<()> {
        let clock = self
            .housekeeper
            .clock_watch
            .lock()
            .look(&*self.shared.clock);
        let mut first = self.folder.lock().fill_reserve();
        for partition in self.partitions() {
            if left().is_zero() {
                break;
            }
            first = first.and(partition.core.housekeep(clock));
        }
        first
    }
}
