//! Kafka's log as a Rust library: an embeddable, partitioned, append-only log whose directories are
//! Apache Kafka log directories.
//!
//! A [`Log`] is a directory of topics; a [`Topic`] has [`Partition`]s; a partition is an ordered list of records, each with
//! an [`Offset`]. One process writes, any number read.
//!
//! ```
//! use stratalog::{Log, Record, Start};
//!
//! # fn main() -> stratalog::Result<()> {
//! # let dir = std::env::temp_dir().join(format!("stratalog-tour-{}", std::process::id()));
//! let log = Log::open(&dir)?;
//! let clicks = log.topic("user_clicks")?;
//! let ticket = clicks.append(Record::new("signed up").key("user-7"))?;
//! ticket.wait_durable()?; // or: ticket.durable().await?
//!
//! for record in clicks.partition(0)?.cursor(Start::Earliest)? {
//!     let record = record?;
//!     println!("{} {:?}", record.offset(), record.value());
//! }
//! log.close()?;
//! # let _ = std::fs::remove_dir_all(&dir);
//! # Ok(())
//! # }
//! ```
//!
//! - **Writing.** [`Partition::append`] returns when the topic's [`FsyncPolicy`] is met, [`Partition::submit`] never waits for a sync, and
//!   [`Partition::writer`] fills batches in memory. Each gives a ticket that tells when its records are on the disk.
//! - **Reading.** A [`Cursor`] is a place in a partition: it starts anywhere, waits or is awaited at the tail, and tells damage as a [`Gap`] and goes on.
//!   [`Log::view`] reads beside a writer in another process.
//! - **Brokers** find raw batches, epochs, truncation and producer state at [`Partition::replica`] and [`Partition::fetch`].
//! - **What went wrong** is an [`Error`] with one of sixteen [kinds](ErrorKind), each a thing to do.
//!
//! The [`manual`] tells how it is built, what it writes and what it promises.

#[cfg(doc)]
pub mod manual;

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// floor 0: words
mod error;
mod ids;
#[cfg(test)]
mod laws;
pub mod limits;
mod offset;
mod stats;
mod sync;
mod timestamp;
mod topic;
// floor 1
mod checkpoint_text;
mod compress;
pub mod storage;
// floor 2
mod batch;
mod epochs;

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
