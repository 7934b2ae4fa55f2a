//! A partition: a list of segments, its watermarks, and the operations on both. [`Partition`] delegates; each noun has its own file.
//!
//! Locks, in the order in which they may be taken: `writer` (short: never held during a sync, but for small files: of a new leader
//! epoch, which must be on the medium before a batch of that epoch follows, and of a truncation), then `published`, then `side`.
//! The list of published segments changes under the writer lock only, whoever changes it: rolling, trimming, truncation.
//! The one who syncs holds the *commit turn* (`group_commit.rs`), which is no lock but a token and is taken before `writer`; truncation and trimming take it too,
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
#[cfg(all(test, shuttle))]
mod schedules;
#[cfg(test)]
pub(crate) mod testing;
mod truncate;
mod watermarks;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::epochs::Epochs;
use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::producers::Producers;
use crate::segment::{ActiveSegment, SegmentFiles, SegmentHome, SegmentSettings};
use crate::stats::{Counters, PartitionStats};
use crate::storage::{BootId, Latch};
use crate::sync::{Mutex, OnceLock, RwLock, atomic::AtomicU64};
use crate::timestamp::{Clock, Timestamp};
use crate::topic::TopicPartition;

pub use append::AppendOutcome;
pub(crate) use facts::{
    Facts, FactsFound, Incarnation, SegmentList, SideFiles, read_facts, read_segment_list,
};
pub(crate) use group_commit::{Commit, CommitTurn, Lingering, SyncRequests, UnsyncedBudget};
pub use group_commit::{Durable, Ticket};
pub use open::{Adopted, PartitionRecovery, TornTail};
pub(crate) use open::{ClosedFacts, OpenFacts, Owner, open_read_only};
pub use options::{FsyncPolicy, HighWatermark, Retention, TopicOptions, WritePath};
pub(crate) use reader::{BatchStream, Next, PartitionReader};
pub(crate) use retention::ClockWatch;
pub use retention::{DroppedBecause, KeptBecause, RetentionPlan, Segment, Verdict};
pub(crate) use watermarks::{Opening, Published, Snapshot, StartNow};
pub use watermarks::{ReadUpTo, Watermarks};

/// What all partitions of a log share, handed down at open.
#[derive(Debug)]
pub(crate) struct SharedByLog {
    pub(crate) clock: Arc<dyn Clock>,
    /// Partitions that want a sync, in the order of asking; flushers, or `maintain`, take from it.
    pub(crate) sync_requests: SyncRequests,
    /// Bytes of the whole log that no sync has covered; `append` waits beyond the limit.
    pub(crate) unsynced: UnsyncedBudget,
    /// Gives back the room that the log keeps for bad days; the log fills it again.
    pub(crate) make_room: MakeRoom,
    pub(crate) incarnation: Incarnation,
    /// `None` where the system does not tell: each open then counts as after a reboot *and* as in the same boot, whichever is more careful.
    pub(crate) boot_id: Option<BootId>,
}

/// How a partition on a full disk gets at the room that the log holds in reserve.
#[derive(Default)]
pub(crate) struct MakeRoom(pub(crate) OnceLock<Box<dyn Fn() + Send + Sync>>);

impl MakeRoom {
    pub(crate) fn ask(&self) {
        if let Some(give_back) = self.0.get() {
            give_back();
        }
    }
}

impl fmt::Debug for MakeRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeRoom")
    }
}

/// A partition. Clones share it; after `Log::close` every call says `Closed`.
#[derive(Clone, Debug)]
pub struct Partition {
    pub(crate) core: Arc<PartitionCore>,
}

/// The state behind [`Partition`].
#[derive(Debug)]
pub(crate) struct PartitionCore {
    /// Itself, for requests that outlive a call.
    me: Weak<PartitionCore>,
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
    pub(crate) counters: Counters,
    pub(crate) shared: Arc<SharedByLog>,
}

/// What a partition is put together from; the rest of [`PartitionCore`] starts empty.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) name: TopicPartition,
    pub(crate) home: SegmentHome,
    pub(crate) options: Arc<TopicOptions>,
    pub(crate) tail: Tail,
    pub(crate) producers: Producers,
    pub(crate) epochs: Epochs,
    pub(crate) published: Published,
    pub(crate) side: SideFiles,
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
    /// When the active segment was opened or started, for a first batch without a time.
    pub(crate) active_since: Timestamp,
    /// What `segment.jitter.ms` takes off the age of this active segment.
    pub(crate) roll_jitter_ms: i64,
    /// A roll at this offset failed, and its files may not be gone for good.
    pub(crate) unfinished_roll: Option<Offset>,
    /// Let go by a trim, and not unlinked yet.
    pub(crate) to_unlink: Vec<Arc<SegmentFiles>>,
    /// The medium was full at the last try.
    pub(crate) full: Option<FullDisk>,
    /// The end at the housekeeper's last look: a segment is idle when it is still the same at the next.
    pub(crate) end_at_last_look: Option<Offset>,
}

