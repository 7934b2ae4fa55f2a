//! What a log counted. Numbers to look at; nothing in the crate decides on them.
//!
//! This module must never know what is counted, only how it is kept and shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What one partition counted since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PartitionStats {
    /// Records that were appended.
    pub appended_records: u64,
    /// Batches that were appended; one call of `append` or `submit` is one, a group commit is one for all its members.
    pub appended_batches: u64,
    /// Bytes of those batches as they are stored.
    pub appended_bytes: u64,
    /// Bytes that no sync has covered yet.
    pub unsynced_bytes: u64,
    /// Syncs that ended well; each covers everything appended before it began.
    pub syncs: u64,
    /// Time spent in them.
    pub sync_time: Duration,
    /// Segments that were sealed because a new one started.
    pub rolls: u64,
    /// Times the clock was more than a minute behind the last assigned timestamp, and was believed.
    pub clock_steps_back: u64,
    /// Appends that the medium refused because it was full.
    pub full_errors: u64,
    /// Appends that waited because the log had too many bytes that were not synced.
    pub stalls: u64,
    /// How bytes reach the page cache, and why this way.
    pub write_path: WritePathTaken,
}

/// The write path that a partition is on, with the reason.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WritePathTaken {
    /// `pwrite`: the only path of this version.
    #[default]
    Positional,
}

impl WritePathTaken {
    /// Why this path was taken, for people.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Positional => "positional: the only path of this version",
        }
    }
}

/// What a whole log counted since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Partitions that are open.
    pub partitions: u64,
    /// The sums over them.
    pub total: PartitionStats,
}

impl Stats {
    /// Adds a partition.
    pub(crate) fn add(&mut self, partition: &PartitionStats) {
        let total = &mut self.total;
        self.partitions += 1;
        total.appended_records += partition.appended_records;
        total.appended_batches += partition.appended_batches;
        total.appended_bytes += partition.appended_bytes;
        total.unsynced_bytes += partition.unsynced_bytes;
        total.syncs += partition.syncs;
        total.sync_time += partition.sync_time;
        total.rolls += partition.rolls;
        total.clock_steps_back += partition.clock_steps_back;
        total.full_errors += partition.full_errors;
        total.stalls += partition.stalls;
        total.write_path = partition.write_path;
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a partition counts while it runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appended_records: Counter,
    pub(crate) appended_batches: Counter,
    pub(crate) appended_bytes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) sync_micros: Counter,
    pub(crate) rolls: Counter,
    pub(crate) clock_steps_back: Counter,
    pub(crate) full_errors: Counter,
    pub(crate) stalls: Counter,
}

impl Counters {
    /// The counts now; each is right, all together need not be of one moment.
    pub(crate) fn look(&self, unsynced_bytes: u64) -> PartitionStats {
        PartitionStats {
            appended_records: self.appended_records.get(),
            appended_batches: self.appended_batches.get(),
            appended_bytes: self.appended_bytes.get(),
            unsynced_bytes,
            syncs: self.syncs.get(),
            sync_time: Duration::from_micros(self.sync_micros.get()),
            rolls: self.rolls.get(),
            clock_steps_back: self.clock_steps_back.get(),
            full_errors: self.full_errors.get(),
            stalls: self.stalls.get(),
            write_path: WritePathTaken::Positional,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_the_sums_over_its_partitions() {
        let counters = Counters::default();
        counters.appended_records.add(3);
        counters.sync_micros.add(1_500);
        let mut stats = Stats::default();
        stats.add(&counters.look(7));
        stats.add(&counters.look(5));
        assert_eq!(stats.partitions, 2);
        assert_eq!(stats.total.appended_records, 6);
        assert_eq!(stats.total.unsynced_bytes, 12);
        assert_eq!(stats.total.sync_time, Duration::from_millis(3));
    }
}
