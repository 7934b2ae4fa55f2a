//! Reading a partition: where an offset stands, and batch after batch from there, over segment ends, gaps, truncations and trims.
//! A live partition and a read-only view give the same reader.
use super::{Published, ReadUpTo};
use crate::batch::RecordBatch;
use crate::error::Result;
use crate::offset::Offset;
use crate::timestamp::Timestamp;
use crate::topic::TopicPartition;
use std::sync::Arc;

/// What reading needs of a partition; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PartitionReader {
    pub(crate) name: TopicPartition,
    pub(crate) published: Arc<Published>,
    pub(crate) max_decompressed_bytes: u32,
}
/// One step of a stream.
#[derive(Debug)]
pub(crate) enum Next {
    Batch(RecordBatch),
    /// Nothing more below the limit now.
    Tail,
}
/// Reads batch after batch. Owns its buffer; holds no lock and no mapping.
#[derive(Debug)]
pub(crate) struct BatchStream {
    reader: PartitionReader,
    at: Offset,
}
impl PartitionReader {
    pub(crate) fn stream(&self, at: Offset) -> BatchStream {
        BatchStream {
            reader: self.clone(),
            at,
        }
    }
    /// The first record with a time of `at` or later.
    pub(crate) fn offset_for(&self, at: Timestamp) -> Result<Option<Offset>> {
        let _ = at;
        todo!()
    }
}
impl BatchStream {
    /// The offset that the next batch must reach.
    pub(crate) fn position(&self) -> Offset {
        self.at
    }
    pub(crate) fn seek(&mut self, at: Offset) {
        self.at = at;
    }
    /// The next batch whose last offset is at or above the position and whose end is within `up_to`. `Err` with a gap stands behind the gap afterwards.
    pub(crate) fn next(&mut self, up_to: ReadUpTo) -> Result<Next> {
        let _ = (up_to, &self.reader);
        todo!()
    }
}
