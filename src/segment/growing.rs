//! What stands beside a segment while it grows: index entries, the largest timestamp and the prefix checksum, derived
//! batch by batch, by an append and by a rebuild alike.
//!
//! The newest batches have a position each, so that reading near the end finds its batch at once; the entries that go to
//! the files are sparse, as Kafka's are. This module must never know of a file.

use std::collections::VecDeque;

use super::offset_index::{self, OffsetEntry};
use super::scan::Claim;
use super::time_index::{self, TimeEntry};
use super::{AbortedTransaction, SegmentSettings};
use crate::batch::{BatchHeader, PREFIX_BYTES};
use crate::offset::{FilePosition, Offset};
use crate::timestamp::Timestamp;

/// Batches with a position each: 512 KiB of memory at most.
const DENSE_BATCHES: usize = 64 << 10;

/// CRC-32 over the first 17 bytes of each batch, one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct PrefixCrc(u32);

impl PrefixCrc {
    /// `batch` starts with a whole header.
    pub(super) fn add(&mut self, batch: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(batch.get(..PREFIX_BYTES).unwrap_or(batch));
        self.0 = hasher.finalize();
    }

    pub(super) fn get(self) -> u32 {
        self.0
    }
}

/// The largest record timestamp, and the last offset of the earliest batch that has it (KAFKA-16310).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LargestTimestamp {
    pub(super) timestamp: Timestamp,
    pub(super) last: Offset,
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct GrowingIndexes {
    base: Offset,
    settings: SegmentSettings,
    /// What goes to `.index`.
    sparse: Vec<OffsetEntry>,
    /// The prefix checksum of all batches before each sparse entry, for a truncation; empty when it is not known.
    prefix_before: Vec<PrefixCrc>,
    /// The newest batches, each with its position.
    dense: VecDeque<OffsetEntry>,
    /// What goes to `.timeindex`.
    times: Vec<TimeEntry>,
    /// What `.txnindex` holds already.
    aborted: Vec<AbortedTransaction>,
    largest: Option<LargestTimestamp>,
    first_timestamp: Option<Timestamp>,
    /// Of all batches; `None` when some of them were not read.
    prefix_crc: Option<PrefixCrc>,
    bytes_since_entry: u64,
}

impl GrowingIndexes {
    pub(super) fn new(base: Offset, settings: SegmentSettings) -> Self {
        Self {
            base,
            settings,
            sparse: Vec::new(),
            prefix_before: Vec::new(),
            dense: VecDeque::new(),
            times: Vec::new(),
            aborted: Vec::new(),
            largest: None,
            first_timestamp: None,
            prefix_crc: Some(PrefixCrc::default()),
            bytes_since_entry: 0,
        }
    }

    /// Goes on from indexes that were read from their files; the batches below them are not read.
    pub(super) fn from_files(
        base: Offset,
        settings: SegmentSettings,
        sparse: Vec<OffsetEntry>,
        times: Vec<TimeEntry>,
        aborted: Vec<AbortedTransaction>,
        first_timestamp: Option<Timestamp>,
    ) -> Self {
        let largest = times.last().map(|entry| LargestTimestamp {
            timestamp: entry.timestamp,
            last: entry.offset(base),
        });
        Self {
            sparse,
            times,
            aborted,
            largest,
            first_timestamp,
            prefix_crc: None,
            ..Self::new(base, settings)
        }
    }

    /// Takes in a batch whose bytes are `bytes` and that stands at `position`, behind all batches before.
    pub(super) fn add(&mut self, header: &BatchHeader, bytes: &[u8], position: FilePosition) {
        self.note_timestamp(header, position);
        self.add_entries(header, position);
        self.bytes_since_entry += u64::from(header.size_bytes());
        if let Some(crc) = &mut self.prefix_crc {
            crc.add(bytes);
        }
    }

    /// As `add`, of a batch that the index files cover already: for the newest positions and the maximum.
    pub(super) fn add_covered(&mut self, header: &BatchHeader, position: FilePosition) {
        self.note_timestamp(header, position);
        self.add_dense(header, position);
    }

