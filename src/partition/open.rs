//! Opening a partition: look at the directory, ask the tables of `recovery.rs`, do what they say; and closing it.
use std::sync::Arc;

use super::facts::Facts;
use super::{
    CommitTurn, Incarnation, Opening, PartitionCore, Parts, Published, SharedByLog, SideFiles,
    Tail, TopicOptions,
};
use crate::epochs::Epochs;
use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::producers::Producers;
use crate::segment::{ActiveSegment, FileName, SegmentHome};
use crate::storage::{read_small_file, replace_file};
use crate::topic::TopicPartition;

/// What is read of a snapshot: a million producers.
const MOST_SNAPSHOT_BYTES: u64 = 64 << 20;

/// Who wrote last in the log directory (DESIGN's owner question), answered above and handed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Fresh,
    OursClean,
    OursUnclean,
    ForeignClean,
    ForeignUnclean,
}
/// What the log directory knows of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenFacts {
    pub(crate) owner: Owner,
    /// Kafka's `recovery-point-offset-checkpoint`, when it has an entry.
    pub(crate) recovery_point: Option<Offset>,
    /// Kafka's `log-start-offset-checkpoint`, when it has an entry.
    pub(crate) log_start: Option<Offset>,
    pub(crate) incarnation: Incarnation,
}
/// What opening one partition found and did: a part of the `RecoveryReport`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionRecovery {
    pub(crate) name: TopicPartition,
}
/// What the log's checkpoints get when a partition closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClosedFacts {
    pub(crate) log_start: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) high: Offset,
    pub(crate) start_is_inside_segment: bool,
}
/// A tail that must be copied to fresh blocks before it is shown.
#[derive(Debug)]
pub(crate) struct PendingCopy {
    /// Why it could not be copied.
    error: Error,
}

impl PartitionCore {
    /// Opens for writing: recovers as the tables say. Everything shown afterwards is durable or will be covered by the next sync as DESIGN section 7 says.
    pub(crate) fn open(
        name: TopicPartition,
        home: SegmentHome,
        options: Arc<TopicOptions>,
        facts: OpenFacts,
        shared: Arc<SharedByLog>,
    ) -> Result<(Arc<Self>, PartitionRecovery)> {
        let _ = (name, home, options, facts, shared);
        todo!()
    }
    /// Makes a new, empty partition in its existing, empty directory, starting at offset 0; side files at full size, durable on
    /// return. What an interrupted creation left in the directory is for `open`.
    ///
    /// 1. Side files, epochs: content synced. Crash after: an empty directory with small files; `open` makes the first segment.
    /// 2. First segment. 3. Directory synced: all names last.
    pub(crate) fn create(
        name: TopicPartition,
        home: SegmentHome,
        options: Arc<TopicOptions>,
        shared: Arc<SharedByLog>,
    ) -> Result<Arc<Self>> {
        let facts = Facts {
            log_start: Offset::ZERO,
            recovery_point: Offset::ZERO,
            durable_end: Offset::ZERO,
            generation: 0,
            dense_from: Some(Offset::ZERO),
            boot_id: shared.boot_id.unwrap_or_default(),
            incarnation: shared.incarnation,
        };
        let side = SideFiles::create(&home, facts)?;
        let epochs = Epochs::default();
        let epochs_file = home.storage.create(&home.path(FileName::LeaderEpochs))?;
        epochs_file.write_at(epochs.to_text().as_bytes(), 0)?;
        epochs_file.sync_all()?;
        let settings = Self::segment_settings(&options);
        let active = ActiveSegment::create(home.clone(), Offset::ZERO, settings)?;
        active.files().sync()?;
        let published = Published::new(Opening {
            start: Offset::ZERO,
            durable: Offset::ZERO,
            end: Offset::ZERO,
            first_unstable: None,
            high_watermark: options.high_watermark,
            segments: vec![Arc::clone(active.files())],
            generation: 0,
            dense_from: Offset::ZERO,
        });
        Ok(Self::new(Parts {
            name,
            home,
            options,
            tail: Tail::Active(active),
            producers: Producers::default(),
            epochs,
            published,
            side,
            shared,
        }))
    }

    /// Tries again to copy the tail that could not be copied at open; on success the tail is `Active`. Called by an append, under the writer lock.
    pub(super) fn finish_pending_copy(&self, writer: &mut super::WriterState) -> Result<()> {
        let _ = writer;
        todo!()
    }
    /// Clean close. Every call afterwards says `Closed`.
    ///
    /// 1. Take the commit turn, so that nobody else syncs or cuts.
    /// 2. Under the writer lock: write the indexes, cut the prepared space, let go of the tail. No append comes after. Crash after: as
    ///    without the close, and indexes are derived.
    /// 3. Sync what is not synced, then the closed segment with its indexes. Crash after: all records stand.
    /// 4. Write the producer snapshot at the end (none in a log that never held a record). Crash after: it is one more snapshot.
    /// 5. Write and sync the facts. Crash after: the next open finds no marker, scans the last segment and finds it whole.
    /// 6. Wake whoever waits: closed.
    ///
    /// # Errors
    /// `Failed` after an earlier failure, and the first failure of a step; the partition is closed all the same, and the caller
    /// writes no marker. `Full` when the tail could not be copied since it was opened. `Closed` when it was closed before.
    pub(crate) fn close(&self) -> Result<ClosedFacts> {
        let turn = self.take_commit_turn();
        let tail = std::mem::replace(&mut self.writer.lock().tail, Tail::Closed);
        let closed = match tail {
            Tail::Closed => return Err(self.closed()),
            _ if self.latch.is_closed() => self.latch.check().map(|()| None),
            Tail::CopyPending(pending) => Err(pending.error),
            Tail::Active(active) => self.close_active(&turn, active).map(Some),
        };
        self.published.close();
        drop(turn);
        self.commit.settle();
        match closed? {
            Some(facts) => Ok(facts),
            None => Err(self.closed()),
        }
    }

    fn close_active(&self, turn: &CommitTurn<'_>, active: ActiveSegment) -> Result<ClosedFacts> {
        let files = active.close()?;
        self.commit.list(&files);
        turn.sync()?;
        let marks = self.published.watermarks();
        let snapshot = self.writer.lock().producers.to_snapshot();
        write_snapshot(&self.home, marks.end, &snapshot)?;
        self.side.lock().update_synced(|facts| {
            facts.log_start = marks.start;
            facts.recovery_point = marks.end;
            facts.durable_end = marks.end;
        })?;
        let segments = self.published.snapshot().segments;
        Ok(ClosedFacts {
            log_start: marks.start,
            recovery_point: marks.end,
            high: marks.high,
            start_is_inside_segment: segments
                .first()
                .is_some_and(|first| marks.start > first.base()),
        })
    }
}

/// The producers' state below `at`, unless it stands there already; durable on return. Kafka has none at offset 0.
fn write_snapshot(home: &SegmentHome, at: Offset, snapshot: &[u8]) -> Result<()> {
    let path = home.path(FileName::Snapshot(at));
    if at == Offset::ZERO {
        return Ok(());
    }
    let present = read_small_file(&*home.storage, &path, MOST_SNAPSHOT_BYTES);
    match present {
        Ok(Some(present)) if present == snapshot => Ok(()),
        _ => replace_file(&*home.storage, &path, snapshot),
    }
}

/// What a reader of a directory sees without writing a byte: as recovery would see it, without a verdict.
pub(crate) fn open_read_only(
    name: &TopicPartition,
    home: &SegmentHome,
    facts: OpenFacts,
) -> Result<Arc<Published>> {
    let _ = (name, home, facts);
    todo!()
}
