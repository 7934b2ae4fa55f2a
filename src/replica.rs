//! What a broker needs of a partition, on its own page: raw batches as leader and as follower, epochs, the high watermark,
//! truncation, and the state of producers.
//!
//! Nothing here replicates: it is what replication stands on. This module must never know a network or a protocol.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::UnverifiedBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
use crate::partition::{AppendOutcome, HighWatermark, Partition, PartitionCore};
use crate::producers::ProducerInfo;
use crate::segment::AbortedTransaction;

/// The operations of a replica; made by [`Partition::replica`].
#[derive(Clone, Copy, Debug)]
pub struct Replica<'p> {
    partition: &'p Partition,
}

impl Partition {
    /// What a broker needs, kept off the page of everyday use.
    #[must_use]
    pub fn replica(&self) -> Replica<'_> {
        Replica { partition: self }
    }
}

impl Replica<'_> {
    fn core(&self) -> &Arc<PartitionCore> {
        &self.partition.core
    }

    /// Appends one batch as a producer sent it: verified, its offsets and `epoch` stamped in place, nothing encoded anew. A batch that
    /// the producer sent before is not appended again. Transaction markers of a coordinator may come this way, too.
    ///
    /// A higher epoch than the last begins here, as with [`Replica::begin_epoch`]. Returns once the batch is written, without waiting for
    /// its sync; the ticket tells when it is durable.
    ///
    /// # Errors
    /// `Corrupt` for a batch that does not verify; `InvalidInput` for holes between offsets, wrong record numbers, a time out of range, no
    /// records, a producer without an epoch or a sequence; `TooLarge`; `Fenced` for a lower epoch of the leader or the producer; `OutOfSequence`; and as [`Partition::submit`].
    pub fn append_as_leader(
        &self,
        batch: UnverifiedBatch,
        epoch: LeaderEpoch,
    ) -> Result<AppendOutcome> {
        self.core().append_as_leader(batch, epoch)
    }

    /// Appends batches as they stand in the leader's log: verified, offsets and epochs kept; gaps between them are allowed. A partial last
    /// batch is left out. Returns the offsets from the first batch to behind the last one; what `high` says is applied under
    /// [`HighWatermark::External`]. Under `FsyncPolicy::Always` it returns after a sync.
    ///
    /// The log start may lie inside of a batch: to a log that is empty, batches may come that start below its start and reach beyond it
    /// (KAFKA-6975). The log start stays where it is.
    ///
    /// When it fails in the middle, the batches before stay: the log end tells how far it came.
    ///
    /// # Errors
    /// `Corrupt` for a batch that does not verify; `InvalidInput` when the first one starts below the log end otherwise or offsets do not ascend;
    /// `Unsupported` for message formats 0 and 1; and as [`Partition::append`].
    pub fn append_as_follower(&self, batches: Bytes, high: Offset) -> Result<Range<Offset>> {
        self.core().append_as_follower(batches, high)
    }

    /// A new leader starts: its epoch and the log end are on the medium on return, without any data (KAFKA-7415). Does nothing when the epoch
    /// has begun already.
    ///
    /// # Errors
    /// `Fenced` for a lower epoch than the last; `Io`, `Full`; `Failed`, `Closed`.
    pub fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<()> {
        self.core().begin_epoch(epoch)
    }

    /// Where the records of `epoch` end in this log, with the epoch that the answer is for: the largest one at or below it
    /// (KIP-101, KIP-279). `None` when this log cannot tell.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let core = self.core();
        let writer = core.writer.lock();
        let end = core.published.watermarks().end;
        writer.epochs.end_offset_for(epoch, end)
    }

    /// The epochs of the log, ascending, each with its first offset.
    #[must_use]
    pub fn epochs(&self) -> Vec<(LeaderEpoch, Offset)> {
        self.core().writer.lock().epochs.entries().to_vec()
    }

    /// Sets the high watermark, which may lie above the log end, and wakes who waits for it.
    ///
    /// # Errors
    /// `InvalidInput` unless the topic has [`HighWatermark::External`]; `Closed`.
    pub fn set_high_watermark(&self, high: Offset) -> Result<()> {
        let core = self.core();
        if core.published.is_closed() {
            return Err(core.closed());
        }
        if core.options().high_watermark != HighWatermark::External {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the high watermark of {} follows the log", core.name),
            )
            .remedy("set the topic's high watermark to External"));
        }
        core.published.set_external_high(high);
        if core.published.has_unstable() {
            core.look_for_decided_transactions();
        }
        Ok(())
    }

    /// Cuts the tail at `offset`, batch-granular: the batch that holds it goes as a whole. Returns the real new end.
    ///
    /// # Errors
    /// `InvalidInput` below the high watermark under [`HighWatermark::External`]; `Io`, `Failed`, `Closed`.
    pub fn truncate_to(&self, offset: Offset) -> Result<Offset> {
        self.core().truncate_to(offset)
    }

    /// Drops everything and starts anew at `offset`, as a follower does whose leader's log begins above its own end.
    ///
    /// # Errors
    /// `Io`, `Full`, `Failed`, `Closed`.
    pub fn reset_to(&self, offset: Offset) -> Result<()> {
        self.core().reset_to(offset)
    }

    /// What the log knows of its idempotent and transactional producers, by id.
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerInfo> {
        self.core().writer.lock().producers.list()
    }

    /// The aborted transactions that overlap `offsets`, by the place of their markers: what a reader of committed records leaves out.
    /// May read index files.
    ///
    /// # Errors
    /// `Corrupt` for a damaged index of aborted transactions; `Io`.
    pub fn aborted(&self, offsets: Range<Offset>) -> Result<Vec<AbortedTransaction>> {
        self.partition.reader().aborted(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Record, RecordBatchBuilder};
    use crate::compress::Compression;
    use crate::partition::TopicOptions;
    use crate::partition::testing::{in_memory, offset};

    fn epoch(value: i32) -> LeaderEpoch {
        LeaderEpoch::new(value).expect("not negative")
    }

    #[test]
    fn epochs_tell_where_each_of_them_ends() {
        let bench = in_memory(TopicOptions::default());
        let replica = bench.partition.replica();
        assert_eq!(replica.end_offset_for_epoch(epoch(0)), None);
        replica.begin_epoch(epoch(2)).unwrap();
        bench.partition.append(Record::new("a")).unwrap();
        replica.begin_epoch(epoch(5)).unwrap();
        bench.partition.append(Record::new("b")).unwrap();
        assert_eq!(
            replica.epochs(),
            [(epoch(2), offset(0)), (epoch(5), offset(1))]
        );
        let ends = [2, 4, 5].map(|of| replica.end_offset_for_epoch(epoch(of)));
        assert_eq!(
            ends,
            [
                Some((epoch(2), offset(1))),
                Some((epoch(2), offset(1))),
                Some((epoch(5), offset(2)))
            ]
        );
    }

    #[test]
    fn a_high_watermark_is_set_only_where_it_comes_from_outside() {
        let bench = in_memory(TopicOptions::default());
        let error = bench.partition.replica().set_high_watermark(offset(1));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);

        let options = TopicOptions::default().high_watermark(HighWatermark::External);
        let bench = in_memory(options);
        let replica = bench.partition.replica();
        for _ in 0..3 {
            bench.partition.append(Record::new("x")).unwrap();
        }
        assert_eq!(bench.partition.watermarks().high, offset(0));
        replica.set_high_watermark(offset(2)).unwrap();
        assert_eq!(bench.partition.watermarks().high, offset(2));
    }

    #[test]
    fn what_a_leader_wrote_a_follower_takes_byte_for_byte() {
        let leader = in_memory(TopicOptions::default());
        let follower = in_memory(TopicOptions::default());
        let mut builder = RecordBatchBuilder::new(Compression::None);
        for value in ["a", "b"] {
            builder.push(Record::new(value)).unwrap();
        }
        let batch = builder.finish().unwrap();
        leader
            .partition
            .replica()
            .append_as_leader(batch, epoch(3))
            .unwrap();
        leader.partition.append(Record::new("c")).unwrap();
        let mut log = Vec::new();
        for batch in leader.batches_from(offset(0)) {
            log.extend_from_slice(batch.as_bytes());
        }
        let replica = follower.partition.replica();
        let range = replica
            .append_as_follower(log.clone().into(), offset(0))
            .unwrap();
        assert_eq!(range, offset(0)..offset(3));
        let copied: Vec<u8> = (follower.batches_from(offset(0)).iter())
            .flat_map(|batch| batch.as_bytes().to_vec())
            .collect();
        assert_eq!(copied, log);
        assert_eq!(replica.epochs(), leader.partition.replica().epochs());
        assert!(replica.producers().is_empty());
        assert!(replica.aborted(offset(0)..offset(3)).unwrap().is_empty());
    }
}
