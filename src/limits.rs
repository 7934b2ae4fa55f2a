//! Bounds that hold everywhere: what is read from disk is measured against these before anything
//! is allocated. Kafka's numbers, with the constant of Kafka that each comes from.

/// Default of `max.message.bytes`: 1 MiB of records and the 12 bytes before a batch's length ends
/// (`LogConfig.DEFAULT_MAX_MESSAGE_BYTES`).
pub const DEFAULT_MAX_MESSAGE_BYTES: u32 = 1_048_588;

/// The largest segment file: Kafka keeps positions in a signed 32-bit integer.
pub const MAX_SEGMENT_BYTES: u32 = 2_147_483_647;

/// The largest distance of an offset from its segment's base (`AbstractIndex.toRelative`).
pub const MAX_SEGMENT_OFFSET_SPAN: u64 = 2_147_483_647;

/// The largest batch that a reader takes from disk. A larger length in a header is damage, unless the
/// file really has as many bytes.
pub const MAX_BATCH_BYTES: u32 = MAX_SEGMENT_BYTES;

/// Default bound on what one batch may unpack to. A batch that holds `max.message.bytes` of compressed zeros
/// would otherwise cost gigabytes.
pub const DEFAULT_MAX_DECOMPRESSED_BYTES: u32 = 256 << 20;

/// The clock may be this far behind the last assigned timestamp before the step back is believed.
pub const MAX_TIMESTAMP_REPEAT_MS: i64 = 60_000;

/// Default of `message.timestamp.after.max.ms`: a record may be this far ahead of the clock (KIP-1030).
pub const DEFAULT_TIMESTAMP_AFTER_MAX_MS: i64 = 3_600_000;

/// Default of `segment.bytes`.
pub const DEFAULT_SEGMENT_BYTES: u32 = 1 << 30;

/// Default of `segment.ms`: seven days.
pub const DEFAULT_SEGMENT_MS: i64 = 604_800_000;

/// Default of `segment.index.bytes`: the size at which an index counts as full. No file of that size is made ahead.
pub const DEFAULT_SEGMENT_INDEX_BYTES: u32 = 10_485_760;

/// Default of `index.interval.bytes`.
pub const DEFAULT_INDEX_INTERVAL_BYTES: u32 = 4_096;

/// Default of `retention.ms`: seven days.
pub const DEFAULT_RETENTION_MS: i64 = 604_800_000;

/// Default of `log.retention.check.interval.ms`.
pub const RETENTION_CHECK_INTERVAL_MS: u64 = 300_000;

/// Default of `producer.id.expiration.ms`: one day.
pub const DEFAULT_PRODUCER_EXPIRATION_MS: i64 = 86_400_000;

/// Under `FsyncPolicy::Never` a background sync starts when this much is not synced.
pub const BACKGROUND_SYNC_BYTES: u64 = 64 << 20;

/// Under `FsyncPolicy::Never` a background sync starts when something is not synced for this long.
pub const BACKGROUND_SYNC_MS: u64 = 30_000;

/// Default bound on un-synced bytes of a whole log; beyond it `append` waits.
pub const DEFAULT_UNSYNCED_LIMIT_BYTES: u64 = 1 << 30;

/// Default number of files that a log keeps open.
pub const DEFAULT_MAX_OPEN_FILES: u32 = 1_024;

/// The buffer with which a cursor starts; it grows to the batch when a batch is larger.
pub const READ_BUFFER_BYTES: usize = 64 << 10;

/// A cut tail up to this size is copied beside the log when there is room.
pub const CUT_TAIL_COPY_BYTES: u64 = 64 << 20;

/// A full partition tries again at most this often.
pub const FULL_RETRY_MS: u64 = 100;

/// Kept in the log directory, and freed on a full disk for facts, commits and trims.
pub const RESERVE_BYTES: u64 = 64 << 10;
