//! `.txnindex`: the aborted transactions whose marker stands in this segment (Kafka's `AbortedTxn`, 34 bytes an entry).
//!
//! ```text
//!   0    2                10               18               26               34
//!   | 0  | producer id     | first offset   | marker offset  | last stable    |   big-endian
//! ```
//!
//! Made at the first abort: no file means that nothing was aborted in this segment.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::ops::Range;

use crate::ids::ProducerId;
use crate::offset::Offset;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 34;

const VERSION: u16 = 0;
const VERSION_BYTES: usize = 2;

/// A transaction that was aborted: its records between the offsets do not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AbortedTransaction {
    pub(crate) producer: ProducerId,
    pub(crate) first: Offset,
    /// The marker's offset.
    pub(crate) last: Offset,
    pub(crate) last_stable: Offset,
}

impl AbortedTransaction {
    /// Who began it.
    #[must_use]
    pub fn producer_id(&self) -> ProducerId {
        self.producer
    }

    /// Its first record in this partition.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        self.first
    }

    /// The abort marker.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.last
    }

    /// The last stable offset when it was aborted.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.last_stable
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (version, fields) = bytes.split_at_mut(VERSION_BYTES);
        version.copy_from_slice(&VERSION.to_be_bytes());
        let values = [
            self.producer.get(),
            self.first.to_i64(),
            self.last.to_i64(),
            self.last_stable.to_i64(),
        ];
        for (place, value) in fields.chunks_exact_mut(8).zip(values) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (version, fields) = bytes.split_first_chunk::<VERSION_BYTES>()?;
        if u16::from_be_bytes(*version) != VERSION {
            return None;
        }
        let (values, _) = fields.as_chunks::<8>();
        let mut values = values.iter().map(|value| i64::from_be_bytes(*value));
        Some(Self {
            producer: ProducerId::new(values.next()?)?,
            first: Offset::from_i64(values.next()?)?,
            last: Offset::from_i64(values.next()?)?,
            last_stable: Offset::from_i64(values.next()?)?,
        })
    }
}

/// Reads the index of a segment `base..end`; a short entry at the end is left out, as in Kafka. `None` when it is not one
/// that belongs to the segment: unknown version, markers that do not ascend or stand outside of the segment.
pub(super) fn decode(bytes: &[u8], base: Offset, end: Offset) -> Option<Vec<AbortedTransaction>> {
    let (chunks, _) = bytes.as_chunks::<ENTRY_BYTES>();
    let mut entries: Vec<AbortedTransaction> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let entry = AbortedTransaction::decode(chunk)?;
        let ascends = entries.last().is_none_or(|before| entry.last > before.last);
        let is_in_segment = entry.last >= base && entry.last < end;
        // A marker that aborts nothing has no entry, so zeros are none either; and all behind a marker is undecided when it is written.
        let is_possible =
            entry.first < entry.last && entry.last_stable <= entry.last.saturating_add(1);
        if !ascends || !is_in_segment || !is_possible {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

pub(super) fn encode(entries: &[AbortedTransaction]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.encode()).collect()
}

/// Of the file with these entries; `None` when there is none.
pub(super) fn checksum(entries: &[AbortedTransaction]) -> Option<u32> {
    (!entries.is_empty()).then(|| crc32fast::hash(&encode(entries)))
}

/// The entries that overlap `range`, and whether the search may end here: an entry whose last stable offset is at or
/// above `range.end` was met (`TransactionIndex.collectAbortedTxns`).
pub(super) fn overlapping(
    entries: &[AbortedTransaction],
    range: &Range<Offset>,
) -> (Vec<AbortedTransaction>, bool) {
    let mut found = Vec::new();
    for entry in entries {
        if entry.last >= range.start && entry.first < range.end {
            found.push(*entry);
        }
        if entry.last_stable >= range.end {
            return (found, true);
        }
    }
    (found, false)
}
