//! From records to a batch: one reusable buffer, one pass, nothing allocated per record.
use super::control::ControlMarker;
use super::record::Record;
use super::verify::UnverifiedBatch;
use crate::compress::Compression;
use crate::error::Result;
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::offset::Offset;
use crate::timestamp::Timestamp;

/// Fills one batch. Reusable: `clear` keeps the buffer.
#[derive(Debug)]
pub struct RecordBatchBuilder {
    compression: Compression,
}

impl RecordBatchBuilder {
    pub fn new(compression: Compression) -> Self {
        Self { compression }
    }
    pub fn push(&mut self, record: Record<'_>) -> Result<()> {
        let _ = record;
        todo!()
    }
    pub fn len_bytes(&self) -> usize {
        todo!()
    }
    pub fn record_count(&self) -> u32 {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.record_count() == 0
    }
    pub fn clear(&mut self) {
        todo!()
    }
    #[must_use]
    pub fn producer(self, id: ProducerId, epoch: ProducerEpoch, first: Sequence) -> Self {
        let _ = (id, epoch, first);
        self
    }
    #[must_use]
    pub fn transactional(self) -> Self {
        self
    }
    pub fn control(marker: ControlMarker) -> UnverifiedBatch {
        let _ = marker;
        todo!()
    }
    pub fn finish(&mut self) -> UnverifiedBatch {
        todo!()
    }

    /// Encodes the batch into `out` (cleared first), for an append: records without a time take `now`. Base offset 0 and epoch 0
    /// are stamped later. Leaves the builder as it is.
    pub(crate) fn encode_into(&self, now: Timestamp, out: &mut Vec<u8>) -> Result<()> {
        let _ = (now, out);
        todo!()
    }
    /// The largest explicit time of a record, to be checked against the clock; `None` when the append gives the time.
    pub(crate) fn explicit_max_timestamp(&self) -> Option<Timestamp> {
        todo!()
    }
}

/// Encodes one record as a whole batch into `out` (cleared first): the hot path of `append`. Nothing is allocated but `out`.
pub(crate) fn encode_single(
    record: &Record<'_>,
    compression: Compression,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<()> {
    let _ = (record, compression, now, out);
    todo!()
}
/// Gives all records of an encoded batch that has log-assigned times the time `now`: base and max timestamp, and the CRC anew.
/// Legal because the deltas of such a batch are all zero.
pub(crate) fn restamp_time(batch: &mut [u8], now: Timestamp) {
    let _ = (batch, now);
    todo!()
}
#[allow(unused)]
fn _unused(_: Offset, _: LeaderEpoch) {}
