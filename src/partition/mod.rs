//! A partition: a list of segments, its watermarks, and the operations on both. [`Partition`] delegates; each noun has its own file.
//!
//! Locks, in the order in which they may be taken: `writer` (short: never held during a sync), then `published`, then `side`.
//! The one who syncs holds the *commit turn* (`group_commit.rs`), which is no lock but a token; truncation and trimming take it too,
//! so that no sync runs while files are cut.
//!
//! This folder must never know what a cursor, a consumer, a topic's routing or a log directory is. Upper facts come down as values
//! ([`OpenFacts`]) or cells ([`SharedByLog`], `keep_from`).

mod append;
mod facts;
mod group_commit;
mod open;
mod options;
mod reader;
mod recovery;
mod retention;
mod roll;
mod truncate;
mod watermarks;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};

use crate::epochs::Epochs;
use crate::offset::Offset;
use crate::producers::Producers;
use crate::segment::{ActiveSegment, OpenFiles, SegmentHome, SegmentSettings};
use crate::storage::{BootId, Latch};
use crate::timestamp::{Clock, Timestamp};
use crate::topic::TopicPartition;

pub(crate) use facts::{Incarnation, SideFiles};
pub(crate) use group_commit::{Commit, SyncRequests, UnsyncedBudget};
pub use group_commit::{Durable, Ticket};
pub(crate) use open::{ClosedFacts, OpenFacts, Owner, PartitionRecovery};
pub use options::{FsyncPolicy, HighWatermark, Retention, TopicOptions, WritePath};
pub(crate) use reader::{BatchStream, Next, PartitionReader};
pub(crate) use watermarks::{Opening, Published, Snapshot};
pub use watermarks::{ReadUpTo, Watermarks};

/// What all partitions of a log share, handed down at open.
#[derive(Debug)]
pub(crate) struct SharedByLog {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) open_files: Arc<OpenFiles>,
    /// Partitions that want a sync, in the order of asking; flushers, or `maintain`, take from it.
    pub(crate) sync_requests: SyncRequests,
    /// Bytes of the whole log that no sync has covered; `append` waits beyond the limit.
    pub(crate) unsynced: UnsyncedBudget,
    pub(crate) incarnation: Incarnation,
    /// `None` where the system does not tell: each open then counts as after a reboot *and* as in the same boot, whichever is more careful.
    pub(crate) boot_id: Option<BootId>,
}

/// A partition. Clones share it; after `Log::close` every call says `Closed`.
#[derive(Clone, Debug)]
pub struct Partition {
    pub(crate) core: Arc<PartitionCore>,
}

/// The state behind [`Partition`].
#[derive(Debug)]
pub(crate) struct PartitionCore {
    pub(crate) name: TopicPartition,
    pub(crate) home: SegmentHome,
    pub(crate) options: RwLock<Arc<TopicOptions>>,
    /// The one short writer lock.
    pub(crate) writer: Mutex<WriterState>,
    pub(crate) published: Arc<Published>,
    /// Tickets, group commit, the sync in flight.
    pub(crate) commit: Commit,
    /// `stratalog.facts` and `stratalog.segments`.
    pub(crate) side: Mutex<SideFiles>,
    /// Closed by the first failed sync or write that could not be cut back.
    pub(crate) latch: Latch,
    /// Retention must not go beyond this offset: kept up to date by the log for its consumers. `u64::MAX` = nobody needs anything.
    pub(crate) keep_from: AtomicU64,
    pub(crate) shared: Arc<SharedByLog>,
}

/// What only the holder of the writer lock touches.
#[derive(Debug)]
pub(crate) struct WriterState {
    pub(crate) tail: Tail,
    pub(crate) producers: Producers,
    pub(crate) epochs: Epochs,
    /// The last timestamp that the log itself assigned.
    pub(crate) last_assigned: Option<Timestamp>,
    /// Reused by appends that must stamp or re-stamp.
    pub(crate) scratch: Vec<u8>,
}

/// The end of the log, as far as one can write to it.
#[derive(Debug)]
pub(crate) enum Tail {
    /// The usual case.
    Active(ActiveSegment),
    /// Opened on a full disk: the un-synced tail could not be copied yet; the next append tries again.
    CopyPending(open::PendingCopy),
    /// The partition is closed.
    Closed,
}

impl PartitionCore {
    pub(crate) fn options(&self) -> Arc<TopicOptions> {
        Arc::clone(&self.options.read())
    }

    pub(crate) fn segment_settings(options: &TopicOptions) -> SegmentSettings {
        SegmentSettings {
            index_bytes: options.segment_index_bytes,
            index_interval_bytes: options.index_interval_bytes,
        }
    }
}
