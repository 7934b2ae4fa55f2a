//! The one walker over a `.log`: header against its neighbours, length bounded, CRC, each batch a private copy.
//!
//! It tells apart what recovery, readers, `verify` and `dump` treat differently, and decides nothing: a batch, a bad spot, an old
//! format, the end.
use crate::batch::RecordBatch;
use crate::error::Result;
use crate::offset::{FilePosition, Offset};
use crate::storage::StorageFile;
use std::path::Path;
use std::sync::Arc;

/// What the base offset of the next batch must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OffsetRule {
    /// Exactly the expected one: a segment that we wrote as leader.
    Dense,
    /// The expected one or above: a follower's, a compacted or an adopted segment.
    Ascending,
}
/// A verified batch and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct WalkedBatch {
    pub(crate) batch: RecordBatch,
    pub(crate) position: FilePosition,
}
/// Bytes that are no batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadSpot {
    pub(crate) position: FilePosition,
    /// The first offset that is lost: the expected one.
    pub(crate) from: Offset,
    /// The base offset in the header, when the header can be read.
    pub(crate) header_offset: Option<Offset>,
    /// Where the next batch starts and its offset, when the header's length leads to a readable header.
    pub(crate) next: Option<(FilePosition, Offset)>,
    /// What is wrong, for people.
    pub(crate) what: &'static str,
    /// Whether this could be an unfinished write: it runs past the end of the file, or is zeros to the end.
    pub(crate) kind: BadKind,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadKind {
    /// header unreadable
    Header,
    /// header readable, CRC or content wrong
    Content,
    /// runs past the end
    Incomplete,
    /// zeros up to the end
    ZeroTail,
}
/// One step of a walk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Batch(WalkedBatch),
    /// Message format 0 or 1: `from..to`, reading goes on behind.
    OldFormat {
        position: FilePosition,
        from: Offset,
        to: Offset,
    },
    Bad(BadSpot),
    /// The end given to the walker, reached exactly.
    End,
}
/// Walks one `.log`. Owns its buffer (64 KiB, growing to the batch); holds no lock.
#[derive(Debug)]
pub(crate) struct Walker {
    file: Arc<dyn StorageFile>,
}
impl Walker {
    /// From `position`, where a batch with `expected` as base offset (or, by the rule, a higher one; or at a seek any one at or above the
    /// segment's base) should start, up to `end` bytes.
    pub(crate) fn new(file: Arc<dyn StorageFile>, path: &Path, start: WalkStart) -> Self {
        let _ = (path, start);
        Self { file }
    }
    pub(crate) fn position(&self) -> FilePosition {
        todo!()
    }
    pub(crate) fn expected(&self) -> Offset {
        todo!()
    }
    /// The segment has grown.
    pub(crate) fn extend_end(&mut self, end: FilePosition) {
        let _ = end;
        todo!()
    }
    /// One step. `Err` only when the medium fails. After `Bad` the walker stands where it was: `skip` moves it.
    pub(crate) fn step(&mut self) -> Result<Step> {
        todo!()
    }
    /// Moves past a bad spot: to where its header leads, else to the next index position that reads, else byte by byte (magic 2, plausible length, base offset
    /// above the last, right CRC; at most four times the segment's bytes through a CRC). Returns the offset at which reading goes on, `None` when the
    /// rest of the segment is lost.
    pub(crate) fn skip(
        &mut self,
        spot: &BadSpot,
        index_positions: &[FilePosition],
    ) -> Result<Option<Offset>> {
        let _ = (spot, index_positions);
        todo!()
    }
}
/// Where and how a walk starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkStart {
    pub(crate) position: FilePosition,
    pub(crate) end: FilePosition,
    pub(crate) expected: Offset,
    pub(crate) rule: OffsetRule,
    pub(crate) max_decompressed_bytes: u32,
}
