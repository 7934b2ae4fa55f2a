//! Walks a segment from its start and derives what stands beside it: indexes, largest timestamp, prefix checksum, end.
//!
//! This module decides nothing about what a bad spot means; the caller says up to which offset the log is known to have
//! been durable.

use std::sync::Arc;

use super::active::SealedFacts;
use super::growing::GrowingIndexes;
use super::scan::{BadSpot, Expectations, Step, WalkStart, WalkedBatch, Walker};
use super::{AbortedTransaction, FileName, SegmentHome, SegmentSettings};
use super::{offset_index, time_index, txn_index};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::offset::{FilePosition, Offset};
use crate::storage::{Access, replace_file};
use crate::timestamp::Timestamp;

/// What a walk over a whole segment found. Opaque to floors above but for the fields and getters.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    /// Where the walk stopped; `None`: the file ends exactly behind its last batch.
    pub(crate) bad: Option<BadSpot>,
    /// What was passed over, ascending.
    pub(crate) gaps: Vec<SegmentGap>,
    pub(crate) base: Offset,
    /// Behind the last good batch.
    pub(crate) end: Offset,
    /// Bytes up to there.
    pub(crate) valid: FilePosition,
    /// Bytes of the file.
    pub(crate) file_bytes: u64,
    pub(super) indexes: GrowingIndexes,
}

/// Offsets of a segment that cannot be read, with good batches behind them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentGap {
    pub(crate) from: Offset,
    /// Where reading goes on.
    pub(crate) to: Offset,
    pub(crate) position: FilePosition,
    pub(crate) cause: GapKind,
}

/// Why a walk passed over bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GapKind {
    /// Wrong bytes; says what is wrong.
    Damaged(&'static str),
    /// Message format 0 or 1.
    OldFormat,
}

/// Walks the `.log` of the segment at `base`; `visit` sees each good batch in order (folds of producers, epochs,
/// transactions). Reads the files and writes nothing.
///
/// A bad spot is passed over, as a gap, when what is lost lies below `skip_below` (the durable end); above it the log ends there.
///
/// # Errors
/// What the medium or `visit` says; `NotFound` without a `.log`; `Unsupported` for a file above 2 GiB.
pub(crate) fn rebuild(
    home: &SegmentHome,
    base: Offset,
    expect: impl Into<Expectations>,
    settings: SegmentSettings,
    skip_below: Offset,
    visit: &mut dyn FnMut(&WalkedBatch) -> Result<()>,
) -> Result<Rebuilt> {
    let path = home.path(FileName::Log(base));
    let file = home.storage.open(&path, Access::Read)?;
    let file_bytes = file.len()?;
    let end = FilePosition::from_u64(file_bytes)
        .filter(|end| end.get() <= limits::MAX_SEGMENT_BYTES)
        .ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the segment is above 2 GiB").path_is(&path)
        })?;
    let Expectations { rule, epochs } = expect.into();
    let start = WalkStart {
        position: FilePosition::ZERO,
        end,
        expected: base,
        rule,
        max_decompressed_bytes: limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
    };
    let mut walker = Walker::new(Arc::clone(&file), &path, start);
    walker.hold_against(epochs);
    let mut walk = Walk {
        indexes: GrowingIndexes::new(base, settings),
        gaps: Vec::new(),
        skip_below,
        visit,
    };
    let bad = walk.run(&mut walker)?;
    // A spot that reading does not get past is no part of the segment, wherever the search for more has led to.
    let (end, valid) = match &bad {
        Some(spot) => (spot.from, spot.position),
        None => (walker.expected(), walker.position()),
    };
    Ok(Rebuilt {
        bad,
        gaps: walk.gaps,
        base,
        end,
        valid,
        file_bytes,
        indexes: walk.indexes,
    })
}

