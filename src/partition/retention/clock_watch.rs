//! Whether ages can be believed: the wall clock held against the monotonic one.

use std::time::Duration;

use crate::limits::RETENTION_CHECK_INTERVAL_MS;
use crate::timestamp::{Clock, Timestamp};

/// A difference between the two halves of the clock above this is a jump.
const LARGEST_DRIFT: Duration = Duration::from_secs(60);

/// Whether the clock can be believed about ages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClockState {
    Steady,
    Jumped,
}

/// Holds the two halves of the clock against each other, round by round. A jump while the log was closed cannot be told from time
/// passing.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    wall: Timestamp,
    monotonic: Duration,
    /// Steady again once the monotonic half passes it.
    paused_until: Option<Duration>,
}

impl ClockWatch {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now().into(),
            monotonic: clock.monotonic(),
            paused_until: None,
        }
    }

    /// A round's look.
    pub(crate) fn look(&mut self, clock: &dyn Clock) -> ClockState {
        let (wall, monotonic) = (Timestamp::from(clock.now()), clock.monotonic());
        let passed = monotonic.saturating_sub(self.monotonic);
        let expected = self.wall.saturating_add(passed);
        let drift = wall
            .saturating_since(expected)
            .max(expected.saturating_since(wall));
        (self.wall, self.monotonic) = (wall, monotonic);
        if drift > LARGEST_DRIFT {
            let interval = Duration::from_millis(RETENTION_CHECK_INTERVAL_MS);
            self.paused_until = Some(monotonic.saturating_add(interval));
        }
        match self.paused_until {
            Some(until) if monotonic < until => ClockState::Jumped,
            _ => {
                self.paused_until = None;
                ClockState::Steady
            }
        }
    }
}
