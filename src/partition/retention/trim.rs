//! Dropping what a plan or the owner lets go: the log start moves first, then segments are unlinked.

use std::sync::Arc;

use super::super::{CommitTurn, PartitionCore, Retention, Tail, WriterState};
use super::{ClockState, Facts, SegmentFacts, Verdict, plan};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;
use crate::segment::{FileName, SegmentFiles};
use crate::sync::atomic::Ordering;
use crate::timestamp::Timestamp;

impl PartitionCore {
    /// The housekeeper's look: rolls an idle old segment, then drops what the topic's retention lets go.
    pub(crate) fn housekeep(&self, clock: ClockState) -> Result<()> {
        if self.has_stopped() {
            return Ok(());
        }
        self.unlink_leftovers()?;
        let rolled = match self.roll_if_idle() {
            // Without room there is nothing to roll into; trimming goes on.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            rolled => rolled,
        };
        let retention = self.options().retention.clone();
        rolled.and(self.apply_retention(retention, clock))
    }

    fn apply_retention(&self, retention: Retention, clock: ClockState) -> Result<()> {
        let facts = self.retention_facts(retention, clock)?;
        let verdicts = plan(&facts);
        let dropped = verdicts
            .iter()
            .take_while(|verdict| matches!(verdict, Verdict::Drop(_)))
            .count();
        let Some(last) = dropped
            .checked_sub(1)
            .and_then(|index| facts.segments.get(index))
        else {
            return Ok(());
        };
        match self.move_start(last.end.max(facts.start)) {
            // The tail was cut since the plan was made; the next look makes another.
            Err(error) if error.kind() == ErrorKind::OffsetOutOfRange => Ok(()),
            moved => moved.map(drop),
        }
    }

    pub(super) fn delete_records_before(&self, offset: Offset) -> Result<Offset> {
        self.move_start(offset)
    }

    /// Moves the log start, never back. A crash between two steps leaves:
    /// 1. rolled, when nothing of the active segment stays: an empty segment whose name preserves the end;
    /// 2. wrote the new start to the facts, synced: the log starts there, and whole segments below wait for the next trim;
    /// 3. published it: the same;
    /// 4. unlinked segments and their snapshots, oldest first: fewer of them. What cannot go now goes with the next trim or the next look
    ///    of the housekeeper;
    /// 5. rewrote the list of segments: a derived file that knows more than there is. Epochs are written at the next change or close.
    fn move_start(&self, start: Offset) -> Result<Offset> {
        let moved = self.with_reserve(|| self.try_to_move_start(start));
        moved.map_err(|error| self.stop_if_in_doubt(error))
    }

    /// Some filesystems need room even to remove a file, or to write one in place: once more, with the reserve given back.
    pub(in super::super) fn with_reserve<T>(&self, change: impl Fn() -> Result<T>) -> Result<T> {
        match change() {
            Err(error) if error.kind() == ErrorKind::Full => {
                self.shared.make_room.ask();
                change()
            }
            done => done,
        }
    }

    fn try_to_move_start(&self, start: Offset) -> Result<Offset> {
        let turn = self.take_commit_turn();
        self.latch.check()?;
        if self.published.is_closed() {
            return Err(self.closed());
        }
        let marks = self.published.watermarks();
        if start <= marks.start && !self.has_segments_below(marks.start) {
            return self.unlink(&turn).map(|()| marks.start);
        }
        // Asked with the turn in hand: a truncation would lower what the offset is measured against.
        if start > marks.high {
            return Err(Error::out_of_range(start, marks.start..marks.high)
                .remedy("records at or above the high watermark cannot be deleted yet"));
        }
        let start = start.max(marks.start);
        self.roll_away_from(start)?;
        self.side
            .lock()
            .update_synced(|facts| facts.log_start = facts.log_start.max(start))?;
        let mut writer = self.writer.lock();
        let all = self.published.snapshot().segments;
        let kept_from = all
            .partition_point(|segment| segment.base() <= start)
            .saturating_sub(1);
        let (gone, kept) = all.split_at(kept_from);
        self.published.started_at(start, kept.to_vec());
        writer.producers.advance_start(start);
        writer.epochs.fold_start(start);
        // Under the writer lock: whoever appended behind it may have started a segment that `kept` does not know.
        turn.forget(|files| kept.iter().any(|segment| std::ptr::eq(&**segment, files)));
        writer.to_unlink.extend_from_slice(gone);
        drop(writer);
        self.unlink(&turn)?;
        if let (false, Some(first)) = (gone.is_empty(), kept.first()) {
            let base = first.base();
            let mut side = self.side.lock();
            match side.retain_sealed(|sealed| sealed.base >= base) {
                // Without room it goes on to know more than there is.
                Err(error) if error.kind() == ErrorKind::Full => {}
                retained => retained?,
            }
        }
        Ok(start)
    }