/// The medium refused an append, and will not be asked again before `retry_at` (monotonic).
#[derive(Debug)]
pub(crate) struct FullDisk {
    pub(crate) error: Error,
    pub(crate) retry_at: Duration,
}

/// The end of the log, as far as one can write to it.
#[derive(Debug)]
pub(crate) enum Tail {
    /// The usual case.
    Active(ActiveSegment),
    /// There was no room to finish a recovery or a truncation: the next append recovers again.
    Pending(open::PendingRecovery),
    /// The partition is closed.
    Closed,
}

impl Partition {
    /// The number of the partition in its topic.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.core.name.index()
    }

    /// Topic and number.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.core.name
    }

    /// All five marks, in one consistent snapshot. Never blocks for I/O.
    #[must_use]
    pub fn watermarks(&self) -> Watermarks {
        self.core.published.watermarks()
    }

    /// Brings everything that was appended before the call to the medium; returns the durable end.
    ///
    /// Blocks for a sync, or for the rest of one that is in flight and one more.
    ///
    /// # Errors
    /// `Failed` once a sync or a write has failed for good; `Closed` after `Log::close`, unless all is durable.
    pub fn sync(&self) -> Result<Offset> {
        self.core.sync_now()
    }

    /// What the partition counted since it was opened.
    #[must_use]
    pub fn stats(&self) -> PartitionStats {
        self.core.counters.look(self.core.commit.unsynced_bytes())
    }

    /// What reading needs of this partition.
    pub(crate) fn reader(&self) -> PartitionReader {
        PartitionReader {
            name: self.core.name.clone(),
            published: Arc::clone(&self.core.published),
            max_decompressed_bytes: self.core.options.read().max_decompressed_bytes,
        }
    }
}

impl PartitionCore {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let now = parts.shared.clock.now().into();
        let roll_jitter_ms = roll::draw_jitter(&parts.options);
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            name: parts.name,
            home: parts.home,
            options: RwLock::new(parts.options),
            writer: Mutex::new(WriterState {
                tail: parts.tail,
                producers: parts.producers,
                epochs: parts.epochs,
                last_assigned: None,
                active_since: now,
                roll_jitter_ms,
                unfinished_roll: None,
                to_unlink: Vec::new(),
                full: None,
                end_at_last_look: None,
            }),
            published: Arc::new(parts.published),
            commit: Commit::default(),
            side: Mutex::new(parts.side),
            latch: Latch::default(),
            keep_from: AtomicU64::new(u64::MAX),
            counters: Counters::default(),
            shared: parts.shared,
        })
    }

    /// Whether no append or sync can succeed any more.
    pub(crate) fn has_stopped(&self) -> bool {
        self.latch.is_closed() || self.published.is_closed()
    }

    /// Closes the descriptors of a partition to which nothing was appended for a while, until the next append. Not while anything above the durable end
    /// is in its file.
    pub(crate) fn rest_if_durable(&self) {
        let mut writer = self.writer.lock();
        let marks = self.published.watermarks();
        if marks.durable < marks.end || self.commit.unsynced_bytes() > 0 || self.latch.is_closed() {
            return;
        }
        if let Tail::Active(active) = &mut writer.tail {
            active.rest();
        }
        drop(writer);
        self.side.lock().rest();
    }

    /// The partition is about to be deleted: nothing is synced, and every call says `Closed` from now on.
    pub(crate) fn close_for_deletion(&self) {
        let _turn = self.take_commit_turn();
        let mut writer = self.writer.lock();
        writer.tail = Tail::Closed;
        self.published.close();
        self.commit.let_go_of_unsynced(&self.shared.unsynced);
        drop(writer);
        self.commit.settle();
    }

    pub(crate) fn options(&self) -> Arc<TopicOptions> {
        Arc::clone(&self.options.read())
    }

    /// Other options from now on, at the next decision. They were validated.
    pub(crate) fn set_options(&self, options: Arc<TopicOptions>) {
        let source = options.high_watermark;
        let before = std::mem::replace(&mut *self.options.write(), options);
        if before.high_watermark != source {
            self.published.high_watermark_from(source);
            self.look_for_decided_transactions();
        }
    }

    pub(crate) fn segment_settings(options: &TopicOptions) -> SegmentSettings {
        SegmentSettings {
            index_bytes: options.segment_index_bytes,
            index_interval_bytes: options.index_interval_bytes,
        }
    }
}

impl Drop for PartitionCore {
    /// What was never synced, of a deleted topic for example, no longer counts.
    fn drop(&mut self) {
        self.commit.let_go_of_unsynced(&self.shared.unsynced);
    }
}