    /// The checksum of all prefixes will not be known: a part of the segment was passed over.
    pub(super) fn forget_prefix_crc(&mut self) {
        self.prefix_crc = None;
        self.prefix_before.clear();
    }

    fn note_timestamp(&mut self, header: &BatchHeader, position: FilePosition) {
        if position == FilePosition::ZERO {
            self.first_timestamp = header.max_timestamp();
        }
        // Kafka starts its maximum at -1 and never goes below.
        let timestamp = header.max_timestamp().filter(|at| at.as_millis() >= 0);
        if let Some(timestamp) = timestamp
            && self
                .largest
                .is_none_or(|largest| timestamp > largest.timestamp)
        {
            self.largest = Some(LargestTimestamp {
                timestamp,
                last: header.last_offset(),
            });
        }
    }

    /// Entries come when more than the interval was written since the last one, before this batch: so the first batch
    /// never has one (`LogSegment.append`).
    fn add_entries(&mut self, header: &BatchHeader, position: FilePosition) {
        self.add_dense(header, position);
        if self.bytes_since_entry <= u64::from(self.settings.index_interval_bytes) {
            return;
        }
        if self.sparse.len() < offset_index::max_entries(self.settings.index_bytes)
            && let Some(entry) = OffsetEntry::new(self.base, header.last_offset(), position)
        {
            self.sparse.push(entry);
            self.prefix_before.extend(self.prefix_crc);
        }
        if self.times.len() < time_index::max_entries(self.settings.index_bytes) {
            self.add_time_entry();
        }
        self.bytes_since_entry = 0;
    }

    fn add_dense(&mut self, header: &BatchHeader, position: FilePosition) {
        if self.dense.len() == DENSE_BATCHES {
            self.dense.pop_front();
        }
        let entry = OffsetEntry::new(self.base, header.last_offset(), position);
        self.dense.extend(entry);
    }

    /// The closing entry of the time index: after it the last entry is the largest timestamp.
    pub(super) fn add_time_entry(&mut self) {
        let Some(largest) = self.largest else { return };
        let is_larger = self
            .times
            .last()
            .is_none_or(|last| largest.timestamp > last.timestamp);
        if is_larger {
            let entry = TimeEntry::new(self.base, largest.timestamp, largest.last);
            self.times.extend(entry);
        }
    }

    /// The options may have changed since the batches were read.
    pub(super) fn use_settings(&mut self, settings: SegmentSettings) {
        self.settings = settings;
    }

    /// An index that takes no further entry.
    pub(super) fn is_full(&self) -> bool {
        self.sparse.len() >= offset_index::max_entries(self.settings.index_bytes)
            || self.times.len() >= time_index::max_entries(self.settings.index_bytes)
    }

    pub(super) fn sparse(&self) -> &[OffsetEntry] {
        &self.sparse
    }

    pub(super) fn times(&self) -> &[TimeEntry] {
        &self.times
    }

    pub(super) fn aborted(&self) -> &[AbortedTransaction] {
        &self.aborted
    }

    pub(super) fn add_aborted(&mut self, aborted: AbortedTransaction) {
        self.aborted.push(aborted);
    }

    pub(super) fn largest(&self) -> Option<LargestTimestamp> {
        self.largest
    }

    pub(super) fn first_timestamp(&self) -> Option<Timestamp> {
        self.first_timestamp
    }

    pub(super) fn prefix_crc(&self) -> Option<u32> {
        self.prefix_crc.map(PrefixCrc::get)
    }

    /// Where to start for `target`: the batch that holds it when it is one of the newest, else an indexed one before it.
    pub(super) fn claim(&self, target: Offset) -> Option<Claim> {
        let behind = self
            .dense
            .partition_point(|entry| entry.last_offset(self.base) < target);
        let near = match self.dense.get(behind) {
            Some(entry) if behind > 0 => Some((*entry, self.dense.get(behind - 1).copied())),
            Some(_) => None,
            // Above all batches: the last one will do.
            None => {
                let before = self.dense.len().checked_sub(2);
                let before = before.and_then(|at| self.dense.get(at)).copied();
                self.dense.back().map(|entry| (*entry, before))
            }
        };
        let (entry, before) =
            near.or_else(|| offset_index::lookup(&self.sparse, self.base, target))?;
        Some(entry.claim(before, self.base))
    }

