//! The segment that is being written. Consumed by `seal`.
use super::{AbortedTransaction, Rebuilt, SegmentFiles, SegmentHome, SegmentSettings};
use crate::batch::BatchHeader;
use crate::error::Result;
use crate::offset::{FilePosition, Offset};
use crate::timestamp::Timestamp;
use std::sync::Arc;
/// The one segment of a partition that grows.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    files: Arc<SegmentFiles>,
}
/// What the seal says of the segment for `stratalog.segments`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SealedFacts {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) sealed_at: Timestamp,
    pub(crate) prefix_crc: u32,
}
impl ActiveSegment {
    /// Makes the `.log` of a new segment (nothing else: indexes reach their files later).
    pub(crate) fn create(
        home: SegmentHome,
        base: Offset,
        settings: SegmentSettings,
    ) -> Result<Self> {
        let _ = (home, base, settings);
        todo!()
    }
    /// Goes on with a segment that `rebuild` has walked (its valid length is the end; the file is cut to it if longer).
    pub(crate) fn resume(
        home: SegmentHome,
        rebuilt: Rebuilt,
        settings: SegmentSettings,
    ) -> Result<Self> {
        let _ = (home, rebuilt, settings);
        todo!()
    }
    /// Goes on with a segment that was closed cleanly: trusts size and indexes, reads only the tail behind the last index entry.
    /// (May call `rebuild` from that position.)
    pub(crate) fn reopen(
        home: SegmentHome,
        base: Offset,
        settings: SegmentSettings,
    ) -> Result<Self> {
        let _ = (home, base, settings);
        todo!()
    }
    pub(crate) fn files(&self) -> &Arc<SegmentFiles> {
        &self.files
    }
    pub(crate) fn base(&self) -> Offset {
        self.files.base()
    }
    pub(crate) fn next_offset(&self) -> Offset {
        todo!()
    }
    pub(crate) fn size(&self) -> FilePosition {
        todo!()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.size() == FilePosition::ZERO
    }
    /// An offset index or time index that takes no further entry.
    pub(crate) fn is_index_full(&self) -> bool {
        todo!()
    }
    /// Max timestamp of the first batch, for `segment.ms`.
    pub(crate) fn first_timestamp(&self) -> Option<Timestamp> {
        todo!()
    }
    /// Makes room for `bytes` more to be written without need of space (zero-fill ahead in 64 KiB to 1 MiB): for synced writes.
    pub(crate) fn prepare(&mut self, bytes: u32) -> Result<()> {
        let _ = bytes;
        todo!()
    }
    /// Writes whole batches (already stamped) at the end, in one write, indexes each, publishes size and end to `files`.
    /// When it fails nothing is published and the file is cut back; `Err` of a failed cut is kind `Failed`.
    pub(crate) fn append(&mut self, bytes: &[u8], batches: &[BatchHeader]) -> Result<FilePosition> {
        let _ = (bytes, batches);
        todo!()
    }
    /// Writes an aborted transaction to `.txnindex`.
    pub(crate) fn append_aborted(&mut self, aborted: &AbortedTransaction) -> Result<()> {
        let _ = aborted;
        todo!()
    }
    /// Closes the segment for writing: closing time-index entry, indexes into their files, `.log` cut to its last batch, mtime set to `sealed_at`.
    /// Durable on return: nothing; `SegmentFiles::sync` follows.
    pub(crate) fn seal(self, sealed_at: Timestamp) -> Result<(Arc<SegmentFiles>, SealedFacts)> {
        let _ = sealed_at;
        todo!()
    }
    /// As `seal`, but the segment stays the active one of the next open (clean close): no sealed facts.
    pub(crate) fn close(self) -> Result<Arc<SegmentFiles>> {
        todo!()
    }
    /// Cuts at the batch that holds `offset`; returns the real new end. Indexes follow. The caller has raised the generation first.
    pub(crate) fn truncate_to(&mut self, offset: Offset) -> Result<Offset> {
        let _ = offset;
        todo!()
    }
}
