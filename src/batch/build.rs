//! From records to a batch: one reusable buffer, one pass, nothing allocated per record.
//!
//! Sizes are computed first, so that a record goes straight to its place in the output. The place in the log
//! (offset and epoch) is not known here; `header::stamp` writes it later, outside of the CRC.

use bytes::Bytes;

use super::control::ControlMarker;
use super::header::{self, BatchHeader, HEADER_BYTES, NewHeader, ProducerStamp, TimestampType};
use super::record::Record;
use super::varint;
use super::verify::UnverifiedBatch;
use crate::compress::{self, Codec, Compression};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::limits;
use crate::offset::Offset;
use crate::timestamp::Timestamp;

/// What the format writes for "no timestamp".
const NO_TIMESTAMP: i64 = -1;

/// Fills one batch. Reusable: [`RecordBatchBuilder::clear`] keeps the buffer.
///
/// ```
/// use stratalog::{Compression, Record, RecordBatchBuilder};
///
/// let mut builder = RecordBatchBuilder::new(Compression::None);
/// builder.push(Record::new("one"))?;
/// builder.push(Record::new("two").key("k"))?;
/// let batch = builder.finish()?.verify()?;
/// let values = batch.records().map(|r| Ok(r?.value().map(<[u8]>::to_vec)));
/// assert_eq!(
///     values.collect::<stratalog::Result<Vec<_>>>()?,
///     [Some(b"one".to_vec()), Some(b"two".to_vec())]
/// );
/// # Ok::<(), stratalog::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordBatchBuilder {
    compression: Compression,
    limit_bytes: u32,
    /// The records one behind the other, not yet packed.
    records: Vec<u8>,
    count: u32,
    times: Times,
    producer: Option<ProducerStamp>,
    transactional: bool,
}

/// Where the records of a batch have their time from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Times {
    /// There is no record yet.
    Open,
    /// From the append. All deltas are zero.
    Assigned,
    /// From the records; deltas count from the first one.
    Explicit { base: Timestamp, max: Timestamp },
}

