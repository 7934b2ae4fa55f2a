//! What a topic's partitions keep and when they sync, under Kafka's names and defaults.
//!
//! Setters never fail: `validate`, which `open` and `create_topic` call, names the option, its value and its
//! range. The same options travel as `key=value` in Kafka's names: in `stratalog.topics`, and through serde.

mod kafka_names;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::batch::TimestampType;
use crate::compress::Compression;
use crate::error::{Error, ErrorKind, Result};
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
    /// A shared mapping of prepared space. Not in this version: opening a log or a topic with it is `Unsupported`.
    Mapped,
}

/// What may be dropped from the start of a partition.
///
/// A segment goes when one of the bounds that are set lets it go, oldest first, and never above the high watermark.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    pub(crate) time: Option<Duration>,
    pub(crate) bytes: Option<u64>,
}

impl Default for Retention {
    /// Seven days, no bound on bytes: Kafka's `retention.ms` and `retention.bytes`.
    fn default() -> Self {
        let week = Duration::from_millis(limits::DEFAULT_RETENTION_MS.unsigned_abs());
        Self {
            time: Some(week),
            bytes: None,
        }
    }
}

impl Retention {
    /// Keeps everything.
    pub fn unlimited() -> Self {
        Self {
            time: None,
            bytes: None,
        }
    }

    /// `retention.ms`: segments whose records are all older may go. From 0 up.
    pub fn time(self, time: Duration) -> Self {
        Self {
            time: Some(time),
            ..self
        }
    }

    /// `retention.bytes`: the oldest segments go while the partition keeps at least this much without them.
    pub fn bytes(self, bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            ..self
        }
    }
}