    /// The last indexed batch that ends below `target`, so that it stays when `target` is cut off.
    pub(super) fn claim_below(&self, target: Offset) -> Option<Claim> {
        let behind = self
            .dense
            .partition_point(|entry| entry.last_offset(self.base) < target);
        let near = behind.checked_sub(1).and_then(|at| {
            let before = at.checked_sub(1).and_then(|at| self.dense.get(at));
            Some((*self.dense.get(at)?, before.copied()))
        });
        let (entry, before) = match target.get().checked_sub(1) {
            Some(_) => near.or_else(|| {
                offset_index::lookup(&self.sparse, self.base, target.saturating_sub(1))
            }),
            None => None,
        }?;
        Some(entry.claim(before, self.base))
    }

    /// Indexed positions above `position`, ascending.
    pub(super) fn positions_above(&self, position: FilePosition) -> Vec<FilePosition> {
        let newest = self.dense.front().map(|entry| entry.position);
        let older = self
            .sparse
            .iter()
            .map(|entry| entry.position)
            .take_while(|at| newest.is_none_or(|newest| *at < newest));
        let all = older.chain(self.dense.iter().map(|entry| entry.position));
        all.filter(|at| *at > position).collect()
    }

    /// Forgets all that lies at or above `end`; what must be read again is told.
    pub(super) fn truncate(&mut self, end: Offset) -> ReadAgain {
        let base = self.base;
        self.sparse
            .truncate(self.sparse.partition_point(|e| e.last_offset(base) < end));
        self.dense
            .truncate(self.dense.partition_point(|e| e.last_offset(base) < end));
        self.times
            .truncate(self.times.partition_point(|e| e.offset(base) < end));
        self.aborted
            .truncate(self.aborted.partition_point(|e| e.last < end));
        self.bytes_since_entry = 0;
        if end <= base {
            self.first_timestamp = None;
        }
        self.largest = self.times.last().map(|entry| LargestTimestamp {
            timestamp: entry.timestamp,
            last: entry.offset(base),
        });
        let timestamps_from = self.largest.map_or(base, |largest| largest.last);
        let timestamps_from = offset_index::lookup(&self.sparse, base, timestamps_from)
            .map_or(FilePosition::ZERO, |(entry, _)| entry.position);
        let prefixes_from = self.truncate_prefix_crc();
        ReadAgain {
            timestamps_from,
            prefixes_from,
        }
    }

    /// The checksum as it was before the last entry that is left; `None` when it was not known anyway.
    fn truncate_prefix_crc(&mut self) -> Option<FilePosition> {
        self.prefix_crc?;
        self.prefix_before.truncate(self.sparse.len());
        let last = self.sparse.last().zip(self.prefix_before.last());
        let (position, crc) = match last {
            Some((entry, crc)) => (entry.position, *crc),
            None => (FilePosition::ZERO, PrefixCrc::default()),
        };
        self.prefix_crc = Some(crc);
        Some(position)
    }

    /// A batch that was read again after a truncation.
    pub(super) fn add_again(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
        position: FilePosition,
        what: ReadAgain,
    ) {
        if position >= what.timestamps_from {
            self.note_timestamp(header, position);
        }
        if let Some(from) = what.prefixes_from
            && position >= from
            && let Some(crc) = &mut self.prefix_crc
        {
            crc.add(bytes);
        }
    }
}

/// From where batches must be read again after a truncation.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAgain {
    timestamps_from: FilePosition,
    prefixes_from: Option<FilePosition>,
}

impl ReadAgain {
    pub(super) fn from(&self) -> FilePosition {
        self.prefixes_from
            .map_or(self.timestamps_from, |at| at.min(self.timestamps_from))
    }
}
