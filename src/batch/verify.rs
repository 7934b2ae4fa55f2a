//! From bytes to a batch: `UnverifiedBatch::verify` is the only way to records.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use bytes::{Bytes, BytesMut};

use super::control::{self, ControlMarker};
use super::header::{self, BatchHeader, HEADER_BYTES, HeaderFault, TimestampType};
use super::record::{IntoRecords, Records};
use crate::compress::{self, Codec};
use crate::error::{Error, ErrorKind, Gap, GapCause, Result};
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::limits;
use crate::offset::Offset;
use crate::sync::OnceLock;
use crate::timestamp::Timestamp;

const WRONG_LENGTH: &str = "the length in the batch header is not the length of the batch";
const WRONG_CHECKSUM: &str = "batch checksum mismatch";
const UNKNOWN_CODEC: &str = "the batch has a codec that Kafka does not know";
const WRONG_COUNT: &str = "the batch says that it has more records than offsets";
const NO_ROOM: &str = "the batch says that it has more records than bytes for them";

/// The smallest record: a length and the six one-byte fields of a record without anything in it.
const MIN_RECORD_BYTES: u64 = 7;

/// The bytes of one batch, from the network or a file. Shows no records before [`UnverifiedBatch::verify`].
///
/// The getters tell what the header says, which nobody has checked yet.
#[derive(Clone, Debug)]
pub struct UnverifiedBatch {
    bytes: Bytes,
    header: BatchHeader,
}

impl UnverifiedBatch {
    /// Splits bytes into batches; lengths are bounded first, and a partial last batch ends it, as in Kafka.
    ///
    /// An old batch (message format 0 or 1) is an `Unsupported` error that tells its range, and the next
    /// item is the batch behind it. A header that no writer produces is a `Corrupt` error and the end.
    /// The batches share the memory of `bytes`.
    pub fn split(bytes: Bytes) -> impl Iterator<Item = Result<UnverifiedBatch>> {
        Split {
            bytes,
            next_offset: None,
        }
    }

    /// `bytes` hold exactly the batch whose header is `header`.
    pub(crate) fn new(bytes: Bytes, header: BatchHeader) -> Self {
        Self { bytes, header }
    }

    /// Checks length, CRC, codec and count. Does not unpack: a record that is wrong under a right CRC is
    /// an error of the iteration.
    ///
    /// # Errors
    /// `Corrupt` for a wrong length, checksum, codec or count; the offset is the first of the batch.
    pub fn verify(self) -> Result<RecordBatch> {
        let base_offset = self.header.base_offset();
        let checked = RecordBatch::verify_owned(self.bytes, self.header)
            .and_then(|batch| batch.check_count().map(|()| batch));
        checked.map_err(|what| Error::new(ErrorKind::Corrupt, what).offset_is(base_offset))
    }

    /// The same batch at another place of a log: first offset and leader epoch, as a leader stamps them.
    /// Both are outside of the CRC. Copies the bytes unless this is their only holder.
    ///
    /// # Errors
    /// `InvalidInput` when the last offset would be above the largest one.
    pub fn stamped(self, base_offset: Offset, epoch: LeaderEpoch) -> Result<Self> {
        let mut bytes = self
            .bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        header::stamp(&mut bytes, base_offset, epoch);
        let header = BatchHeader::read(&bytes).map_err(|_| {
            Error::new(
                ErrorKind::InvalidInput,
                "the batch would end above the largest offset",
            )
            .offset_is(base_offset)
        })?;
        Ok(Self {
            bytes: bytes.freeze(),
            header,
        })
    }

    /// The first offset that the batch claims.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset()
    }

    /// The last offset that the batch claims, inclusive.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    /// The number of records that the batch claims.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.header.count()
    }

    /// Header and records, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u32 {
        self.header.size_bytes()
    }

    /// The batch as it stands, ready for a Kafka client or [`UnverifiedBatch::split`].
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    #[cfg(test)]
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    #[cfg(test)]
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// See [`UnverifiedBatch::split`].
struct Split {
    bytes: Bytes,
    /// Behind the batch before, for the range of an old one.
    next_offset: Option<Offset>,
}