impl RecordBatchBuilder {
    /// An empty batch that takes up to [`limits::DEFAULT_MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            limit_bytes: limits::DEFAULT_MAX_MESSAGE_BYTES,
            records: Vec::new(),
            count: 0,
            times: Times::Open,
            producer: None,
            transactional: false,
        }
    }

    /// Bounds the batch, header included, before it is packed; in bytes. At most 2 GiB, which is all that a
    /// segment holds.
    #[must_use]
    pub fn with_limit(self, limit_bytes: u32) -> Self {
        Self {
            limit_bytes: limit_bytes.min(limits::MAX_BATCH_BYTES),
            ..self
        }
    }

    /// Makes it a batch of an idempotent producer; `first` is the sequence number of the first record (KIP-98).
    #[must_use]
    pub fn producer(self, id: ProducerId, epoch: ProducerEpoch, first: Sequence) -> Self {
        let base_sequence = Some(first);
        Self {
            producer: Some(ProducerStamp {
                id,
                epoch,
                base_sequence,
            }),
            ..self
        }
    }

    /// Makes it part of its producer's transaction: it counts once a commit marker follows.
    #[must_use]
    pub fn transactional(self) -> Self {
        Self {
            transactional: true,
            ..self
        }
    }

    /// Adds a copy of the record.
    ///
    /// Either all records of a batch bring a timestamp, or all take that of the append.
    ///
    /// # Errors
    /// `TooLarge` when the batch would be above its limit, `InvalidInput` for a negative timestamp and for a
    /// record with a timestamp among records without, or the other way round. The batch is as it was, and
    /// can be appended or filled further.
    pub fn push(&mut self, record: Record<'_>) -> Result<()> {
        let (times, timestamp_delta) = self.times_with(&record)?;
        let body_bytes = body_bytes(&record, timestamp_delta, self.count);
        let record_bytes = varint::size(body_bytes.cast_signed()).saturating_add(body_bytes);
        let needed_bytes = (self.len_bytes() as u64).saturating_add(record_bytes);
        if needed_bytes > u64::from(self.limit_bytes) {
            return Err(self.too_large(needed_bytes));
        }
        self.records.reserve(record_bytes as usize);
        put_record(
            &mut self.records,
            &record,
            body_bytes,
            timestamp_delta,
            self.count,
        );
        self.times = times;
        self.count += 1;
        Ok(())
    }

    /// The times of the batch once it has `record`, and the record's delta.
    fn times_with(&self, record: &Record<'_>) -> Result<(Times, i64)> {
        let Some(at) = record.timestamp else {
            return match self.times {
                Times::Open | Times::Assigned => Ok((Times::Assigned, 0)),
                Times::Explicit { .. } => Err(mixed_times()),
            };
        };
        check_timestamp(at)?;
        match self.times {
            Times::Open => Ok((Times::Explicit { base: at, max: at }, 0)),
            // Neither is negative, so the difference is in range.
            Times::Explicit { base, max } => Ok((
                Times::Explicit {
                    base,
                    max: max.max(at),
                },
                at.as_millis() - base.as_millis(),
            )),
            Times::Assigned => Err(mixed_times()),
        }
    }

    #[cold]
    fn too_large(&self, needed_bytes: u64) -> Error {
        let limit = self.limit_bytes;
        Error::new(
            ErrorKind::TooLarge,
            format!("with this record the batch takes {needed_bytes} bytes, above the limit of {limit} (max.message.bytes)"),
        )
        .remedy("append what the batch holds first, split the record, or raise the limit")
    }

    /// What the batch takes before it is packed, header included.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The number of records that were added.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.count
    }

    /// Whether there is nothing to append.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the batch is packed with.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Drops the records; the buffer, the producer and the transaction stay.
    pub fn clear(&mut self) {
        self.records.clear();
        self.count = 0;
        self.times = Times::Open;
    }

    /// The batch as raw bytes at offset 0, for brokers and tests; clears the builder. There is no append to give
    /// a time here: records without a timestamp stay without one.
    ///
    /// # Errors
    /// `InvalidInput` for a batch without records, or a transaction without a producer; `Unsupported` for a codec that is
    /// not in this build.
    pub fn finish(&mut self) -> Result<UnverifiedBatch> {
        let mut out = Vec::new();
        self.encode(NO_TIMESTAMP, &mut out)?;
        self.clear();
        Ok(own_batch(out))
    }

    /// A commit or abort marker at offset 0, as a coordinator writes it.
    #[must_use]
    pub fn control(marker: ControlMarker) -> UnverifiedBatch {
        let (key, value) = (marker.key(), marker.value());
        let record = Record::new(&value).key(&key);
        let mut out = vec![0; HEADER_BYTES];
        put_record(&mut out, &record, body_bytes(&record, 0, 0), 0, 0);
        let time = marker.timestamp.as_millis();
        let producer = ProducerStamp {
            id: marker.producer_id,
            epoch: marker.producer_epoch,
            base_sequence: None,
        };
        let header = NewHeader {
            transactional: true,
            control: true,
            producer: Some(producer),
            ..plain_header(Codec::None, time, time, 1)
        };
        seal(&mut out, header);
        own_batch(out)
    }

    /// Encodes the batch into `out` (cleared first), for an append: records without a time take `now`. Base
    /// offset 0 and epoch 0 are stamped later. Leaves the builder as it is.
    pub(crate) fn encode_into(&self, now: Timestamp, out: &mut Vec<u8>) -> Result<()> {
        self.encode(now.as_millis(), out)
    }

    /// The largest explicit time of a record, to be checked against the clock; `None` when the append gives
    /// the time.
    pub(crate) fn explicit_max_timestamp(&self) -> Option<Timestamp> {
        match self.times {
            Times::Explicit { max, .. } => Some(max),
            Times::Open | Times::Assigned => None,
        }
    }

    fn encode(&self, assigned: i64, out: &mut Vec<u8>) -> Result<()> {
        if self.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the batch has no records",
            ));
        }
        if self.transactional && self.producer.is_none() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a transactional batch needs a producer",
            ));
        }
        let (base, max) = match self.times {
            Times::Explicit { base, max } => (base.as_millis(), max.as_millis()),
            Times::Open | Times::Assigned => (assigned, assigned),
        };
        out.clear();
        out.resize(HEADER_BYTES, 0);
        compress::compress(self.compression, &self.records, out)?;
        check_packed(out)?;
        let header = NewHeader {
            transactional: self.transactional,
            producer: self.producer,
            ..plain_header(self.compression.codec(), base, max, self.count)
        };
        seal(out, header);
        Ok(())
    }
}

