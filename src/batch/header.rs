//! The 61 bytes before the records: read, stamp, and what each field means.
//!
//! Big-endian throughout. The first 17 bytes are outside of the CRC, so that a leader can stamp offset and
//! epoch without touching it; they are checked against their neighbours instead (`segment/scan.rs`).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use crate::compress::Codec;
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::limits;
use crate::offset::Offset;
use crate::timestamp::Timestamp;

pub(crate) const BASE_OFFSET_AT: usize = 0;
pub(crate) const LENGTH_AT: usize = BASE_OFFSET_AT + 8;
pub(crate) const EPOCH_AT: usize = LENGTH_AT + 4;
pub(crate) const MAGIC_AT: usize = EPOCH_AT + 4;
pub(crate) const CRC_AT: usize = MAGIC_AT + 1;
pub(crate) const ATTRIBUTES_AT: usize = CRC_AT + 4;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = ATTRIBUTES_AT + 2;
pub(crate) const BASE_TIMESTAMP_AT: usize = LAST_OFFSET_DELTA_AT + 4;
pub(crate) const MAX_TIMESTAMP_AT: usize = BASE_TIMESTAMP_AT + 8;
pub(crate) const PRODUCER_ID_AT: usize = MAX_TIMESTAMP_AT + 8;
pub(crate) const PRODUCER_EPOCH_AT: usize = PRODUCER_ID_AT + 8;
pub(crate) const BASE_SEQUENCE_AT: usize = PRODUCER_EPOCH_AT + 2;
pub(crate) const COUNT_AT: usize = BASE_SEQUENCE_AT + 4;
/// Bytes of a header; records start here.
pub(crate) const HEADER_BYTES: usize = COUNT_AT + 4;
/// Bytes before the CRC: base offset, length, epoch, magic.
pub(crate) const PREFIX_BYTES: usize = CRC_AT;
/// The length field counts what comes after it.
pub(crate) const LENGTH_END: usize = EPOCH_AT;
/// The smallest length field that Kafka believes in: a v0 record (`LegacyRecord.RECORD_OVERHEAD_V0`).
pub(crate) const MIN_LENGTH_FIELD: u32 = 14;

const _: () = assert!(HEADER_BYTES == 61);
const _: () = assert!(PREFIX_BYTES == 17);

const CODEC_BITS: u16 = 0x07;
const LOG_APPEND_TIME_BIT: u16 = 0x08;
const TRANSACTIONAL_BIT: u16 = 0x10;
const CONTROL_BIT: u16 = 0x20;
const DELETE_HORIZON_BIT: u16 = 0x40;

/// Who gave the records their time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimestampType {
    /// The producer; each record has its own.
    CreateTime,
    /// The log, at the append; all records of the batch have the same.
    LogAppendTime,
}

/// Why bytes are no header of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderFault {
    /// Fewer bytes than the header, or than the header says, are there: an unfinished write if it is the last one.
    Short {
        /// What the whole batch would take, as far as one can tell.
        needed_bytes: u64,
    },
    /// Message format 0 or 1: `needed_bytes` is the size of the entry, `last_offset` the number of its last record.
    OldFormat {
        size_bytes: u32,
        last_offset: Offset,
    },
    /// A field that no writer produces; says which.
    Invalid(&'static str),
}

/// The fields of a v2 header. Verified as far as a header can be: the length is plausible, the magic is 2,
/// offsets and counts are not negative, the last offset does not overflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    base_offset: Offset,
    size_bytes: u32,
    leader_epoch: i32,
    crc: u32,
    attributes: u16,
    last_offset_delta: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    count: u32,
}

