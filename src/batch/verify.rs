//! From bytes to a batch: `UnverifiedBatch::verify` is the only way to records.

use bytes::Bytes;

use super::header::BatchHeader;
use super::header::TimestampType;
use super::record::Records;
use crate::compress::Codec;
use crate::error::Result;
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
use crate::timestamp::Timestamp;

/// The bytes of one batch, from the network or a file. Shows no records before [`UnverifiedBatch::verify`].
#[derive(Clone, Debug)]
pub struct UnverifiedBatch {
    bytes: Bytes,
    header: BatchHeader,
}

impl UnverifiedBatch {
    /// Splits bytes into batches; lengths are bounded first, and a partial last batch ends it, as in Kafka.
    pub fn split(bytes: Bytes) -> impl Iterator<Item = Result<UnverifiedBatch>> {
        let _ = bytes;
        std::iter::empty()
    }

    /// Checks magic, length, CRC and count.
    ///
    /// # Errors
    /// `Corrupt` for a wrong field or checksum, `Unsupported` for an old format or an unknown codec.
    pub fn verify(self) -> Result<RecordBatch> {
        todo!()
    }

    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// A verified batch: immutable, a private copy; a clone is one reference more.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    bytes: Bytes,
    header: BatchHeader,
    // plus OnceLock<Bytes> for the unpacked records, and the decompression limit
}

impl RecordBatch {
    /// `bytes` hold exactly one batch whose header is `header`; checks the CRC (and nothing that needs unpacking).
    pub(crate) fn verify_owned(bytes: Bytes, header: BatchHeader) -> Result<Self, &'static str> {
        let _ = (bytes, header);
        todo!()
    }
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset()
    }
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }
    pub fn next_offset(&self) -> Offset {
        self.header.next_offset()
    }
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.header.leader_epoch()
    }
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        self.header.max_timestamp()
    }
    pub fn timestamp_type(&self) -> TimestampType {
        self.header.timestamp_type()
    }
    pub fn is_control(&self) -> bool {
        self.header.is_control()
    }
    pub fn is_transactional(&self) -> bool {
        self.header.is_transactional()
    }
    pub fn codec(&self) -> Codec {
        todo!()
    }
    pub fn record_count(&self) -> u32 {
        self.header.count()
    }
    pub fn size_bytes(&self) -> u32 {
        self.header.size_bytes()
    }
    /// The records; unpacks within the limit.
    pub fn records(&self) -> Records<'_> {
        todo!()
    }
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }
    /// The marker of a control batch; `None` for data, and for control types that are no transaction marker.
    pub(crate) fn control_marker(&self) -> Result<Option<super::ControlMarker>> {
        todo!()
    }
}