/// Encodes one record as a whole batch into `out` (cleared first): the hot path of `append`. Without
/// compression nothing is allocated but `out`.
pub(crate) fn encode_single(
    record: &Record<'_>,
    compression: Compression,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<()> {
    let time = match record.timestamp {
        Some(at) => {
            check_timestamp(at)?;
            at.as_millis()
        }
        None => now.as_millis(),
    };
    let body_bytes = body_bytes(record, 0, 0);
    let size_bytes =
        body_bytes.saturating_add(varint::size(body_bytes.cast_signed()) + HEADER_BYTES as u64);
    if size_bytes > u64::from(limits::MAX_BATCH_BYTES) {
        return Err(above_format(size_bytes));
    }
    out.clear();
    out.reserve(size_bytes as usize);
    out.extend_from_slice(&[0; HEADER_BYTES]);
    put_record(out, record, body_bytes, 0, 0);
    if compression != Compression::None {
        let plain = out.split_off(HEADER_BYTES);
        compress::compress(compression, &plain, out)?;
        check_packed(out)?;
    }
    seal(out, plain_header(compression.codec(), time, time, 1));
    Ok(())
}

/// Data of a plain producer at offset 0 in epoch 0, which are stamped later.
fn plain_header(codec: Codec, base_timestamp: i64, max_timestamp: i64, count: u32) -> NewHeader {
    NewHeader {
        base_offset: Offset::ZERO,
        size_bytes: 0,
        leader_epoch: Some(LeaderEpoch::ZERO),
        codec,
        timestamp_type: TimestampType::CreateTime,
        transactional: false,
        control: false,
        last_offset_delta: count.saturating_sub(1),
        base_timestamp,
        max_timestamp,
        producer: None,
        count,
    }
}

/// Writes header and CRC over the place that was kept for them. `batch` is below the format's limit.
fn seal(batch: &mut [u8], header: NewHeader) {
    let size_bytes = batch.len() as u32;
    let place = batch
        .first_chunk_mut()
        .expect("the header's place was kept");
    NewHeader {
        size_bytes,
        ..header
    }
    .into_header()
    .write(place);
    header::write_checksum(batch);
}

fn own_batch(out: Vec<u8>) -> UnverifiedBatch {
    let header = BatchHeader::read(&out).expect("what the builder wrote is a header");
    UnverifiedBatch::new(Bytes::from(out), header)
}

/// What the record takes behind its own length.
#[inline]
fn body_bytes(record: &Record<'_>, timestamp_delta: i64, offset_delta: u32) -> u64 {
    let fixed = 1 + varint::size(timestamp_delta) + varint::size(i64::from(offset_delta));
    let mut sum = fixed
        + nullable_bytes(record.key)
        + nullable_bytes(record.value)
        + varint::size(record.headers.len() as i64);
    for (name, value) in record.headers {
        // Slices may overlap, so the sum has no bound but this one.
        sum = sum.saturating_add(nullable_bytes(Some(name.as_bytes())) + nullable_bytes(*value));
    }
    sum
}

#[inline]
fn nullable_bytes(field: Option<&[u8]>) -> u64 {
    match field {
        Some(field) => varint::size(field.len() as i64) + field.len() as u64,
        None => 1,
    }
}

/// Writes a record whose sizes were checked against the limit of a batch, so each fits its number.
#[inline]
fn put_record(
    out: &mut Vec<u8>,
    record: &Record<'_>,
    body_bytes: u64,
    timestamp_delta: i64,
    offset_delta: u32,
) {
    varint::put(out, body_bytes.cast_signed());
    out.push(0);
    varint::put(out, timestamp_delta);
    varint::put(out, i64::from(offset_delta));
    put_nullable(out, record.key);
    put_nullable(out, record.value);
    varint::put(out, record.headers.len() as i64);
    for (name, value) in record.headers {
        put_nullable(out, Some(name.as_bytes()));
        put_nullable(out, *value);
    }
}

#[inline]
fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(field) => {
            varint::put(out, field.len() as i64);
            out.extend_from_slice(field);
        }
        None => varint::put(out, -1),
    }
}

/// Kafka refuses negative times as well; -1 would read back as none.
fn check_timestamp(at: Timestamp) -> Result<()> {
    if at.as_millis() >= 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("the timestamp {at} is negative; Kafka's format takes none from before 1970"),
    ))
}

#[cold]
fn mixed_times() -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "records with and without a timestamp cannot be in one batch",
    )
    .remedy("give each record of the batch a timestamp, or none")
}

/// Packing can make records that do not compress larger.
fn check_packed(out: &[u8]) -> Result<()> {
    let size_bytes = out.len() as u64;
    if size_bytes > u64::from(limits::MAX_BATCH_BYTES) {
        Err(above_format(size_bytes))
    } else {
        Ok(())
    }
}

#[cold]
fn above_format(size_bytes: u64) -> Error {
    let limit = limits::MAX_BATCH_BYTES;
    Error::new(
        ErrorKind::TooLarge,
        format!("the batch takes {size_bytes} bytes, above {limit}, the most that a segment holds"),
    )
}
