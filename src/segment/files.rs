//! What writer, readers and syncer share of one segment.
use super::{AbortedTransaction, SegmentHome};
use crate::error::Result;
use crate::offset::{FilePosition, Offset};
use crate::storage::StorageFile;
use crate::timestamp::Timestamp;
use std::ops::Range;
use std::sync::Arc;

/// What is known of a sealed segment before any of its files is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentShape {
    pub(crate) base: Offset,
    /// Exclusive: the next segment's base, or where the last batch ends.
    pub(crate) end: Offset,
    pub(crate) size_bytes: u32,
    /// When it was sealed: the side file's word, else the file's time of change.
    pub(crate) sealed_at: Option<Timestamp>,
}

/// The files of one segment. All methods take `&self`; reading holds no lock during I/O.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    home: SegmentHome,
    shape: SegmentShape,
}

impl SegmentFiles {
    /// A sealed segment that stands on disk; nothing is opened or read yet.
    pub(crate) fn sealed(home: SegmentHome, shape: SegmentShape) -> Arc<Self> {
        Arc::new(Self { home, shape })
    }
    pub(crate) fn base(&self) -> Offset {
        self.shape.base
    }
    /// Exclusive; grows while the segment is active.
    pub(crate) fn end(&self) -> Offset {
        todo!()
    }
    /// Bytes of whole batches; grows while the segment is active. Never shrinks under a reader of the same generation.
    pub(crate) fn size(&self) -> FilePosition {
        todo!()
    }
    /// All bytes of log and indexes, for retention by size only the log counts.
    pub(crate) fn is_sealed(&self) -> bool {
        todo!()
    }
    pub(crate) fn sealed_at(&self) -> Option<Timestamp> {
        todo!()
    }
    /// The largest record timestamp (last time-index entry, or the running maximum); `None` when no record has one.
    pub(crate) fn largest_timestamp(&self) -> Result<Option<Timestamp>> {
        todo!()
    }
    /// Timestamp of the first batch (its max timestamp), for `segment.ms`.
    pub(crate) fn first_timestamp(&self) -> Result<Option<Timestamp>> {
        todo!()
    }
    /// The `.log`, opened at first need. `NotFound` once the segment was trimmed and its descriptor closed.
    pub(crate) fn log_file(&self) -> Result<Arc<dyn StorageFile>> {
        todo!()
    }
    pub(crate) fn log_path(&self) -> std::path::PathBuf {
        todo!()
    }
    /// Where to start walking for `offset`: the position of an indexed batch at or before it, and a lower bound of that batch's offset.
    pub(crate) fn position_for(&self, offset: Offset) -> Result<FilePosition> {
        todo!()
    }
    /// Where to start walking for the first record with a time of `at` or later (time index, then offset index).
    pub(crate) fn position_for_time(&self, at: Timestamp) -> Result<FilePosition> {
        todo!()
    }
    /// Indexed positions above `position`, ascending: where a walk may find its feet again.
    pub(crate) fn positions_above(&self, position: FilePosition) -> Result<Vec<FilePosition>> {
        todo!()
    }
    /// Aborted transactions of this segment's `.txnindex` that overlap `range`, and whether the search may end here
    /// (an entry whose last stable offset is at or above `range.end` was met).
    pub(crate) fn aborted(&self, range: Range<Offset>) -> Result<(Vec<AbortedTransaction>, bool)> {
        todo!()
    }
    /// Brings everything written before the call to the medium. The first sync of a segment is `sync_all` of the `.log` and `sync_dir`;
    /// a sealed segment syncs its indexes as well.
    pub(crate) fn sync(&self) -> Result<()> {
        todo!()
    }
    /// Unlinks all files. Open readers read on; a closed one meets `NotFound`.
    pub(crate) fn remove(&self) -> Result<()> {
        todo!()
    }
}
