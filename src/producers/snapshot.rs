//! The bytes of a `.snapshot` file: version 1, a CRC-32C, and 46 bytes a producer (`ProducerSnapshot.json`).
//!
//! Of the batches only the last one is kept, so a restart that replays nothing recognises only that one.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::collections::VecDeque;

use bytes::{Buf, BufMut};

use super::{Producer, ProducerBatch, Producers};
use crate::ids::{ProducerEpoch, ProducerId, Sequence};
use crate::offset::Offset;
use crate::timestamp::Timestamp;

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
/// The checksum covers everything from here on.
const COUNT_AT: usize = CRC_AT + 4;
const HEAD_BYTES: usize = COUNT_AT + 4;
/// Id, epoch, last sequence, last offset, offset delta, time, coordinator epoch, first offset of the transaction.
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

const _: () = assert!(ENTRY_BYTES == 46);

impl Producers {
    /// The file's bytes, by ascending id.
    pub(crate) fn to_snapshot(&self) -> Vec<u8> {
        let capacity = self
            .by_id
            .len()
            .saturating_mul(ENTRY_BYTES)
            .saturating_add(HEAD_BYTES);
        let mut bytes = Vec::with_capacity(capacity);
        bytes.put_i16(VERSION);
        bytes.put_u32(0);
        bytes.put_i32(i32::try_from(self.by_id.len()).unwrap_or(i32::MAX));
        for (id, producer) in &self.by_id {
            let last = producer.batches.back();
            let delta = last.map_or(0, |last| last.last_offset.distance_from(last.first_offset));
            bytes.put_i64(id.get());
            bytes.put_i16(producer.epoch.get());
            bytes.put_i32(last.map_or(-1, |last| last.last_sequence.get()));
            bytes.put_i64(last.map_or(-1, |last| last.last_offset.to_i64()));
            bytes.put_i32(i32::try_from(delta).unwrap_or(i32::MAX));
            bytes.put_i64(producer.last_timestamp.map_or(-1, Timestamp::as_millis));
            bytes.put_i32(producer.coordinator_epoch.unwrap_or(-1));
            bytes.put_i64(self.transactions.first_of(*id).map_or(-1, Offset::to_i64));
        }
        let checksum = crc32c::crc32c(bytes.get(COUNT_AT..).unwrap_or_default());
        if let Some(place) = bytes.get_mut(CRC_AT..COUNT_AT) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        bytes
    }

    /// From the bytes of a file that stands for the batches below `end`; `Err` says what is wrong with them.
    ///
    /// An offset at or above `end` is damage, too: it tells of batches that the log need not have (KAFKA-6683), and a transaction that
    /// begins behind its own marker has no place in an index.
    pub(crate) fn from_snapshot(bytes: &[u8], end: Offset) -> Result<Self, &'static str> {
        let mut rest = bytes;
        if rest.len() < HEAD_BYTES {
            return Err("it is shorter than its head");
        }
        if rest.get_i16() != VERSION {
            return Err("its version is not 1");
        }
        if rest.get_u32() != crc32c::crc32c(bytes.get(COUNT_AT..).unwrap_or_default()) {
            return Err("its checksum does not match its content");
        }
        let count = usize::try_from(rest.get_i32()).map_err(|_| "its count is negative")?;
        if count.checked_mul(ENTRY_BYTES) != Some(rest.len()) {
            return Err("its count does not match its length");
        }
        let mut producers = Self::default();
        for _ in 0..count {
            producers.read_entry(&mut rest, end)?;
        }
        Ok(producers)
    }

    /// Reads one entry; the caller has checked that its bytes are there.
    fn read_entry(&mut self, rest: &mut &[u8], end: Offset) -> Result<(), &'static str> {
        let id = ProducerId::new(rest.get_i64()).ok_or("a producer id is negative")?;
        let epoch = ProducerEpoch::new(rest.get_i16()).ok_or("a producer epoch is negative")?;
        let last_sequence = Sequence::new(rest.get_i32());
        let last_offset = Offset::from_i64(rest.get_i64());
        let delta = u32::try_from(rest.get_i32()).map_err(|_| "an offset delta is negative")?;
        let timestamp = Timestamp::from_format(rest.get_i64());
        let coordinator_epoch = Some(rest.get_i32()).filter(|epoch| *epoch >= 0);
        let transaction = Offset::from_i64(rest.get_i64());
        if last_offset.is_some_and(|last| last >= end)
            || transaction.is_some_and(|first| first >= end)
        {
            return Err("an offset lies at or above the snapshot's own");
        }
        let mut batches = VecDeque::new();
        if let (Some(last_sequence), Some(last_offset)) = (last_sequence, last_offset) {
            let first_offset = last_offset.get().checked_sub(u64::from(delta));
            let first_offset = first_offset.and_then(|first| Offset::new(first).ok());
            batches.push_back(ProducerBatch {
                first_sequence: last_sequence.wrapping_sub(delta),
                last_sequence,
                first_offset: first_offset.ok_or("a batch starts below offset 0")?,
                last_offset,
                timestamp,
            });
        }
        let producer = Producer {
            epoch,
            coordinator_epoch,
            last_timestamp: timestamp,
            batches,
        };
        if self.by_id.insert(id, producer).is_some() {
            return Err("a producer stands there twice");
        }
        if let Some(first) = transaction {
            self.transactions.begin(id, first);
        }
        Ok(())
    }
}