/// The options of a topic: Kafka's names and defaults, and a few of our own.
///
/// ```
/// use stratalog::{FsyncPolicy, TopicOptions};
///
/// let options = TopicOptions::default().partitions(3).fsync(FsyncPolicy::Always);
/// ```
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl TopicOptions {
    /// How many partitions a new topic gets: 1 (the default) to 100,000. Of a topic that exists it adds what is missing.
    pub fn partitions(self, partitions: u32) -> Self {
        Self { partitions, ..self }
    }

    /// `segment.bytes`: the largest segment file, 1 KiB to 2 GiB less 1; default [`limits::DEFAULT_SEGMENT_BYTES`].
    pub fn segment_bytes(self, segment_bytes: u32) -> Self {
        Self {
            segment_bytes,
            ..self
        }
    }

    /// `segment.ms`: a segment older than this (by its records' time) is rolled, from 1 ms; default
    /// [`limits::DEFAULT_SEGMENT_MS`].
    pub fn segment_age(self, age: Duration) -> Self {
        Self {
            segment_ms: millis(age),
            ..self
        }
    }

    /// `segment.jitter.ms`: each segment's age limit is lowered by up to this, so that partitions do not roll together; default 0.
    pub fn segment_jitter(self, jitter: Duration) -> Self {
        Self {
            segment_jitter_ms: millis(jitter),
            ..self
        }
    }

    /// `segment.index.bytes`: a segment whose index reaches this is rolled, 24 bytes to 1 GiB; default
    /// [`limits::DEFAULT_SEGMENT_INDEX_BYTES`].
    pub fn segment_index_bytes(self, bytes: u32) -> Self {
        Self {
            segment_index_bytes: bytes,
            ..self
        }
    }

    /// `index.interval.bytes`: log bytes between two index entries; default [`limits::DEFAULT_INDEX_INTERVAL_BYTES`].
    pub fn index_interval_bytes(self, bytes: u32) -> Self {
        Self {
            index_interval_bytes: bytes,
            ..self
        }
    }

    /// `max.message.bytes`: the largest batch that an append takes, 70 bytes to 1 GiB; default
    /// [`limits::DEFAULT_MAX_MESSAGE_BYTES`].
    pub fn max_message_bytes(self, bytes: u32) -> Self {
        Self {
            max_message_bytes: bytes,
            ..self
        }
    }

    /// `retention.ms` and `retention.bytes`.
    pub fn retention(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// When appends reach the medium; default [`FsyncPolicy::Never`].
    pub fn fsync(self, policy: FsyncPolicy) -> Self {
        Self {
            fsync: policy,
            ..self
        }
    }

    /// Up to where `ReadUpTo::HighWatermark` shows and retention deletes; default [`HighWatermark::End`].
    pub fn high_watermark(self, source: HighWatermark) -> Self {
        Self {
            high_watermark: source,
            ..self
        }
    }

    /// How bytes reach the page cache; default [`WritePath::Auto`]. This version has the positional path only.
    pub fn write_path(self, path: WritePath) -> Self {
        Self {
            write_path: path,
            ..self
        }
    }

    /// `compression.type` and its level, for records appended here; default none. Raw batches keep their codec.
    pub fn compression(self, compression: Compression) -> Self {
        Self {
            compression,
            ..self
        }
    }

    /// `message.timestamp.type`; default [`TimestampType::CreateTime`].
    pub fn timestamp_type(self, timestamp_type: TimestampType) -> Self {
        Self {
            timestamp_type,
            ..self
        }
    }

    /// `message.timestamp.before.max.ms`: a record's own time may be this far behind the clock; default no bound.
    pub fn timestamp_before_max(self, by: Duration) -> Self {
        Self {
            timestamp_before_max_ms: millis(by),
            ..self
        }
    }

    /// `message.timestamp.after.max.ms`: a record's own time may be this far ahead of the clock; default
    /// [`limits::DEFAULT_TIMESTAMP_AFTER_MAX_MS`] (KIP-1030).
    pub fn timestamp_after_max(self, by: Duration) -> Self {
        Self {
            timestamp_after_max_ms: millis(by),
            ..self
        }
    }

    /// The most that one batch may unpack to when it is read, 1 KiB to 2 GiB less 1; default
    /// [`limits::DEFAULT_MAX_DECOMPRESSED_BYTES`].
    pub fn max_decompressed_bytes(self, bytes: u32) -> Self {
        Self {
            max_decompressed_bytes: bytes,
            ..self
        }
    }

    /// `producer.id.expiration.ms`: an idle producer is forgotten after this; default
    /// [`limits::DEFAULT_PRODUCER_EXPIRATION_MS`].
    pub fn producer_expiration(self, after: Duration) -> Self {
        Self {
            producer_expiration_ms: millis(after),
            ..self
        }
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// `InvalidInput` naming option, value and range; `Unsupported` for the mapped write path.
    pub(crate) fn validate(&self) -> Result<()> {
        let largest = i64::from(limits::MAX_SEGMENT_BYTES);
        let bounds: [(&str, i64, i64, i64); 11] = [
            ("num.partitions", i64::from(self.partitions), 1, 100_000),
            (
                "segment.bytes",
                i64::from(self.segment_bytes),
                1 << 10,
                largest,
            ),
            ("segment.ms", self.segment_ms, 1, i64::MAX),
            ("segment.jitter.ms", self.segment_jitter_ms, 0, i64::MAX),
            (
                "segment.index.bytes",
                i64::from(self.segment_index_bytes),
                24,
                1 << 30,
            ),
            (
                "index.interval.bytes",
                i64::from(self.index_interval_bytes),
                0,
                largest,
            ),
            (
                "max.message.bytes",
                i64::from(self.max_message_bytes),
                70,
                1 << 30,
            ),
            (
                "stratalog.max.decompressed.bytes",
                i64::from(self.max_decompressed_bytes),
                1 << 10,
                largest,
            ),
            (
                "message.timestamp.before.max.ms",
                self.timestamp_before_max_ms,
                0,
                i64::MAX,
            ),
            (
                "message.timestamp.after.max.ms",
                self.timestamp_after_max_ms,
                0,
                i64::MAX,
            ),
            (
                "producer.id.expiration.ms",
                self.producer_expiration_ms,
                1,
                i64::MAX,
            ),
        ];
        for (option, value, low, high) in bounds {
            if value < low || value > high {
                return Err(out_of_range(
                    option,
                    &value.to_string(),
                    &format!("{low} to {high}"),
                ));
            }
        }
        let fsync = |value: u128| {
            out_of_range(
                "stratalog.fsync",
                &value.to_string(),
                "1 upward for its interval, bytes or records",
            )
        };
        match self.fsync {
            FsyncPolicy::Interval(every) if every.as_millis() == 0 => {
                return Err(fsync(every.as_millis()));
            }
            FsyncPolicy::Bytes(0) | FsyncPolicy::Records(0) => return Err(fsync(0)),
            _ => {}
        }
        self.compression.check()?;
        if self.write_path == WritePath::Mapped {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "stratalog.write.path=mapped: this version writes with pwrite only",
            )
            .remedy("use auto or positional"));
        }
        Ok(())
    }
}

fn out_of_range(option: &str, value: &str, range: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("{option}={value} is out of range: {range}"),
    )
}