/// The producer's part of a header, present when the batch has a producer id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProducerStamp {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    /// `None` only in control batches.
    pub(crate) base_sequence: Option<Sequence>,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`. Does not look at records or CRC, and does not ask that
    /// `bytes` hold the whole batch.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let short = |needed_bytes: u64| HeaderFault::Short { needed_bytes };
        let prefix_needed = PREFIX_BYTES as u64;
        let base_offset =
            i64::from_be_bytes(field(bytes, BASE_OFFSET_AT).ok_or(short(prefix_needed))?);
        let length = i32::from_be_bytes(field(bytes, LENGTH_AT).ok_or(short(prefix_needed))?);
        let leader_epoch = i32::from_be_bytes(field(bytes, EPOCH_AT).ok_or(short(prefix_needed))?);
        let [magic] = field(bytes, MAGIC_AT).ok_or(short(prefix_needed))?;

        let Ok(length) = u32::try_from(length) else {
            return Err(HeaderFault::Invalid("the length is negative"));
        };
        if length < MIN_LENGTH_FIELD {
            return Err(HeaderFault::Invalid(
                "the length is below that of any record",
            ));
        }
        let size_bytes = length.saturating_add(LENGTH_END as u32);
        if size_bytes > limits::MAX_BATCH_BYTES {
            return Err(HeaderFault::Invalid(
                "the length is above that of any segment",
            ));
        }
        let Some(base_offset) = Offset::from_i64(base_offset) else {
            return Err(HeaderFault::Invalid("the base offset is negative"));
        };
        match magic {
            2 => {}
            0 | 1 => {
                return Err(HeaderFault::OldFormat {
                    size_bytes,
                    last_offset: base_offset,
                });
            }
            _ => return Err(HeaderFault::Invalid("the magic byte is not 2")),
        }
        if size_bytes < HEADER_BYTES as u32 {
            return Err(HeaderFault::Invalid(
                "the length is below that of a batch header",
            ));
        }
        let needed = u64::from(size_bytes);
        let crc = u32::from_be_bytes(field(bytes, CRC_AT).ok_or(short(needed))?);
        let attributes = u16::from_be_bytes(field(bytes, ATTRIBUTES_AT).ok_or(short(needed))?);
        let last_offset_delta =
            i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT).ok_or(short(needed))?);
        let base_timestamp =
            i64::from_be_bytes(field(bytes, BASE_TIMESTAMP_AT).ok_or(short(needed))?);
        let max_timestamp =
            i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT).ok_or(short(needed))?);
        let producer_id = i64::from_be_bytes(field(bytes, PRODUCER_ID_AT).ok_or(short(needed))?);
        let producer_epoch =
            i16::from_be_bytes(field(bytes, PRODUCER_EPOCH_AT).ok_or(short(needed))?);
        let base_sequence =
            i32::from_be_bytes(field(bytes, BASE_SEQUENCE_AT).ok_or(short(needed))?);
        let count = i32::from_be_bytes(field(bytes, COUNT_AT).ok_or(short(needed))?);

        let Ok(last_offset_delta) = u32::try_from(last_offset_delta) else {
            return Err(HeaderFault::Invalid("the last offset delta is negative"));
        };
        let Ok(count) = u32::try_from(count) else {
            return Err(HeaderFault::Invalid("the record count is negative"));
        };
        // The next offset must exist as well, so the largest offset is never the last one of a batch.
        if base_offset
            .checked_add(u64::from(last_offset_delta).saturating_add(1))
            .is_none()
        {
            return Err(HeaderFault::Invalid("the last offset overflows"));
        }
        Ok(Self {
            base_offset,
            size_bytes,
            leader_epoch,
            crc,
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            count,
        })
    }

    /// Writes the header over the first 61 bytes of a batch; beside `read`, so that they cannot drift.
    pub(crate) fn write(&self, bytes: &mut [u8; HEADER_BYTES]) {
        let length = self.size_bytes.saturating_sub(LENGTH_END as u32);
        put_at(
            bytes,
            BASE_OFFSET_AT,
            self.base_offset.to_i64().to_be_bytes(),
        );
        put_at(bytes, LENGTH_AT, length.to_be_bytes());
        put_at(bytes, EPOCH_AT, self.leader_epoch.to_be_bytes());
        put_at(bytes, MAGIC_AT, [2]);
        put_at(bytes, CRC_AT, self.crc.to_be_bytes());
        put_at(bytes, ATTRIBUTES_AT, self.attributes.to_be_bytes());
        put_at(
            bytes,
            LAST_OFFSET_DELTA_AT,
            self.last_offset_delta.to_be_bytes(),
        );
        put_at(bytes, BASE_TIMESTAMP_AT, self.base_timestamp.to_be_bytes());
        put_at(bytes, MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        put_at(bytes, PRODUCER_ID_AT, self.producer_id.to_be_bytes());
        put_at(bytes, PRODUCER_EPOCH_AT, self.producer_epoch.to_be_bytes());
        put_at(bytes, BASE_SEQUENCE_AT, self.base_sequence.to_be_bytes());
        put_at(bytes, COUNT_AT, self.count.to_be_bytes());
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// The last offset that belongs to the batch, present or compacted away.
    pub(crate) fn last_offset(&self) -> Offset {
        self.base_offset
            .saturating_add(u64::from(self.last_offset_delta))
    }

    /// The offset behind the batch.
    pub(crate) fn next_offset(&self) -> Offset {
        self.last_offset().saturating_add(1)
    }

    pub(crate) fn last_offset_delta(&self) -> u32 {
        self.last_offset_delta
    }

    /// Header and records.
    pub(crate) fn size_bytes(&self) -> u32 {
        self.size_bytes
    }

    /// `None` where the writer knew none (-1).
    pub(crate) fn leader_epoch(&self) -> Option<LeaderEpoch> {
        LeaderEpoch::new(self.leader_epoch)
    }

    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    /// The codec; `Err` with the bits when no codec has them.
    pub(crate) fn codec(&self) -> Result<Codec, u8> {
        let bits = (self.attributes & CODEC_BITS).to_be_bytes()[1];
        Codec::from_id(bits).ok_or(bits)
    }

    pub(crate) fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Until when compaction keeps the tombstones of this batch (KIP-534); it stands in the base timestamp.
    pub(crate) fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & DELETE_HORIZON_BIT != 0)
            .then(|| Timestamp::from_millis(self.base_timestamp))
    }

    /// The field that record times are counted from, as it stands.
    pub(crate) fn base_timestamp_field(&self) -> i64 {
        self.base_timestamp
    }

    pub(crate) fn max_timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_format(self.max_timestamp)
    }

    pub(crate) fn producer(&self) -> Option<ProducerStamp> {
        Some(ProducerStamp {
            id: ProducerId::new(self.producer_id)?,
            epoch: ProducerEpoch::new(self.producer_epoch)?,
            base_sequence: Sequence::new(self.base_sequence),
        })
    }

    /// Whether a producer is named, and its epoch is not: such a batch is under no check of sequences.
    pub(crate) fn lacks_producer_epoch(&self) -> bool {
        self.producer_id >= 0 && self.producer_epoch < 0
    }

    /// Records that are there; after compaction fewer than the offsets span.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}

/// What a writer decides about a header; the builder turns it into one with [`NewHeader::into_header`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewHeader {
    pub(crate) base_offset: Offset,
    pub(crate) size_bytes: u32,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    pub(crate) codec: Codec,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) transactional: bool,
    pub(crate) control: bool,
    pub(crate) last_offset_delta: u32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer: Option<ProducerStamp>,
    pub(crate) count: u32,
}

impl NewHeader {
    /// The header, its CRC still 0.
    pub(crate) fn into_header(self) -> BatchHeader {
        let mut attributes = u16::from(self.codec.id());
        if self.timestamp_type == TimestampType::LogAppendTime {
            attributes |= LOG_APPEND_TIME_BIT;
        }
        if self.transactional {
            attributes |= TRANSACTIONAL_BIT;
        }
        if self.control {
            attributes |= CONTROL_BIT;
        }
        BatchHeader {
            base_offset: self.base_offset,
            size_bytes: self.size_bytes,
            leader_epoch: self.leader_epoch.map_or(-1, LeaderEpoch::get),
            crc: 0,
            attributes,
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.map_or(-1, |p| p.id.get()),
            producer_epoch: self.producer.map_or(-1, |p| p.epoch.get()),
            base_sequence: self
                .producer
                .and_then(|p| p.base_sequence)
                .map_or(-1, Sequence::get),
            count: self.count,
        }
    }
}

/// The CRC of a batch: CRC-32C over everything behind the CRC field.
pub(crate) fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or(&[]))
}

/// Stamps the place in the log: base offset and leader epoch, both outside of the CRC.
pub(crate) fn stamp(batch: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    put_at(batch, BASE_OFFSET_AT, base_offset.to_i64().to_be_bytes());
    put_at(batch, EPOCH_AT, epoch.get().to_be_bytes());
}

/// Gives all records of an encoded batch that has log-assigned times the time `now`: base and max timestamp,
/// and the CRC anew. Legal because the deltas of such a batch are all zero.
pub(crate) fn restamp_time(batch: &mut [u8], now: Timestamp) {
    put_at(batch, BASE_TIMESTAMP_AT, now.as_millis().to_be_bytes());
    put_at(batch, MAX_TIMESTAMP_AT, now.as_millis().to_be_bytes());
    write_checksum(batch);
}

/// Makes the time of the append that of all records, as Kafka's `setMaxTimestamp` does: a bit, the max
/// timestamp and the CRC change, the records and their deltas stay. A batch that has it all is left alone.
pub(crate) fn set_log_append_time(batch: &mut [u8], now: Timestamp) {
    let (Some(attributes), Some(max)) =
        (field(batch, ATTRIBUTES_AT), field(batch, MAX_TIMESTAMP_AT))
    else {
        return;
    };
    let attributes = u16::from_be_bytes(attributes);
    if attributes & LOG_APPEND_TIME_BIT != 0 && i64::from_be_bytes(max) == now.as_millis() {
        return;
    }
    put_at(
        batch,
        ATTRIBUTES_AT,
        (attributes | LOG_APPEND_TIME_BIT).to_be_bytes(),
    );
    put_at(batch, MAX_TIMESTAMP_AT, now.as_millis().to_be_bytes());
    write_checksum(batch);
}

/// Computes the CRC of a batch and writes it to its place.
pub(crate) fn write_checksum(batch: &mut [u8]) {
    let crc = checksum(batch);
    put_at(batch, CRC_AT, crc.to_be_bytes());
}

/// With a constant place and a fixed size this is one store.
#[inline]
fn put_at<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = batch
        .get_mut(at..)
        .and_then(|behind| behind.first_chunk_mut())
    {
        *place = value;
    }
}
