//! `Timestamp`, milliseconds of the Unix epoch as Kafka counts them, and `Clock`, the one place
//! from which the crate learns what time it is.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the one module that reads the system's clocks"
)]

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Milliseconds since 1970-01-01 00:00 UTC. Negative is before.
///
/// "No timestamp" (-1 in the format) is `Option::None`, never a value of this type that the crate
/// hands out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a timestamp from milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// From the format, where -1 says "none".
    pub(crate) const fn from_format(millis: i64) -> Option<Self> {
        if millis == -1 {
            None
        } else {
            Some(Self(millis))
        }
    }

    /// This time plus `by`, or the largest there is.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => {
                Self(i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms))
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let distance = Duration::from_millis(at.0.unsigned_abs());
        let time = if at.0 < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        };
        time.unwrap_or(UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a log gets its time from.
///
/// Two halves, because they answer different questions: `now` may jump when somebody sets the
/// clock, `monotonic` never does, and only both together show that a jump happened.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock. May go backwards.
    fn now(&self) -> SystemTime;
    /// Time since some fixed moment. Never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks, which a log uses unless it is given another.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Makes the clock; `monotonic` counts from here.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The moment at which somebody who waits now for at most `limit` stops waiting; `None` for ever. Waiting is for threads of the system, so
/// it goes by the system's clock, whatever clock a log was given.
pub(crate) fn deadline_after(limit: Duration) -> Option<Instant> {
    Instant::now().checked_add(limit)
}

/// How long somebody waits who waits until `deadline`.
#[cfg(all(test, shuttle))]
pub(crate) fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A clock that stands still until a test moves it.
///
/// ```
/// use std::time::Duration;
/// use stratalog::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(Timestamp::from(clock.now()).as_millis(), 1_700_000_002_000);
/// assert_eq!(clock.monotonic(), Duration::from_secs(2));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// A clock whose wall half shows `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self {
            wall_ms: AtomicI64::new(at.as_millis()),
            monotonic_ms: AtomicU64::new(0),
        }
    }

    /// Lets time pass: both halves move.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
        self.wall_ms
            .fetch_add(i64::try_from(ms).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall half, as an administrator would: the monotonic half does not move.
    pub fn set_wall(&self, at: Timestamp) {
        self.wall_ms.store(at.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst)).into()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_the_way_through_system_time_on_both_sides_of_1970() {
        for ms in [0, 1, -1, -86_400_000, 1_700_000_000_000] {
            let at = Timestamp::from_millis(ms);
            assert_eq!(Timestamp::from(SystemTime::from(at)), at);
        }
    }

    #[test]
    fn setting_the_wall_clock_leaves_the_monotonic_half_alone() {
        let clock = ManualClock::at(Timestamp::from_millis(5_000));
        clock.set_wall(Timestamp::from_millis(1));
        assert_eq!(clock.monotonic(), Duration::ZERO);
        assert_eq!(Timestamp::from(clock.now()).as_millis(), 1);
    }
}