impl Iterator for Split {
    type Item = Result<UnverifiedBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match BatchHeader::read(&self.bytes) {
            Ok(header) => {
                let bytes = self.take(header.size_bytes())?;
                self.next_offset = Some(header.next_offset());
                Some(Ok(UnverifiedBatch { bytes, header }))
            }
            Err(HeaderFault::Short { .. }) => {
                self.bytes.clear();
                None
            }
            Err(HeaderFault::OldFormat {
                size_bytes,
                last_offset,
            }) => {
                self.take(size_bytes)?;
                let from = self.next_offset.unwrap_or(last_offset).min(last_offset);
                self.next_offset = Some(last_offset.saturating_add(1));
                Some(Err(old_format(from, last_offset)))
            }
            Err(HeaderFault::Invalid(what)) => {
                self.bytes.clear();
                let mut error = Error::new(ErrorKind::Corrupt, format!("batch header: {what}"));
                if let Some(offset) = self.next_offset {
                    error = error.offset_is(offset);
                }
                Some(Err(error))
            }
        }
    }
}

impl Split {
    /// Takes one batch from the front; `None`, and the end, when it is not all there.
    fn take(&mut self, size_bytes: u32) -> Option<Bytes> {
        let size = size_bytes as usize;
        if size > self.bytes.len() {
            self.bytes.clear();
            return None;
        }
        Some(self.bytes.split_to(size))
    }
}

/// What a batch of message format 0 or 1 is to this crate, with its range and the way out.
fn old_format(from: Offset, last_offset: Offset) -> Error {
    Error::gap_found(
        Gap::new(from, last_offset.saturating_add(1), GapCause::OldFormat),
        "the batch has message format 0 or 1, from before Kafka 0.11",
    )
    .remedy("let a Kafka broker from 0.11 to 3.x compact or copy the topic; it writes format 2")
}

/// A verified batch: immutable; a clone is one reference more.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    bytes: Bytes,
    header: BatchHeader,
    codec: Codec,
    max_decompressed_bytes: u32,
    /// The records of a compressed batch, from the first look at them on. Boxed: a walk hands each batch up through several floors, and a
    /// small one is copied faster.
    unpacked: OnceLock<Box<Bytes>>,
}

