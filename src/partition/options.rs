//! What a topic's partitions keep and when they sync, under Kafka's names and defaults.

use std::time::Duration;

use crate::batch::TimestampType;
use crate::compress::Compression;
use crate::limits;

/// When an append's bytes are brought to the medium.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FsyncPolicy {
    /// No append waits; a background sync starts at 64 MiB or 30 s (the default, as Kafka's).
    #[default]
    Never,
    /// A background sync starts this long after the first un-synced append.
    Interval(Duration),
    /// A background sync starts once this many bytes are not synced.
    Bytes(u64),
    /// A background sync starts once this many records are not synced.
    Records(u64),
    /// Each append waits until it is on the medium; waiting appends share a sync.
    Always,
}

/// Up to where consumers may read, and retention may delete.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HighWatermark {
    /// The log end.
    #[default]
    End,
    /// The durable end.
    Durable,
    /// What `Replica::set_high_watermark` said.
    External,
}

/// How bytes reach the page cache.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WritePath {
    /// The crate chooses.
    #[default]
    Auto,
    /// `pwrite`.
    Positional,
    /// A shared mapping of prepared space.
    Mapped,
}

/// What may be dropped from the start of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    pub(crate) time: Option<Duration>,
    pub(crate) bytes: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            time: Some(Duration::from_millis(
                limits::DEFAULT_RETENTION_MS.unsigned_abs(),
            )),
            bytes: None,
        }
    }
}

/// The options of a topic.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicOptions {
    pub(crate) partitions: u32,
    pub(crate) segment_bytes: u32,
    pub(crate) segment_ms: i64,
    pub(crate) segment_jitter_ms: i64,
    pub(crate) segment_index_bytes: u32,
    pub(crate) index_interval_bytes: u32,
    pub(crate) max_message_bytes: u32,
    pub(crate) retention: Retention,
    pub(crate) fsync: FsyncPolicy,
    pub(crate) high_watermark: HighWatermark,
    pub(crate) write_path: WritePath,
    pub(crate) compression: Compression,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) timestamp_before_max_ms: i64,
    pub(crate) timestamp_after_max_ms: i64,
    pub(crate) max_decompressed_bytes: u32,
    pub(crate) producer_expiration_ms: i64,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            segment_bytes: limits::DEFAULT_SEGMENT_BYTES,
            segment_ms: limits::DEFAULT_SEGMENT_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: limits::DEFAULT_SEGMENT_INDEX_BYTES,
            index_interval_bytes: limits::DEFAULT_INDEX_INTERVAL_BYTES,
            max_message_bytes: limits::DEFAULT_MAX_MESSAGE_BYTES,
            retention: Retention::default(),
            fsync: FsyncPolicy::default(),
            high_watermark: HighWatermark::default(),
            write_path: WritePath::default(),
            compression: Compression::None,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: limits::DEFAULT_TIMESTAMP_AFTER_MAX_MS,
            max_decompressed_bytes: limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
            producer_expiration_ms: limits::DEFAULT_PRODUCER_EXPIRATION_MS,
        }
    }
}
