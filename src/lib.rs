//! Kafka's log as a Rust library: an embeddable, partitioned, append-only log whose directories are
//! Apache Kafka log directories.
//!
//! The [`manual`] tells how it is built, what it writes and what it promises.

#[cfg(doc)]
pub mod manual;

// floor 0: words
mod error;
mod ids;
pub mod limits;
mod offset;
mod stats;
mod timestamp;
mod topic;
// floor 1
mod compress;
pub mod storage;
// floor 2
mod batch;

pub use batch::{
    ControlKind, ControlMarker, Header, Headers, IntoRecords, Record, RecordBatch,
    RecordBatchBuilder, RecordRef, Records, StoredRecord, TimestampType, UnverifiedBatch,
};
pub use compress::{Codec, Compression, Level};
pub use error::{Error, ErrorKind, Gap, GapCause, Result};
pub use ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
pub use offset::{FilePosition, Offset};
pub use stats::{PartitionStats, Stats, WritePathTaken};
pub use timestamp::{Clock, ManualClock, SystemClock, Timestamp};
pub use topic::{TopicId, TopicName, TopicPartition};
// floor 3
mod segment;
pub use segment::AbortedTransaction;
// floor 4
mod epochs;
mod producers;
pub use producers::{ProducerBatch, ProducerInfo};
// floor 5
mod partition;
pub use partition::{
    Adopted, AppendOutcome, DroppedBecause, Durable, FsyncPolicy, HighWatermark, KeptBecause,
    Partition, PartitionRecovery, ReadUpTo, Retention, RetentionPlan, Segment, Ticket,
    TopicOptions, TornTail, Verdict, Watermarks, WritePath,
};
// floor 6
mod cursor;
mod replica;
mod writer;
#[cfg(feature = "futures-core-03")]
pub use cursor::RecordStream;
pub use cursor::{Cursor, Fetch, Fetched, FileRange, Follow, Lag, Limit, Readable, Start};
pub use replica::Replica;
pub use writer::{Stage, Writer, WriterDurable, WriterOptions, WriterTicket};
// floor 7
mod directory;
// floor 8
mod log;
// floor 9
pub mod inspect;
pub use inspect::{LogView, PartitionView, TopicView};
pub use log::{Log, LogBuilder, Maintenance, RecoveryReport, Topic};