impl RecordBatch {
    /// `bytes` hold exactly one batch whose header is `header`; checks the CRC and that the codec is one, and
    /// nothing that needs unpacking. Allocates nothing.
    #[inline]
    pub(crate) fn verify_owned(bytes: Bytes, header: BatchHeader) -> Result<Self, &'static str> {
        if bytes.len() != header.size_bytes() as usize {
            return Err(WRONG_LENGTH);
        }
        if header::checksum(&bytes) != header.crc() {
            return Err(WRONG_CHECKSUM);
        }
        let codec = header.codec().map_err(|_| UNKNOWN_CODEC)?;
        Ok(Self {
            bytes,
            header,
            codec,
            max_decompressed_bytes: limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
            unpacked: OnceLock::new(),
        })
    }

    /// Counts that no records can bear out, as far as one can tell without unpacking.
    fn check_count(&self) -> Result<(), &'static str> {
        let count = u64::from(self.header.count());
        if count > u64::from(self.header.last_offset_delta()).saturating_add(1) {
            return Err(WRONG_COUNT);
        }
        let payload_bytes = self.bytes.len().saturating_sub(HEADER_BYTES) as u64;
        if self.codec == Codec::None && count.saturating_mul(MIN_RECORD_BYTES) > payload_bytes {
            return Err(NO_ROOM);
        }
        Ok(())
    }

    /// Bounds what the records may unpack to, in bytes; the default is
    /// [`limits::DEFAULT_MAX_DECOMPRESSED_BYTES`]. Above it, the iteration says `TooLarge`.
    #[must_use]
    pub fn max_decompressed_bytes(self, limit_bytes: u32) -> Self {
        Self {
            max_decompressed_bytes: limit_bytes,
            ..self
        }
    }

    /// As `max_decompressed_bytes`, in place.
    pub(crate) fn limit_decompressed_bytes(&mut self, limit_bytes: u32) {
        self.max_decompressed_bytes = limit_bytes;
    }

    /// The first offset that belongs to the batch, whether or not compaction left its record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset()
    }

    /// The last offset that belongs to the batch, inclusive.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    /// The offset behind the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.header.next_offset()
    }

    /// The epoch of the leader that appended the batch; `None` where the writer knew none.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.header.leader_epoch()
    }

    /// The largest time of a record, or the time of the append; `None` where there is none.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        self.header.max_timestamp()
    }

    /// Who gave the records their time.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.header.timestamp_type()
    }

    /// Until when compaction keeps the tombstones of this batch (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.header.delete_horizon()
    }

    /// The idempotent producer; `None` for a plain one.
    #[must_use]
    pub fn producer_id(&self) -> Option<ProducerId> {
        self.header.producer().map(|producer| producer.id)
    }

    /// The generation of the producer; `None` for a plain one.
    #[must_use]
    pub fn producer_epoch(&self) -> Option<ProducerEpoch> {
        self.header.producer().map(|producer| producer.epoch)
    }

    /// The sequence number of the record at the first offset; `None` for a plain producer and in markers.
    #[must_use]
    pub fn base_sequence(&self) -> Option<Sequence> {
        self.header
            .producer()
            .and_then(|producer| producer.base_sequence)
    }

    /// Whether the batch is the end of a transaction or another record of Kafka's own, not data.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.header.is_control()
    }

    /// Whether the batch counts only if its transaction is committed.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.header.is_transactional()
    }

    /// How the records are packed.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// How many records the batch has; after compaction fewer than its offsets.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.header.count()
    }

    /// Header and records as they are stored, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u32 {
        self.header.size_bytes()
    }

    /// The records, in order; unpacks a compressed batch once, within the limit. A control batch shows its
    /// markers as records.
    ///
    /// The items are errors, and the first one is the last item: `Corrupt` for records that contradict their
    /// header or cannot be unpacked, `TooLarge` above the limit, `Unsupported` for a codec that is not in
    /// this build.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        match self.payload() {
            Ok((source, at)) => Records::new(&self.header, Ok(source), at),
            Err(fault) => Records::new(&self.header, Err(fault), 0),
        }
    }

    /// The v2 bytes, ready for a Kafka client.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// What the records lie in, and where they begin in it. An empty batch is not unpacked: Kafka does not
    /// look at what is behind its header either.
    pub(super) fn payload(&self) -> Result<(&Bytes, usize)> {
        if self.codec == Codec::None || self.header.count() == 0 {
            return Ok((&self.bytes, HEADER_BYTES));
        }
        if let Some(unpacked) = self.unpacked.get() {
            return Ok((unpacked, 0));
        }
        let packed = self.bytes.get(HEADER_BYTES..).unwrap_or(&[]);
        let unpacked = compress::decompress(self.codec, packed, self.max_decompressed_bytes)
            .map_err(|error| error.offset_is(self.base_offset()))?;
        Ok((self.unpacked.get_or_init(|| Box::new(unpacked)), 0))
    }

    /// The marker of a control batch; `None` for data, and for control types that are no transaction marker.
    ///
    /// # Errors
    /// `Corrupt` when the record is no control record that Kafka would read.
    pub(crate) fn control_marker(&self) -> Result<Option<ControlMarker>> {
        if !self.is_control() {
            return Ok(None);
        }
        let (Some(producer), Some(record)) =
            (self.header.producer(), self.records().next().transpose()?)
        else {
            return Ok(None);
        };
        let timestamp = record.timestamp().or(self.max_timestamp());
        control::parse(record.key(), record.value(), &producer, timestamp).map_err(|what| {
            Error::new(
                ErrorKind::Corrupt,
                format!("control record cannot be read: {what}"),
            )
            .offset_is(record.offset())
        })
    }
}

impl<'a> IntoIterator for &'a RecordBatch {
    type Item = Result<super::RecordRef<'a>>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.records()
    }
}

impl IntoIterator for RecordBatch {
    type Item = Result<super::StoredRecord>;
    type IntoIter = IntoRecords;

    fn into_iter(self) -> IntoRecords {
        IntoRecords::new(self)
    }
}
