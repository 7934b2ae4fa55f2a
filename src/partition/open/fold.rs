//! The folds that opening derives from batches: producers from a snapshot and the batches behind it, leader epochs.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::batch::RecordBatch;
use crate::epochs::Epochs;
use crate::error::{ErrorKind, Result};
use crate::offset::Offset;
use crate::producers::Producers;
use crate::segment::{
    AbortedTransaction, FileName, OffsetRule, SegmentFiles, SegmentHome, Step, WalkedBatch,
};
use crate::storage::{read_small_file, replace_file};

/// What is read of a snapshot: more than a million producers.
const MOST_SNAPSHOT_BYTES: u64 = 64 << 20;
const MOST_EPOCHS_BYTES: u64 = 16 << 20;
/// A control record is a few bytes.
const MOST_UNPACKED_BYTES: u32 = 1 << 20;

/// What `leader-epoch-checkpoint` says.
pub(in crate::partition) enum EpochsFound {
    Good(Epochs),
    Missing,
    Damaged,
}

pub(in crate::partition) fn read_epochs(home: &SegmentHome) -> Result<EpochsFound> {
    let path = home.path(FileName::LeaderEpochs);
    let content = match read_small_file(&*home.storage, &path, MOST_EPOCHS_BYTES) {
        Ok(Some(content)) => content,
        Ok(None) => return Ok(EpochsFound::Missing),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(EpochsFound::Damaged),
        Err(error) => return Err(error),
    };
    let parsed = std::str::from_utf8(&content)
        .ok()
        .and_then(|text| Epochs::parse(text).ok());
    Ok(parsed.map_or(EpochsFound::Damaged, EpochsFound::Good))
}

/// The leader epochs, when they are the ones that our facts speak of: only then do they say anything against a batch.
pub(super) fn read_vouched_epochs(
    home: &SegmentHome,
    checksum: Option<u32>,
) -> Result<Option<Epochs>> {
    match read_epochs(home) {
        Ok(EpochsFound::Good(epochs)) => {
            Ok(Some(epochs).filter(|e| checksum == Some(e.checksum())))
        }
        Ok(EpochsFound::Missing | EpochsFound::Damaged) => Ok(None),
        // A link or a FIFO in its place.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

/// Both folds, over batches in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Fold {
    pub(super) producers: Producers,
    pub(super) epochs: Epochs,
    /// Behind the last batch whose epoch was looked at.
    pub(super) seen_to: Offset,
    /// What the file says, when nothing vouches for it.
    pub(super) unvouched: Epochs,
    /// Where a history begins that our facts vouch for: batches below it were trimmed or cut away, and say nothing against it.
    pub(super) vouched_from: Offset,
    /// The last batch whose epoch was below that of a batch before it.
    pub(super) fell_at: Option<Offset>,
}

impl Fold {
    /// Takes a batch in; returns the transaction that it aborted.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Option<AbortedTransaction> {
        self.take_epoch(batch);
        self.take_producer(batch)
    }

    /// Of an epoch that begins behind the last batch no batch tells; a leader that has begun one must not stamp a smaller one.
    pub(super) fn take_epochs_behind(&mut self) {
        for (epoch, start) in self.unvouched.entries() {
            let is_higher = self.epochs.latest().is_none_or(|latest| *epoch > latest);
            if *start >= self.seen_to && is_higher {
                self.epochs.assign(*epoch, *start);
            }
        }
    }

    pub(super) fn take_producer(&mut self, batch: &RecordBatch) -> Option<AbortedTransaction> {
        // A marker that cannot be read decides nothing; its checksum was right, so it is not ours to judge.
        let marker = batch.control_marker().unwrap_or_default();
        self.producers.apply(batch.header(), marker.as_ref())
    }

    /// Kafka's rule on recovery: only a higher epoch is taken.
    pub(super) fn take_epoch(&mut self, batch: &RecordBatch) {
        self.seen_to = batch.next_offset();
        if batch.base_offset() < self.vouched_from {
            return;
        }
        let Some(epoch) = batch.leader_epoch() else {
            return;
        };
        match self.epochs.latest() {
            Some(latest) if epoch < latest => self.fell_at = Some(batch.base_offset()),
            Some(latest) if epoch == latest => {}
            Some(_) | None => {
                self.epochs.assign(epoch, batch.base_offset());
            }
        }
    }
}

/// The newest good snapshot within `replayable`, from the first segment's base to the end that is asked for, and from where on batches must be
/// replayed. An older one has outlived the batches between: what it says of a producer is not the last that the producer sent.
pub(in crate::partition) fn load_producers(
    home: &SegmentHome,
    snapshots: &[Offset],
    replayable: RangeInclusive<Offset>,
    damaged: &mut dyn FnMut(FileName),
) -> Result<(Producers, Option<Offset>)> {
    let usable = snapshots.iter().rev();
    for end in usable.filter(|end| replayable.contains(end)) {
        let name = FileName::Snapshot(*end);
        let content = match read_small_file(&*home.storage, &home.path(name), MOST_SNAPSHOT_BYTES) {
            Ok(Some(content)) => content,
            Ok(None) => continue,
            Err(error) if error.kind() == ErrorKind::Corrupt => Vec::new(),
            Err(error) => return Err(error),
        };
        match Producers::from_snapshot(&content, *end) {
            Ok(producers) => return Ok((producers, Some(*end))),
            Err(_) => damaged(name),
        }
    }
    Ok((Producers::default(), None))
}

/// Shows `each` every readable batch that starts within `range`, in order.
pub(in crate::partition) fn replay(
    segments: &[Arc<SegmentFiles>],
    range: Range<Offset>,
    each: &mut dyn FnMut(&RecordBatch),
) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let first = segments.partition_point(|s| s.base() <= range.start);
    for (index, segment) in segments.iter().enumerate().skip(first.saturating_sub(1)) {
        if segment.base() >= range.end {
            break;
        }
        // Of two segments that overlap the higher one wins.
        let next = segments
            .get(index.saturating_add(1))
            .map(|next| next.base());
        let until = next.map_or(range.end, |next| next.min(range.end));
        let reaches_over =
            |batch: &RecordBatch| next.is_some_and(|next| batch.next_offset() > next);
        let mut walker =
            segment.walk_from(range.start, OffsetRule::Ascending, MOST_UNPACKED_BYTES)?;
        loop {
            match walker.step()? {
                Step::Batch(WalkedBatch { batch, .. }) => {
                    // One across the next base was cut away by a truncation to there.
                    if batch.base_offset() >= until || reaches_over(&batch) {
                        break;
                    }
                    if batch.base_offset() >= range.start {
                        each(&batch);
                    }
                }
                Step::OldFormat { .. } => {}
                Step::Bad(spot) => {
                    let positions = segment.positions_above(spot.position)?;
                    if walker.skip(&spot, &positions)?.is_none() {
                        break;
                    }
                }
                Step::End => break,
            }
        }
    }
    Ok(())
}

/// The producers' state below `at`, unless it stands there already; durable on return. Kafka has none at offset 0.
pub(in crate::partition) fn write_snapshot(
    home: &SegmentHome,
    at: Offset,
    snapshot: &[u8],
) -> Result<()> {
    if at == Offset::ZERO {
        return Ok(());
    }
    let path = home.path(FileName::Snapshot(at));
    match read_small_file(&*home.storage, &path, MOST_SNAPSHOT_BYTES) {
        Ok(Some(present)) if present == snapshot => Ok(()),
        _ => replace_file(&*home.storage, &path, snapshot),
    }
}
