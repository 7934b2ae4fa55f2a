//! Appending: encode outside of the writer lock, stamp and copy inside, publish, then the policy.
//!
//! Three ways in: records (`append`, `submit`, batches of them), a raw batch as leader, raw batches as follower.
use super::{Partition, PartitionCore, Ticket};
use crate::batch::{Record, RecordBatchBuilder, UnverifiedBatch};
use crate::error::Result;
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
use bytes::Bytes;
use std::ops::Range;

/// What became of a raw batch appended as leader.
#[non_exhaustive]
#[derive(Debug)]
pub enum AppendOutcome {
    /// It stands in the log.
    Appended(Ticket),
    /// The producer had sent it before: it stands at these offsets.
    Duplicate { offsets: Range<Offset> },
}

impl Partition {
    pub fn append(&self, record: Record<'_>) -> Result<Ticket> {
        let _ = record;
        todo!()
    }
    pub fn append_batch(&self, batch: &RecordBatchBuilder) -> Result<Ticket> {
        let _ = batch;
        todo!()
    }
    pub fn submit(&self, record: Record<'_>) -> Result<Ticket> {
        let _ = record;
        todo!()
    }
    pub fn submit_batch(&self, batch: &RecordBatchBuilder) -> Result<Ticket> {
        let _ = batch;
        todo!()
    }
}
impl PartitionCore {
    /// `Replica::append_as_leader`.
    pub(crate) fn append_as_leader(
        self: &std::sync::Arc<Self>,
        batch: UnverifiedBatch,
        epoch: LeaderEpoch,
    ) -> Result<AppendOutcome> {
        let _ = (batch, epoch);
        todo!()
    }
    /// `Replica::append_as_follower`.
    pub(crate) fn append_as_follower(
        self: &std::sync::Arc<Self>,
        batches: Bytes,
        high: Offset,
    ) -> Result<Range<Offset>> {
        let _ = (batches, high);
        todo!()
    }
    /// `Replica::begin_epoch`: (epoch, end) written and synced without data.
    pub(crate) fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<()> {
        let _ = epoch;
        todo!()
    }
}
