//! `.index`: last offset of a batch to its position, sparse (KAFKA-STORAGE's `OffsetIndex`, eight bytes an entry).
//!
//! ```text
//!   0               4               8
//!   | last offset   | position      |   big-endian; the offset counts from the segment's base
//! ```
//!
//! The first batch of a segment never has an entry, so neither an offset nor a position is ever 0 in a right one, and
//! zeros that a crash left behind the last entry are told from entries.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use super::scan::Claim;
use crate::offset::{FilePosition, Offset};

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 8;

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OffsetEntry {
    /// Distance of the batch's last offset from the segment's base.
    pub(super) last: u32,
    /// Where the batch starts.
    pub(super) position: FilePosition,
}

impl OffsetEntry {
    /// `None` when the offset is out of the segment's reach.
    pub(super) fn new(base: Offset, last: Offset, position: FilePosition) -> Option<Self> {
        let last = relative(base, last)?;
        Some(Self { last, position })
    }

    pub(super) fn last_offset(self, base: Offset) -> Offset {
        base.saturating_add(u64::from(self.last))
    }

    /// What the entry says of the batch; `before` is the entry before it.
    pub(super) fn claim(self, before: Option<Self>, base: Offset) -> Claim {
        Claim {
            position: self.position,
            last: self.last_offset(base),
            at_least: before.map_or(base, |before| before.last_offset(base).saturating_add(1)),
            base,
        }
    }

    pub(super) fn encode(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (offset, position) = bytes.split_at_mut(ENTRY_BYTES / 2);
        offset.copy_from_slice(&self.last.to_be_bytes());
        position.copy_from_slice(&self.position.get().to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (offset, position) = bytes.split_first_chunk::<4>()?;
        let position = position.first_chunk::<4>()?;
        Some(Self {
            last: u32::from_be_bytes(*offset),
            position: FilePosition::new(u32::from_be_bytes(*position)),
        })
    }
}

/// The distance of an offset from its segment's base, as the indexes store it: 31 bits.
pub(super) fn relative(base: Offset, offset: Offset) -> Option<u32> {
    let distance = offset.to_i64().checked_sub(base.to_i64())?;
    i32::try_from(distance).ok()?.try_into().ok()
}

/// Reads an index of a segment of `size` bytes that ends before `end`. `None` when it is not one that belongs to it: a size
/// that is no multiple of an entry's, offsets or positions that do not ascend, or that lie outside of the segment.
pub(super) fn decode(
    bytes: &[u8],
    base: Offset,
    end: Offset,
    size: FilePosition,
) -> Option<Vec<OffsetEntry>> {
    let (chunks, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let mut entries = Vec::with_capacity(chunks.len());
    let mut before = OffsetEntry {
        last: 0,
        position: FilePosition::ZERO,
    };
    for chunk in chunks {
        let entry = OffsetEntry::decode(chunk)?;
        let ascends = entry.last > before.last && entry.position > before.position;
        if !ascends || entry.position >= size || entry.last_offset(base) >= end {
            return None;
        }
        entries.push(entry);
        before = entry;
    }
    Some(entries)
}

pub(super) fn encode(entries: &[OffsetEntry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.encode()).collect()
}

/// The last entry whose offset is at or below `target` (Kafka's `lookup`), and the one before it. `None`: the segment's start.
pub(super) fn lookup(
    entries: &[OffsetEntry],
    base: Offset,
    target: Offset,
) -> Option<(OffsetEntry, Option<OffsetEntry>)> {
    let behind = entries.partition_point(|entry| entry.last_offset(base) <= target);
    let at = behind.checked_sub(1)?;
    let before = at.checked_sub(1).and_then(|at| entries.get(at)).copied();
    Some((*entries.get(at)?, before))
}

/// How many entries an index of `index_bytes` takes (`AbstractIndex.maxEntries`).
pub(super) fn max_entries(index_bytes: u32) -> usize {
    usize::try_from(index_bytes).unwrap_or(usize::MAX) / ENTRY_BYTES
}