    /// What an earlier trim could not unlink.
    fn unlink_leftovers(&self) -> Result<()> {
        if self.writer.lock().to_unlink.is_empty() {
            return Ok(());
        }
        match self.unlink(&self.take_commit_turn()) {
            // The next look tries again.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            unlinked => unlinked,
        }
    }

    /// Unlinks what was let go, oldest first, with its snapshots. What cannot go stays on the list.
    fn unlink(&self, _: &CommitTurn<'_>) -> Result<()> {
        let gone = std::mem::take(&mut self.writer.lock().to_unlink);
        for (index, segment) in gone.iter().enumerate() {
            if let Err(error) = self.unlink_one(segment) {
                let left = gone.get(index..).unwrap_or_default();
                self.writer.lock().to_unlink.extend_from_slice(left);
                return Err(error);
            }
        }
        Ok(())
    }

    fn unlink_one(&self, segment: &SegmentFiles) -> Result<()> {
        segment.remove()?;
        let snapshot = self.home.path(FileName::Snapshot(segment.base()));
        match self.home.storage.remove(&snapshot) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn has_segments_below(&self, start: Offset) -> bool {
        let segments = self.published.snapshot().segments;
        segments.get(1).is_some_and(|second| second.base() <= start)
    }

    /// Starts a new segment when everything in the active one is about to go, so that its bytes are freed. Without room for one it stays, hidden.
    fn roll_away_from(&self, start: Offset) -> Result<()> {
        let mut guard = self.writer.lock();
        let writer: &mut WriterState = &mut guard;
        let Tail::Active(active) = &writer.tail else {
            return Ok(());
        };
        if active.is_empty() || active.next_offset() > start || self.latch.is_closed() {
            return Ok(());
        }
        match self.roll(writer, &self.options(), start) {
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            rolled => rolled,
        }
    }

    pub(super) fn retention_facts(&self, retention: Retention, clock: ClockState) -> Result<Facts> {
        let snapshot = self.published.snapshot();
        let mut segments = Vec::with_capacity(snapshot.segments.len());
        for (index, segment) in snapshot.segments.iter().enumerate() {
            // Only an age needs the index, and only of what may still go.
            let largest_timestamp = largest_of(segment)?;
            let next = snapshot.segments.get(index + 1);
            segments.push(SegmentFacts {
                base: segment.base(),
                end: next.map_or(snapshot.watermarks.end, |next| next.base()),
                size_bytes: segment.size().to_u64(),
                largest_timestamp,
                sealed_at: segment.sealed_at(),
            });
        }
        let keep_from = self.keep_from.load(Ordering::Acquire);
        Ok(Facts {
            segments,
            retention,
            start: snapshot.watermarks.start,
            high: snapshot.watermarks.high,
            keep_from: Offset::new(keep_from).unwrap_or(Offset::MAX),
            now: self.shared.clock.now().into(),
            clock,
        })
    }
}

/// A segment that was trimmed meanwhile has no time any more.
fn largest_of(segment: &Arc<SegmentFiles>) -> Result<Option<Timestamp>> {
    match segment.largest_timestamp() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found,
    }
}
