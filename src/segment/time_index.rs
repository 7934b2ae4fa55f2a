//! `.timeindex`: the largest timestamp up to an offset (Kafka's `TimeIndex`, twelve bytes an entry).
//!
//! ```text
//!   0                               8              12
//!   | timestamp                     | offset        |   big-endian; the offset counts from the segment's base
//! ```
//!
//! The offset is the last one of the earliest batch that has this maximum. Timestamps strictly ascend, offsets never go
//! back, and the last entry of a sealed segment is its largest timestamp.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use super::offset_index::relative;
use crate::offset::Offset;
use crate::timestamp::Timestamp;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 12;

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimeEntry {
    pub(super) timestamp: Timestamp,
    /// Distance of the offset from the segment's base.
    pub(super) last: u32,
}

impl TimeEntry {
    /// `None` when the offset is out of the segment's reach.
    pub(super) fn new(base: Offset, timestamp: Timestamp, last: Offset) -> Option<Self> {
        let last = relative(base, last)?;
        Some(Self { timestamp, last })
    }

    pub(super) fn offset(self, base: Offset) -> Offset {
        base.saturating_add(u64::from(self.last))
    }

    pub(super) fn encode(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (timestamp, offset) = bytes.split_at_mut(8);
        timestamp.copy_from_slice(&self.timestamp.as_millis().to_be_bytes());
        offset.copy_from_slice(&self.last.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (timestamp, offset) = bytes.split_first_chunk::<8>()?;
        let offset = offset.first_chunk::<4>()?;
        Some(Self {
            timestamp: Timestamp::from_millis(i64::from_be_bytes(*timestamp)),
            last: u32::from_be_bytes(*offset),
        })
    }
}

/// Reads a time index of a segment that ends before `end`. `None` when it is not one that belongs to it: a size that is no
/// multiple of an entry's, timestamps that do not ascend, offsets that go back or lie outside of the segment.
pub(super) fn decode(bytes: &[u8], base: Offset, end: Offset) -> Option<Vec<TimeEntry>> {
    let (chunks, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let mut entries: Vec<TimeEntry> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let entry = TimeEntry::decode(chunk)?;
        let ascends = match entries.last() {
            Some(before) => entry.timestamp > before.timestamp && entry.last >= before.last,
            // Kafka starts from "none", which is -1.
            None => entry.timestamp.as_millis() > -1,
        };
        if !ascends || entry.offset(base) >= end {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

pub(super) fn encode(entries: &[TimeEntry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.encode()).collect()
}

/// The last entry whose timestamp is at or below `target` (Kafka's `lookup`). `None`: the segment's start.
pub(super) fn lookup(entries: &[TimeEntry], target: Timestamp) -> Option<TimeEntry> {
    let behind = entries.partition_point(|entry| entry.timestamp <= target);
    entries.get(behind.checked_sub(1)?).copied()
}

/// How many entries a time index of `index_bytes` takes, the closing one not counted: its slot is kept free
/// (`TimeIndex.isFull`).
pub(super) fn max_entries(index_bytes: u32) -> usize {
    let slots = usize::try_from(index_bytes).unwrap_or(usize::MAX) / ENTRY_BYTES;
    slots.saturating_sub(1)
}