/// The indexes of a sealed segment, from a walk over all that can be read of it.
pub(super) fn derive(walker: &mut Walker, base: Offset) -> Result<GrowingIndexes> {
    let settings = SegmentSettings {
        index_bytes: limits::DEFAULT_SEGMENT_INDEX_BYTES,
        index_interval_bytes: limits::DEFAULT_INDEX_INTERVAL_BYTES,
    };
    let mut walk = Walk {
        indexes: GrowingIndexes::new(base, settings),
        gaps: Vec::new(),
        skip_below: Offset::MAX,
        visit: &mut |_| Ok(()),
    };
    walk.run(walker)?;
    walk.indexes.add_time_entry();
    Ok(walk.indexes)
}

struct Walk<'v> {
    indexes: GrowingIndexes,
    gaps: Vec<SegmentGap>,
    skip_below: Offset,
    visit: &'v mut dyn FnMut(&WalkedBatch) -> Result<()>,
}

impl Walk<'_> {
    /// Walks to the end, or to the spot that is returned.
    fn run(&mut self, walker: &mut Walker) -> Result<Option<BadSpot>> {
        loop {
            match walker.step()? {
                Step::Batch(found) => {
                    let bytes = found.batch.as_bytes();
                    self.indexes
                        .add(found.batch.header(), bytes, found.position);
                    (self.visit)(&found)?;
                }
                Step::OldFormat { position, from, to } => self.gaps.push(SegmentGap {
                    from,
                    to,
                    position,
                    cause: GapKind::OldFormat,
                }),
                Step::Bad(spot) => match self.pass(walker, &spot)? {
                    Some(to) => {
                        self.indexes.forget_prefix_crc();
                        self.gaps.push(SegmentGap {
                            from: spot.from,
                            to,
                            position: spot.position,
                            cause: GapKind::Damaged(spot.what),
                        });
                    }
                    None => return Ok(Some(spot)),
                },
                Step::End => return Ok(None),
            }
        }
    }

    fn pass(&mut self, walker: &mut Walker, spot: &BadSpot) -> Result<Option<Offset>> {
        let limit = self.skip_below;
        if spot.from >= limit {
            return Ok(None);
        }
        Ok(walker.skip(spot, &[])?.filter(|to| *to <= limit))
    }
}

impl Rebuilt {
    /// The largest record timestamp; `None` when no record has one.
    #[cfg(test)]
    pub(crate) fn largest_timestamp(&self) -> Option<Timestamp> {
        self.indexes.largest().map(|largest| largest.timestamp)
    }

    /// CRC-32 over the first 17 bytes of all batches; `None` when some could not be read.
    pub(crate) fn prefix_crc(&self) -> Option<u32> {
        self.indexes.prefix_crc()
    }

    /// Writes the indexes of a segment that stays sealed, each whole in place of what stood there; durable on return.
    /// `aborted` are the transactions whose abort marker `visit` saw, ascending by marker.
    pub(crate) fn write_indexes(
        mut self,
        home: &SegmentHome,
        aborted: &[AbortedTransaction],
        sealed_at: Timestamp,
    ) -> Result<SealedFacts> {
        self.indexes.add_time_entry();
        let write =
            |name: FileName, bytes: &[u8]| replace_file(&*home.storage, &home.path(name), bytes);
        let offsets = offset_index::encode(self.indexes.sparse());
        write(FileName::OffsetIndex(self.base), &offsets)?;
        let times = time_index::encode(self.indexes.times());
        write(FileName::TimeIndex(self.base), &times)?;
        if aborted.is_empty() {
            home.remove(FileName::TxnIndex(self.base))?;
            home.storage.sync_dir(&home.dir)?;
        } else {
            write(FileName::TxnIndex(self.base), &txn_index::encode(aborted))?;
        }
        Ok(SealedFacts {
            base: self.base,
            end: self.end,
            sealed_at,
            prefix_crc: self.prefix_crc(),
            aborted_crc: txn_index::checksum(aborted),
        })
    }
}
